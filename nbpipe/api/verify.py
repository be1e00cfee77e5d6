"""Prove that a pipeline gives the same each time, and what its notebook gives.

Two runs with nothing to reuse, each in a store of its own that is deleted afterwards: one with
its steps in the order of the notebook, one in the opposite order where the pipeline leaves a
choice, with another hash seed. The latter comes first, before there are files that it should not
find. What has the same digest is equal; the rest is loaded and compared, in a kernel of the
author's, because only there can it be.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Final

from nbpipe.api.runs import RunOptions, run
from nbpipe.compiler.verification_notebooks import (
    ComparisonPart,
    comparison_notebook,
    plain_notebook,
)
from nbpipe.dataflow.settings import RANDOM_STREAMS
from nbpipe.kernel.verifying import ComparisonRequest, Pair, Snapshot, SnapshotRequest
from nbpipe.model.effects import LearnedEffects
from nbpipe.model.names import StepName, Variable, is_state
from nbpipe.model.notebook import Notebook
from nbpipe.model.pipeline import ParameterValue, Pipeline
from nbpipe.model.run import Run, RunState, StepRun, StepState
from nbpipe.model.verification import (
    Comparison,
    Counterpart,
    Finding,
    StepVerdict,
    Verification,
    VerificationState,
)
from nbpipe.notebook.parse import parse_notebook
from nbpipe.runner.kernels.handle import Ending, KernelHandle
from nbpipe.runner.listening import RunListener
from nbpipe.runner.signals import signals_caught
from nbpipe.runner.verdicts import Evidence, Place, judge, places_to_compare
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.workspace import Workspace, effects_path, read_effects

_SEED: Final = 0
_OTHER_SEED: Final = 1
_MOST_FILES: Final = 20_000
_NAMED_FILES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """How to verify.

    Attributes:
        against_notebook: compare with the notebook itself, too.
        tolerance: the largest relative difference of two numbers that passes.
        jobs: steps at once.
    """

    against_notebook: bool = False
    tolerance: float = 0.0
    jobs: int = 1


def verify(
    workspace: Workspace,
    *,
    parameters: Mapping[Variable, ParameterValue] | None = None,
    options: VerifyOptions | None = None,
    listener: RunListener | None = None,
    announce: Callable[[str], object] = lambda _: None,
) -> Verification:
    """Verify a pipeline. `announce` is told what begins; the workspace's store is not used.

    Raises:
        CompilationError: the notebook does not compile.
        StoreUnavailableError: there is no room for the temporary stores.
    """
    options = options or VerifyOptions()
    if not workspace.is_bundle:
        # As if nothing had been learned yet; a bundle carries what it was compiled with.
        workspace = replace(workspace, learned=LearnedEffects()).with_learned(LearnedEffects())
    handle = KernelHandle()
    with (
        tempfile.TemporaryDirectory(prefix="nbpipe-verify-", ignore_cleanup_errors=True) as root,
        signals_caught(lambda: handle.kill(Ending.CANCELLED)),
    ):
        verifying = _Verifying(
            workspace, Path(root), parameters or {}, options, listener, announce, handle
        )
        try:
            return verifying.result()
        except _CancelledError:
            return verifying.ended(VerificationState.CANCELLED)


class _CancelledError(Exception):
    pass


class _Verifying:
    def __init__(  # noqa: PLR0913 - what `verify` was given
        self,
        workspace: Workspace,
        root: Path,
        parameters: Mapping[Variable, ParameterValue],
        options: VerifyOptions,
        listener: RunListener | None,
        announce: Callable[[str], object],
        handle: KernelHandle,
    ) -> None:
        self._workspace = workspace
        self._root = root
        self._parameters = parameters
        self._options = options
        self._listener = listener
        self._announce = announce
        self._handle = handle
        self._notes: list[str] = []
        self._notebook: Notebook = parse_notebook(workspace.notebook, name=workspace.effects_name)[
            0
        ]

    def result(self) -> Verification:
        self._announce("a run with the latest steps first, and another hash seed")
        with self._files_noted():
            other = self._run(
                "other", RunOptions(hash_seed=_OTHER_SEED, latest_first=True, keep_going=True)
            )
        other_is_good = other.state is RunState.SUCCEEDED
        self._announce("a run in the order of the notebook")
        done = self._run("run", RunOptions(hash_seed=_SEED, keep_going=other_is_good))
        is_good = done.state is RunState.SUCCEEDED
        if not is_good and not other_is_good:
            failed = tuple((s.step, s.failure) for s in done.steps if s.failure is not None)
            return replace(self.ended(VerificationState.FAILED), failures=failed)
        # With what the run found out: the edges that it had in the end.
        learned = read_effects(effects_path(self._root / "run", self._workspace.effects_name))
        found_out = self._workspace.with_learned(learned)
        mine = self._evidence("run", done, "in the order of the notebook")
        others = self._evidence("other", other, "with the latest steps first")
        verdicts = self._judged(Counterpart.RUN, found_out, mine, others)
        if self._options.against_notebook and is_good:
            verdicts += self._against_notebook(found_out, mine)
        passes = all(verdict.passes(self._options.tolerance) for verdict in verdicts)
        state = VerificationState.PROVEN if passes else VerificationState.DIFFERENT
        return replace(self.ended(state), verdicts=verdicts)

    def ended(self, state: VerificationState) -> Verification:
        return Verification(
            pipeline=self._workspace.pipeline.name,
            state=state,
            tolerance=self._options.tolerance,
            notes=tuple(self._notes),
        )

    def _run(self, name: str, options: RunOptions) -> Run:
        store = ArtifactStore.open_temporary(self._root / name)
        try:
            done = run(
                replace(self._workspace, store_path=store.root),
                store,
                parameters=self._parameters,
                # Forced, so that all steps that are ready stand in the queue before one starts.
                options=replace(options, forced=None, jobs=self._options.jobs),
                listener=self._listener,
            )
        finally:
            store.close()
        if done.state is RunState.CANCELLED:
            raise _CancelledError
        return done

    def _evidence(self, name: str, done: Run, manner: str) -> Evidence:
        root = self._root / name
        executed = json.loads((root / done.executed_notebook).read_text("utf-8"))
        cells = [cell for cell in executed["cells"] if cell["cell_type"] == "code"]
        return Evidence(
            store=str(root),
            values={
                step.step: {variable: version.value for variable, version in step.outputs.items()}
                for step in done.steps
            },
            unbound={step.step: step.unbound for step in done.steps},
            shown={
                number: cell["outputs"]
                for number, cell in enumerate(cells, start=1)
                if cell["execution_count"] is not None
            },
            failed={
                step.step: _why_failed(step, manner)
                for step in done.steps
                if not step.state.is_good
            },
        )

    # ---- the notebook ------------------------------------------------------------------------

    def _against_notebook(self, found_out: Workspace, mine: Evidence) -> tuple[StepVerdict, ...]:
        self._announce("the notebook, in one kernel")
        plain = self._plain(found_out.pipeline, mine, "notebook", _SEED)
        verdicts = self._judged(Counterpart.NOTEBOOK, found_out, mine, plain)
        doubtful = [v for v in verdicts if not v.passes(self._options.tolerance)]
        if not doubtful or all(verdict.failure for verdict in doubtful):
            return verdicts
        # Can a pipeline equal a notebook that does not equal itself?
        self._announce("the notebook once more: does it differ from itself?")
        other = self._plain(found_out.pipeline, mine, "notebook-again", _OTHER_SEED)
        itself = {
            verdict.step: verdict
            for verdict in self._judged(Counterpart.NOTEBOOK, found_out, plain, other)
        }
        tolerance = self._options.tolerance
        return tuple(_marked(v, itself[v.step], tolerance) for v in verdicts)

    def _plain(self, pipeline: Pipeline, mine: Evidence, name: str, hash_seed: int) -> Evidence:
        # Papermill: not before a run has imported it, in the cheapest way.
        from nbpipe.runner.verification_runs import run_plain_notebook  # noqa: PLC0415

        root = self._root / name
        root.mkdir()
        request = SnapshotRequest(
            store=str(root),
            report=str(root / "report.json"),
            variables={
                step: tuple(
                    name
                    for name in dict.fromkeys((*values, *mine.unbound.get(step, ())))
                    # Settings are kept as what a step changed, which a plain run does not know;
                    # what they do shows in cells and values.
                    if not is_state(name) or name in RANDOM_STREAMS.values()
                )
                for step, values in mine.values.items()
            },
            definitions={step.name: step.shipped for step in pipeline.steps},
        )
        done = run_plain_notebook(
            plain_notebook(self._notebook, pipeline, self._parameters),
            request,
            directory=self._workspace.directory,
            hash_seed=hash_seed,
            handle=self._handle,
        )
        self._check()
        nothing = Snapshot()
        snapshots = {s.name: done.snapshots.get(s.name, nothing) for s in pipeline.steps}
        return Evidence(
            store=str(root),
            values={step: taken.values for step, taken in snapshots.items()},
            unbound={step: taken.unbound for step, taken in snapshots.items()},
            unstored={step: taken.failures for step, taken in snapshots.items()},
            shown=done.outputs,
            failed={
                step.name: f"cell {done.failed_cell} of the notebook fails: {done.failure}"
                for step in pipeline.steps
                if step.name not in done.snapshots
            },
        )

    # ---- comparing ---------------------------------------------------------------------------

    def _judged(
        self, counterpart: Counterpart, found_out: Workspace, left: Evidence, right: Evidence
    ) -> tuple[StepVerdict, ...]:
        places = places_to_compare(left, right)
        return judge(
            counterpart,
            found_out.pipeline,
            left,
            right,
            comparisons=self._compare(found_out, places, left, right) if places else {},
            tolerance=self._options.tolerance,
        )

    def _compare(
        self, found_out: Workspace, places: Sequence[Place], left: Evidence, right: Evidence
    ) -> dict[Place, Comparison]:
        from nbpipe.runner.verification_runs import run_comparison  # noqa: PLC0415 - as above

        request = ComparisonRequest(
            report=str(self._root / "comparisons.json"),
            tolerance=self._options.tolerance,
            pairs=tuple(
                Pair(
                    left=left.values[step][variable],
                    left_store=left.store,
                    right=right.values[step][variable],
                    right_store=right.store,
                )
                for step, variable in places
            ),
        )
        notebook = comparison_notebook(
            self._notebook, found_out.pipeline, _parts(places), learned=found_out.learned
        )
        Path(request.report).unlink(missing_ok=True)
        found = run_comparison(
            notebook, request, directory=self._workspace.directory, handle=self._handle
        )
        self._check()
        return {places[number]: comparison for number, comparison in found.items()}

    def _check(self) -> None:
        if self._handle.ending is not None:
            raise _CancelledError

    # ---- files -------------------------------------------------------------------------------

    @contextmanager
    def _files_noted(self) -> Iterator[None]:
        """Note what the first run writes: all that run later find it.

        A file that lay there before is worse: no run shows whether a step reads it too early.
        """
        before = _files_in(self._workspace.directory)
        yield
        after = _files_in(self._workspace.directory)
        if not before or not after:
            self._notes.append(
                f"there are more than {_MOST_FILES:,} files beside the notebook, so nobody looked "
                "at what the runs write"
            )
            return
        written = sorted(name for name, state in after.items() if before.get(name) != state)
        if made := [name for name in written if name not in before]:
            self._notes.append(
                f"the run with the latest steps first wrote {_named(made)}; "
                "what ran later found that there"
            )
        if again := [name for name in written if name in before]:
            self._notes.append(
                f"{_named(again)} lay there before and was written anew: that a step reads it too "
                "early would not show; to be sure, delete what the notebook makes and verify again"
            )


def _named(files: Sequence[str]) -> str:
    more = len(files) - _NAMED_FILES
    return f"{', '.join(files[:_NAMED_FILES])}{f' and {more} more' if more > 0 else ''}"


def _why_failed(step: StepRun, manner: str) -> str:
    if step.state is StepState.SKIPPED:
        return f"it has no result {manner}: {step.reason}"
    return f"it fails {manner}{f': {step.failure.message}' if step.failure else ''}"


def _parts(places: Sequence[Place]) -> list[ComparisonPart]:
    parts = []
    numbered = list(enumerate(places))
    for step, group in groupby(numbered, key=lambda each: each[1][0]):
        members = list(group)
        parts.append(
            ComparisonPart(
                step=StepName(step),
                variables=tuple(variable for _, (_, variable) in members),
                first=members[0][0],
                last=members[-1][0] + 1,
            )
        )
    return parts


def _marked(verdict: StepVerdict, itself: StepVerdict, tolerance: float) -> StepVerdict:
    """Note where the notebook differs from itself, too."""
    varying = {f.subject for f in itself.findings if not f.comparison.passes(tolerance)}

    def marked(finding: Finding) -> Finding:
        varies = finding.subject in varying and not finding.comparison.passes(tolerance)
        return replace(finding, notebook_varies=varies)

    return replace(verdict, findings=tuple(map(marked, verdict.findings)))


def _files_in(directory: Path) -> dict[str, tuple[int, int]]:
    """Give size and time of the files of a project; none of one that is too large to look at."""
    found: dict[str, tuple[int, int]] = {}
    for folder, folders, names in os.walk(directory):
        folders[:] = [n for n in folders if not n.startswith(".") and n != "__pycache__"]
        for name in names:
            path = Path(folder, name)
            try:
                status = path.stat()
            except OSError:
                continue
            found[path.relative_to(directory).as_posix()] = (status.st_size, status.st_mtime_ns)
            if len(found) > _MOST_FILES:
                return {}
    return found
