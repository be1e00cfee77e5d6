"""Which environment variables does the step read?

Reads go through `os.environ`, also those of `os.getenv`. Who asks counts: the author's code and
what it uses, not Jupyter's machinery. Somebody who copies the whole environment for a child
process reads none of it; code of the author's that copies or lists it may read any of it later.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from pathlib import Path
from types import FrameType
from typing import Any, Final

from nbpipe.environment.distributions import INSTALLED
from nbpipe.kernel.tracing.noise import MACHINERY, is_noisy_variable
from nbpipe.model.digest import Digest
from nbpipe.model.trace import digest_of_variable

_OURS: Final = str(Path(__file__).parents[2]) + os.sep
# What stands between a reader and `os.environ`, if it is there.
_MAPPINGS: Final = frozenset(
    {
        __file__,
        os.getenv.__code__.co_filename,
        Mapping.get.__code__.co_filename,
    }
)
# `%env NAME` is the author's read.
_ENV_MAGIC: Final = os.path.join("IPython", "core", "magics", "osm.py")  # noqa: PTH118 - a part.
_STARTS_CHILDREN: Final = frozenset({"subprocess.py", "popen_fork.py", "popen_spawn_posix.py"})


class _Reader(Enum):
    AUTHOR = auto()
    LIBRARY = auto()
    NOBODY = auto()


class _Listing(threading.local):
    """Who listed all names last, in this thread, and which name has just been given."""

    place: tuple[int, int] | None = None
    name: str | None = None


class EnvironmentReads:
    """Notes reads of environment variables: exchanges the dict below `os.environ`, and its class.

    The dict, because what stands between `os.environ` and the author would stand in the traceback
    of a `KeyError`; of a read below it, `os.environ` itself makes its own.
    """

    def __init__(self) -> None:
        self.digests: dict[str, Digest | None] = {}
        self._written: set[str] = set()
        self._thread = _Listing()
        self._undo: list[Callable[[], None]] = []
        self._standard_library = tuple(
            sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")
        )

    def start(self) -> None:
        """Begin to note."""
        # `os.environ` and `os.environb` share one dict.
        plain: dict[Any, Any] = os.environ._data  # type: ignore[attr-defined]  # noqa: SLF001
        watched = self._watched_dict(plain)
        for mapping in (os.environ, getattr(os, "environb", None)):
            if mapping is not None and type(mapping) is os._Environ:  # noqa: SLF001
                self._exchange(mapping, plain, watched)

    def stop(self) -> None:
        """Note nothing any more."""
        while self._undo:
            self._undo.pop()()

    def _exchange(self, mapping: Any, plain: dict[Any, Any], watched: dict[Any, Any]) -> None:  # noqa: ANN401 - `os.environ`.
        original = type(mapping)
        mapping.__class__ = self._watched_class(original)
        mapping._data = watched  # noqa: SLF001

        def undo() -> None:
            mapping.__class__ = original
            if mapping._data is watched:  # noqa: SLF001
                plain.clear()
                plain.update(dict.items(watched))
                mapping._data = plain  # noqa: SLF001

        self._undo.append(undo)

    def _watched_dict(self, plain: dict[Any, Any]) -> dict[Any, Any]:
        reads = self

        class Watched(dict[Any, Any]):
            def __getitem__(self, name: Any) -> Any:  # noqa: ANN401 - str or bytes.
                reads.note_read(name, sys._getframe(1))  # noqa: SLF001
                return super().__getitem__(name)

            def __setitem__(self, name: Any, value: Any) -> None:  # noqa: ANN401
                super().__setitem__(name, value)
                reads.note_write(name)

            def __delitem__(self, name: Any) -> None:  # noqa: ANN401
                super().__delitem__(name)
                reads.note_write(name)

        return Watched(plain)

    def _watched_class(self, original: Any) -> Any:  # noqa: ANN401 - a class, to be derived from.
        reads = self

        class Watched(original):  # type: ignore[misc]
            def __iter__(self) -> Iterator[Any]:
                return reads.each(super().__iter__(), sys._getframe(1))  # noqa: SLF001

        Watched.__name__ = original.__name__
        Watched.__qualname__ = original.__qualname__
        Watched.__module__ = original.__module__
        return Watched

    def note_write(self, given: str | bytes) -> None:
        """Take note that the step sets or deletes a variable."""
        self._written.add(os.fsdecode(given))

    def note_read(self, given: object, frame: FrameType) -> None:
        """Take note of a read, unless it is nobody's."""
        if not isinstance(given, str | bytes):
            return
        name = os.fsdecode(given)
        if name in self.digests or name in self._written:
            return
        reader = self._reader(frame)
        if reader is not _Reader.NOBODY and not is_noisy_variable(
            name,
            by_library=reader is _Reader.LIBRARY,
            as_one_of_all=self._thread.name == name or self._thread.place == _place(frame),
        ):
            self.digests[name] = digest_of_variable(name, _value_of(name))

    def each(self, names: Iterator[Any], frame: FrameType) -> Iterator[Any]:
        """Give the names in turn, and know that who asks for them next asks for all.

        `dict(os.environ)` lists the names first, and then reads the values, all from one place;
        `os.environ.items()` reads each value when it has its name.
        """
        self._thread.place = _place(frame)
        return self._each(names)

    def _each(self, names: Iterator[Any]) -> Iterator[Any]:
        try:
            for name in names:
                self._thread.name = os.fsdecode(name)
                yield name
        finally:
            self._thread.name = None

    def _reader(self, frame: FrameType | None) -> _Reader:
        """Find who asks: the innermost code that is not of the standard library."""
        while frame is not None:
            file = frame.f_code.co_filename
            if file.startswith("<frozen ") or self._is_standard(file):
                if os.path.basename(file) in _STARTS_CHILDREN:  # noqa: PTH119 - a test of text.
                    return _Reader.NOBODY
            elif file.startswith(_OURS):
                # Only this file stands between a reader and `os.environ`.
                if file != __file__:
                    return _Reader.NOBODY
            elif file.endswith(_ENV_MAGIC):
                return _Reader.AUTHOR
            else:
                return _reader_by_file(file)
            frame = frame.f_back
        return _Reader.AUTHOR  # A thread of the standard library's, which somebody began.

    def _is_standard(self, file: str) -> bool:
        return file.startswith(self._standard_library) and not any(
            name in file for name in INSTALLED
        )


def _place(frame: FrameType | None) -> tuple[int, int] | None:
    while frame is not None and frame.f_code.co_filename in _MAPPINGS:
        frame = frame.f_back
    return None if frame is None else (id(frame), frame.f_lasti)


def _reader_by_file(file: str) -> _Reader:
    parts = Path(file).parts
    for name in INSTALLED:
        if name in parts:
            package = parts[parts.index(name) + 1].removesuffix(".py")
            return _Reader.NOBODY if package in MACHINERY else _Reader.LIBRARY
    return _Reader.AUTHOR


def _value_of(name: str) -> str | None:
    raw = os.environ._data.get(os.environ.encodekey(name))  # type: ignore[attr-defined]  # noqa: SLF001
    return None if raw is None else os.environ.decodevalue(raw)
