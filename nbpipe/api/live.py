"""Use one cache in live kernels and in runs: what a cell of a live kernel is to the pipeline.

What a person does in a kernel may be anything, so a step's cell counts as a run of the step only
when this is sure: the cells that replayed code is taken from ran here, in order, as the notebook
has them, nothing else changed what they made or a setting, and the inputs are what the pipeline
gives the step. The kernel looks at its values; everything else is looked at here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

from nbpipe.dataflow.analyze import analyze
from nbpipe.kernel.live_exchange import Advice, Executed, Kept, Offer, Question, ReadyResult
from nbpipe.kernel.random_streams import STREAMS
from nbpipe.model.effects import LearnedEffects
from nbpipe.model.flow import (
    Bind,
    Branch,
    CellFlow,
    ClassFlow,
    Delete,
    FunctionFlow,
    Join,
    Mutate,
    Opaque,
    StarImport,
    Statement,
    StatementKind,
    Use,
)
from nbpipe.model.names import StepName, Variable, is_state, spoken
from nbpipe.model.notebook import Cell, Notebook, RandomPolicy, Role
from nbpipe.model.pipeline import Fragment, FragmentKind, Pipeline, Step
from nbpipe.model.run import KeyParts, Run, RunState, StepResult, StepRun, StepState
from nbpipe.notebook.parse import parse_notebook
from nbpipe.notebook.tags import TagError, parse_magic
from nbpipe.runner.cell_outputs import CellOutputs, Json, decode_cell_outputs, encode_cell_outputs
from nbpipe.runner.environment_of import EnvironmentProbe
from nbpipe.runner.interpreters import OWN_KERNELS
from nbpipe.runner.keys import KeyMaker
from nbpipe.runner.request import new_run_id, output_limit_from_environment
from nbpipe.runner.reuse import ResultFinder, notes_on
from nbpipe.runner.streams import StreamCollector
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.store.index.results import StoredStep
from nbpipe.workspace import Workspace, effects_path, open_workspace

_REPLAYED: Final = frozenset({StatementKind.IMPORT, StatementKind.DEFINITION})

_FlowOf: TypeAlias = Callable[[str], CellFlow]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """The notebook as it is now; the stamp tells when it is no longer."""

    stamp: tuple[object, ...]
    workspace: Workspace
    notebook: Notebook

    def cell_of(self, name: str, source: str) -> Cell | None:
        """Find a cell by its id, or else by its source, if there is one like it."""
        same = [cell for cell in self.notebook.code_cells if _same(cell.source, source)]
        if name:
            return next((cell for cell in same if cell.id == name), None) or (
                same[0] if len(same) == 1 else None
            )
        return same[0] if len(same) == 1 else None


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
        self._executed: list[Executed] = []
        self._opened: _Opened | None = None
        self._pending: _Pending | None = None
        self._flows: dict[str, CellFlow] = {}

    def advise(self, question: Question) -> Advice:
        """Say what a cell that is about to run is to the pipeline.

        Raises:
            NbpipeError: the notebook cannot be opened.
        """
        self._executed += question.executed
        opened = self._open(question)
        cell = opened.cell_of(question.cell, question.source)
        pipeline = opened.workspace.compilation.pipeline
        is_step = cell is not None and _is_step(cell)
        if cell is None and _is_tagged(question.source):
            return Advice(objection="save the notebook, so that its file has this cell")
        if cell is None or (not is_step and pipeline is None):
            return Advice()
        if pipeline is None:
            return Advice(
                step=str(cell.tag.step if cell.tag else ""),
                objection=f"{self._path.name} cannot be compiled; see nbpipe compile --check",
            )
        known = Advice(
            replayed=cell.id in _replayed_cells(pipeline),
            defines=tuple(sorted({*_replayed_names(pipeline, cell, self._flow)})),
        )
        step = next((each for each in pipeline.steps if cell.id in each.cells), None)
        if not is_step or step is None:
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
        store = pending.workspace.open_store()
        try:
            self._commit(store, pending, offer)
        finally:
            store.close()
        return Kept()

    # ------------------------------------------------------------------------ the notebook

    def _open(self, question: Question) -> _Opened:
        """Give the notebook as it is on disk, with the cell that runs as it is in the kernel."""
        opened = self._opened
        if opened is None or opened.stamp != self._stamp(opened.workspace):
            workspace = open_workspace(self._path)
            opened = self._opened = _opened(self._stamp(workspace), workspace)
        known = {cell.id: cell for cell in opened.notebook.code_cells}
        unsaved = known.get(question.cell) if question.cell else None  # type: ignore[call-overload]
        if unsaved is None or _same(unsaved.source, question.source):
            return opened
        notebook = dict(opened.workspace.notebook)
        notebook["cells"] = [
            {**each, "source": question.source} if each.get("id") == question.cell else each
            for each in notebook["cells"]  # type: ignore[attr-defined]
        ]
        changed = replace(opened.workspace, notebook=notebook).with_learned(LearnedEffects())
        return _opened(opened.stamp, changed)

    def _stamp(self, workspace: Workspace) -> tuple[object, ...]:
        """Give what changes with the notebook, and with what runs find out about its steps."""
        learned = effects_path(workspace.store_path, workspace.effects_name)
        return tuple(
            (facts.st_mtime_ns, facts.st_size) if path.exists() and (facts := path.stat()) else None
            for path in (self._path, learned)
        )

    def _flow(self, source: str) -> CellFlow:
        if source not in self._flows:
            self._flows[source] = analyze(source)
        return self._flows[source]

    # --------------------------------------------------------------------------- the step

    def _about_step(
        self,
        opened: _Opened,
        pipeline: Pipeline,
        step: Step,
        cell: Cell,
        known: Advice,
    ) -> Advice:
        workspace = opened.workspace
        place = step.cells.index(cell.id)
        advice = replace(known, step=step.name, place=place, cells=len(step.cells))
        # What the step's own cells did just before is part of the step.
        executed = self._executed[: len(self._executed) - place]
        objection = self._objection(opened, pipeline, step, executed)
        if objection:
            return replace(advice, objection=objection)
        store = workspace.open_store()
        try:
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
                    advice, objection=f"step '{missing}', which comes before it, has no result"
                )
            finding = finder.find([step])[step.name]
            streams = _streams(opened, pipeline, step, executed)
            inputs = keys.inputs_of(step)
            read, written = _names_not_bound_first(step, self._flow)
            begun = self._pending
            if not (place and begun and (begun.step, begun.key) == (step, finding.key)):
                self._pending = _Pending(
                    workspace=workspace, step=step, keys=keys, key=finding.key, streams=streams
                )
            wanted = step.cache and not (cell.tag is not None and cell.tag.options.force)
            ready = (
                self._ready(store, opened, cell, finding.stored)
                if finding.stored is not None and wanted and len(step.cells) == 1
                else None
            )
            if ready is not None and finding.stored is not None:
                unknown = [n for n in finding.stored.changed if not self._knows(workspace, step, n)]
                ready = None if unknown else ready
            return replace(
                advice,
                key=finding.key.key,
                setup=dict(_setup_names(opened, pipeline, step, self._flow)),
                absent=tuple(sorted(read - {*inputs})),
                left_over=tuple(sorted(written - {*inputs})),
                inputs=inputs,
                streams=streams,
                required=tuple(o.variable for o in step.outputs if o.required),
                optional=tuple(o.variable for o in step.outputs if not o.required),
                definitions=tuple(sorted(step.definitions)),
                watched_files=tuple(str(workspace.directory / path) for path in step.literal_paths),
                ready=ready,
                store=str(store.root),
                trusted=store.trusted,
            )
        finally:
            store.close()

    def _objection(
        self, opened: _Opened, pipeline: Pipeline, step: Step, executed: Sequence[Executed]
    ) -> str:
        """Say why the kernel cannot be taken for that of the step, as far as can be seen here."""
        if step.fused:
            return f"it runs as one with {', '.join(step.fused)}"
        if pipeline.kernel not in OWN_KERNELS:
            return f"the notebook names the kernel '{pipeline.kernel}', not python3"
        states = [i.variable for i in step.inputs if is_state(i.variable)]
        others = [name for name in states if name not in STREAMS]
        if others:
            return f"it takes {spoken(others[0])} from an earlier step"
        setup = _setup_cells(opened, pipeline, step)
        last: dict[str, int] = {}
        for number, each in enumerate(executed):
            found = opened.cell_of(each.cell, each.source)
            name = found.id if found is not None else each.cell
            if name:
                last[name] = number
        before: tuple[int, Cell] | None = None
        for cell in setup:
            ran = last.get(cell.id)
            if ran is None or not executed[ran].succeeded:
                return f"cell {cell.number} has not run in this kernel"
            if not _same(executed[ran].source, cell.source):
                return f"cell {cell.number} ran with another source than the notebook has"
            if before is not None and ran < before[0]:
                return f"cell {cell.number} ran before cell {before[1].number}"
            before = (ran, cell)
        return self._disturbance(opened, pipeline, step, executed)

    def _disturbance(
        self,
        opened: _Opened,
        pipeline: Pipeline,
        step: Step,
        executed: Sequence[Executed],
    ) -> str:
        """Say what other code that ran here may have changed under the step."""
        names = {name for name, _ in _setup_names(opened, pipeline, step, self._flow)}
        modules = {
            str(name)
            for source in [
                *(_python_of(opened.cell_of(e.cell, e.source), e.source) for e in executed),
                *(part.source for part in (*step.setup, *step.body) if isinstance(part, Fragment)),
            ]
            for statement in self._flow(source).statements
            if statement.source.startswith("import ")
            for name in statement.binds
        }
        setup = {cell.id for cell in _setup_cells(opened, pipeline, step)}
        first = min(step.cell_numbers)
        for each in executed:
            found = opened.cell_of(each.cell, each.source)
            if found is not None and found.id in setup:
                continue
            what = f"cell {found.number}" if found is not None else "a cell that is not in the file"
            states = [name for name in each.states if name not in STREAMS]
            if states:
                return f"{what} changed {spoken(states[0])}"
            is_known = found is not None and found.number < first and _is_step(found)
            if is_known or _is_of_nbpipe(each.source):
                continue
            for statement in self._flow(_python_of(found, each.source)).statements:
                touched = _touched(statement, names, modules)
                if touched:
                    return f"{what} may have changed {touched}"
        return ""

    def _ready(
        self, store: ArtifactStore, opened: _Opened, cell: Cell, stored: StoredStep
    ) -> ReadyResult | None:
        """Give what takes the place of running the cell; None where something would be lacking."""
        if stored.cells is None:
            return None
        shown = decode_cell_outputs(store.blobs.read(stored.cells))
        if shown.widgets or len(shown.body) != 1 or shown.body[0] is None:
            return None
        states = [n for n in stored.outputs if is_state(n) and n not in STREAMS]
        statements = self._flow(cell.body).statements
        run = [s for s in statements if s.kind in _REPLAYED]
        computed = {n for s in statements if s not in run for n in s.binds}
        needs = {e.name for s in run for e in s.events if isinstance(e, Use) and not e.deferred}
        opaque = any(
            isinstance(e, Opaque | StarImport) or (isinstance(e, Delete) and s in run)
            for s in statements
            for e in s.events
        )
        if states or opaque or needs & computed or computed & {n for s in run for n in s.binds}:
            return None
        if run and cell.body.lstrip().startswith("%%"):
            return None  # They are the magic's business.
        lacking = computed - {*stored.outputs}
        readers = {n for c in opened.notebook.code_cells if c != cell for n in self._reads(c)}
        if lacking - {*stored.unbound} and ("*" in readers or readers & lacking):
            return None
        return ReadyResult(
            outputs={name: version.value for name, version in stored.outputs.items()},
            displays=json.dumps(shown.body[0]),
            lines=tuple(s.line for s in run),
            unbound=tuple(sorted({*lacking, *stored.unbound})),
            seconds=stored.seconds,
            made=stored.created.isoformat(),
        )

    def _reads(self, cell: Cell) -> Iterator[str]:
        for statement in self._flow(cell.body).statements:
            for event in statement.events:
                if isinstance(event, Use | Mutate):
                    yield event.name
                elif isinstance(event, Opaque):
                    yield "*"
                elif isinstance(event, Bind) and event.flow is not None:
                    yield from _names_within(event.flow)

    # ------------------------------------------------------------------------- the result

    def _knows(self, workspace: Workspace, step: Step, name: Variable) -> bool:
        if name in workspace.learned.changes.get(step.own, ()):
            return True
        learned = LearnedEffects(changes={step.own: (name,)})
        return workspace.with_learned(learned).pipeline.runs_like(workspace.pipeline)

    def _is_foreseen(self, pending: _Pending, name: Variable) -> bool:
        return not is_state(name) and self._knows(pending.workspace, pending.step, name)

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
        observed = keys.observed(step, result.trace, started)
        run = Run(
            id=new_run_id(started),
            pipeline=pending.workspace.pipeline.name,
            state=RunState.RUNNING,
            parameters={p.name: p.default for p in pending.workspace.pipeline.parameters},
            started=started,
            source=pending.workspace.pipeline.source,
            notebook=self._path.name,
        )
        store.begin_run(run)
        store.commit_step(
            StepRun(
                run=run.id,
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
        store.finish_run(run.id, RunState.SUCCEEDED, finished=datetime.now(UTC))
        keys.save()


def _opened(stamp: tuple[object, ...], workspace: Workspace) -> _Opened:
    notebook, _ = parse_notebook(workspace.notebook, name=workspace.path.stem)
    return _Opened(stamp=stamp, workspace=workspace, notebook=notebook)


def _is_tagged(source: str) -> bool:
    try:
        tag = parse_magic(source.partition("\n")[0])
    except TagError:
        return False
    return tag is not None and tag.role is Role.STEP


def _is_step(cell: Cell) -> bool:
    return cell.tag is not None and cell.tag.role is Role.STEP


def _same(source: str, other: str) -> bool:
    return source.rstrip() == other.rstrip()


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


def _setup_fragments(step: Step) -> list[Fragment]:
    return [
        part
        for part in (*step.setup, *step.body)
        if isinstance(part, Fragment) and part.kind is FragmentKind.PRELUDE
    ]


def _setup_cells(opened: _Opened, pipeline: Pipeline, step: Step) -> list[Cell]:
    """Give the cells that the step takes replayed code and parameters from, in notebook order."""
    wanted = {fragment.cell for fragment in _setup_fragments(step)}
    wanted |= {each.cell for each in pipeline.parameters if each.name in step.parameters}
    return [cell for cell in opened.notebook.code_cells if cell.id in wanted - {*step.cells}]


def _setup_names(
    opened: _Opened, pipeline: Pipeline, step: Step, flow: _FlowOf
) -> Iterator[tuple[str, str]]:
    """Give the names that the step takes from replayed code, with the source of the last binder."""
    sources = {cell.id: cell.source for cell in opened.notebook.code_cells}
    for each in pipeline.parameters:
        if each.name in step.parameters:
            yield each.name, sources[each.cell]
    for fragment in _setup_fragments(step):
        if fragment.cell not in step.cells:
            for statement in flow(fragment.source).statements:
                for name in statement.binds:
                    yield name, sources[fragment.cell]


def _names_not_bound_first(step: Step, flow: _FlowOf) -> tuple[set[str], set[str]]:
    """Give names that a step may read before it binds them, and outputs it may not bind at all.

    The first may be found in a kernel, such as one that hides a function of Python's own, and have
    no value in the pipeline; of the others, what was there before may be left.
    """
    bound: set[str] = {*step.parameters}
    free: set[str] = set()
    within: set[str] = set()
    outer: list[set[str]] = []
    fragments = [part for part in (*step.setup, *step.body) if isinstance(part, Fragment)]
    for statement in [each for part in fragments for each in flow(part.source).statements]:
        # What a `try` binds its handlers may not find, and both are one branch.
        has_handlers = any(word in statement.source for word in ("except", "case "))
        for event in statement.events:
            match event:
                case Use(deferred=True):
                    within.add(event.name)
                case Use() | Mutate():
                    free |= {event.name} - bound
                case Branch():
                    outer.append({*bound})
                case Join():
                    bound = outer.pop() | event.certain
                case Bind():
                    if event.flow is not None:
                        within.update(_names_within(event.flow))
                    if event.definite and not (outer and has_handlers):
                        bound.add(event.name)
                case Delete():
                    bound.discard(event.name)
                case _:
                    pass
    return free | (within - bound), {str(each.variable) for each in step.outputs} - bound


def _replayed_cells(pipeline: Pipeline) -> set[str]:
    fragments = [part for step in pipeline.steps for part in _setup_fragments(step)]
    return {each.cell for each in fragments} | {each.cell for each in pipeline.parameters}


def _replayed_names(pipeline: Pipeline, cell: Cell, flow: _FlowOf) -> Iterator[str]:
    """Give the names bound in a cell that some step takes from it without running it."""
    yield from (each.name for each in pipeline.parameters if each.cell == cell.id)
    for step in pipeline.steps:
        for fragment in _setup_fragments(step):
            if fragment.cell == cell.id:
                for statement in flow(fragment.source).statements:
                    yield from statement.binds


def _streams(
    opened: _Opened, pipeline: Pipeline, step: Step, executed: Sequence[Executed]
) -> tuple[str, ...]:
    """Name the random streams that stand here where the pipeline has them."""
    if pipeline.random is not RandomPolicy.CARRY:
        return ()
    carried = [str(i.variable) for i in step.inputs if i.variable in STREAMS]
    setup = {cell.id for cell in _setup_cells(opened, pipeline, step)}
    seeded: set[str] = set()
    for each in executed:
        found = opened.cell_of(each.cell, each.source)
        if found is not None and found.id in setup and found.tag is None:
            seeded.update(each.states)
        else:
            seeded.difference_update(each.states)
    return tuple(sorted({*carried} | (seeded & {*STREAMS})))


def _touched(statement: Statement, names: set[str], modules: set[str]) -> str:
    """Give what a statement may change of some names, in words; empty when nothing.

    Calls of functions of a module change settings and streams, which the kernel sees.
    """
    if statement.kind is StatementKind.IMPORT and not any(
        isinstance(event, StarImport) for event in statement.events
    ):
        return ""  # Whether the name still stands for the same module, the kernel sees.
    for event in statement.events:
        if isinstance(event, StarImport) or (isinstance(event, Opaque) and event.writes):
            return "anything"
        if isinstance(event, Mutate) and event.name in modules:
            if event.stores:
                return f"'{event.name}'"
            continue
        if isinstance(event, Bind | Mutate | Delete) and event.name in names:
            return f"'{event.name}'"
        if isinstance(event, Bind) and event.flow is not None:
            for name in _written_within(event.flow):
                if name in names:
                    return f"'{name}'"
    return ""


def _written_within(flow: FunctionFlow | ClassFlow) -> Iterator[str]:
    for function in _functions(flow):
        for event in function.events:
            if isinstance(event, Bind | Mutate | Delete):
                yield event.name
            if isinstance(event, Bind) and event.flow is not None:
                yield from _written_within(event.flow)


def _names_within(flow: FunctionFlow | ClassFlow) -> Iterator[str]:
    for function in _functions(flow):
        for event in function.events:
            if isinstance(event, Use | Mutate):
                yield event.name
            elif isinstance(event, Bind) and event.flow is not None:
                yield from _names_within(event.flow)


def _functions(flow: FunctionFlow | ClassFlow) -> tuple[FunctionFlow, ...]:
    return (flow,) if isinstance(flow, FunctionFlow) else tuple(flow.methods.values())


def _python_of(found: Cell | None, source: str) -> str:
    if found is not None:
        return found.body
    first, _, rest = source.partition("\n")
    return rest if first.startswith(tuple(f"%%{role.value}" for role in Role)) else source


def _is_of_nbpipe(source: str) -> bool:
    lines = [line for line in source.splitlines() if line.strip()]
    return all(line.startswith(("%load_ext nbpipe", "%pipeline")) for line in lines)


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
