"""What people see in the terminal: results on stdout, everything else on stderr."""

from __future__ import annotations

import errno
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TextIO

import click

from nbpipe.errors import CompilationError, NbpipeError
from nbpipe.model.diagnostic import Diagnostic, Severity
from nbpipe.model.names import spoken
from nbpipe.model.pipeline import Pipeline

_COLOUR: Final = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


class OutputClosedError(Exception):
    """Whoever read our output has gone (`nbpipe runs | head`): nothing more to say to them."""


def wants_colour(stream: object) -> bool:
    """Say whether a stream is a terminal that may get colour."""
    is_terminal = getattr(stream, "isatty", lambda: False)()
    return bool(is_terminal) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(text: str = "") -> None:
    """Print a line for the person at the terminal, on stderr."""
    _echo(text, sys.stderr)


def put(text: str = "") -> None:
    """Print a line of the result, on stdout."""
    _echo(text, sys.stdout)


def put_json(value: object) -> None:
    """Print a value as one line of JSON on stdout, at once."""
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), allow_nan=False)
    put(text)


def _finite(value: object) -> object:
    """JSON has no word for numbers without end; other programs write them as these strings."""
    match value:
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case Mapping():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value


def _echo(text: str, stream: TextIO) -> None:
    try:
        # Click would end the process with the exit code of a failed step.
        click.echo(text, file=stream, color=wants_colour(stream))
    except OSError as error:
        # EIO: the terminal was closed.
        if error.errno not in {errno.EPIPE, errno.EIO}:
            raise
        raise OutputClosedError from None


def print_failure(message: str) -> None:
    """Print what went wrong."""
    say(f"{click.style('error:', fg='red', bold=True)} {message}")


def print_error(error: NbpipeError) -> None:
    """Print an error of ours: its diagnostics, what is wrong, and what to do."""
    if isinstance(error, CompilationError):
        print_diagnostics(error.diagnostics)
    print_failure(error.message)
    if error.hint:
        say(f"{click.style('help:', fg='cyan')} {error.hint}")


def print_diagnostics(diagnostics: Iterable[Diagnostic]) -> None:
    """Print findings, each with its place and its advice."""
    for finding in diagnostics:
        colour = _COLOUR[finding.severity]
        head = click.style(f"{finding.severity.value} {finding.code}", fg=colour, bold=True)
        place = click.style(f"{finding.span}: ", bold=True) if finding.span else ""
        say(f"{place}{head}: {finding.message}")
        if finding.help:
            say(f"  {click.style('help:', fg='cyan')} {finding.help}")


def print_pipeline(pipeline: Pipeline) -> None:
    """Print the steps with what they take and make."""
    edges = {(i.variable, i.upstream) for step in pipeline.steps for i in step.inputs}
    put(
        f"{click.style(pipeline.name, bold=True)}  {_count(len(pipeline.steps), 'step')}, "
        f"{_count(len(edges), 'variable')} passed on, "
        f"{_count(len(pipeline.parameters), 'parameter')}"
    )
    rows = []
    for step in pipeline.steps:
        by_step: dict[str, list[str]] = {}
        for taken in step.inputs:
            by_step.setdefault(taken.upstream, []).append(spoken(taken.variable))
        takes = "; ".join(f"{', '.join(names)} ← {origin}" for origin, names in by_step.items())
        waits = [f"after {name}" for name in step.after if name not in by_step]
        makes = ", ".join(spoken(o.variable) for o in step.outputs if o.required)
        rows.append(
            (
                " + ".join((step.name, *step.fused)),
                "; ".join(filter(None, [takes, *waits])) or "–",
                makes or "–",
            )
        )
    for line in table(("step", "takes", "makes"), rows):
        put("  " + line)
    if pipeline.parameters:
        values = ", ".join(f"{p.name} = {p.default!r}" for p in pipeline.parameters)
        put(f"  {click.style('parameters', dim=True)}  {values}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: str = "") -> list[str]:
    """Lay out rows in columns, in a terminal cut to its width; those in `right` align right."""
    import shutil

    # Cut for eyes only: a file or a pipe gets everything.
    width = shutil.get_terminal_size((100, 24)).columns - 2 if sys.stdout.isatty() else 10_000
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > 12:
        widths[widths.index(max(widths))] -= 1
    lines = [click.style(_row(head, widths, head, right), dim=True)]
    return lines + [_row(row, widths, head, right) for row in rows]


def _row(row: Sequence[str], widths: Sequence[int], head: Sequence[str], right: str) -> str:
    cells = []
    for text, width, name in zip(row, widths, head, strict=True):
        cut = text if len(text) <= width else text[: width - 1] + "…"
        cells.append(cut.rjust(width) if name and name in right else cut.ljust(width))
    return "  ".join(cells).rstrip()
