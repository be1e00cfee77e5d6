"""Accesses to paths, one after the other → the files that a step reads, misses, lists and writes.

What counts is the first access: a file that the step made is no input of it, whatever it does
with it later.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from nbpipe.kernel.tracing.noise import is_noisy_program


class Access(StrEnum):
    """What was done to a path. The letters are those of the native library's log."""

    READ = "R"
    CHANGED = "U"  # Opened for changing, and kept until then; with its `facts` before.
    EMPTIED = "T"
    MADE = "C"
    MISSED = "N"
    FOUND = "S"
    LISTED = "L"
    DELETED = "D"
    DIRECTORY_DELETED = "d"
    DIRECTORY_MADE = "M"
    MOVED_OVER = "V"
    MOVED = "v"
    CONNECTED = "X"
    RAN_UNSEEN = "B"


@dataclass(frozen=True, slots=True, kw_only=True)
class TouchedFiles:
    """The files part of a `Trace`."""

    read: tuple[str, ...]
    absent: tuple[str, ...]
    found: tuple[str, ...]
    listed: tuple[str, ...]
    written: tuple[str, ...]
    made: tuple[str, ...]


class Accesses:
    """The account of one step. `is_noise` says which paths are left out."""

    def __init__(self, is_noise: Callable[[str], bool], *, home: str, temporary: str) -> None:
        self._is_noise = is_noise
        self._home = home
        self._temporary = temporary
        self._read: set[str] = set()
        self._missed: set[str] = set()
        self._found: set[str] = set()
        self._listed: set[str] = set()
        self._changed: dict[str, str] = {}
        # Whether it was there before; directories that were not.
        self._made: dict[str, bool] = {}
        self._new_directories: set[str] = set()
        self.connects = False
        self.unseen_programs: set[str] = set()

    def note(self, access: Access, path: str, more: str = "") -> None:
        """Take note of one access to an absolute path; `more` is its facts, or where it went."""
        match access:
            case Access.CONNECTED:
                self.connects = True
                return
            case Access.RAN_UNSEEN:
                if not is_noisy_program(path):
                    self.unseen_programs.add(os.path.basename(path))  # noqa: PTH119 - text, and many.
                return
        path = plain(path)
        if access in {Access.MOVED, Access.MOVED_OVER}:
            self._note_move(path, plain(more), over=access is Access.MOVED_OVER)
        elif not self._is_noise(path):
            self._note(access, path, more)

    def _note(self, access: Access, path: str, facts: str) -> None:
        match access:
            case Access.EMPTIED | Access.DELETED:
                self._made.setdefault(path, True)
            case Access.MADE:
                self._made.setdefault(path, False)
            case Access.DIRECTORY_MADE:
                self._new_directories.add(path)
            case _ if self._is_own(path):
                pass
            case Access.READ:
                self._read.add(path)
            case Access.CHANGED:
                self._read.add(path)
                self._changed.setdefault(path, facts)
            case Access.MISSED:
                self._missed.add(path)
            case Access.FOUND:
                self._found.add(path)
            case Access.LISTED:
                self._listed.add(path)

    def _note_move(self, source: str, target: str, *, over: bool) -> None:
        if source in self._new_directories:
            self._new_directories.add(target)
            for path in [each for each in self._made if each.startswith(f"{source}/")]:
                self._made.setdefault(target + path.removeprefix(source), False)
            return
        if not self._is_noise(source) and not self._is_own(source):
            self._read.add(source)
            self._made.setdefault(source, True)
        if not self._is_noise(target):
            self._made.setdefault(target, over)

    def _is_own(self, path: str) -> bool:
        """Say whether the step made it, or a directory above it."""
        if path in self._made:
            return True
        return bool(self._new_directories) and not self._new_directories.isdisjoint(
            (path, *_above(path))
        )

    def was_there(self, path: str) -> bool:
        """Say whether a file that the step wrote was there before."""
        return self._made.get(path, True)

    def settle(self, expected: Iterable[str] = ()) -> TouchedFiles:
        """Look at what the paths are now, and give the account.

        That directories on the way to `expected` are there, or these themselves, says nothing. Nor
        does it that a program is not in one of the directories where programs are searched.
        """
        searched = os.environ.get("PATH", os.defpath).split(os.pathsep)
        written = {path for path, existed in self._made.items() if _was_written(path, existed)}
        written |= {p for p, facts in self._changed.items() if facts_of(p) != facts}
        written = {path for path in written if not self._is_thrown_away(path)}
        directories = {p for p in self._read | self._found if _is_directory(p)}
        read = self._read - directories
        looked_at = self._found - directories - read
        listed = self._listed | (self._read & directories)
        found = (looked_at & self._made.keys()) | self._telling(
            (self._found & directories) - listed - {*expected},
            beside=[read, looked_at, self._missed, listed, written, {*expected}],
        )
        return TouchedFiles(
            read=_sorted(read | (looked_at - self._made.keys())),
            absent=_sorted(p for p in self._missed if os.path.dirname(p) not in searched),  # noqa: PTH120
            found=_sorted(found),
            listed=_sorted(listed),
            written=_sorted(written),
            made=_sorted(path for path in written if not self._made.get(path, True)),
        )

    def _is_thrown_away(self, path: str) -> bool:
        """Say whether it lies in a temporary directory of the step's own."""
        name = path.removeprefix(f"{self._temporary}/")
        return name != path and f"{self._temporary}/{name.partition('/')[0]}" in (
            self._new_directories
        )

    def _telling(self, directories: set[str], beside: Iterable[set[str]]) -> set[str]:
        """Leave out directories that something else in the account says are there."""
        known = {self._home, *_above(self._home)}
        for paths in (*beside, directories):
            for path in paths:
                known.update(_above(path))
        return directories - known


def kind_of_open(flags: int, *, existed: bool) -> tuple[Access, ...]:
    """Say what opening a file with these flags, successfully, is."""
    if not existed:
        if flags & (os.O_EXCL | os.O_TRUNC):
            return (Access.MADE,)
        return (Access.MISSED, Access.MADE) if flags & os.O_CREAT else (Access.MISSED,)
    if flags & os.O_TRUNC:
        return (Access.EMPTIED,)
    return (Access.CHANGED,) if flags & (os.O_WRONLY | os.O_RDWR) else (Access.READ,)


def facts_of(path: str) -> str:
    """Give what tells whether a file has been changed, as the native library writes it."""
    try:
        facts = _stat(path)
    except (OSError, ValueError):
        return ""
    return f"{facts.st_mtime_ns} {facts.st_size}"


def plain(path: str) -> str:
    """Take `.`, `..` and doubled slashes out of an absolute path. Links are not followed."""
    if "/." in path or "//" in path or path.endswith("/"):
        path = os.path.normpath(path)
        return path[1:] if path.startswith("//") else path
    return path


def text_of(given: object) -> str | None:
    """Give a path as text; None for a descriptor, and for what is no path."""
    if isinstance(given, str):
        return given or None
    if isinstance(given, bytes | os.PathLike):
        return os.fsdecode(given) or None
    return None


def absolute(path: str) -> str:
    """Make a path absolute, and leave it as it is otherwise."""
    return path if path.startswith("/") else os.path.join(os.getcwd(), path)  # noqa: PTH109, PTH118


# Taken before anybody wraps them.
_stat: Final = os.stat
_lstat: Final = os.lstat


def _was_written(path: str, existed: bool) -> bool:  # noqa: FBT001 - from a mapping.
    try:
        facts = _lstat(path)
    except (OSError, ValueError):
        return existed
    return not stat.S_ISDIR(facts.st_mode)


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(_stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _above(path: str) -> Iterator[str]:
    at = path.rfind("/")
    while at > 0:
        yield path[:at]
        at = path.rfind("/", 0, at)
    yield "/"


def _sorted(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(paths))
