"""Ctrl-C, or a terminal that is closed: once to end cleanly, twice to end now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals_caught(cancel: Callable[[], None]) -> Iterator[None]:
    """Call `cancel` at the first such signal; raise KeyboardInterrupt at the second.

    Outside the main thread signals are somebody else's, and nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def first(_number: int, _frame: FrameType | None) -> None:
        for each in caught:
            signal.signal(each, second)
        cancel()

    def second(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    caught = list(_SIGNALS)
    # Under `nohup` it is ignored, and stays so.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        caught.append(signal.SIGHUP)
    before = {each: signal.signal(each, first) for each in caught}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
