"""Step outputs → one executed notebook: the author's cells, in the author's order."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence

from nbpipe.model.pipeline import Fragment, FragmentKind, Step
from nbpipe.runner.cell_outputs import WIDGET_STATE, CellOutputs, Json


def stitch(notebook: Json, steps: Sequence[tuple[Step, CellOutputs]]) -> Json:
    """Give a copy of `notebook` with the outputs of a run, and no other outputs.

    Cells that ran are numbered as in a run from top to bottom. A cell that several steps replay
    shows what it showed in the first.
    """
    shown: dict[int, list[Json]] = {}
    widgets: dict[str, Json] = {}
    for step, outputs in steps:
        for number, cell_outputs in _by_cell_number(step, outputs):
            shown.setdefault(number, cell_outputs)
        widgets |= outputs.widgets
    stitched = copy.deepcopy(notebook)
    number = 0
    for cell in stitched["cells"]:
        if cell["cell_type"] == "code":
            number += 1
            cell["execution_count"] = number if number in shown else None
            cell["outputs"] = [_numbered(output, number) for output in shown.get(number, ())]
    _set_widgets(stitched, widgets)
    return stitched


def _by_cell_number(step: Step, outputs: CellOutputs) -> Iterator[tuple[int, list[Json]]]:
    fragments = [part for part in (*step.setup, *step.body) if isinstance(part, Fragment)]
    body = [f for f in fragments if f.kind is FragmentKind.BODY]
    for fragment, cell_outputs in zip(body, _fitted(outputs.body, len(body)), strict=True):
        if cell_outputs is not None:
            yield fragment.cell_number, cell_outputs
    replayed = [f for f in fragments if f.kind is FragmentKind.PRELUDE]
    for place, fragment in enumerate(replayed):
        if fragment.whole and place in outputs.prelude:
            yield fragment.cell_number, outputs.prelude[place]


def _fitted(body: Sequence[list[Json] | None], cells: int) -> Sequence[list[Json] | None]:
    """Give outputs cell by cell, also after an edit that joined or split cells of the step."""
    if len(body) == cells or cells == 0:
        return body[:cells]
    together = [output for cell_outputs in body for output in cell_outputs or ()]
    return [*([] for _ in range(cells - 1)), together]


def _numbered(output: Json, number: int) -> Json:
    if output["output_type"] == "execute_result":
        return {**output, "execution_count": number}
    return dict(output)


def _set_widgets(notebook: Json, widgets: Mapping[str, Json]) -> None:
    metadata = notebook["metadata"]
    metadata.pop("widgets", None)
    if widgets:
        metadata["widgets"] = {
            WIDGET_STATE: {"state": dict(widgets), "version_major": 2, "version_minor": 0}
        }
