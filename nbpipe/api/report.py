"""A report of a run: everything the store knows of it, on one page.

The index is the truth. The notebook, as it was when it ran, adds what the index does not keep:
code, the options of steps, and what leads to steps that never started. It lies in the store,
executed; a run that was killed has none, and then the author's notebook serves, if it is still the
same.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, Final

from nbpipe._version import __version__
from nbpipe.api.lineage import trace
from nbpipe.compiler.compile import compile_notebook
from nbpipe.errors import CorruptStoreError, NbpipeError, StoreUnavailableError
from nbpipe.lineage.tracing import LineageGraph
from nbpipe.lineage.tree import tree_lines
from nbpipe.model.digest import Digest
from nbpipe.model.effects import LearnedEffects
from nbpipe.model.lineage import Direction, NodeKind
from nbpipe.model.names import StepName, Variable, is_state
from nbpipe.model.pipeline import FragmentKind, Pipeline
from nbpipe.model.run import Run, RunState, StepRun, StepState
from nbpipe.notebook.parse import parse_notebook
from nbpipe.report.contents import CodeCell, LineageReport, Plot, RunReport, StepReport
from nbpipe.report.page import render
from nbpipe.runner.cell_outputs import decode_cell_outputs, place_of
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.workspace import effects_path, read_effects, read_notebook, replace_text

_IMAGES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml")
# Bytes of base64: a page of more than this is no pleasure to open or to send.
_LARGEST_PLOTS: Final = 24_000_000
_NO_CODE: Final = "Its code is not in the store any more."
_NO_CELLS: Final = "What its cells showed is not in the store any more."


@dataclass(slots=True)
class _PlotBudget:
    """How much of the page images may still take."""

    left: int = _LARGEST_PLOTS


def report_page(store: ArtifactStore, run: str, *, lineage_of: str | None = None) -> str:
    """Give the page about a run: `run` is an id, the start of one, or `latest`.

    `lineage_of` is what the section about lineage is about, as for `trace`; the last step of the
    run when not given.

    Raises:
        NotFoundError: there is no such run, or nothing that `lineage_of` names.
    """
    return render(gather_report(store, store.run(run), lineage_of=lineage_of))


def write_report(
    store: ArtifactStore, run: str, target: Path | None, *, lineage_of: str | None = None
) -> Path:
    """Write the page about a run to `target`, or into the store beside the run's notebooks.

    Raises:
        NotFoundError: as `report_page`.
        StoreUnavailableError: the place cannot be written.
    """
    found = store.run(run)
    page = render(gather_report(store, found, lineage_of=lineage_of))
    place = target or store.root / "runs" / found.id / "report.html"
    try:
        replace_text(place, page)
    except StoreUnavailableError as error:
        hint = "Say where it shall go: -o FILE.html" if target is None else ""
        raise StoreUnavailableError(error.message, hint=hint) from error
    return place


def gather_report(store: ArtifactStore, run: Run, *, lineage_of: str | None = None) -> RunReport:
    """Give all that a report of a run says."""
    compiled, executed = _compiled(store, run)
    steps = _in_order(run, compiled.pipeline if compiled else None)
    run = replace(run, steps=steps)
    keys = {step.key.key for step in steps if step.key is not None}
    graph = LineageGraph([run], store.makers_of(sorted(keys)))
    budget = _PlotBudget()
    reports = tuple(_step_report(store, step, compiled, budget) for step in steps)
    made = {v.reference: v for step in steps for v in step.outputs.values()}
    log = store.audit_log(1)
    return RunReport(
        run=run,
        steps=reports,
        edges=_edges(steps, graph, compiled.pipeline if compiled else None),
        versions=tuple(v for name, v in made.items() if not is_state(name)),
        lineage=_lineage(store, steps, graph, lineage_of),
        executed_notebook=executed,
        store=str(store.root),
        made=datetime.now(UTC),
        nbpipe_version=__version__,
        log_head=(log[0].number, log[0].digest) if log else None,
        remarks=tuple(_remarks(run, compiled)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compiled:
    """The pipeline of a run, from its notebook; `is_same` when that is the very notebook."""

    pipeline: Pipeline
    is_same: bool
    changed: Mapping[StepName, tuple[Variable, ...]] = field(default_factory=dict)


def _compiled(store: ArtifactStore, run: Run) -> tuple[_Compiled | None, str]:
    """Give the pipeline of a run as well as it can be known, and the executed notebook's path."""
    executed = run.executed_notebook or (
        f"runs/{run.id}/{PurePath(run.notebook).stem}.run.ipynb" if run.notebook else ""
    )
    is_there = _is_in(store, executed)
    beside = store.root.parent / PurePath(run.notebook).name if run.notebook else None
    found = _pipeline_in(store, run, store.root / executed) if is_there else None
    if found is None and beside is not None:
        found = _pipeline_in(store, run, beside if _is_file(beside) else beside / "notebook.ipynb")
        # Edited since, it would tell of another run.
        found = found if found is not None and found.is_same else None
    return found, str(store.root / executed) if is_there else ""


def _is_in(store: ArtifactStore, relative: str) -> bool:
    """Say whether a path in the index, which may come from anybody, is a file of the store."""
    path = store.root / relative
    return _is_file(path) and path.resolve().is_relative_to(store.root.resolve())


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # A name that no file can have.
        return False


def _pipeline_in(store: ArtifactStore, run: Run, path: Path) -> _Compiled | None:
    try:
        notebook, earlier = parse_notebook(read_notebook(path), name=run.pipeline)
        learned = LearnedEffects()
        for name in (run.pipeline, PurePath(run.notebook).stem):
            learned |= read_effects(effects_path(store.root, name))
    except (NbpipeError, OSError, ValueError):
        return None
    pipeline = compile_notebook(notebook, earlier=earlier, learned=learned).pipeline
    if pipeline is None:
        return None
    changed = {
        step.name: learned.changes[step.own]
        for step in pipeline.steps
        if step.own in learned.changes
    }
    return _Compiled(pipeline=pipeline, is_same=pipeline.source == run.source, changed=changed)


def _in_order(run: Run, pipeline: Pipeline | None) -> tuple[StepRun, ...]:
    """Give the steps in topological order; those that an unfinished run never came to are pending.

    A finished run has a record of every step that it was to run: others were not asked for.
    """
    if pipeline is None:
        return run.steps
    known = {step.step: step for step in run.steps}
    ordered = []
    for step in pipeline.steps:
        if step.name in known:
            ordered.append(known.pop(step.name))
        elif run.state is RunState.RUNNING or run.finished is None:
            ordered.append(
                StepRun(
                    run=run.id,
                    step=step.name,
                    state=StepState.PENDING,
                    reason="no record of it",
                    cell_numbers=step.cell_numbers,
                )
            )
    return (*ordered, *known.values())


def _remarks(run: Run, compiled: _Compiled | None) -> Iterator[str]:
    if run.state is RunState.RUNNING:
        yield "The run goes on, or was killed before it could say how it ended."
    if compiled is None:
        yield (
            "The notebook of this run is not in the store any more. What follows is what the index "
            "knows: code, and steps that never started, may be missing."
        )


# ---- edges and lineage -------------------------------------------------------------------------


def _edges(
    steps: Sequence[StepRun], graph: LineageGraph, pipeline: Pipeline | None
) -> dict[tuple[StepName, StepName], tuple[Variable, ...]]:
    """Give who read what from whom: as it was recorded, and for other steps as the code has it."""
    found: dict[tuple[StepName, StepName], list[Variable]] = {}
    with_key = {step.step for step in steps if step.key is not None and step.state.is_good}
    for upstream, downstream, variable in graph.handed_on():
        found.setdefault((upstream, downstream), []).append(variable)
    names = [step.step for step in steps]
    for edge in pipeline.edges if pipeline else ():
        if edge.upstream in names and edge.downstream in names:
            ends = (edge.upstream, edge.downstream)
            if edge.variable is None:
                found.setdefault(ends, [])
            elif edge.downstream not in with_key:
                found.setdefault(ends, []).append(edge.variable)
    edges = {ends: tuple(dict.fromkeys(variables)) for ends, variables in found.items()}
    return _forward(names, edges)


def _forward(
    names: Sequence[StepName], edges: Mapping[tuple[StepName, StepName], tuple[Variable, ...]]
) -> dict[tuple[StepName, StepName], tuple[Variable, ...]]:
    """Leave out edges that go back: steps stand in an order in which they could run."""
    rank = {name: place for place, name in enumerate(names)}
    return {
        (above, below): variables
        for (above, below), variables in edges.items()
        if rank[above] < rank[below]
    }


def _lineage(
    store: ArtifactStore, steps: Sequence[StepRun], graph: LineageGraph, wanted: str | None
) -> LineageReport | None:
    if wanted is not None:
        lineage = trace(store, wanted, direction=Direction.UP)
        return LineageReport(title=wanted, lines=tree_lines(lineage))
    last = next((step.step for step in reversed(steps) if step.state.is_good), None)
    start = [
        node.id for node in graph.nodes.values() if node.kind is NodeKind.STEP and node.name == last
    ]
    if not start:
        return None
    lines = tree_lines(graph.trace(start, Direction.UP))
    return LineageReport(title=f"step {last}", lines=lines)


# ---- steps -------------------------------------------------------------------------------------


def _step_report(
    store: ArtifactStore, step: StepRun, compiled: _Compiled | None, budget: _PlotBudget
) -> StepReport:
    missing = []
    plots: tuple[Plot, ...] = ()
    if step.cells is not None:
        try:
            plots = tuple(_plots(store, step.cells, step.cell_numbers, budget))
        except (CorruptStoreError, ValueError, KeyError, TypeError):
            missing.append(_NO_CELLS)
    known = compiled.pipeline.step_by_name.get(step.step) if compiled else None
    code: tuple[CodeCell, ...] = ()
    if compiled is not None and known is not None and compiled.is_same:
        code = tuple(
            CodeCell(number=part.cell_number, source=part.source)
            for part in known.body
            if part.kind is FragmentKind.BODY
        )
    code = code or _executed_code(store, step)
    if not code:
        missing.append(_NO_CODE)
    return StepReport(
        run=step,
        code=code,
        plots=plots,
        metrics=known.metrics if known else (),
        changed=compiled.changed.get(step.step, ()) if compiled else (),
        missing=tuple(missing),
    )


def _executed_code(store: ArtifactStore, step: StepRun) -> tuple[CodeCell, ...]:
    if not _is_in(store, step.executed_notebook):
        return ()
    try:
        cells: Any = read_notebook(store.root / step.executed_notebook).get("cells", ())
        return tuple(
            CodeCell(number=place.number, source=str(place.source))
            for cell in cells
            if cell["metadata"].get("nbpipe", {}).get("kind") == FragmentKind.BODY.value
            and (place := place_of(cell)) is not None
        )
    except (NbpipeError, KeyError, TypeError):
        return ()


def _plots(
    store: ArtifactStore, cells: Digest, numbers: Sequence[int], budget: _PlotBudget
) -> Iterator[Plot]:
    for place, outputs in enumerate(decode_cell_outputs(store.blobs.read(cells)).body):
        number = numbers[place] if place < len(numbers) else place + 1
        for output in outputs or ():
            found = _image(output.get("data") or {})
            if found is None:
                continue
            media_type, content = found
            is_affordable = len(content) <= budget.left
            budget.left -= len(content) if is_affordable else 0
            text = _joined(output["data"].get("text/plain", ""))
            yield Plot(
                cell_number=number,
                media_type=media_type,
                content=content if is_affordable else "",
                alt=f"Image shown by cell {number}: {text[:200]}" if text else "",
            )


def _image(data: Mapping[str, Any]) -> tuple[str, str] | None:
    """Give media type and base64. SVG goes the same way: as an image it cannot run anything."""
    for media_type in _IMAGES:
        if media_type in data:
            text = _joined(data[media_type])
            if media_type == "image/svg+xml":
                content = text.encode("utf-8", "replace")
            else:
                content = base64.b64decode(text, validate=False)
            return media_type, base64.b64encode(content).decode("ascii")
    return None


def _joined(text: object) -> str:
    return "".join(map(str, text)) if isinstance(text, list) else str(text)
