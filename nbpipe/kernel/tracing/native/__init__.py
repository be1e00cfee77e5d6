"""The library that traces native code and child processes on Linux: `trace_files.c`, built.

It must be there when a process starts (`LD_PRELOAD`), does nothing until it is asked to, and then
writes each first access to a file. `hatch_build.py` compiles it where there is a compiler.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nbpipe.kernel.tracing.accesses import Access

LIBRARY: Final = Path(__file__).with_name("trace_files.so")
PRELOAD: Final = "LD_PRELOAD"
SWITCH: Final = "NBPIPE_NATIVE_TRACING"

_FORMAT: Final = 1
_VARIABLES_OF_CHILDREN: Final = ("NBPIPE_TRACE_FILE", "NBPIPE_TRACE_SKIP")
_SEPARATORS: Final = (" ", ":", "\t", "\n")


def find_library(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Give the built library, unless there is none, or `NBPIPE_NATIVE_TRACING` is 0."""
    if sys.platform != "linux" or environ.get(SWITCH) == "0" or not LIBRARY.is_file():
        return None
    return LIBRARY


def preload_variables(environ: Mapping[str, str], private: Path) -> dict[str, str]:
    """Give what a process needs in its environment, beside `environ`, to be traceable.

    `private` is a directory that exists as long as the process, for a library whose path
    `LD_PRELOAD` cannot hold.
    """
    library = find_library(environ)
    if library is None:
        return {}
    if any(mark in str(library) for mark in _SEPARATORS):
        link = private / LIBRARY.name
        if any(mark in str(link) for mark in _SEPARATORS):
            return {}
        link.symlink_to(library)
        library = link
    return {PRELOAD: ":".join(filter(None, (str(library), environ.get(PRELOAD))))}


def without_library(preload: str) -> str:
    """Give a value of `LD_PRELOAD` as the author would find it: without the library."""
    parts = [part for part in preload.split(":") if Path(part).name != LIBRARY.name]
    return ":".join(parts) if any(parts) else ""


class NativeTrace:
    """The library in this process."""

    def __init__(self, functions: ctypes.CDLL, log: Path) -> None:
        self._functions = functions
        self._log = log
        self._pause = functions.nbpipe_trace_pause

    @classmethod
    def find(cls, log: Path) -> NativeTrace | None:
        """Give the library if this process was started with it; `log` is where it will write."""
        if sys.platform != "linux":
            return None
        functions = ctypes.CDLL(None)
        try:
            matches = functions.nbpipe_trace_format() == _FORMAT
        except AttributeError:
            return None
        return cls(functions, log) if matches else None

    def start(self, left_out: Iterable[str]) -> bool:
        """Begin, also in processes started from now on; say whether that was possible.

        What these processes need is in the environment that they inherit, and not in `os.environ`,
        where the author would find what is not the author's.
        """
        left_out = ":".join(path for path in left_out if ":" not in path)
        self._log.touch(mode=0o600)
        if not self._functions.nbpipe_trace_start(os.fsencode(self._log), os.fsencode(left_out)):
            return False
        preload = os.environ.get(PRELOAD, "")
        os.environ.pop(PRELOAD, None)
        if others := without_library(preload):
            os.environ[PRELOAD] = others
        for name, value in zip(
            (PRELOAD, *_VARIABLES_OF_CHILDREN), (preload, str(self._log), left_out), strict=True
        ):
            os.putenv(name, value)
        return True

    def stop(self) -> None:
        """Note nothing any more in this process, and nothing in those started from now on."""
        self._functions.nbpipe_trace_stop()
        for name in _VARIABLES_OF_CHILDREN:
            os.unsetenv(name)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Note nothing that this thread does meanwhile."""
        self._pause(1)
        try:
            yield
        finally:
            self._pause(-1)

    def skip_listing(self) -> None:
        """Leave out the directory that this thread lists next."""
        self._functions.nbpipe_trace_skip_listing()

    @property
    def is_incomplete(self) -> bool:
        """Whether something could not be written."""
        return bool(self._functions.nbpipe_trace_has_lost())

    def records(self) -> Iterator[tuple[Access, str, str]]:
        """Give what was noted: access, path, and more."""
        fields = os.fsdecode(self._log.read_bytes()).split("\0")
        for head, more in zip(fields[0::2], fields[1::2], strict=False):
            yield Access(head[0]), head[1:], more
