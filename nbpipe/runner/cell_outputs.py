"""What the cells of a step showed, apart from any particular notebook.

Outputs are kept by position within the step, so that they find their cells again after cells
were moved, renamed or edited elsewhere: the author's cells of the step in order, and replayed
cells by their place among the replayed ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from nbpipe.runner.tracebacks import CellPlace, author_traceback

FORMAT: Final = 1

# A notebook's JSON, which its author's tools may have filled with anything; hence `Any`.
Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOutputs:
    """The outputs of a step's cells; None for a cell that did not run.

    Attributes:
        body: of the step's own cells, in order.
        prelude: of replayed whole cells, by place among the step's replayed fragments.
        widgets: state of the widgets shown, by model id.
    """

    body: tuple[list[Json] | None, ...] = ()
    prelude: Mapping[int, list[Json]] = field(default_factory=dict)
    widgets: Mapping[str, Json] = field(default_factory=dict)


def cell_outputs_of(executed: Json) -> CellOutputs:
    """Take the outputs out of an executed step notebook."""
    places = cell_places(executed)
    body: list[list[Json] | None] = []
    prelude: dict[int, list[Json]] = {}
    replayed = 0
    for cell in executed["cells"]:
        facts = _facts(cell)
        ran = cell.get("execution_count") is not None
        outputs = list(_shown(cell, places)) if ran else None
        match facts.get("kind"):
            case "body":
                body.append(outputs)
            case "prelude":
                if facts.get("whole") and outputs is not None:
                    prelude[replayed] = outputs
                replayed += 1
    return CellOutputs(body=tuple(body), prelude=prelude, widgets=_widgets(executed))


def cell_places(executed: Json) -> dict[int, CellPlace]:
    """Give the author's cell for each execution count of an executed step notebook."""
    return {
        cell["execution_count"]: place
        for cell in executed["cells"]
        if cell.get("execution_count") is not None and (place := place_of(cell)) is not None
    }


def place_of(cell: Json) -> CellPlace | None:
    """Give where a cell of a step notebook comes from, or None for one of nbpipe's own."""
    facts = _facts(cell)
    if "cell_number" not in facts:
        return None
    return CellPlace(
        number=facts["cell_number"], lines=tuple(facts["lines"]), source=cell["source"]
    )


def encode_cell_outputs(outputs: CellOutputs) -> bytes:
    """Give the bytes to store; equal outputs give equal bytes."""
    content = {
        "format": FORMAT,
        "body": outputs.body,
        "prelude": {str(place): shown for place, shown in outputs.prelude.items()},
        "widgets": outputs.widgets,
    }
    return json.dumps(content, ensure_ascii=False, sort_keys=True).encode("utf-8", "surrogatepass")


def decode_cell_outputs(content: bytes) -> CellOutputs:
    """Read what `encode_cell_outputs` wrote."""
    stored = json.loads(content.decode("utf-8", "surrogatepass"))
    return CellOutputs(
        body=tuple(stored["body"]),
        prelude={int(place): shown for place, shown in stored["prelude"].items()},
        widgets=stored["widgets"],
    )


def _facts(cell: Json) -> Json:
    facts: Json = cell["metadata"].get("nbpipe", {})
    return facts


def _shown(cell: Json, places: Mapping[int, CellPlace]) -> Iterator[Json]:
    for output in cell.get("outputs", ()):
        shown = dict(output)
        if shown["output_type"] == "error":
            shown["traceback"] = list(author_traceback(shown["traceback"], places))
        if "execution_count" in shown:
            shown["execution_count"] = None
        yield shown


def _widgets(executed: Json) -> Mapping[str, Json]:
    views = executed["metadata"].get("widgets", {})
    state: Mapping[str, Json] = views.get(WIDGET_STATE, {}).get("state", {})
    return state


WIDGET_STATE: Final = "application/vnd.jupyter.widget-state+json"
