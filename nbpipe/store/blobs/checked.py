"""Which blob files need no second look.

Hashing a gigabyte takes a fifth of a second, mapping it takes none. So the digest of a large file
is checked once per start of the machine: a line in this log says that the file with this inode,
size and these times was found right. Whatever changes the bytes changes `ctime`, which no program
can set, and after a crash or a power cut the machine has another boot id; both mean a full check.
Where there is no boot id or no true `ctime` (Windows), every load checks.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from nbpipe.model.digest import Digest

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class CheckedFiles:
    """The log, shared by all processes that use the store. Losing it costs time, nothing else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: frozenset[str] = frozenset()
        self._known_size = 0

    def covers(self, digest: Digest, facts: os.stat_result) -> bool:
        """Say whether the file with these facts was checked, and is as it was."""
        line = _line(digest, facts)
        if line is None:
            return False
        return line in self._lines or (self._reread() and line in self._lines)

    def add(self, digest: Digest, facts: os.stat_result) -> None:
        """Note that the file with these facts has this digest."""
        line = _line(digest, facts)
        if line is None or line in self._lines:
            return
        with suppress(OSError):  # A read-only store cannot remember; it checks again.
            # One short append is atomic: lines of two processes do not mix.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            descriptor = os.open(self._path, flags, 0o644)
            try:
                os.write(descriptor, f"{line}\n".encode())
            finally:
                os.close(descriptor)
        self._lines |= {line}

    def forget_all(self) -> None:
        """Start afresh: after garbage collection most lines are about files that are gone."""
        with suppress(OSError):
            self._path.unlink()
        self._lines, self._known_size = frozenset(), 0

    def _reread(self) -> bool:
        try:
            if self._path.stat().st_size == self._known_size:
                return False
            text = self._path.read_bytes()
        except OSError:
            return False
        self._known_size = len(text)
        self._lines |= frozenset(text.decode("ascii", "replace").split("\n"))
        return True


def _line(digest: Digest, facts: os.stat_result) -> str | None:
    boot = _boot_id()
    if boot is None:
        return None
    return f"{digest} {facts.st_ino} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns} {boot}"


@cache
def _boot_id() -> str | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return None
