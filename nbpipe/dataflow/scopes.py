"""Python's scoping rules, taken from CPython's own `symtable`."""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator
from typing import Final, TypeAlias

ScopeNode: TypeAlias = (
    ast.FunctionDef
    | ast.AsyncFunctionDef
    | ast.ClassDef
    | ast.Lambda
    | ast.ListComp
    | ast.SetComp
    | ast.DictComp
    | ast.GeneratorExp
)

_ANONYMOUS: Final[dict[type[ast.AST], str]] = {
    ast.Lambda: "lambda",
    ast.ListComp: "listcomp",
    ast.SetComp: "setcomp",
    ast.DictComp: "dictcomp",
    ast.GeneratorExp: "genexpr",
}


def module_table(source: str) -> symtable.SymbolTable:
    """Give the symbol table of a cell.

    Raises:
        SyntaxError: for code that parses but cannot compile (`return` outside a function, …).
    """
    try:
        return symtable.symtable(source, "<cell>", "exec")
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(str(error) or "the code is nested too deeply") from None


class InlinedScope:
    """The scope of a comprehension that has no table of its own.

    From Python 3.12 on most comprehensions are compiled as a part of the code around them, and
    `symtable` shows them so. Their loop variables are local all the same; for every other name,
    and for the scopes inside, the table around answers.
    """

    def __init__(self, around: Table, targets: frozenset[str]) -> None:
        self.around = around
        self.targets = targets


Table: TypeAlias = symtable.SymbolTable | InlinedScope


class ScopeFinder:
    """Finds the symbol table of each nested scope; scopes are entered in source order.

    `symtable` names its tables by line only, so two lambdas on one line are told apart by order.
    """

    def __init__(self) -> None:
        self._unused: dict[int, list[symtable.SymbolTable]] = {}

    def enter(self, outer: Table, node: ScopeNode) -> Table:
        """Give the table of `node`, a scope directly inside `outer`."""
        inside = outer
        while isinstance(outer, InlinedScope):
            outer = outer.around
        children = self._unused.setdefault(outer.get_id(), list(_children(outer)))
        name = _ANONYMOUS.get(type(node)) or getattr(node, "name", "")
        for child in children:
            if child.get_name() == name and child.get_lineno() == node.lineno:
                children.remove(child)
                return child
        if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            return InlinedScope(inside, _targets(node))
        # A decorated scope may carry the line of its decorator.
        for child in children:
            if child.get_name() == name:
                children.remove(child)
                return child
        raise LookupError(f"no symbol table for {name} at line {node.lineno}")


def _targets(
    node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp,
) -> frozenset[str]:
    return frozenset(
        part.id
        for generator in node.generators
        for part in ast.walk(generator.target)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    )


def _children(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        # Python 3.12 puts a scope for type parameters around generic functions and classes.
        if "param" in str(child.get_type()).lower():
            yield from _children(child)
        elif str(child.get_type()).lower().rsplit(".", 1)[-1] in {"function", "class"}:
            yield child


def is_global(table: Table, name: str) -> bool | None:
    """Say whether `name` is a global in this scope; None when an outer scope must say."""
    if isinstance(table, InlinedScope):
        return False if name in table.targets else None
    if table.get_type() == "module" or str(table.get_type()).endswith("MODULE"):
        return True
    try:
        symbol = table.lookup(name)
    except KeyError:
        return None
    if symbol.is_declared_global():
        return True
    if symbol.is_free():
        return None
    # Not `is_global()`: it takes the scope of a function called `top` for the module.
    return not symbol.is_local()


def is_class(table: Table) -> bool:
    """Say whether this is the scope of a class body."""
    if isinstance(table, InlinedScope):
        return False
    return str(table.get_type()).lower().endswith("class")
