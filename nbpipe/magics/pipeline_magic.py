"""The line magic `%pipeline`: names the pipeline, or runs a command on this notebook."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from IPython.core.error import UsageError

from nbpipe.magics.command import run_command
from nbpipe.magics.notebook_path import notebook_path
from nbpipe.notebook.tags import TagError, parse_pipeline_magic

LineMagic = Callable[[str], None]

# What `nbpipe` calls each of the commands of `%pipeline`.
_COMMANDS: Final = {
    "show": ("compile", "--check"),
    "run": ("run",),
    "status": ("status",),
    "export": ("export",),
}
_TARGETS: Final = (".ipynb", ".nbpipe")
_OUTCOMES: Final = {
    1: "a step failed",
    2: "it was refused",
    3: "a check failed",
    4: "the world failed",
    130: "it was interrupted",
}


def pipeline_magic(namespace: Mapping[str, object]) -> LineMagic:
    """Give the magic for a shell with this namespace."""

    def pipeline(line: str) -> None:
        words = _words(line)
        if not words:
            raise UsageError(
                "%pipeline needs a name or a command: %pipeline NAME, or one of "
                + ", ".join(f"%pipeline {command}" for command in _COMMANDS)
                + "."
            )
        if words[0] in _COMMANDS:
            _run(words[0], words[1:], namespace)
        else:
            _check(line)

    pipeline.__doc__ = _HELP
    return pipeline


_HELP: Final = """%pipeline NAME [options]

    %pipeline show | run | status | export [NOTEBOOK] [options]

    With a name: names the pipeline of this notebook and sets defaults for all its steps:
    --retries, --retry-delay, --timeout, --ttl, --no-cache, --cpu, --memory, --gpu as in %%step, and
    --rng carry or --rng per-step for seeded random streams.

    With a command: runs it on the saved notebook, in a process of its own, with the options that
    `nbpipe` has for it:

      %pipeline show      the steps and what they hand on (nbpipe compile --check)
      %pipeline run       runs the pipeline: %pipeline run -p alpha=0.2
      %pipeline status    what would run, and why
      %pipeline export    files for elsewhere: %pipeline export --to docker
    """


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"%pipeline: cannot read the line: {error}.") from None


def _check(line: str) -> None:
    try:
        parse_pipeline_magic(f"%pipeline {line}")
    except TagError as error:
        raise UsageError(f"%pipeline: {error.message} {error.help}".rstrip()) from None


def _run(command: str, words: Sequence[str], namespace: Mapping[str, object]) -> None:
    if words and words[0].rstrip("/\\").endswith(_TARGETS):
        target, options = words[0], list(words[1:])
    else:
        found = notebook_path(os.environ, namespace)
        if found is None:
            raise UsageError(
                "%pipeline cannot tell which file this notebook is in. "
                f"Name it: %pipeline {command} NOTEBOOK.ipynb"
            )
        target, options = str(found), list(words)
    code = run_command([*_COMMANDS[command], target, *options], _show)
    if code:
        outcome = _OUTCOMES.get(code, "it ended unexpectedly")
        raise UsageError(f"%pipeline {command}: {outcome} (exit code {code}).")


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
