"""The yardstick: steps that load the names they read and save the names they assign, no more.

That is what pipelines made from notebooks commonly do. Setup cells are replayed, variables are
pickled one by one, and nothing else travels.
"""

from __future__ import annotations

import ast
import symtable
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.case import Case
from tests.fuzz.processes import EndedError, Json, Ran, in_fork, run_cells

_LOAD = """\
try:
    with open({path!r}, 'rb') as _file:
        {name} = __import__('pickle').load(_file)
except FileNotFoundError:
    pass"""
_SAVE = """\
if {name!r} in globals() and not isinstance({name}, (type, type(_save), type(__builtins__))):
    with open({path!r}, 'wb') as _file:
        __import__('pickle').dump({name}, _file)"""


def shown_by_names_only(case: Case) -> list[list[Json]] | None:
    """Give the outputs of the cells, step by step; None when a step raises."""
    shown: list[list[Json]] = [[] for _ in case.cells]
    with tempfile.TemporaryDirectory() as place:
        work, values = Path(place) / "work", Path(place) / "values"
        values.mkdir()
        work.mkdir()
        case.write(work)
        for step in dict.fromkeys(cell.step for cell in case.cells if cell.step):
            places, sources = _step(case, step, values)
            try:
                ran: Ran = in_fork(lambda sources=sources: run_cells(sources, directory=work))
            except EndedError:
                return None
            if ran.error is not None:
                return None
            for number, source_place in enumerate(places):
                if source_place is not None:
                    shown[source_place] = ran.outputs[number]
    return shown


def _step(case: Case, step: str, values: Path) -> tuple[list[int | None], list[str]]:
    own = [place for place, cell in enumerate(case.cells) if cell.step == step]
    setup = [cell.source for cell in case.cells[: own[0]] if not cell.step]
    reads: set[str] = set()
    assigns: set[str] = set()
    for place in own:
        read, assigned = _names_of(case.cells[place].source)
        reads |= read
        assigns |= assigned
    loads = [_LOAD.format(name=name, path=str(values / name)) for name in sorted(reads)]
    saves = [_SAVE.format(name=name, path=str(values / name)) for name in sorted(assigns)]
    saves.insert(0, "def _save(): pass")
    sources = [*setup, *loads, *(case.cells[place].source for place in own), "\n".join(saves)]
    places = [*([None] * (len(setup) + len(loads))), *own, None]
    return places, sources


def _names_of(source: str) -> tuple[set[str], set[str]]:
    """Give the global names that a cell reads, and those that it assigns."""
    reads: set[str] = set()
    assigns: set[str] = set()
    top = symtable.symtable(source, "cell", "exec")
    for table in _tables(top):
        for symbol in table.get_symbols():
            if table is top or symbol.is_global():
                if symbol.is_referenced():
                    reads.add(symbol.get_name())
                if symbol.is_assigned() and not symbol.is_imported():
                    assigns.add(symbol.get_name())
    for node in ast.walk(ast.parse(source)):
        # The table of symbols does not say that `x += 1` reads x, or that `del x` does.
        targets = [node.target] if isinstance(node, ast.AugAssign) else getattr(node, "targets", [])
        if isinstance(node, (ast.AugAssign, ast.Delete)):
            reads |= {target.id for target in targets if isinstance(target, ast.Name)}
    return reads, assigns


def _tables(top: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield top
    for child in top.get_children():
        yield from _tables(child)
