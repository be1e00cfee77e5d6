"""Which of the files that a step names does it make, rather than read?

A file that a step writes without having read it is a product of the step: after the run its new
content, not the old one, belongs to the step's key. The audit hook sees what Python opens, not
what a native library does; a file nobody saw being opened counts as read, which at worst costs
one more run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

_READ, _WRITTEN = "read", "written"


class FileAccess:
    """The first access to each watched file, once `watch` has been called.

    An audit hook cannot be removed, so there is one per kernel, and it does little.
    """

    def __init__(self, watched: Iterable[str]) -> None:
        self._watched = frozenset(watched)
        self._names = frozenset(os.path.basename(path) for path in self._watched)  # noqa: PTH119
        self._first_access: dict[str, str] = {}

    @property
    def written(self) -> tuple[str, ...]:
        """The watched files that were written, or put in place, before anything read them."""
        found = [path for path, access in self._first_access.items() if access == _WRITTEN]
        return tuple(sorted(found))

    def watch(self) -> None:
        """Start watching."""
        if self._watched:
            sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            self._note(path, _WRITTEN if isinstance(flags, int) and _replaces(flags) else _READ)
        elif event == "os.rename":
            source, target, *_ = arguments
            self._note(source, _READ)
            self._note(target, _WRITTEN)

    def _note(self, path: object, access: str) -> None:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        # Strings, not Path: this runs at every `open`, and must not follow symbolic links.
        if not isinstance(path, str) or os.path.basename(path) not in self._names:  # noqa: PTH119
            return
        absolute = os.path.abspath(path)  # noqa: PTH100
        if absolute in self._watched:
            self._first_access.setdefault(absolute, access)


def _replaces(flags: int) -> bool:
    return bool(flags & (os.O_TRUNC | os.O_EXCL))
