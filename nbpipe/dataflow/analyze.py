"""Cell source → `CellFlow` (start here).

One walk over the syntax tree in the order of evaluation, writing down events. Names local to a
function, a comprehension or a lambda never leave the walk: they are followed to the globals and
parameters whose objects they stand for.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import symtable
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from nbpipe.dataflow import ipython_syntax as ipython
from nbpipe.dataflow import mutations as known
from nbpipe.dataflow.scopes import ScopeFinder, ScopeNode, is_class, is_global, module_table
from nbpipe.dataflow.statements import bound_names, dotted_path, statement
from nbpipe.model.flow import (
    Bind,
    Branch,
    Call,
    CellFlow,
    ClassFlow,
    Delete,
    Event,
    FunctionFlow,
    Join,
    Mutate,
    Names,
    Opaque,
    Origin,
    Statement,
    StarImport,
    Trouble,
    Use,
)
from nbpipe.model.names import Variable

_FRESH: Final = Origin()
_NO_NAMES: Final[Names] = frozenset()
_NAMESPACES: Final = frozenset({"globals", "locals", "vars", "dir"})


def analyze(source: str) -> CellFlow:
    """Say what a cell does. Code that Python cannot compile gives a trouble and no statements."""
    python = ipython.to_python(source)
    try:
        tree = ipython.parse(python)
        table = module_table(python)
    except SyntaxError as error:
        return CellFlow(statements=(), troubles=(_syntax_trouble(error),))
    walker = _Walker(table)
    lines = python.split("\n")
    statements: list[Statement] = []
    for node in tree.body:
        try:
            walker.statement(node)
        except RecursionError:
            trouble = SyntaxError("the code is nested too deeply")
            trouble.lineno = node.lineno
            return CellFlow(statements=(), troubles=(_syntax_trouble(trouble),))
        statements.append(statement(node, lines, tuple(walker.take()), walker.take_modules()))
    return CellFlow(statements=tuple(statements), troubles=tuple(walker.troubles))


def _syntax_trouble(error: SyntaxError) -> Trouble:
    return Trouble(
        code="NBP120",
        message=f"this cell is not valid Python: {error.msg}.",
        line=error.lineno or 1,
        help="Mend the cell, or tag it %%skip.",
    )


@dataclass
class _Scope:
    table: symtable.SymbolTable
    local: dict[str, Origin] = field(default_factory=dict)
    returns: list[Origin] = field(default_factory=list)
    nested: bool = False


class _Walker:
    """Walks one cell. `value` evaluates an expression: it writes events and gives the origin."""

    def __init__(self, table: symtable.SymbolTable) -> None:
        self.troubles: list[Trouble] = []
        self._events: list[Event] = []
        self._modules: list[str] = []
        self._scopes = [_Scope(table)]
        self._finder = ScopeFinder()
        self._branches = 0
        self._guards = 0
        self._deferred = 0
        self._given_to = ""
        self._line = 1

    def take(self) -> list[Event]:
        """Give the events since the last call."""
        events, self._events = self._events, []
        return events

    def take_modules(self) -> tuple[str, ...]:
        """Give the modules imported since the last call, by their top-level names."""
        modules, self._modules = self._modules, []
        return tuple(dict.fromkeys(modules))

    # ---- names and scopes ---------------------------------------------------------------------

    def _home(self, name: str) -> _Scope | None:
        """Give the function-like scope in which `name` is local; None for a global."""
        for depth, scope in enumerate(reversed(self._scopes)):
            if depth and is_class(scope.table):
                continue
            answer = is_global(scope.table, name)
            if answer is True:
                return None
            if answer is False:
                return scope
        return None

    def _use(self, name: str, *, called: bool = False) -> Origin:
        home = self._home(name)
        if home is not None:
            if is_class(home.table) and name not in home.local:
                # A class body reads the global until it has bound the name itself.
                self._add_use(name, called=called)
            return home.local.get(name, _FRESH)
        self._add_use(name, called=called)
        return Origin(shares=frozenset({Variable(name)}))

    def _add_use(self, name: str, *, called: bool) -> None:
        self._events.append(
            Use(
                name=Variable(name),
                line=self._line,
                guarded=self._guards > 0,
                deferred=self._deferred > 0,
                called=called,
            )
        )

    def _bind(
        self, name: str, origin: Origin, flow: FunctionFlow | ClassFlow | None = None
    ) -> None:
        home = self._home(name)
        if home is not None:
            before = home.local.get(name) if self._branches else None
            home.local[name] = _joined(before, origin) if before else origin
            return
        self._events.append(
            Bind(
                name=Variable(name),
                line=self._line,
                definite=not self._deferred,
                origin=origin,
                flow=flow,
            )
        )

    @contextmanager
    def _branch(self, certain: Iterable[str] = ()) -> Iterator[None]:
        """Walk code that may be skipped; `certain` names are bound whatever way is taken."""
        self._events.append(Branch(line=self._line))
        self._branches += 1
        try:
            yield
        finally:
            self._branches -= 1
            names = frozenset(Variable(name) for name in certain)
            self._events.append(Join(line=self._line, certain=names))

    # ---- statements ---------------------------------------------------------------------------

    def statements(self, nodes: Sequence[ast.stmt]) -> None:
        """Walk a block."""
        for node in nodes:
            self.statement(node)

    def statement(self, node: ast.stmt) -> None:
        """Walk one statement."""
        self._line = node.lineno
        handler = getattr(self, f"_do_{type(node).__name__.lower()}", None)
        if handler is not None:
            handler(node)
        else:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    self.value(child)
                elif isinstance(child, ast.stmt):
                    self.statement(child)

    def _do_expr(self, node: ast.Expr) -> None:
        call = node.value.value if isinstance(node.value, ast.Await) else node.value
        start = len(self._events)
        self.value(node.value)
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            return
        if any(isinstance(event, Mutate) for event in self._events[start:]):
            return
        method = call.func.attr
        if method in known.DRAWING_METHODS:
            if not _is_axes(call.func.value):
                return
        elif method in known.PURE_METHODS or method in known.VIEW_METHODS:
            return
        self._mutate(self._quietly(call.func.value), call.func.value, certain=False)

    def _do_assign(self, node: ast.Assign) -> None:
        first = node.targets[0]
        if len(node.targets) == 1 and self._defines_lambda(first, node.value):
            return
        if (
            len(node.targets) == 1
            and isinstance(first, ast.Tuple | ast.List)
            and isinstance(node.value, ast.Tuple | ast.List)
            and len(first.elts) == len(node.value.elts)
            and not any(isinstance(e, ast.Starred) for e in (*first.elts, *node.value.elts))
        ):
            origins = [self.value(element) for element in node.value.elts]
            for target, origin in zip(first.elts, origins, strict=True):
                self._assign(target, origin)
            return
        origin = self.value(node.value)
        for target in node.targets:
            self._assign(target, origin)
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if len(names) > 1 and self._home(names[0]) is None:
            # `a = b = []`: one object under several names.
            for name in names[1:]:
                self._bind(name, Origin(shares=frozenset({Variable(names[0])})))

    def _do_annassign(self, node: ast.AnnAssign) -> None:
        self.value(node.annotation)
        if node.value is not None:
            if not self._defines_lambda(node.target, node.value):
                self._assign(node.target, self.value(node.value))

    def _do_augassign(self, node: ast.AugAssign) -> None:
        added = self.value(node.value)
        if isinstance(node.target, ast.Name):
            origin = self._use(node.target.id)
            self._mutate(origin, node.target, adds=added.names)
        else:
            self._assign(node.target, added)

    def _do_delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._use(target.id)
                home = self._home(target.id)
                if home is not None:
                    home.local.pop(target.id, None)
                else:
                    self._events.append(
                        Delete(
                            name=Variable(target.id),
                            line=self._line,
                            definite=not self._deferred,
                        )
                    )
            else:
                self._assign(target, _FRESH)

    def _do_import(self, node: ast.Import) -> None:
        for alias in node.names:
            top = alias.name.split(".")[0]
            self._modules.append(top)
            self._bind(alias.asname or top, _FRESH)

    def _do_importfrom(self, node: ast.ImportFrom) -> None:
        module = "." * node.level + (node.module or "")
        self._modules.append(module.split(".")[0] or module)
        for alias in node.names:
            if alias.name == "*":
                self._events.append(StarImport(module=module, line=self._line))
            else:
                self._bind(alias.asname or alias.name, _FRESH)

    def _do_functiondef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            self.value(decorator)
        self._defaults(node.args)
        self._annotations(node)
        flow = self._function_flow(node)
        if self._home(node.name) is not None:
            self._inline(flow)
            self._scopes[-1].nested = True
        elif len(self._scopes) > 1:
            self._inline(flow)
        self._bind(node.name, _FRESH, flow)

    _do_asyncfunctiondef = _do_functiondef

    def _do_classdef(self, node: ast.ClassDef) -> None:
        for expression in (*node.decorator_list, *node.bases, *(k.value for k in node.keywords)):
            self.value(expression)
        methods: dict[str, FunctionFlow] = {}
        with self._scope(node):
            for item in node.body:
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
                    self._line = item.lineno
                    for decorator in item.decorator_list:
                        self.value(decorator)
                    self._defaults(item.args)
                    self._annotations(item)
                    methods[item.name] = self._function_flow(item)
                    self._scopes[-1].local[item.name] = _FRESH
                else:
                    self.statement(item)
        self._line = node.lineno
        if self._home(node.name) is not None or len(self._scopes) > 1:
            for flow in methods.values():
                self._inline(flow)
            self._scopes[-1].nested = True
        self._bind(node.name, _FRESH, ClassFlow(name=node.name, methods=methods))

    def _do_return(self, node: ast.Return) -> None:
        if node.value is not None:
            self._scopes[-1].returns.append(self.value(node.value))

    def _do_if(self, node: ast.If) -> None:
        self._condition(node.test)
        with self._branch(bound_names(node.body) & bound_names(node.orelse)):
            self.statements(node.body)
            self.statements(node.orelse)

    def _do_while(self, node: ast.While) -> None:
        self._condition(node.test)
        with self._branch():
            self.statements(node.body)
            self.statements(node.orelse)

    def _do_for(self, node: ast.For | ast.AsyncFor) -> None:
        element = self._iterate(node.iter)
        with self._branch():
            self._assign(node.target, element)
            self.statements(node.body)
            self.statements(node.orelse)

    _do_asyncfor = _do_for

    def _do_with(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            origin = self.value(item.context_expr)
            if item.optional_vars is not None:
                self._assign(item.optional_vars, origin)
        self.statements(node.body)

    _do_asyncwith = _do_with

    def _do_try(self, node: ast.Try) -> None:
        guarded = any(_catches_name_error(handler) for handler in node.handlers)
        ways = [bound_names([*node.body, *node.orelse])]
        ways += [bound_names(h.body) for h in node.handlers if not _leaves(h.body)]
        self._guards += guarded
        with self._branch(frozenset.intersection(*ways)):
            self.statements(node.body)
            self._guards -= guarded
            self.statements(node.orelse)
            for handler in node.handlers:
                self._line = handler.lineno
                if handler.type is not None:
                    self.value(handler.type)
                if handler.name:
                    self._bind(handler.name, _FRESH)
                self.statements(handler.body)
        self.statements(node.finalbody)

    _do_trystar = _do_try

    def _do_match(self, node: ast.Match) -> None:
        subject = self.value(node.subject)
        inside = Origin(part_of=subject.names)
        with self._branch():
            for case in node.cases:
                for pattern in ast.walk(case.pattern):
                    if isinstance(pattern, ast.MatchAs | ast.MatchStar) and pattern.name:
                        whole = pattern is case.pattern
                        self._bind(pattern.name, subject if whole else inside)
                    elif isinstance(pattern, ast.MatchMapping) and pattern.rest:
                        self._bind(pattern.rest, inside)
                    elif isinstance(pattern, ast.MatchValue):
                        self.value(pattern.value)
                    elif isinstance(pattern, ast.MatchClass):
                        self.value(pattern.cls)
                if case.guard is not None:
                    self.value(case.guard)
                self.statements(case.body)

    def _do_global(self, node: ast.Global) -> None:
        """Say nothing: `symtable` knows."""

    _do_nonlocal = _do_global

    # ---- functions ----------------------------------------------------------------------------

    @contextmanager
    def _scope(self, node: ScopeNode) -> Iterator[_Scope]:
        scope = _Scope(self._finder.enter(self._scopes[-1].table, node))
        self._scopes.append(scope)
        try:
            yield scope
        finally:
            self._scopes.pop()

    def _defaults(self, arguments: ast.arguments) -> None:
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self.value(default)

    def _annotations(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        arguments = node.args
        every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        for argument in (*every, arguments.vararg, arguments.kwarg):
            if argument is not None and argument.annotation is not None:
                self.value(argument.annotation)
        if node.returns is not None:
            self.value(node.returns)

    def _function_flow(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    ) -> FunctionFlow:
        """Walk a body in its own scope; its events are kept apart, for whoever calls it."""
        outer, self._events = self._events, []
        branches, self._branches = self._branches, 0
        deferred, self._deferred = self._deferred, 0
        guards, self._guards = self._guards, 0
        line = self._line
        arguments = node.args
        positional = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
        others = [a.arg for a in arguments.kwonlyargs]
        others += [a.arg for a in (arguments.vararg, arguments.kwarg) if a is not None]
        with self._scope(node) as scope:
            for name in (*positional, *others):
                scope.local[name] = Origin(shares=frozenset({Variable(f"<{name}>")}))
            if isinstance(node, ast.Lambda):
                scope.returns.append(self.value(node.body))
            else:
                self.statements(node.body)
        flow = FunctionFlow(
            name=getattr(node, "name", "<lambda>"),
            parameters=(*positional, *others),
            events=tuple(self._events),
            returns=_joined(*scope.returns),
            nested=scope.nested,
        )
        self._events, self._branches, self._deferred = outer, branches, deferred
        self._guards, self._line = guards, line
        return flow

    def _inline(self, flow: FunctionFlow) -> None:
        """Count what an inner function does as done, later, by the code around it."""
        for event in flow.events:
            if isinstance(event, Use):
                self._events.append(
                    Use(
                        name=event.name,
                        line=event.line,
                        guarded=event.guarded,
                        deferred=True,
                        given_to=self._given_to,
                    )
                )
            elif isinstance(event, Bind):
                self._events.append(
                    Bind(name=event.name, line=event.line, definite=False, origin=event.origin)
                )
            elif isinstance(event, Mutate) and event.name.startswith("<"):
                continue
            else:
                self._events.append(event)

    def _defines_lambda(self, target: ast.expr, value: ast.expr) -> bool:
        """`f = lambda x: …` at the top level defines a function, like `def`."""
        if len(self._scopes) > 1 or not (
            isinstance(target, ast.Name) and isinstance(value, ast.Lambda)
        ):
            return False
        self._defaults(value.args)
        self._bind(target.id, _FRESH, self._function_flow(value))
        return True

    # ---- expressions --------------------------------------------------------------------------

    def value(self, node: ast.expr) -> Origin:
        """Evaluate: write down the events, give what the object is connected with."""
        match node:
            case ast.Name(id=name):
                return self._use(name)
            case ast.Constant():
                return _FRESH
            case ast.Attribute(value=inner, attr=attribute):
                origin = self.value(inner)
                if attribute in known.VIEW_ATTRIBUTES:
                    return Origin(shares=origin.shares, part_of=origin.part_of, holds=origin.holds)
                return Origin(part_of=origin.names)
            case ast.Subscript(value=inner, slice=index):
                origin = self.value(inner)
                self.value(index)
                return _element(origin, index)
            case ast.Call():
                return self._call(node)
            case ast.NamedExpr(target=target, value=inner):
                origin = self.value(inner)
                self._assign(target, origin)
                return origin
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self.value(test)
                with self._branch():
                    return _joined(self.value(body), self.value(orelse))
            case ast.BoolOp(values=values):
                return _joined(*(self.value(v) for v in values))
            case ast.Starred(value=inner) | ast.Await(value=inner):
                return self.value(inner)
            case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
                return Origin(holds=_names(self.value(e) for e in elements))
            case ast.Dict(keys=keys, values=values):
                parts = [self.value(e) for e in (*keys, *values) if e is not None]
                return Origin(holds=_names(parts))
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehension(node)
            case ast.Lambda():
                self._defaults(node.args)
                self._inline(self._function_flow(node))
                self._scopes[-1].nested = True
                return _FRESH
            case ast.Compare():
                return self._compare(node)
            case _:
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self.value(child)
                return _FRESH

    def _quietly(self, node: ast.expr) -> Origin:
        """Give the origin of an expression whose events were already written."""
        events, self._events = self._events, []
        modules, troubles = list(self._modules), list(self.troubles)
        finder, self._finder = self._finder, ScopeFinder()
        try:
            return self.value(node)
        finally:
            self._events, self._finder = events, finder
            self._modules, self.troubles = modules, troubles

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
    ) -> Origin:
        first, *rest = node.generators
        element = self._iterate(first.iter)
        with self._scope(node), self._branch():
            self._assign(first.target, element)
            for test in first.ifs:
                self.value(test)
            for generator in rest:
                self._assign(generator.target, self._iterate(generator.iter))
                for test in generator.ifs:
                    self.value(test)
            if isinstance(node, ast.DictComp):
                made = [self.value(node.key), self.value(node.value)]
            else:
                made = [self.value(node.elt)]
        maker = "iter" if isinstance(node, ast.GeneratorExp) else ""
        return Origin(holds=_names(made), maker=maker)

    def _iterate(self, node: ast.expr) -> Origin:
        """Evaluate what a loop runs over, and give the origin of its elements."""
        origin = self.value(node)
        if origin.names:
            self._events.append(
                Call(function="iter", line=self._line, positional=(origin.names,))
            )
        return Origin(shares=origin.holds, part_of=origin.shares | origin.part_of)

    def _compare(self, node: ast.Compare) -> Origin:
        """`'x' in globals()` asks for one name, and lives with the answer no."""
        if len(node.ops) == 1 and isinstance(node.ops[0], ast.In | ast.NotIn):
            container = node.comparators[0]
            asked = node.left
            if (
                isinstance(asked, ast.Constant)
                and isinstance(asked.value, str)
                and isinstance(container, ast.Call)
                and isinstance(container.func, ast.Name)
                and container.func.id in _NAMESPACES
                and not container.args
            ):
                self._events.append(
                    Use(name=Variable(asked.value), line=self._line, guarded=True)
                )
                return _FRESH
        for child in (node.left, *node.comparators):
            self.value(child)
        return _FRESH

    def _condition(self, node: ast.expr) -> None:
        self.value(node)

    def _assign(self, target: ast.expr, origin: Origin) -> None:
        match target:
            case ast.Name(id=name):
                self._bind(name, origin)
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                inside = Origin(
                    shares=origin.holds, part_of=origin.shares | origin.part_of, calls=origin.calls
                )
                made_together = origin.maker.rsplit(".", 1)[-1] == "subplots"
                first = elements[0] if elements else None
                for element in elements:
                    self._assign(element, inside)
                    if (
                        made_together
                        and isinstance(element, ast.Name)
                        and isinstance(first, ast.Name)
                        and element is not first
                    ):
                        # Axes know their figure and the figure its axes.
                        self._bind(element.id, Origin(shares=frozenset({Variable(first.id)})))
            case ast.Starred(value=inner):
                self._assign(inner, origin)
            case ast.Attribute(value=container) | ast.Subscript(value=container):
                held = self.value(container)
                if isinstance(target, ast.Subscript):
                    self.value(target.slice)
                    if self._namespace_store(target):
                        return
                self._mutate(held, container, stores=True, adds=origin.names)
            case _:
                self.value(target)

    def _namespace_store(self, target: ast.Subscript) -> bool:
        """`globals()['x'] = …` assigns to x."""
        call = target.value
        if not (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and call.func.id in _NAMESPACES
        ):
            return False
        self._forget_opaque()
        if isinstance(target.slice, ast.Constant) and isinstance(target.slice.value, str):
            self._events.append(
                Bind(name=Variable(target.slice.value), line=self._line, definite=False)
            )
        else:
            self._events.append(Opaque(line=self._line, what=f"{call.func.id}()[…] = …"))
        return True

    def _forget_opaque(self) -> None:
        if self._events and isinstance(self._events[-1], Opaque):
            self._events.pop()

    def _mutate(
        self,
        origin: Origin,
        node: ast.expr,
        *,
        certain: bool = True,
        stores: bool = False,
        adds: Names = _NO_NAMES,
    ) -> None:
        inside = not isinstance(node, ast.Name)
        for names, deep in ((origin.shares, inside), (origin.part_of, True), (origin.holds, True)):
            for name in sorted(names):
                self._events.append(
                    Mutate(
                        name=name,
                        line=self._line,
                        deep=deep,
                        certain=certain,
                        stores=stores,
                        adds=adds,
                    )
                )

    # ---- calls --------------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> Origin:
        line = self._line
        self._line = node.lineno
        try:
            special = self._special_call(node)
            return special if special is not None else self._ordinary_call(node)
        finally:
            self._line = line

    def _ordinary_call(self, node: ast.Call) -> Origin:
        dotted = dotted_path(node.func)
        if dotted and self._home(dotted.split(".")[0]) is not None:
            dotted = ""
        method, receiver = "", _FRESH
        match node.func:
            case ast.Name(id=name):
                self._use(name, called=True)
            case ast.Attribute(value=inner, attr=method):
                receiver = self.value(inner)
            case other:
                self.value(other)
        outer = self._given_to
        keeps = method in known.MUTATING_METHODS or not method
        self._given_to = "" if keeps else _root(node.func)
        positional = [self.value(argument) for argument in node.args]
        keywords = [(k.arg or "", self.value(k.value)) for k in node.keywords]
        self._given_to = outer
        call = Call(
            function=dotted,
            line=self._line,
            method=method,
            receiver=receiver.names,
            positional=tuple(origin.names for origin in positional),
            keywords=tuple((name, origin.names) for name, origin in keywords),
        )
        self._events.append(call)
        self._known_changes(node, method, receiver, positional, keywords)
        return _call_origin(node, call, dotted, method, receiver, positional)

    def _known_changes(
        self,
        node: ast.Call,
        method: str,
        receiver: Origin,
        positional: Sequence[Origin],
        keywords: Sequence[tuple[str, Origin]],
    ) -> None:
        given = frozenset[Variable]().union(
            *(o.names for o in positional), *(o.names for _, o in keywords)
        )
        function = node.func
        if isinstance(function, ast.Attribute):
            torch_style = method.endswith("_") and not method.endswith("__") and len(method) > 1
            plots = isinstance(function.value, ast.Attribute) and function.value.attr == "plot"
            changes = method in known.MUTATING_METHODS and not plots
            if changes or torch_style or _is_inplace(node):
                stored = given if method in known.STORING_METHODS else _NO_NAMES
                self._mutate(receiver, function.value, adds=stored)
        name = method or (function.id if isinstance(function, ast.Name) else "")
        changes_first = name in known.MUTATING_FUNCTIONS or (
            name == "at" and isinstance(function, ast.Attribute)
        )
        if changes_first and positional:
            adds = frozenset[Variable]().union(*(o.names for o in positional[1:]))
            self._mutate(positional[0], node.args[0], adds=adds)
        for keyword, (name, origin) in zip(node.keywords, keywords, strict=True):
            if name == "out":
                self._mutate(origin, keyword.value)
                if isinstance(keyword.value, ast.Tuple):
                    for element in keyword.value.elts:
                        self._mutate(self._quietly(element), element)

    def _special_call(self, node: ast.Call) -> Origin | None:
        """Calls that run other code, or that see the namespace as a whole."""
        match node.func:
            case ast.Name(id=name) if self._home(name) is None:
                if name in ("exec", "eval") and node.args:
                    return self._run_text(node, name)
                if name in _NAMESPACES and not node.args:
                    self._events.append(
                        Opaque(line=self._line, what=f"{name}()", writes=name == "globals")
                    )
                    return _FRESH
            case ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=method):
                return self._ipython_call(node, method)
        if (
            isinstance(node.func, ast.Attribute)
            and node.func.attr in ("get", "pop", "__getitem__")
            and isinstance(node.func.value, ast.Call)
            and isinstance(node.func.value.func, ast.Name)
            and node.func.value.func.id in ("globals", "locals", "vars")
            and node.args
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, str)
        ):
            name = node.args[0].value
            self._events.append(Use(name=Variable(name), line=self._line, guarded=True))
            if node.func.attr == "pop":
                self._events.append(
                    Delete(name=Variable(name), line=self._line, definite=False)
                )
            return Origin(shares=frozenset({Variable(name)}))
        return None

    def _run_text(self, node: ast.Call, function: str) -> Origin | None:
        """`exec` and `eval` of a literal are that code; of anything else, anything at all."""
        if len(node.args) > 1 or node.keywords:
            return None  # with a namespace of its own: an ordinary call
        text = node.args[0]
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            self._run_python(text.value)
        else:
            self.value(text)
            self._events.append(Opaque(line=self._line, what=f"{function}()"))
        return _FRESH

    def _run_python(self, source: str, *, own_names: bool = False) -> None:
        """Walk Python that stands in a string. `own_names`: its bindings stay inside it."""
        try:
            python = ipython.to_python(source)
            tree = ipython.parse(python.strip("\n") if python.startswith(" ") else python)
            inner = _Walker(module_table(python))
        except SyntaxError as error:
            self.troubles.append(
                Trouble(
                    code="NBP120",
                    message=f"this line holds code that is not valid Python: {error.msg}.",
                    line=self._line,
                    help="Mend the line.",
                )
            )
            return
        inner.statements(tree.body)
        self._modules += inner.take_modules()
        events = inner.take()
        bound = {e.name for e in events if isinstance(e, Bind)} if own_names else set()
        offset = self._line - 1
        for event in events:
            if getattr(event, "name", None) in bound:
                continue
            self._events.append(dataclasses.replace(event, line=event.line + offset))

    # ---- magics -------------------------------------------------------------------------------

    def _ipython_call(self, node: ast.Call, method: str) -> Origin | None:
        texts = [a.value if isinstance(a, ast.Constant) else None for a in node.args]
        match method, texts:
            case "run_line_magic", [str(name), str(rest), *_]:
                self._line_magic(name, rest)
            case "run_cell_magic", [str(name), str(rest), str(body)]:
                self._cell_magic(name, rest, body)
            case ("system" | "getoutput" | "getoutput_pipe"), [str(command), *_]:
                self._interpolated(command)
            case _:
                return None
        return _FRESH

    def _line_magic(self, name: str, rest: str) -> None:
        if name in ipython.PYTHON_LINE_MAGICS:
            self._run_python(_without_options(name, rest), own_names=name == "timeit")
        elif name in ("pinfo", "pinfo2"):
            self._interpolated("{" + rest.split(".")[0].split("[")[0] + "}")
        elif name == "pylab":
            self._events.append(StarImport(module="pylab", line=self._line))
        elif name in ("run", "reset", "reset_selective", "xdel", "load", "store", "px"):
            self._events.append(Opaque(line=self._line, what=f"%{name}"))
        elif name in ("system", "sx", "sc", "env", "set_env", "cd"):
            self._interpolated(rest)
        elif name not in ipython.HARMLESS_MAGICS:
            self._unknown(f"%{name}")

    def _cell_magic(self, name: str, rest: str, body: str) -> None:
        if name in ipython.PYTHON_CELL_MAGICS:
            if name == "capture":
                words = [word for word in rest.split() if not word.startswith("-")]
                if words and words[0].isidentifier():
                    self._bind(words[0], _FRESH)
            elif name == "timeit":
                # The rest of the line is setup for the body, in one scope of their own.
                body = f"{_without_options(name, rest)}\n{body}"
                self._run_python(body, own_names=True)
                return
            self._line += 1
            self._run_python(body)
        elif name in ipython.FOREIGN_CELL_MAGICS:
            self._interpolated(rest)
            for option in ("out", "err"):
                match = re.search(rf"--{option}[ =](\w+)", rest)
                if match:
                    self._bind(match[1], _FRESH)
            if name in ("!", "sx", "system"):
                self._interpolated(body)
        else:
            self._unknown(f"%%{name}")

    def _unknown(self, magic: str) -> None:
        self.troubles.append(
            Trouble(
                code="NBP213",
                message=f"{magic} is not known here; it is taken to read and change any variable.",
                line=self._line,
                help="If it does not, put it in a cell of its own and tag that %%skip.",
            )
        )
        self._events.append(Opaque(line=self._line, what=magic))

    def _interpolated(self, command: str) -> None:
        """Read the names in `{…}` and `$name`, as IPython fills them in."""
        names = re.findall(r"\$([A-Za-z_]\w*)", command)
        for text in re.findall(r"\{([^{}]+)\}", command):
            try:
                tree = ast.parse(text.strip(), mode="eval")
            except (SyntaxError, ValueError):
                continue
            names += [n.id for n in ast.walk(tree) if isinstance(n, ast.Name)]
        for name in names:
            self._events.append(Use(name=Variable(name), line=self._line, guarded=True))


# ---- small pure pieces ------------------------------------------------------------------------


def _names(origins: Iterable[Origin]) -> Names:
    return frozenset[Variable]().union(*(origin.names for origin in origins))


def _joined(*origins: Origin) -> Origin:
    if len(origins) == 1:
        return origins[0]
    return Origin(
        shares=frozenset[Variable]().union(*(o.shares for o in origins)),
        part_of=frozenset[Variable]().union(*(o.part_of for o in origins)),
        holds=frozenset[Variable]().union(*(o.holds for o in origins)),
        calls=tuple(call for o in origins for call in o.calls),
        maker=next((o.maker for o in origins if o.maker), ""),
    )


def _element(origin: Origin, index: ast.expr) -> Origin:
    """Say what `value[index]` is connected with.

    A list or a mask makes a copy in every array library; a string key takes a part out; anything
    else may be a view of the whole.
    """
    match index:
        case ast.List() | ast.Compare() | ast.BinOp(op=ast.BitAnd() | ast.BitOr()):
            return Origin(holds=origin.holds)
        case ast.UnaryOp(op=ast.Invert()):
            return Origin(holds=origin.holds)
        case ast.Constant(value=str()):
            return Origin(part_of=origin.names)
        case ast.Tuple(elts=elements) if any(
            isinstance(e, ast.List | ast.Compare) for e in elements
        ):
            return _FRESH
        case _:
            return Origin(
                shares=origin.shares | origin.holds,
                part_of=origin.part_of | origin.shares,
                holds=origin.holds,
            )


def _call_origin(
    node: ast.Call,
    call: Call,
    dotted: str,
    method: str,
    receiver: Origin,
    positional: Sequence[Origin],
) -> Origin:
    name = method or dotted
    if method in known.FLUENT_METHODS:
        return Origin(shares=receiver.shares, part_of=receiver.part_of, calls=(call,))
    if method in known.VIEW_METHODS and receiver.names:
        return Origin(shares=receiver.shares, part_of=receiver.part_of, holds=receiver.holds,
                      calls=(call,), maker=dotted)  # fmt: skip
    if method in known.VIEW_FUNCTIONS and positional:
        return Origin(shares=positional[0].shares, part_of=positional[0].part_of)
    if isinstance(node.func, ast.Name) and name in known.COLLECTING_FUNCTIONS:
        return Origin(holds=_names(positional), calls=(call,), maker=name)
    maker = dotted or method
    return Origin(calls=(call,), maker=maker)


def _is_axes(node: ast.expr) -> bool:
    """`df.plot()` leaves df alone, `ax.plot(x)` draws on ax: only the name can tell."""
    return re.match(r"_?(?:ax|fig)", _root(node)) is not None


def _root(node: ast.expr) -> str:
    """Give the name that `a.b[0].c().d` starts with; empty when it starts with none."""
    while True:
        match node:
            case ast.Attribute(value=inner) | ast.Subscript(value=inner) | ast.Call(func=inner):
                node = inner
            case ast.Name(id=name):
                return name
            case _:
                return ""


def _is_inplace(node: ast.Call) -> bool:
    return any(
        keyword.arg == "inplace"
        and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
        for keyword in node.keywords
    )


def _catches_name_error(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    names = {n.id for n in ast.walk(handler.type) if isinstance(n, ast.Name)}
    return bool(names & {"NameError", "Exception", "BaseException"})


def _leaves(body: Sequence[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Raise | ast.Return | ast.Continue | ast.Break)


def _without_options(magic: str, rest: str) -> str:
    """Drop the options before the code of `%timeit -n 10 …`, `%prun -s cumulative …`."""
    takes_value = ipython.OPTIONS_WITH_VALUES.get(magic, "")
    while match := re.match(r"\s*-([a-zA-Z])(\S*)(\s+|\Z)", rest):
        rest = rest[match.end() :]
        if match[1] in takes_value and not match[2]:
            rest = re.sub(r"\A\s*\S+\s*", "", rest)
    return re.sub(r"\A(?:\s*--[\w-]+\s+)*", "", rest).strip()
