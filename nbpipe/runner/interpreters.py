"""The Python that a pipeline's kernels run, and where it looks for modules."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

# As `runner.kernels.specifications`, which this must not import: it takes Jupyter's client along.
OWN_KERNELS: Final = frozenset({"", "python", "python3"})

_DESCRIBE: Final = """\
import json, sys
print(json.dumps([sys.version_info[:2], sys.path[1:], sorted(sys.stdlib_module_names)]))
"""
_DESCRIBE_SECONDS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python.

    Attributes:
        version: as `3.11`.
        search_path: where modules are found, in order; without the directory it starts in.
        standard_library: names of top-level modules that come with Python.
    """

    version: str
    search_path: tuple[Path, ...]
    standard_library: frozenset[str]


@cache
def interpreter_of(kernel: str) -> Interpreter:
    """Give the Python behind a kernel's name; the one that runs nbpipe where nothing is known."""
    if kernel in OWN_KERNELS:
        return _current()
    executable = _executable(kernel)
    if executable is None or executable == sys.executable:
        return _current()
    return interpreter_at(executable)


@cache
def interpreter_at(executable: str, *, isolated: bool = False) -> Interpreter:
    """Give the Python that this file starts; the one that runs nbpipe where it does not answer.

    An isolated one takes no modules from `PYTHONPATH` and the user's own directory.
    """
    try:
        described = subprocess.run(
            # With -I there is no starting directory in the path; then the first entry, left out
            # below, is the archive of the standard library.
            [executable, *(["-I"] if isolated else []), "-c", _DESCRIBE],
            capture_output=True,
            text=True,
            timeout=_DESCRIBE_SECONDS,
            check=True,
        )
        version, search_path, names = json.loads(described.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return _current()
    return Interpreter(
        version=".".join(map(str, version)),
        search_path=tuple(map(Path, search_path)),
        standard_library=frozenset(names),
    )


def _current() -> Interpreter:
    # The first entry is the place of the command that runs, or the current directory: a kernel
    # has its own there.
    return Interpreter(
        version=".".join(map(str, sys.version_info[:2])),
        search_path=tuple(Path(entry) for entry in sys.path[1:] if entry),
        standard_library=sys.stdlib_module_names,
    )


def _executable(kernel: str) -> str | None:
    # Only for a pipeline that names another kernel is Jupyter's search worth its import.
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel  # noqa: PLC0415

    try:
        command: list[str] = KernelSpecManager().get_kernel_spec(kernel).argv
    except NoSuchKernel:
        return None
    if Path(command[0]).name in {"python", "python3"} and not Path(command[0]).is_absolute():
        return sys.executable
    return command[0] if Path(command[0]).is_file() else None
