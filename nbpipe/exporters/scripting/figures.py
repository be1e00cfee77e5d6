"""When a cell draws: a notebook shows its figures below it and closes them.

Without that, what one cell draws would end up in the picture that a later one saves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from nbpipe.exporters.scripting.pieces import Piece
from nbpipe.model.flow import Call
from nbpipe.model.notebook import Notebook

_DRAWING_MODULES: Final = frozenset({"matplotlib", "seaborn"})
_DRAWING_CALLS: Final = re.compile(r"[Pp]lot|hist|draw|Display|imshow|heatmap|figure")
_OTHER_BACKENDS: Final = re.compile(r"^\s*%matplotlib[ \t]+(?!inline\b)\w", re.MULTILINE)


def keeps_figures(notebook: Notebook) -> bool:
    """Say whether the notebook chose a way to draw that leaves figures open."""
    return any(_OTHER_BACKENDS.search(cell.source) for cell in notebook.code_cells)


def drawing_names(pieces: Sequence[Piece]) -> frozenset[str]:
    """Give the names whose use may draw: modules that do, and functions that use those."""
    found = {
        name
        for name, target in imported(pieces).items()
        if target.partition(".")[0] in _DRAWING_MODULES
    }
    makers = [piece for piece in pieces if piece.facts.defined or piece.facts.enclosed]
    while True:
        more = {
            name
            for piece in makers
            if piece.facts.reached & found or _calls_something_that_draws(piece)
            for name in piece.facts.bound
        }
        if more <= found:
            return frozenset(found)
        found |= more


def draws(pieces: Iterable[Piece], names: frozenset[str]) -> bool:
    """Say whether pieces of a cell may draw something."""
    return any(piece.facts.needs & names or _calls_something_that_draws(piece) for piece in pieces)


def imported(pieces: Iterable[Piece]) -> Mapping[str, str]:
    """Give what names stand for that are imported: `plt` for `matplotlib.pyplot`."""
    return {
        name: target
        for piece in pieces
        for statement in piece.statements
        for name, target in statement.imports.items()
    }


def _calls_something_that_draws(piece: Piece) -> bool:
    return any(
        isinstance(event, Call) and _DRAWING_CALLS.search(event.method or event.function)
        for event in piece.events
    )
