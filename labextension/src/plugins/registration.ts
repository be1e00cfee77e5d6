import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

/** Lets JupyterLab list the extension, enable it and disable it. */
export const registration: JupyterFrontEndPlugin<void> = {
  id: 'jupyterlab-nbpipe:plugin',
  description: 'Notebooks as pipelines.',
  autoStart: true,
  activate: () => undefined
};
