"""One text for all spellings of the same code: no comments, no formatting, no positions.

`ast.dump` would nearly do, but its output changes between Python versions, and digests made of
it would change with them.
"""

from __future__ import annotations

import ast
from typing import Final

# Fields that say nothing about what code does, or that only newer Pythons have when empty.
_SKIPPED: Final = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


def normal_form(node: ast.AST) -> str:
    """Give a text that is equal for two pieces of code exactly when their syntax trees are."""
    parts: list[str] = []
    _write(node, parts)
    return "".join(parts)


def _write(node: object, parts: list[str]) -> None:
    if isinstance(node, ast.AST):
        parts.append(type(node).__name__)
        parts.append("(")
        for name in node._fields:
            if name in _SKIPPED:
                continue
            value = getattr(node, name, None)
            if value is None and not isinstance(node, ast.Constant):
                continue
            if value == []:
                continue
            parts.append(name)
            parts.append("=")
            _write(value, parts)
            parts.append(",")
        parts.append(")")
    elif isinstance(node, list):
        parts.append("[")
        for item in node:
            _write(item, parts)
            parts.append(",")
        parts.append("]")
    else:
        parts.append(f"{type(node).__name__}:{node!r}")
