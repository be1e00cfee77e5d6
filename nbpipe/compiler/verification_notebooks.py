"""The two notebooks that `nbpipe verify` runs besides those of the steps.

The *plain notebook* is the author's: its tagged and setup cells, in one kernel, top to bottom. It
is made from the notebook and not from the steps, so that what the compiler makes of a step is not
taken for granted; only of untagged cells that hold more than setup it takes what the steps take.

The *comparison notebook* defines what the stored values of a step need, and compares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nbpipe.compiler.compile import compile_notebook
from nbpipe.compiler.propose import looks_like_setup
from nbpipe.compiler.step_notebook import literal_source
from nbpipe.dataflow.analyze import analyze
from nbpipe.model.effects import LearnedEffects
from nbpipe.model.flow import StatementKind
from nbpipe.model.names import CellId, StepName, Variable, is_state
from nbpipe.model.notebook import Cell, CellKind, CellTag, Notebook, Role, Spelling
from nbpipe.model.pipeline import Fragment, ParameterValue, Pipeline

Json = dict[str, object]

_OURS = "__import__('nbpipe.kernel.verifying', fromlist=['begin'])"
_READER = StepName("nbpipe-verify-reads")


def plain_notebook(
    notebook: Notebook, pipeline: Pipeline, parameters: Mapping[Variable, ParameterValue]
) -> Json:
    """Give the plain notebook, with a snapshot after the last cell of each step."""
    last = {
        pipeline.whole_of(cell.tag.step): cell.id
        for cell in notebook.code_cells
        if cell.tag and cell.tag.step
    }
    names = {step.name for step in pipeline.steps}
    cells = [_unseen("begin", f"{_OURS}.begin()")]
    for cell in notebook.code_cells:
        source = _plain_source(cell, pipeline)
        if source is None:
            continue
        cells.append(_author_cell(cell, source))
        if cell.tag is None:
            continue
        if cell.tag.role is Role.PARAMS:
            given = [
                f"{p.name} = {literal_source(parameters[p.name])}"
                for p in pipeline.parameters
                if p.cell == cell.id and p.name in parameters
            ]
            cells += [_unseen("parameters", "\n".join(given))] if given else []
        step = pipeline.whole_of(cell.tag.step) if cell.tag.step else None
        if step in names and last[step] == cell.id:
            cells.append(_unseen("snapshot", f"{_OURS}.snapshot({str(step)!r})"))
    return _notebook(cells, pipeline)


def _plain_source(cell: Cell, pipeline: Pipeline) -> str | None:
    """Give what runs of a cell; None for one that does not run at all."""
    role = cell.tag.role if cell.tag else None
    if role is Role.SKIP:
        return None
    if role in {Role.STEP, Role.PARAMS}:
        return cell.body
    # Installations, and loading nbpipe's own extension, are no part of a pipeline.
    is_inert = any(s.kind is StatementKind.NOTHING for s in analyze(cell.body).statements)
    if not is_inert and (role is Role.PRELUDE or looks_like_setup(cell.body)):
        return cell.body
    return _lines_replayed(cell, pipeline)


def _lines_replayed(cell: Cell, pipeline: Pipeline) -> str | None:
    # Several statements may stand on one line; several steps may replay the same one.
    texts: dict[int, dict[str, None]] = {}
    for fragment in _fragments(pipeline):
        if fragment.cell == cell.id:
            for number, text in zip(fragment.lines, fragment.source.split("\n"), strict=True):
                texts.setdefault(number, {})[text] = None
    lines = ("; ".join(filter(str.strip, texts[number])) for number in sorted(texts))
    return "\n".join(lines) if texts else None


def _fragments(pipeline: Pipeline) -> Iterator[Fragment]:
    for step in pipeline.steps:
        yield from (part for part in (*step.setup, *step.body) if isinstance(part, Fragment))


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPart:
    """Pairs of values of one step, numbered from `first` up to, not including, `last`."""

    step: StepName
    variables: tuple[Variable, ...]
    first: int
    last: int


def comparison_notebook(
    notebook: Notebook,
    pipeline: Pipeline,
    parts: Sequence[ComparisonPart],
    *,
    learned: LearnedEffects,
) -> Json:
    """Give the comparison notebook."""
    cells = [_unseen("begin", f"{_OURS}.begin()")]
    before: list[str] = []
    for part in parts:
        sources = _definitions(notebook, pipeline, part, learned)
        if sources != before:
            cells += [_unseen("prelude", source) for source in sources]
            before = sources
        cells.append(_unseen("compare", f"{_OURS}.compare({part.first}, {part.last})"))
    return _notebook(cells, pipeline)


def _definitions(
    notebook: Notebook,
    pipeline: Pipeline,
    part: ComparisonPart,
    learned: LearnedEffects,
) -> list[str]:
    """Give the code that the values need: what a step that reads them would replay."""
    reading = compile_notebook(_with_reader(notebook, pipeline, part), learned=learned).pipeline
    step = reading.step_by_name.get(_READER) if reading else None
    step = step or pipeline.step_by_name[part.step]
    return [each.source for each in step.setup if isinstance(each, Fragment)]


def _with_reader(notebook: Notebook, pipeline: Pipeline, part: ComparisonPart) -> Notebook:
    variables = [name for name in part.variables if not is_state(name)]
    reader = Cell(
        id=CellId(_READER),
        kind=CellKind.CODE,
        source=f"({', '.join([*variables, ''])})" if variables else "pass",
        number=len(notebook.cells) + 1,
        tag=CellTag(role=Role.STEP, spelling=Spelling.CELL_TAG, step=_READER),
    )
    cells = list(notebook.cells)
    ends = [
        number
        for number, cell in enumerate(cells)
        if cell.tag and cell.tag.step and pipeline.whole_of(cell.tag.step) == part.step
    ]
    cells.insert(ends[-1] + 1, reader)
    return replace(notebook, cells=tuple(cells))


def _author_cell(cell: Cell, source: str) -> Json:
    tags = ["raises-exception"] if cell.may_raise else []
    facts: Json = {"kind": "body", "cell": cell.id, "cell_number": cell.number}
    first = cell.first_line
    facts["lines"] = list(range(first, first + source.count("\n") + 1))
    return _cell(source, {"nbpipe": facts, "tags": tags}, cell.id)


def _unseen(kind: str, source: str) -> Json:
    return _cell(source, {"nbpipe": {"kind": kind, "unseen": True}}, kind)


def _cell(source: str, metadata: Json, name: str) -> Json:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": metadata,
        "outputs": [],
        "source": source,
    }


def _notebook(cells: Iterable[Json], pipeline: Pipeline) -> Json:
    # Ids must differ from each other, and nothing more.
    numbered = [{**cell, "id": f"verify-{number}"} for number, cell in enumerate(cells)]
    kernel = {"display_name": pipeline.kernel, "language": "python", "name": pipeline.kernel}
    return {
        "cells": numbered,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
