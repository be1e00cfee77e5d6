"""Use one cache in live kernels and in runs: what a cell of a live kernel is to the pipeline.

What a person does in a kernel may be anything, so a step's cell counts as a run of the step only
when this is sure: the cells that replayed code is taken from ran here, in order, as the notebook
has them, nothing else changed what they made or a setting, and the inputs are what the pipeline
gives the step. The kernel looks at its values; everything else is looked at here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from nbpipe.api.live_names import (
    BoundNames,
    FlowOf,
    computed_names,
    replayed_cells,
    replayed_names,
    setup_names,
)
from nbpipe.api.live_notebook import NotebookFile, OpenNotebook, is_step, is_tagged_as_step
from nbpipe.api.live_order import KernelHistory
from nbpipe.api.live_ready import StoredCells
from nbpipe.dataflow.analyze import analyze
from nbpipe.errors import NbpipeError, NotFoundError
from nbpipe.kernel.live_exchange import Advice, Executed, Kept, Offer, Question, ReadyResult
from nbpipe.model.effects import LearnedEffects
from nbpipe.model.flow import CellFlow
from nbpipe.model.names import RunId, StepName, Variable, is_state, spoken
from nbpipe.model.notebook import Cell
from nbpipe.model.pipeline import Fragment, Pipeline, Step
from nbpipe.model.run import KeyParts, Run, RunState, StepResult, StepRun, StepState
from nbpipe.runner.cell_outputs import CellOutputs, Json, decode_cell_outputs, encode_cell_outputs
from nbpipe.runner.environment_of import EnvironmentProbe
from nbpipe.runner.keys import KeyMaker
from nbpipe.runner.request import new_run_id, output_limit_from_environment
from nbpipe.runner.reuse import ResultFinder, notes_on
from nbpipe.runner.streams import StreamCollector
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.store.index.results import StoredStep
from nbpipe.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """A step that was asked about, and may be offered."""

    workspace: Workspace
    step: Step
    keys: KeyMaker
    key: KeyParts
    streams: tuple[str, ...]


class LiveNotebook:
    """One notebook, and what ran of it in one live kernel."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = NotebookFile(path)
        self._executed: list[Executed] = []
        self._pending: _Pending | None = None
        self._flows: dict[str, CellFlow] = {}
        self._store: tuple[object, ArtifactStore] | None = None
        self._run: tuple[object, RunId] | None = None
        self._ready_to_reuse: tuple[_Pending, StoredStep] | None = None

    def advise(self, question: Question) -> Advice:
        """Say what a cell that is about to run is to the pipeline.

        Raises:
            NbpipeError: the notebook cannot be opened.
        """
        self._executed += question.executed
        self._note_reuse(question.executed)
        opened = self._file.open(question.cell, question.source)
        cell = opened.cell_of(question.cell, question.source)
        pipeline = opened.workspace.compilation.pipeline
        if cell is None and is_tagged_as_step(question.source):
            return Advice(objection="save the notebook, so that its file has this cell")
        if cell is None or (not is_step(cell) and pipeline is None):
            return Advice()
        if pipeline is None:
            return Advice(
                step=str(cell.tag.step if cell.tag else ""),
                objection=f"{self._path.name} cannot be compiled; see nbpipe compile --check",
            )
        known = Advice(
            replayed=cell.id in replayed_cells(pipeline),
            defines=tuple(sorted({*replayed_names(pipeline, cell, self._flow)})),
        )
        step = next((each for each in pipeline.steps if cell.id in each.cells), None)
        if not is_step(cell) or step is None:
            return known
        return self._about_step(opened, pipeline, step, cell, known)

    def keep(self, offer: Offer) -> Kept:
        """Store the result of the step that was asked about last, under its key.

        Raises:
            NbpipeError: the store cannot be written.
        """
        pending, self._pending = self._pending, None
        if pending is None:
            return Kept(objection="the notebook changed meanwhile")
        report = offer.report
        unforeseen = [
            name
            for name in report.changed
            if name not in pending.streams and not self._is_foreseen(pending, name)
        ]
        if unforeseen:
            called = spoken(unforeseen[0]) if is_state(unforeseen[0]) else f"'{unforeseen[0]}'"
            return Kept(objection=f"the step changed {called}, which its code does not show")
        with self._store_of(pending.workspace) as store:
            self._commit(store, pending, offer)
        return Kept()

    @contextmanager
    def _store_of(self, workspace: Workspace) -> Iterator[ArtifactStore]:
        """Give the store, which stays open from cell to cell as long as nothing goes wrong."""
        kept, self._store = self._store, None
        place = _file_of(workspace.store_path)
        if kept is not None and (place is None or kept[0] != place):
            kept[1].close()  # Somebody deleted it, or made another one.
            kept = None
        store = kept[1] if kept is not None else workspace.open_store()
        try:
            yield store
        except BaseException:
            store.close()
            raise
        place = _file_of(store.root)
        if place is not None:
            self._store = (place, store)

    def _flow(self, source: str) -> CellFlow:
        if source not in self._flows:
            self._flows[source] = analyze(source)
        return self._flows[source]

    # --------------------------------------------------------------------------- the step

    def _about_step(
        self, opened: OpenNotebook, pipeline: Pipeline, step: Step, cell: Cell, known: Advice
    ) -> Advice:
        workspace = opened.workspace
        place = step.cells.index(cell.id)
        advice = replace(known, step=step.name, place=place, cells=len(step.cells))
        history = KernelHistory(
            opened=opened,
            pipeline=pipeline,
            step=step,
            # What the step's own cells did just before is part of the step.
            executed=self._executed[: len(self._executed) - place],
            flow=self._flow,
        )
        objection = history.objection()
        if objection:
            return replace(advice, objection=objection)
        with self._store_of(workspace) as store:
            keys = KeyMaker(
                {parameter.name: parameter.default for parameter in pipeline.parameters},
                EnvironmentProbe(pipeline, directory=workspace.directory, store=store.root),
            )
            finder = ResultFinder(
                store=store,
                pipeline=pipeline.name,
                keys=keys,
                now=datetime.now(UTC),
                reuse_unverified=workspace.settings.reuse_unverified,
            )
            missing = _add_upstream(pipeline, step, keys, finder)
            if missing:
                return replace(
                    advice,
                    objection=f"step '{missing}', which comes before it, has no result",
                    is_consequence=True,
                )
            finding = finder.find([step])[step.name]
            streams = history.streams()
            begun = self._pending
            if not (place and begun and (begun.step, begun.key) == (step, finding.key)):
                self._pending = _Pending(
                    workspace=workspace, step=step, keys=keys, key=finding.key, streams=streams
                )
            ready = self._ready(store, opened, step, place, finding.stored)
            if ready and self._pending and finding.stored:
                self._ready_to_reuse = (self._pending, finding.stored)
            return replace(
                self._with_needs(advice, opened, pipeline, step, keys),
                key=finding.key.key,
                streams=streams,
                ready=ready,
                store=str(store.root),
                trusted=store.trusted,
            )

    def _with_needs(
        self, advice: Advice, opened: OpenNotebook, pipeline: Pipeline, step: Step, keys: KeyMaker
    ) -> Advice:
        """Add what the step depends on, and what it makes."""
        inputs = keys.inputs_of(step)
        names = BoundNames(map(str, step.parameters))
        parts = [part for part in (*step.setup, *step.body) if isinstance(part, Fragment)]
        names.follow(each for part in parts for each in self._flow(part.source).statements)
        computes = _computed(opened, step, self._flow)
        made = {*computes[-1]} | {str(each.variable) for each in step.outputs}
        directory = opened.workspace.directory
        return replace(
            advice,
            setup=dict(setup_names(opened.notebook, pipeline, step, self._flow)),
            absent=tuple(sorted(names.read_first - {*inputs})),
            computes=computes,
            left_over=tuple(sorted(made - names.bound - {*inputs})),
            inputs=inputs,
            required=tuple(o.variable for o in step.outputs if o.required),
            optional=tuple(o.variable for o in step.outputs if not o.required),
            definitions=step.shipped,
            constants=step.constants,
            names_indexes=pipeline.names_indexes,
            watched_files=tuple(str(directory / path) for path in step.literal_paths),
        )

    def _ready(
        self,
        store: ArtifactStore,
        opened: OpenNotebook,
        step: Step,
        place: int,
        stored: StoredStep | None,
    ) -> ReadyResult | None:
        if stored is None or stored.cells is None or not step.cache:
            return None
        if not all(self._knows(opened.workspace, step, name) for name in stored.changed):
            return None
        cells = StoredCells(
            opened=opened,
            step=step,
            stored=stored,
            shown=decode_cell_outputs(store.blobs.read(stored.cells)),
            flow=self._flow,
        )
        return cells.ready(place)

    # ------------------------------------------------------------------------- the result

    def _knows(self, workspace: Workspace, step: Step, name: Variable) -> bool:
        if name in workspace.learned.changes.get(step.own, ()):
            return True
        learned = LearnedEffects(changes={step.own: (name,)})
        return workspace.with_learned(learned).pipeline.runs_like(workspace.pipeline)

    def _is_foreseen(self, pending: _Pending, name: Variable) -> bool:
        return self._knows(pending.workspace, pending.step, name)

    def _commit(self, store: ArtifactStore, pending: _Pending, offer: Offer) -> None:
        step, report, keys = pending.step, offer.report, pending.keys
        started = datetime.fromisoformat(offer.started)
        body = tuple(_settled(outputs) for outputs in json.loads(offer.displays))
        cells = store.blobs.put([encode_cell_outputs(CellOutputs(body=body))])
        directory = pending.workspace.directory
        result = StepResult(
            outputs=report.outputs,
            unbound=report.unbound,
            cells=cells,
            seconds=offer.seconds,
            notes=report.notes,
            changed=report.changed,
            files_written=tuple(
                path for path in step.literal_paths if str(directory / path) in report.files_written
            ),
            trace=report.trace,
        )
        observed = keys.observed(step, result.trace, started, ran_alone=False)
        run = self._run_of(store, pending.workspace.pipeline)
        store.commit_step(
            StepRun(
                run=run,
                step=step.name,
                state=StepState.SUCCEEDED,
                key=keys.key_after(step, pending.key, result),
                started=started,
                seconds=offer.seconds,
                reason="run in a notebook",
                unbound=result.unbound,
                cells=cells,
                notes=(*result.notes, *notes_on(step, result.trace, observed)),
                cell_numbers=step.cell_numbers,
                observed=observed.parts,
            ),
            result.outputs,
            changed={*result.changed, *pending.workspace.learned.changes.get(step.own, ())},
            observed=observed,
        )
        store.finish_run(run, RunState.SUCCEEDED, finished=datetime.now(UTC))
        keys.save()

    def _note_reuse(self, executed: Sequence[Executed]) -> None:
        """Let a result that took the place of a cell be among what the kernel's run needs."""
        ready, self._ready_to_reuse = self._ready_to_reuse, None
        if ready is None or not any(each.is_reused for each in executed):
            return
        pending, stored = ready
        # What cannot be written can still be read.
        with suppress(NbpipeError), self._store_of(pending.workspace) as store:
            run = self._run_of(store, pending.workspace.pipeline)
            if stored.run == run:
                return
            store.record_step(
                StepRun(
                    run=run,
                    step=pending.step.name,
                    state=StepState.REUSED,
                    key=pending.key,
                    started=datetime.now(UTC),
                    reason="reused in a notebook",
                    outputs=stored.outputs,
                    unbound=stored.unbound,
                    cells=stored.cells,
                    cell_numbers=pending.step.cell_numbers,
                    observed=stored.observed.parts,
                )
            )
            store.finish_run(run, RunState.SUCCEEDED, finished=datetime.now(UTC))

    def _run_of(self, store: ArtifactStore, pipeline: Pipeline) -> RunId:
        """Give the run that the record has for this kernel, while the notebook stays as it is."""
        begun = (store.root, pipeline.name, pipeline.source)
        if self._run is None or self._run[0] != begun or not _has_run(store, self._run[1]):
            now = datetime.now(UTC)
            run = Run(
                id=new_run_id(now),
                pipeline=pipeline.name,
                state=RunState.RUNNING,
                parameters={each.name: each.default for each in pipeline.parameters},
                started=now,
                source=pipeline.source,
                notebook=self._path.name,
            )
            store.begin_run(run)
            self._run = (begun, run.id)
        return self._run[1]


def _computed(opened: OpenNotebook, step: Step, flow: FlowOf) -> tuple[tuple[str, ...], ...]:
    """Give the variables that the step's cells may bind, up to each of them."""
    by_id = {cell.id: cell for cell in opened.notebook.code_cells}
    upto: set[str] = set()
    found = []
    for name in step.cells:
        upto |= computed_names(by_id[name], flow)
        found.append(tuple(sorted(upto)))
    return tuple(found)


def _has_run(store: ArtifactStore, run: RunId) -> bool:
    """Say whether garbage collection has left a run in the record."""
    try:
        store.run(run)
    except NotFoundError:
        return False
    return True


def _file_of(store: Path) -> object:
    """Give what tells one index of a store from another; None where there is none."""
    try:
        facts = (store / "index.db").stat()
    except OSError:
        return None
    return store.resolve(), facts.st_dev, facts.st_ino


def _add_upstream(
    pipeline: Pipeline, step: Step, keys: KeyMaker, finder: ResultFinder
) -> StepName | None:
    """Note what the store has for all that the step needs; give the first that has nothing."""
    needed = pipeline.ancestors(step.name)
    for before in pipeline.steps:
        if before.name in needed and before.name != step.name:
            stored = finder.find([before])[before.name].stored
            if stored is None:
                return before.name
            keys.add_outcome(before.name, stored.outputs)
    return None


def _settled(outputs: Sequence[Json]) -> list[Json]:
    """Give outputs as runs keep them: printed text as a terminal shows it, within the limit."""
    streams = StreamCollector(output_limit_from_environment())
    settled: list[Json] = []
    for output in outputs:
        if output["output_type"] == "stream":
            for text in output["text"]:
                streams.add(output["name"], text, settled)
        else:
            settled.append(output)
    streams.settle()
    return settled
