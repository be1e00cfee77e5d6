"""What other threads may do to a running kernel: end it, once, for a reason."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import StrEnum


class Ending(StrEnum):
    """Why a kernel was ended from outside."""

    CANCELLED = "cancelled"
    TIMEOUT = "timeout"


class KernelHandle:
    """The end of a kernel, in the hands of somebody who does not run it.

    The kernel may start later than the wish to end it: then it is ended as it starts.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kill: Callable[[], None] | None = None
        self._ending: Ending | None = None

    @property
    def ending(self) -> Ending | None:
        """Why the kernel was ended, or is about to be; the first reason stays."""
        return self._ending

    def expect(self, ending: Ending) -> None:
        """Note why the kernel is about to be ended by other means, such as an interrupt."""
        with self._lock:
            self._ending = self._ending or ending

    def kill(self, ending: Ending) -> None:
        """End the kernel and everything it started, at once."""
        with self._lock:
            self._ending = self._ending or ending
            if self._kill is not None:
                self._kill()

    def attach(self, kill: Callable[[], None]) -> None:
        """Say how the kernel is killed, now that it runs."""
        with self._lock:
            self._kill = kill
            if self._ending is not None:
                kill()

    def detach(self) -> None:
        """Say that the kernel has ended: its process id may belong to somebody else soon."""
        with self._lock:
            self._kill = None
