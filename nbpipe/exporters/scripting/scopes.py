"""Which names a nested scope (a function, a class, a lambda, a comprehension) takes from outside.

Not from `symtable`: since Python 3.12 it merges comprehensions into the scope around them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
ScopeNode: TypeAlias = Function | ast.ClassDef | ast.Lambda | Comprehension


@dataclass(slots=True)
class Scope:
    """What happens to names directly in a scope, and the scopes inside it.

    Attributes:
        bound: by any kind of assignment, parameters included.
        elsewhere: declared `global` or `nonlocal`.
    """

    node: ScopeNode
    bound: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)
    elsewhere: set[str] = field(default_factory=set)
    inner: list[Scope] = field(default_factory=list)

    @property
    def free(self) -> set[str]:
        """The names that mean something outside: read, or bound there."""
        inside = set[str]().union(*(scope.free for scope in self.inner))
        if isinstance(self.node, ast.ClassDef):
            # A class body reads the outer name until it has bound its own, and functions in it
            # never see its names.
            return inside | self.read | (self.bound & self.elsewhere)
        local = self.bound - self.elsewhere
        return (inside | self.read | self.bound) - local

    @property
    def rebound(self) -> set[str]:
        """The names that it binds outside."""
        inside = set[str]().union(*(scope.rebound for scope in self.inner))
        return inside | (self.bound & self.elsewhere)

    @property
    def functions(self) -> Iterator[Scope]:
        """The scopes inside it that may run later."""
        for scope in self.inner:
            if isinstance(scope.node, ast.ListComp | ast.SetComp | ast.DictComp):
                yield from scope.functions
            else:
                yield scope


def scope_of(node: ScopeNode) -> Scope:
    """Look into a scope; what is evaluated outside of it (defaults, decorators) is left out."""
    scope = Scope(node)
    match node:
        case ast.Lambda(args=arguments, body=body):
            _parameters(scope, arguments)
            _walk(scope, body)
        case ast.FunctionDef(args=arguments) | ast.AsyncFunctionDef(args=arguments):
            _parameters(scope, arguments)
            for statement in node.body:
                _walk(scope, statement)
        case ast.ClassDef(body=body):
            for statement in body:
                _walk(scope, statement)
        case _:
            first, *others = node.generators
            _walk(scope, first.target)
            for part in (*first.ifs, *others, *_results(node)):
                _walk(scope, part)
    return scope


def _results(node: Comprehension) -> tuple[ast.expr, ...]:
    return (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)


def _parameters(scope: Scope, arguments: ast.arguments) -> None:
    for argument in ast.walk(arguments):
        if isinstance(argument, ast.arg):
            scope.bound.add(argument.arg)


def _walk(scope: Scope, node: ast.AST) -> None:
    match node:
        case ast.Name(id=name, ctx=ast.Load()):
            scope.read.add(name)
        case ast.Name(id=name):
            scope.bound.add(name)
            if isinstance(node.ctx, ast.Del):
                scope.read.add(name)
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            scope.elsewhere.update(names)
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            scope.bound.update(alias.asname or alias.name.split(".")[0] for alias in aliases)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            scope.bound.add(node.name)
            for value in (*node.decorator_list, *_outside(node.args)):
                _walk(scope, value)
            if node.returns is not None:
                _walk(scope, node.returns)
            scope.inner.append(scope_of(node))
        case ast.ClassDef():
            scope.bound.add(node.name)
            for part in (*node.decorator_list, *node.bases, *node.keywords):
                _walk(scope, part)
            scope.inner.append(scope_of(node))
        case ast.Lambda():
            for value in _outside(node.args):
                _walk(scope, value)
            scope.inner.append(scope_of(node))
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            _walk(scope, node.generators[0].iter)
            inner = scope_of(node)
            scope.inner.append(inner)
            # `:=` in a comprehension binds in the scope around it.
            walrus = set(_walrus_targets(node))
            inner.elsewhere |= walrus
            scope.bound |= walrus
        case _:
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                scope.read.add(node.target.id)
            if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
                scope.bound.add(node.name)
            if isinstance(node, ast.MatchMapping) and node.rest:
                scope.bound.add(node.rest)
            for child in ast.iter_child_nodes(node):
                _walk(scope, child)


def _outside(arguments: ast.arguments) -> Iterator[ast.expr]:
    """Give what is evaluated where a function is made: defaults and annotations."""
    yield from arguments.defaults
    yield from (default for default in arguments.kw_defaults if default is not None)
    for argument in ast.walk(arguments):
        if isinstance(argument, ast.arg) and argument.annotation is not None:
            yield argument.annotation


def _walrus_targets(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.NamedExpr) and isinstance(child.target, ast.Name):
            yield child.target.id
        if not isinstance(child, ast.Lambda):
            yield from _walrus_targets(child)
