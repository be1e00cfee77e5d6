"""When the driver is killed, its kernels end, and with them what they started."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Final

_POLL_SECONDS: Final = 0.25


def end_with_driver() -> None:
    """End this process, and its process group, once the process that started it has gone.

    ipykernel looks once a second, too, but ends only the kernel: a training script that a cell
    started would go on for hours, for nobody.
    """
    if not hasattr(os, "getpgrp"):
        return
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(_POLL_SECONDS)
    # nbpipe starts a kernel in a group of its own; another launcher may not.
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)
