"""Plain Python → what it does to names: a walk in the order of evaluation."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from typing import Final

from nbpipe.dataflow.ipython_syntax import parse
from nbpipe.exporters.scripting.magics import TIMED
from nbpipe.exporters.scripting.names import NameFacts
from nbpipe.exporters.scripting.scopes import Comprehension, Scope, ScopeNode, scope_of

# Calls that see the namespace as a whole, or run code in it.
_NAMESPACE_CALLS: Final = frozenset({"globals", "locals", "vars", "dir", "exec", "eval"})
_FRAME_LOOKERS: Final = frozenset({"_getframe", "currentframe", "__main__"})
# Methods that look up names in a text in the frame of their caller.
_TEXT_READERS: Final = frozenset(
    """query eval sql execute evaluate from_formula ols gls wls glm rlm logit probit poisson mixedlm
    quantreg phreg dmatrix dmatrices""".split()
)
_SUPPRESSING: Final = frozenset({"suppress", "raises", "assertRaises"})


def name_facts(text: str) -> NameFacts:
    """Look at a piece of plain Python."""
    walker = _Walker()
    walker.block(parse(text).body)
    walker.facts.definite = walker.definite
    return walker.facts


class _Walker:
    """Walks in the order of evaluation; `definite` is what is bound for sure at the place."""

    def __init__(self) -> None:
        self.facts = NameFacts()
        self.definite: set[str] = set()

    def block(self, nodes: Sequence[ast.stmt]) -> bool:
        """Walk a block; say whether its end can be reached."""
        for node in nodes:
            self._statement(node)
        return not (nodes and isinstance(nodes[-1], ast.Raise | ast.Continue | ast.Break))

    # ---- statements ---------------------------------------------------------------------------

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                self._value(value)
                for target in targets:
                    self._target(target)
            case ast.AnnAssign(target=target, annotation=annotation, value=value):
                self._value(annotation)
                if value is not None:
                    self._value(value)
                    self._target(target)
            case ast.AugAssign(target=target, value=value):
                if isinstance(target, ast.Name):
                    self._read(target.id)
                self._value(value)
                self._target(target)
            case ast.For() | ast.AsyncFor():
                self.facts.awaits |= isinstance(node, ast.AsyncFor)
                self._value(node.iter)
                self._loop(node.body, node.orelse, node.target)
            case ast.While(test=test, body=body, orelse=orelse):
                self._value(test)
                self._loop(body, orelse, None)
            case ast.If(test=test, body=body, orelse=orelse):
                self._value(test)
                self._ways([body, orelse])
            case ast.With() | ast.AsyncWith():
                self._with(node)
            case ast.Try() | ast.TryStar():
                self._try(node)
            case ast.Match(subject=subject, cases=cases):
                self._value(subject)
                self._match(cases)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._function(node)
            case ast.ClassDef():
                self._class(node)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                for alias in aliases:
                    self.facts.sees_all |= alias.name in _FRAME_LOOKERS
                    if alias.name != "*":
                        self._bind(alias.asname or alias.name.split(".")[0])
            case ast.Delete(targets=targets):
                for target in targets:
                    self._delete(target)
            case ast.Global(names=names):
                self.facts.declared.update(names)
            case _ if type(node).__name__ == "TypeAlias":  # Python 3.12 and later.
                own, *others = (n.id for n in ast.walk(node) if isinstance(n, ast.Name))
                self.facts.reached.update(others)
                self._bind(own)
            case _:
                for child in ast.iter_child_nodes(node):
                    self._any(child)

    def _any(self, node: ast.AST) -> None:
        if isinstance(node, ast.expr):
            self._value(node)
        elif isinstance(node, ast.stmt):
            self._statement(node)

    def _loop(
        self, body: Sequence[ast.stmt], orelse: Sequence[ast.stmt], target: ast.expr | None
    ) -> None:
        before = set(self.definite)
        if target is not None:
            self._target(target)
        self.block(body)
        self.definite = set(before)
        self.block(orelse)
        self.definite = before

    def _ways(self, blocks: Sequence[Sequence[ast.stmt]]) -> None:
        """Walk blocks of which one is taken: sure is what all ends that are reached are sure of."""
        before = self.definite
        ends: list[set[str]] = []
        for block in blocks:
            self.definite = set(before)
            if self.block(block):
                ends.append(self.definite)
        self.definite = set.intersection(*ends) if ends else before

    def _with(self, node: ast.With | ast.AsyncWith) -> None:
        self.facts.awaits |= isinstance(node, ast.AsyncWith)
        before = set(self.definite)
        for item in node.items:
            self._value(item.context_expr)
            if item.optional_vars is not None:
                self._target(item.optional_vars)
        self.block(node.body)
        if any(_last_name(item.context_expr) in _SUPPRESSING for item in node.items):
            self.definite = before

    def _try(self, node: ast.Try | ast.TryStar) -> None:
        before = set(self.definite)
        ends: list[set[str]] = []
        if self.block(node.body) and self.block(node.orelse):
            ends.append(self.definite)
        for handler in node.handlers:
            self.definite = set(before)
            if handler.type is not None:
                self._value(handler.type)
            if handler.name:
                self._bind(handler.name)
            if self.block(handler.body):
                ends.append(self.definite - {handler.name or ""})
        self.definite = set(before)
        self.block(node.finalbody)
        last = self.definite - before
        self.definite = (set.intersection(*ends) if ends else before) | last

    def _match(self, cases: Sequence[ast.match_case]) -> None:
        before = set(self.definite)
        for case in cases:
            self.definite = set(before)
            for pattern in ast.walk(case.pattern):
                if isinstance(pattern, ast.MatchAs | ast.MatchStar) and pattern.name:
                    self._bind(pattern.name)
                elif isinstance(pattern, ast.MatchMapping) and pattern.rest:
                    self._bind(pattern.rest)
                elif isinstance(pattern, ast.MatchValue):
                    self._value(pattern.value)
                elif isinstance(pattern, ast.MatchClass):
                    self._value(pattern.cls)
            if case.guard is not None:
                self._value(case.guard)
            self.block(case.body)
        self.definite = before

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            self._value(decorator)
        self._signature(node.args)
        if node.returns is not None:
            self._value(node.returns)
        scope = scope_of(node)
        self._look_into(node)
        if node.name == TIMED:
            # It is called where it stands, and nowhere else.
            for name in sorted(scope.free):
                self._read(name)
            self.definite.add(TIMED)
            return
        self._reach(scope)
        self.facts.defined.add(node.name)
        self._bind(node.name)

    def _class(self, node: ast.ClassDef) -> None:
        for value in (*node.decorator_list, *node.bases, *(k.value for k in node.keywords)):
            self._value(value)
        scope = scope_of(node)
        self._reach(scope)
        for name in sorted(scope.free):
            self._read(name)
        self._look_into(node)
        self.facts.defined.add(node.name)
        self._bind(node.name)

    def _reach(self, scope: Scope) -> None:
        self.facts.reached |= scope.free
        self.facts.rebound |= scope.rebound

    def _delete(self, target: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._read(target.id)
            self.facts.deleted.add(target.id)
        elif isinstance(target, ast.Tuple | ast.List):
            for element in target.elts:
                self._delete(element)
        else:
            self._target(target)

    # ---- expressions --------------------------------------------------------------------------

    def _value(self, node: ast.expr) -> None:
        match node:
            case ast.Name(id=name):
                self._read(name)
                self.facts.sees_all |= name in _FRAME_LOOKERS
            case ast.NamedExpr(target=target, value=value):
                self._value(value)
                self._target(target)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self._value(test)
                self._unsure([body])
                self._unsure([orelse])
            case ast.BoolOp(values=[first, *rest]):
                self._value(first)
                self._unsure(rest)
            case ast.Lambda(args=arguments):
                self._signature(arguments)
                self._enclose(node)
                self._look_into(node)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                self._comprehension(node)
            case ast.Await(value=value):
                self.facts.awaits = True
                self._value(value)
            case ast.Call():
                self._call(node)
            case ast.Attribute(value=value, attr=attribute):
                self._value(value)
                self.facts.sees_all |= attribute in _FRAME_LOOKERS
            case ast.Subscript(slice=ast.Constant(value="__main__")):
                self.facts.sees_all = True
            case _:
                for child in ast.iter_child_nodes(node):
                    self._any(child)

    def _unsure(self, nodes: Sequence[ast.expr]) -> None:
        before = set(self.definite)
        for node in nodes:
            self._value(node)
        self.definite = before

    def _call(self, node: ast.Call) -> None:
        name = _last_name(node.func)
        if isinstance(node.func, ast.Name) and _sees_namespace(node, name):
            self.facts.sees_all = True
        if name in _TEXT_READERS:
            for text in _texts_in(node):
                self.facts.reached.update(re.findall(r"[^\W\d]\w*", text))
        self._value(node.func)
        for argument in node.args:
            self._value(argument)
        for keyword in node.keywords:
            self._value(keyword.value)

    def _comprehension(self, node: Comprehension) -> None:
        self._value(node.generators[0].iter)
        if isinstance(node, ast.GeneratorExp):
            self._enclose(node)
        else:
            scope = scope_of(node)
            for name in sorted(scope.free):
                self._read(name)
            for inner in scope.functions:
                self.facts.enclosed |= inner.free
        self.facts.awaits |= any(generator.is_async for generator in node.generators)
        self._look_into(node)

    def _enclose(self, node: ScopeNode) -> None:
        names = scope_of(node).free
        self.facts.enclosed |= names
        for name in sorted(names):
            self._read(name)

    def _look_into(self, node: ast.AST) -> None:
        """Note what counts in nested scopes, too: looks at the namespace, `:=` of outer names."""
        in_comprehension = isinstance(
            node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
        )
        for inner in ast.walk(node):
            match inner:
                case ast.FunctionDef(name="__del__"):
                    # The end of an object has an effect: nothing may end before the notebook does.
                    self.facts.sees_all = True
                case ast.NamedExpr(target=ast.Name(id=name)) if in_comprehension:
                    self.facts.bound.add(name)
                case ast.Await() if in_comprehension:
                    self.facts.awaits = True
                case ast.Call(func=ast.Name(id=name)) if _sees_namespace(inner, name):
                    self.facts.sees_all = True
                case ast.Call(func=function) if _last_name(function) in _TEXT_READERS:
                    for text in _texts_in(inner):
                        self.facts.reached.update(re.findall(r"[^\W\d]\w*", text))
                case ast.Name(id=name) | ast.Attribute(attr=name) if name in _FRAME_LOOKERS:
                    self.facts.sees_all = True
                case _:
                    pass

    def _signature(self, arguments: ast.arguments) -> None:
        for value in (*arguments.defaults, *arguments.kw_defaults):
            if value is not None:
                self._value(value)
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
        for argument in every:
            if argument.annotation is not None:
                self._value(argument.annotation)

    # ---- names --------------------------------------------------------------------------------

    def _target(self, target: ast.expr) -> None:
        match target:
            case ast.Name(id=name):
                self._bind(name)
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                for element in elements:
                    self._target(element)
            case ast.Starred(value=inner):
                self._target(inner)
            case _:
                self._value(target)

    def _read(self, name: str) -> None:
        if name not in self.definite:
            self.facts.needs.add(name)
            if name not in self.facts.bound:
                self.facts.early.add(name)

    def _bind(self, name: str) -> None:
        self.definite.add(name)
        self.facts.bound.add(name)


def _last_name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=function):
            return _last_name(function)
        case _:
            return ""


def _sees_namespace(call: ast.Call, name: str) -> bool:
    if name not in _NAMESPACE_CALLS:
        return False
    given = len(call.args) + len(call.keywords)
    return given == (1 if name in ("exec", "eval") else 0)


def _texts_in(call: ast.Call) -> Iterator[str]:
    for part in (*call.args, *call.keywords):
        for node in ast.walk(part):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
