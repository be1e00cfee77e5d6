"""Statements: which blocks may be skipped, what is bound, and what functions and classes are."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from nbpipe.dataflow.class_state import keeps_state, shared_attributes
from nbpipe.dataflow.ipython_syntax import parse
from nbpipe.dataflow.origins import FRESH, names_asked_for, origin_of_name
from nbpipe.dataflow.recorder import Recorder
from nbpipe.dataflow.scopes import module_table
from nbpipe.dataflow.statements import bound_names, dotted_path, may_end_early
from nbpipe.dataflow.walk_expressions import ExpressionWalker
from nbpipe.model.flow import Call, ClassFlow, FunctionFlow, Origin


def walk_text(python: str) -> Recorder:
    """Walk Python from its text, and give what that wrote down.

    Raises:
        SyntaxError: for what Python cannot compile.
    """
    tree = parse(python)
    record = Recorder(module_table(python))
    StatementWalker(record).block(tree.body)
    return record


class StatementWalker:
    """Walks statements of one cell."""

    def __init__(self, record: Recorder) -> None:
        self._record = record
        self._expressions = ExpressionWalker(record, walk=walk_text)

    def block(self, nodes: Sequence[ast.stmt]) -> None:
        """Walk statements one after the other."""
        for node in nodes:
            self.statement(node)

    def statement(self, node: ast.stmt) -> None:
        """Walk one statement: write down its events, in the order of evaluation."""
        self._record.line = node.lineno
        match node:
            case ast.Expr(value=value):
                self._expressions.discarded(value)
            case ast.Assign():
                self._assign(node)
            case ast.AnnAssign():
                self._assign_annotated(node)
            case ast.AugAssign():
                self._assign_augmented(node)
            case ast.Delete(targets=targets):
                for target in targets:
                    self._delete(target)
            case ast.Import() | ast.ImportFrom():
                self._import(node)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._define_function(node)
            case ast.ClassDef():
                self._define_class(node)
            case ast.Return(value=ast.expr() as value):
                self._record.scope.returns.append(self._expressions.value(value))
            case ast.If(test=test):
                self._expressions.value(test)
                there, missing = names_asked_for(test)
                with self._record.branch(), self._record.assured(there):
                    self.block(node.body)
                if node.orelse:
                    # A way of its own: what the body binds is not bound here.
                    certain = bound_names(node.body) & bound_names(node.orelse)
                    with self._record.branch(certain), self._record.assured(missing):
                        self.block(node.orelse)
            case ast.While(test=test):
                self._expressions.value(test)
                with self._record.branch():
                    self.block(node.body)
                    self.block(node.orelse)
            case ast.For() | ast.AsyncFor():
                element = self._expressions.iterate(node.iter)
                with self._record.branch():
                    self._expressions.assign(node.target, element)
                    self.block(node.body)
                    self.block(node.orelse)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    origin = self._expressions.value(item.context_expr)
                    if item.optional_vars is not None:
                        self._expressions.assign(item.optional_vars, origin)
                if may_end_early(node.items):
                    with self._record.branch():
                        self.block(node.body)
                else:
                    self.block(node.body)
            case ast.Try() | ast.TryStar():
                self._try(node)
            case ast.Match():
                self._match(node)
            case _:
                # Raise and assert read; pass, break and global do nothing (`symtable` knows).
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self._expressions.value(child)

    # Assignments.

    def _assign(self, node: ast.Assign) -> None:
        match node:
            case ast.Assign(targets=[target], value=value) if self._defines_lambda(target, value):
                return
            case ast.Assign(
                targets=[ast.Tuple(elts=targets) | ast.List(elts=targets)],
                value=ast.Tuple(elts=values) | ast.List(elts=values),
            ) if len(targets) == len(values) and not any(
                isinstance(e, ast.Starred) for e in (*targets, *values)
            ):
                origins = [self._expressions.value(value) for value in values]
                for target, origin in zip(targets, origins, strict=True):
                    self._expressions.assign(target, origin)
                return
            case _:
                pass
        origin = self._expressions.value(node.value)
        self._record.change_inside(node.value)
        for target in node.targets:
            self._expressions.assign(target, origin)
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if len(names) > 1 and self._record.home(names[0]) is None:
            # `a = b = []`: one object under several names.
            for name in names[1:]:
                self._record.bind(name, origin_of_name(names[0]))

    def _assign_annotated(self, node: ast.AnnAssign) -> None:
        self._expressions.value(node.annotation)
        if node.value is not None and not self._defines_lambda(node.target, node.value):
            self._expressions.assign(node.target, self._expressions.value(node.value))

    def _assign_augmented(self, node: ast.AugAssign) -> None:
        added = self._expressions.value(node.value)
        if isinstance(node.target, ast.Name):
            origin = self._record.use(node.target.id)
            self._record.mutate(origin, node.target, adds=added.names)
        else:
            self._expressions.assign(node.target, added)

    def _delete(self, target: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._record.use(target.id)
            self._record.delete(target.id)
        else:
            self._expressions.assign(target, FRESH)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    top = alias.name.split(".")[0]
                    self._record.note_modules([top])
                    self._record.bind(alias.asname or top)
                    if top == "__main__" and not self._record.is_top_level:
                        self._record.opaque("import __main__")
            case ast.ImportFrom(names=aliases):
                module = "." * node.level + (node.module or "")
                self._record.note_modules([module.split(".")[0] or module])
                if module == "__main__":
                    self._record.opaque("from __main__ import")
                for alias in aliases:
                    if alias.name == "*":
                        self._record.import_star(module)
                    else:
                        self._record.bind(alias.asname or alias.name)

    # Definitions.

    def _defines_lambda(self, target: ast.expr, value: ast.expr) -> bool:
        """`f = lambda x: …` at the top level defines a function, like `def`."""
        match target, value:
            case ast.Name(id=name), ast.Lambda() if self._record.is_top_level:
                self._expressions.defaults(value.args)
                with self._record.function(value) as scope:
                    scope.returns.append(self._expressions.value(value.body))
                self._record.bind(name, flow=scope.flow(value))
                return True
            case _:
                return False

    def _define_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        flow = self._function(node)
        if not self._record.is_top_level:
            self._record.inline(flow)
            if self._record.home(node.name) is not None:
                self._record.scope.nested = True
        self._record.bind(node.name, flow=flow)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> FunctionFlow:
        """Evaluate what a `def` evaluates at once, and give what a call of the function does."""
        for decorator in node.decorator_list:
            self._decorate(decorator)
            self._register(decorator)
        arguments = node.args
        self._expressions.defaults(arguments)
        every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        # Under `from __future__ import annotations`, which may stand in another cell, they are
        # text: so none of them is missed when it has no value.
        with self._record.guarded(catches=True):
            for argument in (*every, arguments.vararg, arguments.kwarg):
                if argument is not None and argument.annotation is not None:
                    self._expressions.value(argument.annotation)
            if node.returns is not None:
                self._expressions.value(node.returns)
        with self._record.function(node) as scope:
            self.block(node.body)
        return scope.flow(node)

    def _decorate(self, decorator: ast.expr) -> None:
        """Evaluate a decorator, and call what it gives with what is being defined."""
        origin = self._expressions.value(decorator)
        function = dotted_path(decorator)
        if function and self._record.home(function.partition(".")[0]) is None:
            method = function.rpartition(".")[2] if "." in function else "__call__"
            self._record.note(
                Call(
                    function=function,
                    line=self._record.line,
                    method=method,
                    receiver=origin.names,
                    positional=(frozenset(),),
                )
            )

    def _register(self, decorator: ast.expr) -> None:
        """`@f.register` changes f, for whoever calls it later."""
        match decorator:
            case (
                ast.Attribute(value=ast.Name(id=name), attr="register")
                | ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="register"))
            ) if self._record.home(name) is None:
                self._record.mutate(origin_of_name(name), decorator, stores=True)
            case _:
                pass

    def _define_class(self, node: ast.ClassDef) -> None:
        for expression in (*node.bases, *(k.value for k in node.keywords)):
            self._expressions.value(expression)
        for decorator in node.decorator_list:
            self._decorate(decorator)
        methods: dict[str, FunctionFlow] = {}
        with self._record.inside(node) as scope:
            for item in node.body:
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
                    self._record.line = item.lineno
                    methods[item.name] = self._function(item)
                    scope.local[item.name] = FRESH
                else:
                    self.statement(item)
        self._record.line = node.lineno
        if not self._record.is_top_level:
            for method in methods.values():
                self._record.inline(method)
            self._record.scope.nested = True
        flow = ClassFlow(
            name=node.name,
            methods=methods,
            keeps_state=keeps_state(node),
            shared=shared_attributes(node),
            bases=tuple(
                filter(None, map(dotted_path, (*node.bases, *(k.value for k in node.keywords))))
            ),
        )
        self._record.bind(node.name, flow=flow)

    # Blocks that may be skipped, in part.

    def _try(self, node: ast.Try | ast.TryStar) -> None:
        ways = [bound_names([*node.body, *node.orelse])]
        ways += [bound_names(h.body) for h in node.handlers if not _leaves(h.body)]
        with self._record.branch(frozenset.intersection(*ways)):
            with self._record.guarded(catches=any(map(_catches_name_error, node.handlers))):
                self.block(node.body)
            self.block(node.orelse)
            for handler in node.handlers:
                self._record.line = handler.lineno
                if handler.type is not None:
                    self._expressions.value(handler.type)
                if handler.name:
                    self._record.bind(handler.name)
                self.block(handler.body)
        self.block(node.finalbody)

    def _match(self, node: ast.Match) -> None:
        subject = self._expressions.value(node.subject)
        with self._record.branch():
            for case in node.cases:
                self._pattern(case.pattern, subject)
                if case.guard is not None:
                    self._expressions.value(case.guard)
                self.block(case.body)

    def _pattern(self, whole: ast.pattern, subject: Origin) -> None:
        inside = Origin(part_of=subject.names)
        for pattern in ast.walk(whole):
            match pattern:
                case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                    self._record.bind(name, subject if pattern is whole else inside)
                case ast.MatchMapping(rest=str(name)):
                    self._record.bind(name, inside)
                case ast.MatchValue(value=value):
                    self._expressions.value(value)
                case ast.MatchClass(cls=cls):
                    self._expressions.value(cls)
                case _:
                    pass


def _catches_name_error(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    names = {n.id for n in ast.walk(handler.type) if isinstance(n, ast.Name)}
    return bool(names & {"NameError", "Exception", "BaseException"})


def _leaves(body: Sequence[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Raise | ast.Return | ast.Continue | ast.Break)
