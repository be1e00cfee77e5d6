"""Expressions: the events of evaluating one, in order, and what its object is connected with.

Targets of assignments stand here too: they are expressions, evaluated the other way round.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Callable
from typing import Final, TypeAlias

from nbpipe.dataflow.mutations import COPYING_ATTRIBUTES, GENERATOR, PASSED_METHODS
from nbpipe.dataflow.origins import (
    FRESH,
    NO_NAMES,
    joined,
    kept_in,
    main_module,
    names_asked_for,
    names_of,
    namespace_function,
    origin_of_attribute,
    origin_of_display,
    origin_of_element,
    origin_of_name,
    origin_of_subscript,
    origin_of_unpacked,
    other_module,
    root_of,
    very_objects,
    whole_namespace,
)
from nbpipe.dataflow.recorder import Recorder
from nbpipe.dataflow.walk_calls import CallWalker
from nbpipe.dataflow.walk_magics import MagicWalker
from nbpipe.model.flow import Bind, Call, Origin
from nbpipe.model.names import Variable

_COMPREHENDED: Final = {
    ast.ListComp: "list",
    ast.SetComp: "set",
    ast.DictComp: "dict",
    ast.GeneratorExp: GENERATOR,
}
_Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


class ExpressionWalker:
    """Walks expressions; `walk` is what walks Python that stands in a string."""

    def __init__(self, record: Recorder, *, walk: Callable[[str], Recorder]) -> None:
        self._record = record
        self._calls = CallWalker(record, value=self.value, magics=MagicWalker(record, walk=walk))

    def value(self, node: ast.expr) -> Origin:
        """Evaluate: write down the events, give what the object is connected with."""
        match node:
            case ast.Name(id=name) if name != "__main__":
                return self._record.use(name)
            case ast.Constant():
                return FRESH
            case ast.Attribute(value=inner, attr=attribute) if (
                main_module(inner) and attribute != "__dict__"
            ):
                self._record.use(root_of(inner))
                self._record.ask(attribute)
                return origin_of_name(attribute)
            case ast.Subscript() | ast.Call() if other_module(node):
                self._record.use("sys")
                return FRESH
            case ast.Name() | ast.Subscript() | ast.Attribute() | ast.Call() if whole_namespace(
                node
            ):
                self._record.use(root_of(node))
                self._record.opaque(whole_namespace(node))
                return FRESH
            case ast.Attribute(value=inner, attr=attribute):
                whole = self.value(inner)
                if attribute in PASSED_METHODS:
                    self._record.mutate(whole, inner)
                return origin_of_attribute(whole, attribute)
            case ast.Subscript(value=inner, slice=index):
                origin = self.value(inner)
                self.value(index)
                return origin_of_subscript(origin, index)
            case ast.Call():
                return self._calls.call(node)
            case ast.NamedExpr(target=target, value=inner):
                origin = self.value(inner)
                self.assign(target, origin)
                return origin
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self.value(test)
                there, missing = names_asked_for(test)
                with self._record.branch():
                    with self._record.assured(there):
                        one = self.value(body)
                    with self._record.assured(missing):
                        other = self.value(orelse)
                return joined(one, other)
            case ast.BoolOp(values=values):
                return joined(*[self.value(v) for v in values])
            case ast.Await(value=inner):
                return self.value(inner)
            case ast.Yield() | ast.YieldFrom():
                self._record.scope.yields = True
                if node.value is not None:
                    self.value(node.value)
                return FRESH
            case ast.BinOp(left=left, right=right):
                parts = [self.value(left), self.value(right)]
                return Origin(keeps=kept_in(parts))
            case ast.Starred(value=inner):
                return origin_of_unpacked(self.value(inner))
            case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
                maker = type(node).__name__.lower()
                return origin_of_display([self.value(e) for e in elements], maker)
            case ast.Dict(keys=keys, values=values):
                named = [self.value(e) for e in keys if e is not None]
                parts = [
                    self.value(value) if key is not None else origin_of_unpacked(self.value(value))
                    for key, value in zip(keys, values, strict=True)
                ]
                return origin_of_display([*named, *parts], "dict")
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehension(node)
            case ast.Lambda(args=arguments, body=body):
                self.defaults(arguments)
                with self._record.function(node) as scope:
                    scope.returns.append(self.value(body))
                self._record.inline(scope.flow(node))
                self._record.scope.nested = True
                return FRESH
            case ast.Compare():
                return self._compare(node)
            case _:
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self.value(child)
                return FRESH

    def discarded(self, node: ast.expr) -> None:
        """Evaluate an expression whose result is thrown away."""
        mark = self._record.mark()
        self.value(node)
        call = node.value if isinstance(node, ast.Await) else node
        if isinstance(call, ast.Call) and not self._record.changes_since(mark):
            self._calls.guess_change(call)

    def iterate(self, node: ast.expr) -> Origin:
        """Evaluate what a loop runs over, and give the origin of its elements."""
        origin = self.value(node)
        if origin.names:
            self._record.note(
                Call(function="iter", line=self._record.line, positional=(origin.names,))
            )
        return origin_of_element(origin)

    def defaults(self, arguments: ast.arguments) -> None:
        """Evaluate the default values of parameters."""
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self.value(default)

    def assign(self, target: ast.expr, origin: Origin) -> None:
        """Assign an object of this origin."""
        match target:
            case ast.Name(id=name):
                self._record.bind(name, origin)
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                self._unpack(elements, origin)
            case ast.Starred(value=inner):
                self.assign(inner, origin)
            case ast.Attribute(value=container, attr=attribute) if main_module(container):
                self._record.use(root_of(container))
                self._record.note(
                    Bind(name=Variable(attribute), line=self._record.line, definite=False)
                )
            case ast.Attribute(value=container, attr=attribute):
                self._record.mutate(
                    self.value(container),
                    container,
                    stores=True,
                    adds=origin.names,
                    keeps=NO_NAMES if attribute in COPYING_ATTRIBUTES else very_objects([origin]),
                )
            case ast.Subscript() if other_module(target):
                self._record.use("sys")
            case ast.Subscript(value=container, slice=index):
                held = self.value(container)
                self.value(index)
                namespace = namespace_function(container)
                if namespace:
                    self._assign_in(namespace, index)
                else:
                    self._record.mutate(
                        held,
                        container,
                        stores=True,
                        adds=origin.names,
                        puts=NO_NAMES if isinstance(index, ast.Slice) else very_objects([origin]),
                    )
            case _:
                self.value(target)

    def _unpack(self, elements: list[ast.expr], origin: Origin) -> None:
        inside = origin_of_element(origin, origin.calls)
        maker = origin.maker.rsplit(".", 1)[-1]
        made_together = maker in ("subplots", "tee")
        if maker == "tee":
            inside = dataclasses.replace(inside, maker=maker)
        for element in elements:
            self.assign(element, inside)
            match elements[0], element:
                case ast.Name(id=first), ast.Name(id=name) if (
                    made_together and element is not elements[0]
                ):
                    # Axes know their figure and the figure its axes; tees share what one has read.
                    self._record.bind(name, origin_of_name(first))

    def _assign_in(self, namespace: str, index: ast.expr) -> None:
        """`globals()['x'] = …` assigns to x."""
        self._record.take_back_opaque()
        match index:
            case ast.Constant(value=str(name)):
                self._record.note(Bind(name=Variable(name), line=self._record.line, definite=False))
            case _:
                self._record.opaque(f"{namespace}()[…] = …")

    def _comprehension(self, node: _Comprehension) -> Origin:
        first, *rest = node.generators
        element = self.iterate(first.iter)
        with self._record.inside(node), self._record.branch():
            self.assign(first.target, element)
            for test in first.ifs:
                self.value(test)
            for generator in rest:
                self.assign(generator.target, self.iterate(generator.iter))
                for test in generator.ifs:
                    self.value(test)
            results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            made = [self.value(result) for result in results]
        maker = _COMPREHENDED[type(node)]
        return Origin(holds=names_of(made), keeps=very_objects(made), maker=maker)

    def _compare(self, node: ast.Compare) -> Origin:
        match node:
            case ast.Compare(
                left=ast.Constant(value=str(name)),
                ops=[ast.In() | ast.NotIn()],
                comparators=[ast.Call(args=[]) as container],
            ) if namespace_function(container):
                # `'x' in globals()` asks for one name, and lives with the answer no.
                self._record.ask(name)
            case ast.Compare(
                left=left, ops=[ast.In() | ast.NotIn()], comparators=[ast.Attribute() as container]
            ) if whole_namespace(container) == "sys.modules":
                self.value(left)
                self._record.use("sys")
            case _:
                for child in (node.left, *node.comparators):
                    self.value(child)
        return FRESH
