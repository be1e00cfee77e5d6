"""`nbpipe verify`: is a run always the same, and the same as the notebook?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from nbpipe.api.parameters import read_parameters
from nbpipe.api.verify import VerifyOptions, verify
from nbpipe.cli.artifacts import json_option
from nbpipe.cli.console import print_diagnostics, put, put_json, say
from nbpipe.cli.progress import Lines, print_step_failure
from nbpipe.cli.run import EXIT_INTERRUPTED, parameter_option, parameters_file_option
from nbpipe.model.diagnostic import Severity
from nbpipe.model.names import is_state, spoken
from nbpipe.model.verification import (
    Counterpart,
    Finding,
    Likeness,
    StepVerdict,
    Verification,
    VerificationState,
)
from nbpipe.runner.listening import RunEvent, RunFinished, StepFinished
from nbpipe.workspace import open_workspace

EXIT_DIFFERENT: Final = 3
_EXIT_CODES: Final = {
    VerificationState.PROVEN: 0,
    VerificationState.DIFFERENT: EXIT_DIFFERENT,
    VerificationState.FAILED: 1,
    VerificationState.CANCELLED: EXIT_INTERRUPTED,
}
_TITLES: Final = {
    Counterpart.RUN: "Two runs of the pipeline",
    Counterpart.NOTEBOOK: "The pipeline and the notebook",
}
_WORDS: Final = {
    (Counterpart.RUN, Likeness.EQUAL): "deterministic",
    (Counterpart.RUN, Likeness.NOISE): "numeric noise",
    (Counterpart.RUN, Likeness.INCOMPARABLE): "not comparable",
    (Counterpart.RUN, Likeness.DIFFERENT): "nondeterministic",
    (Counterpart.NOTEBOOK, Likeness.EQUAL): "equal",
    (Counterpart.NOTEBOOK, Likeness.NOISE): "numeric noise",
    (Counterpart.NOTEBOOK, Likeness.INCOMPARABLE): "not comparable",
    (Counterpart.NOTEBOOK, Likeness.DIFFERENT): "different",
}
_VARIES: Final = "the notebook itself varies here"
_WIDEST_WORD: Final = max(map(len, _WORDS.values()))


@click.command("verify")
@click.argument("path", type=click.Path(path_type=Path), metavar="NOTEBOOK|BUNDLE")
@click.option("--against-notebook", is_flag=True, help="Compare with the plain notebook, too.")
@parameter_option
@parameters_file_option
@click.option(
    "--tolerance",
    type=click.FloatRange(0.0),
    default=0.0,
    show_default=True,
    help="Numbers may differ by this, relative to their size.",
)
@click.option(
    "-j", "--jobs", type=click.IntRange(1), default=1, show_default=True, help="Steps at once."
)
@json_option
def verify_command(
    path: Path,
    against_notebook: bool,
    parameters: tuple[str, ...],
    params_file: Path | None,
    tolerance: float,
    jobs: int,
    as_json: bool,
) -> None:
    """Prove that NOTEBOOK or BUNDLE gives the same each time it runs.

    The pipeline runs twice with nothing to reuse: in the order of the notebook, and in the opposite
    order where that is possible, with another hash seed. Every exported value and every cell
    output is compared. The store is neither read nor written; the notebook's own code runs where
    it always runs, and writes the files that it always writes.
    """
    workspace = open_workspace(path)
    values = read_parameters(workspace.pipeline, parameters, params_file)
    if not as_json:
        found = workspace.compilation.diagnostics
        print_diagnostics(d for d in found if d.severity is not Severity.INFO)
    progress = None if as_json else _Progress()
    try:
        verification = verify(
            workspace,
            parameters=values,
            options=VerifyOptions(
                against_notebook=against_notebook, tolerance=tolerance, jobs=jobs
            ),
            listener=progress,
            announce=(lambda _: None) if progress is None else progress.announce,
        )
    finally:
        if progress is not None:
            progress.close()
    if as_json:
        _put_lines(verification)
    else:
        _print(verification)
    raise click.exceptions.Exit(_EXIT_CODES[verification.state])


class _Progress:
    """Lines of the runs, as `nbpipe run` prints them, below a line that says which run it is."""

    def __init__(self) -> None:
        self._lines = Lines()

    def announce(self, text: str) -> None:
        say(click.style(text, bold=True))

    def notice(self, event: RunEvent) -> None:
        """Take the next event; the summary is not that of a run."""
        if isinstance(event, StepFinished):
            # Every step is forced here, and that says nothing.
            event = replace(event, step_run=replace(event.step_run, reason=""))
        if not isinstance(event, RunFinished):
            self._lines.notice(event)

    def close(self) -> None:
        self._lines.close()


# ---- for people -------------------------------------------------------------------------------


def _print(verification: Verification) -> None:
    for step, failure in verification.failures:
        print_step_failure(step, failure, "")
    if verification.state is VerificationState.CANCELLED:
        say("Interrupted: nothing is proven.")
    if verification.state is VerificationState.FAILED:
        say("A pipeline that fails cannot be verified.")
    for counterpart in Counterpart:
        verdicts = [v for v in verification.verdicts if v.counterpart is counterpart]
        if verdicts:
            say()
            _print_verdicts(counterpart, verdicts, verification.tolerance)
    for note in verification.notes:
        say(f"{click.style('note:', fg='cyan')} {note}")


def _print_verdicts(
    counterpart: Counterpart, verdicts: list[StepVerdict], tolerance: float
) -> None:
    passed = sum(verdict.passes(tolerance) for verdict in verdicts)
    word = "deterministic" if counterpart is Counterpart.RUN else "equal"
    head = f"{_TITLES[counterpart]}: {passed} of {len(verdicts)} steps {word}"
    put(click.style(head, bold=True))
    width = max(len(verdict.step) for verdict in verdicts)
    for verdict in verdicts:
        put(
            f"{_mark(verdict, tolerance)}  {verdict.step.ljust(width)}  {_reason(verdict)}".rstrip()
        )
    # First those that differ of themselves: the others may be right once these are.
    failing = [verdict for verdict in verdicts if not verdict.passes(tolerance)]
    for verdict in sorted(failing, key=lambda verdict: bool(verdict.because)):
        put()
        put(click.style(verdict.step, bold=True))
        for line in _details(verdict, tolerance):
            put(f"  {line}")


def _mark(verdict: StepVerdict, tolerance: float) -> str:
    word = _WORDS[verdict.counterpart, verdict.likeness].ljust(_WIDEST_WORD)
    if verdict.likeness is Likeness.EQUAL:
        return click.style(f"✓ {word}", fg="green")
    if verdict.passes(tolerance):
        return click.style(f"~ {word}", fg="cyan")
    return click.style(
        f"✗ {word}", fg="red" if verdict.likeness is Likeness.DIFFERENT else "yellow"
    )


def _reason(verdict: StepVerdict) -> str:
    parts = []
    if verdict.because:
        causes = ", ".join(f"{c.step} ({_called(c.variable)})" for c in verdict.because[:2])
        parts.append(f"because of {causes}")
    if verdict.failure:
        parts.append(verdict.failure)
    elif verdict.likeness is Likeness.NOISE:
        parts.append(f"max relative difference {verdict.relative:.1e}")
    apart = dict.fromkeys(a for f in verdict.findings for a in f.comparison.apart_from)
    if apart and verdict.likeness is Likeness.EQUAL:
        parts.append(f"apart from {', '.join(apart)}")
    return click.style("; ".join(parts), dim=True) if parts else ""


def _details(verdict: StepVerdict, tolerance: float) -> Iterator[str]:
    for finding in verdict.findings:
        if finding.comparison.passes(tolerance):
            continue
        varies = f"  ({_VARIES})" if finding.notebook_varies else ""
        yield f"{_told(finding)}{varies}"


def _told(finding: Finding) -> str:
    comparison = finding.comparison
    joint = "" if finding.variable and comparison.detail.startswith((".", "[")) else ": "
    text = f"{finding.subject}{joint}{comparison.detail}"
    if comparison.likeness is Likeness.NOISE:
        text += f" (max relative difference {comparison.relative:.1e})"
    if comparison.likeness is Likeness.INCOMPARABLE:
        text = f"{finding.subject} cannot be compared: {comparison.detail}"
    return text


def _called(variable: str) -> str:
    return f"the {spoken(variable)}" if is_state(variable) else variable


# ---- for programs -----------------------------------------------------------------------------


def _put_lines(verification: Verification) -> None:
    for verdict in verification.verdicts:
        for finding in verdict.findings:
            put_json({"event": "comparison", **_of_verdict(verdict), **_of_finding(finding)})
    put_json(
        {
            "event": "summary",
            "pipeline": verification.pipeline,
            "state": verification.state.value,
            "tolerance": verification.tolerance,
            "steps": [
                {
                    **_of_verdict(verdict),
                    "verdict": verdict.likeness.value,
                    "max_relative_difference": verdict.relative,
                    "passes": verdict.passes(verification.tolerance),
                    "because": [{"step": c.step, "variable": c.variable} for c in verdict.because],
                    "failure": verdict.failure,
                }
                for verdict in verification.verdicts
            ],
            "failures": [
                {"step": step, "message": failure.message, "cell_number": failure.cell_number}
                for step, failure in verification.failures
            ],
            "notes": list(verification.notes),
        }
    )


def _of_verdict(verdict: StepVerdict) -> dict[str, object]:
    return {"with": verdict.counterpart.value, "step": verdict.step}


def _of_finding(finding: Finding) -> dict[str, object]:
    comparison = finding.comparison
    return {
        "variable": finding.variable,
        "cell": finding.cell_number,
        "verdict": comparison.likeness.value,
        "max_relative_difference": comparison.relative,
        "detail": comparison.detail,
        "apart_from": list(comparison.apart_from),
        "notebook_varies": finding.notebook_varies,
    }
