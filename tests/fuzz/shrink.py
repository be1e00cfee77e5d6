"""The smallest notebook that still has an outcome: cells, then lines, are left out while it stays."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.fuzz.case import Case, Cell


def shrink(case: Case, persists: Callable[[Case], bool], *, most_tries: int = 400) -> Case:
    """Make a case smaller as long as `persists` holds of it."""
    tries = 0
    while True:
        for smaller in _smaller(case):
            tries += 1
            if tries > most_tries:
                return case
            if persists(smaller):
                case = smaller
                break
        else:
            return case


def _smaller(case: Case) -> Iterator[Case]:
    """Give notebooks with something left out, the largest pieces first."""
    size = len(case.cells) // 2
    while size >= 1:
        for start in range(0, len(case.cells), size):
            rest = [*case.cells[:start], *case.cells[start + size :]]
            if any(cell.step for cell in rest):
                yield case.with_cells(rest)
        size //= 2
    for place, cell in enumerate(case.cells):
        for source in _shorter(cell.source):
            yield case.with_cells(_with(case.cells, place, replace(cell, source=source)))
    if case.files:
        yield replace(case, files={})
        for name in case.files:
            yield replace(case, files={n: t for n, t in case.files.items() if n != name})


def _with(cells: tuple[Cell, ...], place: int, cell: Cell) -> list[Cell]:
    return [*cells[:place], cell, *cells[place + 1 :]]


def _shorter(source: str) -> Iterator[str]:
    """Leave out a statement, in the cell or in a body of it; what is left is Python."""
    tree = ast.parse(source)
    lines = source.splitlines()
    for body in _bodies(tree):
        for statement in body:
            decorators = getattr(statement, "decorator_list", [])
            first = min([statement.lineno, *(each.lineno for each in decorators)])
            rest = [*lines[: first - 1], *lines[statement.end_lineno :]]
            text = "\n".join(rest)
            if text != source and _is_python(text) and text.strip():
                yield text
    for node in ast.walk(tree):
        # `print(a, b, c)` → `print(a, c)`
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
            for argument in node.args if len(node.args) > 1 else ():
                left = [ast.unparse(each) for each in node.args if each is not argument]
                yield source.replace(ast.get_source_segment(source, node), f"print({', '.join(left)})")


def _bodies(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            yield body


def _is_python(text: str) -> bool:
    try:
        compile(text, "cell", "exec")
    except SyntaxError:
        return False
    return True
