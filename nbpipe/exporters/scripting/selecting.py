"""Notebook → the pieces of it that the script runs, in the order of the notebook.

All cells of steps and parameters; of the others what the compiler has found that steps need, and
seeds of setup cells: which libraries draw from a seeded stream, nobody knows before a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from nbpipe.dataflow.settings import is_setting, random_stream
from nbpipe.exporters.scripting.cells import PlainCell, Problem, plain_cell
from nbpipe.exporters.scripting.pieces import Origin, Piece, cut
from nbpipe.model.flow import Statement, StatementKind, Use
from nbpipe.model.names import CellId
from nbpipe.model.notebook import Cell, Notebook, Role
from nbpipe.model.pipeline import Fragment, FragmentKind, Pipeline

_SETUP_KINDS: Final = frozenset(StatementKind) - {StatementKind.OTHER}


@dataclass(frozen=True, slots=True)
class Selection:
    """The pieces, what cannot be exported, and the functions that pieces need besides."""

    pieces: tuple[Piece, ...]
    problems: tuple[tuple[Cell, Problem], ...]
    helpers: frozenset[str]


@dataclass(frozen=True, slots=True)
class _CutCell:
    cell: Cell
    origin: Origin
    plain: PlainCell
    pieces: tuple[Piece, ...]


def select(notebook: Notebook, pipeline: Pipeline, known: Iterable[str]) -> Selection:
    """Choose the pieces; `known` are the names that shell commands may have filled in."""
    cells = list(_cut_cells(notebook, pipeline, frozenset(known)))
    chosen = _needed_pieces(cells, pipeline)
    chosen |= _seeding_pieces(cells, chosen)
    kept = [
        (cut_cell, [piece for piece in cut_cell.pieces if piece in chosen]) for cut_cell in cells
    ]
    return Selection(
        pieces=tuple(piece for _, pieces in kept for piece in pieces),
        problems=tuple(found for cut_cell, pieces in kept for found in _problems(cut_cell, pieces)),
        helpers=frozenset[str]().union(*(c.plain.helpers for c, pieces in kept if pieces)),
    )


def _cut_cells(notebook: Notebook, pipeline: Pipeline, known: frozenset[str]) -> Iterator[_CutCell]:
    """Give the cells that may count, up to the last one of a step."""
    steps = {cell for step in pipeline.steps for cell in step.cells}
    cells = notebook.code_cells
    last = max((n for n, cell in enumerate(cells) if cell.id in steps), default=-1)
    for cell in cells[: last + 1]:
        role = cell.tag.role if cell.tag else None
        if role is Role.SKIP:
            continue
        origin = Origin.PARAMETERS if role is Role.PARAMS else Origin.SETUP
        if cell.id in steps:
            origin = Origin.STEP
        try:
            plain = plain_cell(cell.body, known)
        except SyntaxError:
            assert origin is Origin.SETUP  # Such cells may be broken: they do not run.
            continue
        yield _CutCell(cell, origin, plain, tuple(cut(cell, plain, origin)))


def _needed_pieces(cells: Iterable[_CutCell], pipeline: Pipeline) -> set[Piece]:
    """Give what the pipeline runs: whole cells, or what the compiler takes out of them."""
    lines: dict[CellId, set[int]] = {}
    for step in pipeline.steps:
        for part in (*step.setup, *step.body):
            if isinstance(part, Fragment) and part.kind is FragmentKind.PRELUDE:
                lines.setdefault(part.cell, set()).update(part.lines)
    return {
        piece
        for cut_cell in cells
        for piece in cut_cell.pieces
        if cut_cell.origin is not Origin.SETUP
        or lines.get(cut_cell.cell.id, set()).intersection(piece.lines)
    }


def _seeding_pieces(cells: Iterable[_CutCell], chosen: set[Piece]) -> set[Piece]:
    """Give the seeds of setup cells, with what they need."""
    modules: dict[str, str] = {}
    computed: set[str] = set()
    makers: dict[str, Piece] = {}
    found: set[Piece] = set()
    for cut_cell in cells:
        for piece in cut_cell.pieces:
            for statement in piece.statements:
                modules.update(statement.imports)
        if cut_cell.origin is Origin.SETUP and _is_setup(cut_cell, chosen, computed, modules):
            for piece in cut_cell.pieces:
                makers.update(dict.fromkeys(piece.facts.bound, piece))
                if any(sets_seed(statement, modules) for statement in piece.statements):
                    found |= _with_needs(piece, makers)
        elif cut_cell.origin is Origin.STEP:
            computed.update(*(piece.facts.bound for piece in cut_cell.pieces))
    return found


def _with_needs(piece: Piece, makers: Mapping[str, Piece]) -> set[Piece]:
    found: set[Piece] = set()
    waiting = [piece]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            names = current.facts.needs | current.facts.reached
            waiting += [makers[name] for name in sorted(names) if name in makers]
    return found


def _is_setup(
    cut_cell: _CutCell, chosen: set[Piece], computed: set[str], modules: Mapping[str, str]
) -> bool:
    """Say whether the seeds of a cell outside of the steps count, as the compiler sees it."""
    return cut_cell.cell.tag is not None or all(
        not (piece.facts.needs & computed)
        and (
            piece.kinds <= _SETUP_KINDS
            or piece in chosen
            or all(sets_something(statement, modules) for statement in piece.statements)
        )
        for piece in cut_cell.pieces
    )


def _problems(cut_cell: _CutCell, chosen: Iterable[Piece]) -> Iterator[tuple[Cell, Problem]]:
    """Give what is wrong with the chosen lines of a cell."""
    cell = cut_cell.cell
    found = {problem.line + cell.first_line - 1: problem for problem in cut_cell.plain.problems}
    for piece in chosen:
        inside = [found[line] for line in piece.lines if line in found]
        yield from ((cell, problem) for problem in inside)
        if not inside and _uses_ipython(piece):
            problem = Problem(
                piece.lines.start - cell.first_line + 1,
                "get_ipython() gives nothing in a script.",
                "Guard it: try: get_ipython() … except NameError: …",
            )
            yield cell, problem


def _uses_ipython(piece: Piece) -> bool:
    return any(
        isinstance(event, Use) and event.name == "get_ipython" and not event.guarded
        for event in piece.events
    )


def sets_seed(statement: Statement, modules: Mapping[str, str]) -> bool:
    """Say whether a statement seeds a global random stream; `modules` are imports by name."""
    stream = random_stream(canonical(statement.target, modules))
    return stream is not None and stream[1]


def sets_something(statement: Statement, modules: Mapping[str, str]) -> bool:
    """Say whether a statement is a recognised setting, or a seed."""
    path = canonical(statement.target, modules)
    return bool(path) and (is_setting(path) or sets_seed(statement, modules))


def canonical(path: str, modules: Mapping[str, str]) -> str:
    """Resolve the import that a dotted path starts with."""
    root, dot, rest = path.partition(".")
    return f"{modules.get(root, root)}{dot}{rest}"
