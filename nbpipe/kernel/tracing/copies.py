"""Copies of files as they were before a step began to change them.

A step may have to run again in the same run, and must then find files as the notebook shows them
to it. What native code writes is not seen beforehand, so there is no copy of it.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Final

from nbpipe.kernel.tracing.accesses import absolute, plain, text_of

# Of all copies of a step; and how much of the space that is left one of them may take.
_MOST_FILES: Final = 1_000
_MOST_BYTES: Final = 256 << 20
_LARGEST_SHARE: Final = 0.25

_WRITING: Final = os.O_WRONLY | os.O_RDWR


class CopiesBefore:
    """Makes the copies, in a directory of its own below `directory`.

    `is_noise` says which paths are nobody's business; `quietly` keeps what is done here out of the
    trace.
    """

    def __init__(
        self,
        directory: Path,
        *,
        is_noise: Callable[[str], bool],
        quietly: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._directory = directory
        self._is_noise = is_noise
        self._quietly = quietly
        self._own: Path | None = None
        self._seen: set[str] = set()
        self._copies: dict[str, str] = {}
        self._bytes_left = _MOST_BYTES

    def handlers(self) -> Mapping[str, Callable[[tuple[Any, ...]], None]]:
        """Give what to call with the arguments of which audit events."""
        return {
            "open": self._opens,
            "os.remove": lambda arguments: self._keep(arguments[0]),
            "os.rename": self._moves,
            "os.truncate": lambda arguments: self._keep(arguments[0]),
            "sqlite3.connect": lambda arguments: self._keep(arguments[0]),
        }

    def of(self, path: str) -> str | None:
        """Give where the copy of a file lies, if there is one."""
        return self._copies.get(path)

    def _opens(self, arguments: tuple[Any, ...]) -> None:
        path, _, flags = arguments
        if isinstance(flags, int) and flags & _WRITING:
            self._keep(path)

    def _moves(self, arguments: tuple[Any, ...]) -> None:
        self._keep(arguments[0])
        self._keep(arguments[1])

    def _keep(self, given: object) -> None:
        path = text_of(given)
        if path is None:
            return
        path = plain(absolute(path))
        if path in self._seen:
            return
        self._seen.add(path)
        if self._is_noise(path) or len(self._copies) == _MOST_FILES:
            return
        with self._quietly(), suppress(OSError, ValueError):
            facts = os.stat(path)  # noqa: PTH116 - text, as all paths here.
            if stat.S_ISREG(facts.st_mode) and facts.st_size <= self._room():
                self._bytes_left -= facts.st_size
                self._copies[path] = self._copy(path)

    def _room(self) -> float:
        self._directory.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._directory).free
        return min(self._bytes_left, _LARGEST_SHARE * free)

    def _copy(self, path: str) -> str:
        if self._own is None:
            self._own = Path(tempfile.mkdtemp(dir=self._directory))
        # Two copies of one file, made by two steps, are told apart by their age.
        copy = self._own / f"{time.time_ns():020d}-{len(self._copies)}"
        try:
            shutil.copy2(path, copy)
        except OSError:
            copy.unlink(missing_ok=True)
            raise
        return str(copy)
