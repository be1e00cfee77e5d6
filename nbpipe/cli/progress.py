"""Followers of a run for the command line: lines in a terminal, or JSON on stdout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from nbpipe.cli.console import put_json, say, wants_colour
from nbpipe.errors import CompilationError
from nbpipe.model.diagnostic import Diagnostic
from nbpipe.model.names import StepName
from nbpipe.model.run import Run, StepFailure, StepRun, StepState
from nbpipe.report.quantities import duration_text
from nbpipe.runner.listening import (
    EnvironmentBuilding,
    PipelineRevised,
    RunBegan,
    RunEvent,
    RunFinished,
    StepFinished,
    StepRetried,
    StepStarted,
)
from nbpipe.wire.codec import encode

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_MARKS: Final = {
    StepState.SUCCEEDED: ("✓", "green"),
    StepState.REUSED: ("=", "cyan"),
    StepState.FAILED: ("✗", "red"),
    StepState.SKIPPED: ("-", "yellow"),
    StepState.CANCELLED: ("-", "yellow"),
}
_LONGEST_REASON: Final = 90
_LONGEST_MESSAGE: Final = 300


class Lines:
    """Writes a line as each step ends; in a terminal, running steps show their time below."""

    def __init__(self) -> None:
        self._width = 8
        self._saved = 0.0
        self._live = _LiveSteps() if wants_colour(sys.stderr) else None

    def notice(self, event: RunEvent) -> None:
        """Take the next event."""
        match event:
            case EnvironmentBuilding():
                count = f"{event.distributions} distributions"
                self._say(f"building the environment of the kernels: {count}, once")
            case RunBegan():
                self._width = max([self._width, *map(len, event.steps)])
            case StepStarted():
                if self._live:
                    self._live.start(event.step, event.reason)
            case StepRetried():
                wait = f" in {duration_text(event.delay_seconds)}" if event.delay_seconds else ""
                failed = _cut(event.failure.message, _LONGEST_REASON)
                self._say(f"↻ {event.step}: attempt {event.attempt} failed ({failed}); again{wait}")
            case StepFinished():
                self._saved += event.seconds_saved
                if self._live:
                    self._live.end(event.step_run.step)
                self._say(self._line(event.step_run, event.seconds_saved))
                for note in event.step_run.notes:
                    self._say(f"  note: {note}")
            case PipelineRevised():
                self._say(f"↻ {event.because}")
            case RunFinished():
                if self._live:
                    self._live.close()
                self._summarise(event.run)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live:
            self._live.close()

    def _say(self, text: str) -> None:
        if self._live:
            self._live.say(text)
        else:
            say(text)

    def _line(self, step_run: StepRun, seconds_saved: float) -> str:
        mark, colour = _MARKS[step_run.state]
        word = step_run.state.value
        took = duration_text(step_run.seconds) if step_run.seconds else ""
        reason = step_run.reason
        if step_run.state is StepState.REUSED:
            took, reason = "", f"saved {duration_text(seconds_saved)}"
        elif step_run.failure is not None and step_run.failure.unstorable:
            # Mostly no failure in the end: it runs once more, as one with those that need these.
            mark, word, colour = "↻", "unstored", "yellow"
            reason = f"made {', '.join(step_run.failure.unstorable)}, which cannot be stored"
        state = click.style(f"{mark} {word:<9}", fg=colour)
        line = f"{state}  {step_run.step:<{self._width}}  {took:>8}"
        return f"{line}  {click.style(_cut(reason, _LONGEST_REASON), dim=True)}".rstrip()

    def _summarise(self, run: Run) -> None:
        counts: dict[StepState, int] = {}
        for step in run.steps:
            counts[step.state] = counts.get(step.state, 0) + 1
        parts = [f"{number} {state.value}" for state, number in counts.items()]
        took = (run.finished - run.started).total_seconds() if run.finished else 0.0
        saved = f", {duration_text(self._saved)} saved" if self._saved >= 0.05 else ""
        say()
        say(f"{run.pipeline}: {', '.join(parts)} in {duration_text(took)}{saved}  (run {run.id})")


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


class _LiveSteps:
    """The steps that are running, redrawn below the lines."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True, highlight=False)
        self._progress: Progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[reason]}", markup=False, style="dim"),
            console=self._console,
            transient=True,
        )
        self._tasks: dict[StepName, TaskID] = {}

    def start(self, step: StepName, reason: str) -> None:
        if not self._tasks:
            self._progress.start()
        if step not in self._tasks:
            self._tasks[step] = self._progress.add_task(step, total=None, reason=reason[:60])

    def end(self, step: StepName) -> None:
        task = self._tasks.pop(step, None)
        if task is not None:
            self._progress.remove_task(task)
        if not self._tasks:
            self._progress.stop()

    def say(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text.from_ansi(text), soft_wrap=True)

    def close(self) -> None:
        self._progress.stop()


class JsonLines:
    """Writes one JSON object a line on stdout. The summary, last, is the caller's to write."""

    def notice(self, event: RunEvent) -> None:
        """Take the next event."""
        match event:
            case EnvironmentBuilding():
                _write("environment-building", distributions=event.distributions)
            case RunBegan():
                _write("run-began", run=event.run.id, steps=list(event.steps))
            case StepStarted():
                _write("step-started", step=event.step, attempt=event.attempt, reason=event.reason)
            case StepRetried():
                _write(
                    "step-retried",
                    step=event.step,
                    attempt=event.attempt,
                    delay_seconds=event.delay_seconds,
                    failure=encode(event.failure),
                )
            case StepFinished():
                _write("step-finished", **step_summary(event.step_run))
            case PipelineRevised():
                _write("pipeline-revised", because=event.because)
            case RunFinished():
                pass

    def close(self) -> None:
        """Nothing to leave."""


def _write(event: str, **facts: object) -> None:
    put_json({"event": event, **facts})


def step_summary(step_run: StepRun) -> dict[str, object]:
    """Give what programs want to know of a step run."""
    summary: dict[str, object] = {
        "name": step_run.step,
        "state": step_run.state.value,
        "seconds": round(step_run.seconds, 3),
        "reason": step_run.reason,
        "outputs": {
            name: {"version": version.number, "digest": version.value.content}
            for name, version in step_run.outputs.items()
        },
    }
    if step_run.notes:
        summary["notes"] = list(step_run.notes)
    if step_run.failure is not None:
        summary["failure"] = encode(step_run.failure)
    return summary


def run_summary(
    run: Run, diagnostics: tuple[Diagnostic, ...], executed_notebook: Path | None
) -> dict[str, object]:
    """Give the summary of a run: the last line of `--json`."""
    return {
        "event": "summary",
        "run": run.id,
        "state": run.state.value,
        "parameters": encode(run.parameters),
        "steps": [step_summary(step) for step in run.steps],
        "executed_notebook": str(executed_notebook) if executed_notebook else None,
        "diagnostics": encode(diagnostics),
    }


def summary_without_run(code: int, message: str, error: Exception) -> dict[str, object]:
    """Give the summary where there is no run to speak of; `code` is the exit code."""
    found = error.diagnostics if isinstance(error, CompilationError) else ()
    return {
        "event": "summary",
        "run": None,
        "state": {2: "refused", 130: "cancelled"}.get(code, "failed"),
        "steps": [],
        "executed_notebook": None,
        "diagnostics": encode(found),
        "message": message,
    }


def print_step_failure(step: StepName, failure: StepFailure, executed: str) -> None:
    """Print why a step failed, as its author wants to read it."""
    place = ""
    if failure.cell_number is not None:
        line = f", line {failure.line}" if failure.line is not None else ""
        place = f" in cell {failure.cell_number}{line}"
    say()
    head = click.style(f"step {step} failed", fg="red", bold=True)
    say(f"{head}{place}: {_cut(failure.message, _LONGEST_MESSAGE)}")
    if failure.traceback:
        say()
        for text in failure.traceback.rstrip().split("\n"):
            say(f"    {text}")
        say()
    if failure.hint:
        say(f"{click.style('help:', fg='cyan')} {failure.hint}")
    if executed:
        say(f"{click.style('executed step notebook:', dim=True)} {executed}")


def follower(*, as_json: bool) -> Lines | JsonLines:
    """Give the follower for these options."""
    return JsonLines() if as_json else Lines()
