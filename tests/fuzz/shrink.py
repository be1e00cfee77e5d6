"""The smallest notebook with an outcome: cells, then lines, are left out while it stays."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.fuzz.case import Case

_MOST_TRIES = 150


class _Tries:
    def __init__(self, persists: Callable[[Case], bool]) -> None:
        self._persists = persists
        self._left = _MOST_TRIES

    def persists(self, case: Case) -> bool:
        self._left -= 1
        return self._left >= 0 and self._persists(case)


def shrink(case: Case, persists: Callable[[Case], bool]) -> Case:
    """Make a case smaller as long as `persists` holds of it."""
    tries = _Tries(persists)
    while True:
        smaller = _without_files(_without_lines(_without_cells(case, tries), tries), tries)
        if smaller == case:
            return case
        case = smaller


def _without_cells(case: Case, tries: _Tries) -> Case:
    size = len(case.cells) // 2
    while size >= 1:
        start = len(case.cells) - size
        while start >= 0:
            rest = [*case.cells[:start], *case.cells[start + size :]]
            smaller = case.with_cells(rest)
            if any(cell.step for cell in rest) and tries.persists(smaller):
                case = smaller
            start -= size
        size //= 2
    return case


def _without_lines(case: Case, tries: _Tries) -> Case:
    for place in reversed(range(len(case.cells))):
        while True:
            for source in _shorter(case.cells[place].source):
                cells = [*case.cells]
                cells[place] = replace(cells[place], source=source)
                if tries.persists(case.with_cells(cells)):
                    case = case.with_cells(cells)
                    break
            else:
                break
    return case


def _without_files(case: Case, tries: _Tries) -> Case:
    for name in case.files:
        rest = {other: text for other, text in case.files.items() if other != name}
        if tries.persists(replace(case, files=rest)):
            case = replace(case, files=rest)
    return case


def _shorter(source: str) -> Iterator[str]:
    """Leave out a statement, or an argument of a `print`; what is left is Python."""
    tree = ast.parse(source)
    lines = source.splitlines()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            decorators = getattr(statement, "decorator_list", [])
            first = min([statement.lineno, *(each.lineno for each in decorators)])
            text = "\n".join([*lines[: first - 1], *lines[statement.end_lineno :]])
            if text.strip() and _is_python(text):
                yield text
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
            segment = ast.get_source_segment(source, node) or ""
            for argument in node.args if len(node.args) > 1 else ():
                left = [ast.unparse(each) for each in node.args if each is not argument]
                yield source.replace(segment, f"print({', '.join(left)})")


def _is_python(text: str) -> bool:
    try:
        compile(text, "cell", "exec")
    except SyntaxError:
        return False
    return True
