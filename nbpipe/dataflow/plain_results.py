"""Functions whose results are numbers and texts, as far as their code shows.

A function that remembers its results gives the same object again. That can only be told from an
equal one when the object can change, so functions of plain results need not be held together.
"""

from __future__ import annotations

import ast
from typing import Final

_PLAIN_CALLS: Final = frozenset(
    """abs all any ascii bin bool chr complex divmod float format hash hex int isinstance len max
    min oct ord pow repr round str sum range tuple frozenset sqrt log exp sin cos tan floor ceil
    gcd comb factorial perm isqrt join lower upper strip replace startswith endswith count find
    index title encode decode""".split()
)


def gives_plain_results(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> bool:
    """Say whether every result of a function is surely a number, a text or a tuple of those."""
    if isinstance(node, ast.Lambda):
        return _is_plain(node.body, "")
    inner = list(ast.walk(node))
    if any(isinstance(each, ast.Yield | ast.YieldFrom | ast.With | ast.Global) for each in inner):
        return False
    results = [each.value for each in inner if isinstance(each, ast.Return)]
    # What is given back comes from parameters, which can be hashed, or from these.
    assigned = [each.value for each in inner if isinstance(each, ast.Assign | ast.AugAssign)]
    looped = [each.iter for each in inner if isinstance(each, ast.For | ast.comprehension)]
    return all(
        value is None or _is_plain(value, node.name) for value in (*results, *assigned, *looped)
    )


def _is_plain(value: ast.expr, own: str) -> bool:
    match value:
        case ast.Constant() | ast.JoinedStr() | ast.Name() | ast.Compare():
            return True
        case ast.UnaryOp(operand=inner) | ast.Subscript(value=inner):
            return _is_plain(inner, own)
        case ast.BinOp(left=left, right=right):
            return _is_plain(left, own) and _is_plain(right, own)
        case ast.BoolOp(values=parts) | ast.Tuple(elts=parts):
            return all(_is_plain(part, own) for part in parts)
        case ast.IfExp(body=body, orelse=orelse):
            return _is_plain(body, own) and _is_plain(orelse, own)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name == own or name in _PLAIN_CALLS
        case _:
            return False
