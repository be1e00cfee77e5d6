import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { registration } from './plugins/registration';

/** Every plugin of this extension; each one lives in a file of its own under `plugins/`. */
const plugins: JupyterFrontEndPlugin<unknown>[] = [registration];

export default plugins;
