"""Runs a notebook both ways, plainly and as a pipeline, and says how the two compare."""

from __future__ import annotations

import random
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from nbpipe.api import runs
from nbpipe.errors import CompilationError, NbpipeError
from nbpipe.model.diagnostic import Diagnostic, Severity
from nbpipe.model.run import Run, RunState, StepState
from nbpipe.runner.executors.local import LocalExecutor
from nbpipe.runner.executors.protocol import Executor
from nbpipe.runner.listening import PipelineRevised, StepStarted
from nbpipe.workspace import open_workspace, read_notebook
from tests.fuzz.case import Case
from tests.fuzz.describe import describe_all
from tests.fuzz.names_only import shown_by_names_only
from tests.fuzz.processes import EndedError, ForkingExecutor, Json, Ran, in_fork, run_cells

_OF_THE_KERNEL = re.compile(
    r"<ipython-input-[^>]*>:\d+|\S*/ipykernel_\d+/\d+\.py:\d+|0x[0-9a-f]{6,}"
)


class Outcome(StrEnum):
    """How a pipeline compares with its notebook."""

    INVALID = "raises in the notebook itself"
    EQUAL = "equal"
    REFUSED = "refused"
    RAISED = "loud: a cell raised that does not raise in the notebook"
    SILENT = "SILENTLY WRONG"
    CRASH = "crash of nbpipe"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of a case.

    Attributes:
        why: codes of diagnostics or kinds of failures; what differs; the crash.
        surprises: how often the pipeline was compiled anew for what a run had found out.
        repeats: how many steps ran that had run before in the same run.
        steps: of the pipeline.
    """

    outcome: Outcome
    why: tuple[str, ...] = ()
    surprises: int = 0
    repeats: int = 0
    steps: int = 0


def judge(case: Case, *, executor: Executor | None = None, again: bool = False) -> Verdict:
    """Judge a case; `again` runs the pipeline a second time, when every result must be reused."""
    with _directories() as (plain, piped):
        try:
            expected = _run_plainly(case, plain, luck=1)
            if _run_plainly(case, _cleared(plain), luck=2) != expected:
                return Verdict(outcome=Outcome.INVALID, why=("it depends on chance",))
        except (EndedError, _RaisesError) as error:
            return Verdict(outcome=Outcome.INVALID, why=(str(error),))
        try:
            return _compare(case, expected, (plain, piped), executor, again=again)
        except CompilationError as error:
            # What a run finds out can show that steps have no order, or a value no way to travel.
            return _refused(error.diagnostics)
        except Exception as error:
            return Verdict(outcome=Outcome.CRASH, why=(f"{type(error).__name__}: {error}",))


class _RaisesError(Exception):
    """The notebook itself raises."""


def _run_plainly(case: Case, directory: Path, *, luck: int) -> Ran:
    """Run the notebook from top to bottom; `luck` is what random generators have nobody seeds."""
    case.write(directory)

    def run() -> Ran:
        random.seed(luck)
        np.random.seed(luck)
        return run_cells(case.sources, directory=directory, look=describe_all)

    ran: Ran = in_fork(run)
    if ran.error is not None:
        raise _RaisesError(f"{ran.error['ename']}: {ran.error['evalue']}")
    return replace(ran, outputs=[normal_outputs(outputs) for outputs in ran.outputs])


def _cleared(directory: Path) -> Path:
    shutil.rmtree(directory)
    directory.mkdir()
    return directory


def _compare(
    case: Case, expected: Ran, places: tuple[Path, Path], executor: Executor | None, *, again: bool
) -> Verdict:
    plain, directory = places
    try:
        workspace = open_workspace(case.write(directory))
    except NbpipeError as error:
        return Verdict(outcome=Outcome.CRASH, why=(str(error),))
    if workspace.compilation.pipeline is None:
        return _refused(workspace.compilation.diagnostics)
    listener = _Listener()
    steps = executor or ForkingExecutor(look=describe_all)
    with closing(workspace.open_store()) as store:
        run = runs.run(
            workspace, store, executor=steps, listener=listener, options=runs.RunOptions(jobs=1)
        )
        shown = shown_by(read_notebook(store.root / run.executed_notebook))
        verdict = _verdict(case, expected, run, shown, steps)
        if again and verdict.outcome is Outcome.EQUAL:
            verdict = _verdict_on_reuse(case, directory, run, shown, steps, plain)
    return Verdict(
        outcome=verdict.outcome,
        why=verdict.why,
        surprises=listener.revisions,
        repeats=sum(listener.started.values()) - len(listener.started),
        steps=len(workspace.compilation.pipeline.steps),
    )


def _verdict(
    case: Case, expected: Ran, run: Run, shown: Sequence[list[Json]], executor: Executor
) -> Verdict:
    if run.state is not RunState.SUCCEEDED:
        return _verdict_on_failure(run)
    differences = [
        f"cell {number} shows {_short(is_)} for {_short(was)}"
        for number, (cell, is_, was) in enumerate(
            zip(case.cells, shown, expected.outputs, strict=True), start=1
        )
        if cell.step and is_ != was
    ]
    if not differences and isinstance(executor, ForkingExecutor):
        differences = list(_different_values(expected, run, executor.seen))
    return Verdict(outcome=Outcome.SILENT if differences else Outcome.EQUAL, why=tuple(differences))


def _refused(diagnostics: Iterable[Diagnostic]) -> Verdict:
    codes = {each.code for each in diagnostics if each.severity is Severity.ERROR}
    return Verdict(outcome=Outcome.REFUSED, why=tuple(sorted(codes)))


def _verdict_on_failure(run: Run) -> Verdict:
    failed = next(step for step in run.steps if step.failure is not None)
    failure = failed.failure
    assert failure is not None
    if failure.kind in {"output", "input", "undeclared"}:
        return Verdict(outcome=Outcome.REFUSED, why=(f"{failure.kind}: {_kind_of(failure)}",))
    if failure.kind == "error" and failure.cell_number is not None:
        return Verdict(
            outcome=Outcome.RAISED, why=(f"cell {failure.cell_number}: {failure.message}",)
        )
    return Verdict(
        outcome=Outcome.CRASH,
        why=(f"{failed.step}: {failure.kind}: {failure.message}\n{failure.traceback}",),
    )


def _kind_of(failure: Any) -> str:
    """Give a failure's message without the names in it, so that they can be counted."""
    return str(failure.message).partition(": ")[2].partition(";")[0] or str(failure.message)


def _different_values(expected: Ran, run: Run, seen: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Compare what each step leaves with what the notebook has after the step's last cell."""
    differences = []
    for step_run in run.steps:
        # Those of steps that were fused into it are among them.
        own = [number - 1 for number in step_run.cell_numbers]
        if own[-1] - own[0] >= len(own):
            continue  # Other cells run between those of the step.
        was = expected.seen[own[-1]]
        now = seen.get(step_run.step, {})
        differences += [
            f"after {step_run.step}, '{name}' is {now[name]} for {was.get(name)}"
            for name in step_run.outputs
            if name in now and now[name] != was.get(name)
        ]
    return differences


def _verdict_on_reuse(
    case: Case,
    directory: Path,
    run: Run,
    shown: Sequence[list[Json]],
    executor: Executor,
    plain: Path,
) -> Verdict:
    """Run again, as a new process would.

    Results are reused, and cells show the same. Only where files of the notebook's own made steps
    run anew may cells show something else: what the notebook shows when it runs again there. Its
    other cells may still show what they did, because their own files lie there as they left them.
    """
    workspace = open_workspace(directory / "book.ipynb")
    with closing(workspace.open_store()) as store:
        once_more = runs.run(workspace, store, executor=executor, options=runs.RunOptions(jobs=1))
        shown_again = shown_by(read_notebook(store.root / once_more.executed_notebook))
    if once_more.state is not run.state:
        return Verdict(outcome=Outcome.SILENT, why=("the second run does not succeed",))
    ran = sorted(step.step for step in once_more.steps if step.state is not StepState.REUSED)
    if shown_again != shown:
        anew = in_fork(lambda: run_cells(case.sources, directory=plain))
        steps = [place for place, cell in enumerate(case.cells) if cell.step]
        if not ran or any(
            shown_again[n] not in (shown[n], normal_outputs(anew.outputs[n])) for n in steps
        ):
            return Verdict(outcome=Outcome.SILENT, why=("the second run shows something else",))
    return Verdict(outcome=Outcome.EQUAL, why=(f"ran twice: {' '.join(ran)}",) if ran else ())


def shown_by(notebook: Mapping[str, Any]) -> list[list[Json]]:
    return [normal_outputs(cell["outputs"]) for cell in notebook["cells"]]


def normal_outputs(outputs: list[Json]) -> list[Json]:
    """Leave out what differs between any two kernels: numbers, addresses, and names of cells.

    Of exceptions that are shown, the stack: here it begins in the process that was forked.
    """
    return [
        {
            **output,
            "traceback": None,
            "execution_count": None,
            "text": _OF_THE_KERNEL.sub("", output.get("text", "")),
            "data": {
                kind: _OF_THE_KERNEL.sub("", text) if isinstance(text, str) else text
                for kind, text in output.get("data", {}).items()
            },
        }
        for output in outputs
    ]


def _short(outputs: list[Json]) -> str:
    texts = [each.get("text") or each.get("data", {}).get("text/plain", "") for each in outputs]
    return repr("".join(texts))[:600]


@dataclass
class _Listener:
    revisions: int = 0
    started: Counter[str] = field(default_factory=Counter)

    def notice(self, event: object) -> None:
        self.revisions += isinstance(event, PipelineRevised)
        if isinstance(event, StepStarted):
            self.started[event.step] += 1


@contextmanager
def _directories() -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True) as path:
        places = Path(path) / "plain", Path(path) / "piped"
        for place in places:
            place.mkdir()
        yield places


def judge_in_kernels(case: Case) -> Verdict:
    """Judge a case with papermill and a kernel for each step, as users have them."""
    executor = LocalExecutor()
    try:
        return judge(case, executor=executor)
    finally:
        executor.close()


def judge_names_only(case: Case) -> Outcome:
    """Say how steps would do that load the names they read and save the names they assign."""
    with _directories() as (plain, _):
        case.write(plain)
        expected = in_fork(lambda: run_cells(case.sources, directory=plain))
    shown = shown_by_names_only(case)
    if shown is None:
        return Outcome.RAISED
    is_equal = all(
        normal_outputs(is_) == normal_outputs(was)
        for cell, is_, was in zip(case.cells, shown, expected.outputs, strict=True)
        if cell.step
    )
    return Outcome.EQUAL if is_equal else Outcome.SILENT
