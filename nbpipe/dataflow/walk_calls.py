"""Calls: what is passed, and what the tables say that the function does with it.

What a function of the notebook does is not known here: a `Call` is written down, and linking
looks it up. Calls that run other code, or see the namespace as a whole, are told apart first.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from typing import Final

from nbpipe.dataflow import mutations as known
from nbpipe.dataflow.origins import (
    FRESH,
    NO_NAMES,
    main_module,
    names_of,
    namespace_function,
    origin_of_call,
    origin_of_name,
    root_of,
    very_objects,
)
from nbpipe.dataflow.recorder import Recorder
from nbpipe.dataflow.statements import dotted_path
from nbpipe.dataflow.walk_magics import MagicWalker
from nbpipe.model.flow import Bind, Call, Delete, Names, Origin
from nbpipe.model.names import Variable

_EVALUATING_MODULES: Final = frozenset({"pd", "pandas", "ne", "numexpr"})
_EVALUATES: Final = frozenset({"eval", "evaluate"})


class CallWalker:
    """Walks calls; `value` evaluates an expression."""

    def __init__(
        self, record: Recorder, *, value: Callable[[ast.expr], Origin], magics: MagicWalker
    ) -> None:
        self._record = record
        self._value = value
        self._magics = magics

    def call(self, node: ast.Call) -> Origin:
        """Evaluate a call: write down the events, give what its result is connected with."""
        line, self._record.line = self._record.line, node.lineno
        origin = self._special(node) or self._ordinary(node)
        self._record.line = line
        return origin

    def guess_change(self, node: ast.Call) -> None:
        """Take a method whose result is thrown away for one that changes its receiver."""
        if not isinstance(node.func, ast.Attribute):
            return
        method, receiver = node.func.attr, node.func.value
        if method in known.DRAWING_METHODS:
            if not _is_axes(receiver):
                return
        elif method in known.PURE_METHODS or method in known.VIEW_METHODS:
            return
        self._record.mutate(self._again(receiver), receiver, certain=False)

    def _again(self, node: ast.expr) -> Origin:
        """Give the origin of an expression whose events are written down already."""
        with self._record.quietly():
            return self._value(node)

    def _special(self, node: ast.Call) -> Origin | None:
        """Calls that run other code, or that see the namespace as a whole."""
        match node:
            case ast.Call(func=ast.Name(id="exec" | "eval" as name), args=[text], keywords=[]) if (
                self._record.home(name) is None
            ):
                # With a namespace of its own it is an ordinary call.
                self._run(name, text)
                return FRESH
            case ast.Call(func=ast.Name(id=name), args=[]) if (
                namespace_function(node) and self._record.home(name) is None
            ):
                self._record.opaque(f"{name}()", writes=name == "globals")
                return FRESH
            case ast.Call(
                func=ast.Name(id="setattr" | "getattr" | "delattr" as function),
                args=[module, ast.Constant(value=str(name)), *rest],
            ) if main_module(module):
                self._record.use(root_of(module))
                for argument in rest:
                    self._value(argument)
                line = self._record.line
                match function:
                    case "setattr":
                        self._record.note(Bind(name=Variable(name), line=line, definite=False))
                    case "delattr":
                        self._record.note(Delete(name=Variable(name), line=line, definite=False))
                    case _:
                        self._record.ask(name)
                return origin_of_name(name)
            case ast.Call(
                func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=method)
            ):
                texts = [a.value if isinstance(a, ast.Constant) else None for a in node.args]
                return FRESH if self._magics.call(method, texts) else None
            case ast.Call(
                func=ast.Attribute(value=namespace, attr="get" | "pop" | "__getitem__" as method),
                args=[ast.Constant(value=str(name)), *_],
            ) if namespace_function(namespace):
                # `globals().get('x')` reads one name.
                self._record.ask(name)
                if method == "pop":
                    self._record.note(
                        Delete(name=Variable(name), line=self._record.line, definite=False)
                    )
                return origin_of_name(name)
            case _:
                return None

    def _run(self, function: str, text: ast.expr) -> None:
        """`exec` and `eval` of a literal are that code; of anything else, anything at all."""
        match text:
            case ast.Constant(value=str(source)):
                self._magics.run_python(source)
            case _:
                self._value(text)
                self._record.opaque(f"{function}()")

    def _ordinary(self, node: ast.Call) -> Origin:
        dotted = dotted_path(node.func)
        if dotted and self._record.home(dotted.split(".")[0]) is not None:
            dotted = ""
        method, receiver = "", FRESH
        match node.func:
            case ast.Name(id=name):
                self._record.use(name, called=True)
            case ast.Attribute(value=inner, attr=method):
                receiver = self._value(inner)
            case other:
                self._value(other)
        outer = self._record.given_to
        # Methods of data use up a function they are given; whatever else may keep it.
        uses_up = method and method not in known.MUTATING_METHODS
        self._record.given_to = root_of(node.func) if uses_up else ""
        positional = [self._value(argument) for argument in node.args]
        if dotted not in known.LOOKING_FUNCTIONS and method not in known.PURE_METHODS:
            for argument in (*node.args, *(k.value for k in node.keywords)):
                self._record.change_inside(argument)
        keywords = [(k.arg or "", self._value(k.value)) for k in node.keywords]
        self._record.given_to = outer
        call = Call(
            function=dotted,
            line=self._record.line,
            method=method,
            receiver=receiver.names,
            positional=tuple([origin.names for origin in positional]),
            keywords=tuple([(name, origin.names) for name, origin in keywords]),
        )
        self._record.note(call)
        match node.func:
            case ast.Attribute() as function:
                kept = very_objects([*positional, *(origin for _, origin in keywords)])
                self._change_receiver(node, function, call, receiver, kept)
        self._change_arguments(node, positional, keywords)
        self._read_in_text(node, dotted, method)
        return origin_of_call(
            node.func, call, receiver, positional, [origin for _, origin in keywords]
        )

    def _change_receiver(
        self, node: ast.Call, function: ast.Attribute, call: Call, receiver: Origin, kept: Names
    ) -> None:
        method = function.attr
        torch_style = method.endswith("_") and not method.endswith("__") and len(method) > 1
        plots = isinstance(function.value, ast.Attribute) and function.value.attr == "plot"
        by_name = method in known.MUTATING_METHODS and not plots
        if by_name or torch_style or _is_inplace(node):
            stored = NO_NAMES
            if method in known.STORING_METHODS:
                stored = stored.union(*call.positional, *(names for _, names in call.keywords))
            keeps = kept if method in known.KEEPING_METHODS else NO_NAMES
            self._record.mutate(receiver, function.value, adds=stored, keeps=keeps)

    def _read_in_text(self, node: ast.Call, dotted: str, method: str) -> None:
        """Expressions in strings read variables: all their names, or those after an `@`."""
        self._read_in_formulas(node)
        name = dotted.rpartition(".")[2]
        everything = dotted.rpartition(".")[0] in _EVALUATING_MODULES and name in _EVALUATES
        if not node.args or not (everything or method in ("query", "eval")):
            return
        match node.args[0]:
            case ast.Constant(value=str(text)):
                pattern = r"(?<![.\w])@?([A-Za-z_]\w*)" if everything else r"@([A-Za-z_]\w*)"
                for found in re.findall(pattern, text):
                    self._record.ask(found)
            case _ if everything:
                self._record.opaque(f"{dotted}()", writes=False)

    def _read_in_formulas(self, node: ast.Call) -> None:
        """Formulas of statistics, `"y ~ np.log(x)"`, call functions that the caller has.

        Other names in them are columns first of all; without data they are variables.
        """
        has_data = len(node.args) > 1 or any(each.arg == "data" for each in node.keywords)
        pattern = r"(?<![.\w])([A-Za-z_]\w*)" + (r"(?=\s*[.(])" if has_data else "")
        for value in [*node.args[:1], *(e.value for e in node.keywords if e.arg == "formula")]:
            match value:
                case ast.Constant(value=str(text)) if "~" in text and len(text) < _LONG_FORMULA:
                    for found in re.findall(pattern, text):
                        self._record.ask(found)
                case _:
                    pass

    def _change_arguments(
        self,
        node: ast.Call,
        positional: Sequence[Origin],
        keywords: Sequence[tuple[str, Origin]],
    ) -> None:
        match node.func:
            case ast.Name(id=name):
                changes_first = name in known.MUTATING_FUNCTIONS
            case ast.Attribute(attr=name):
                changes_first = name in known.MUTATING_FUNCTIONS or name == "at"
            case _:
                changes_first = False
        if changes_first and positional:
            self._record.mutate(positional[0], node.args[0], adds=names_of(positional[1:]))
        for keyword, (name, origin) in zip(node.keywords, keywords, strict=True):
            if name == "out":
                self._record.mutate(origin, keyword.value)
                if isinstance(keyword.value, ast.Tuple):
                    for element in keyword.value.elts:
                        self._record.mutate(self._again(element), element)


# Longer texts are no formulas.
_LONG_FORMULA: Final = 2_000


def _is_axes(node: ast.expr) -> bool:
    """`df.plot()` leaves df alone, `ax.plot(x)` draws on ax: only the name can tell."""
    return re.match(r"_?(?:ax|fig)", root_of(node)) is not None


def _is_inplace(node: ast.Call) -> bool:
    return any(
        keyword.arg == "inplace"
        and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
        for keyword in node.keywords
    )
