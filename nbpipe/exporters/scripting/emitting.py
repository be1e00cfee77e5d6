"""Piece → its text in the script: the author's, but for what a function or a script needs."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from nbpipe.dataflow.ipython_syntax import parse
from nbpipe.dataflow.statements import dotted_path
from nbpipe.exporters.scripting.edits import Edit, Places, edited, is_silenced
from nbpipe.exporters.scripting.magics import TIMED
from nbpipe.exporters.scripting.pieces import Piece
from nbpipe.model.pipeline import Parameter

# Calls whose value is None: they are not shown.
_SHOWS_NOTHING: Final = frozenset(
    {"print", "display", "exec", "_shell", "_run_script", "_write_file", "_show_figures", TIMED}
)
_SCOPES: Final = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)


def module_text(piece: Piece, *, modules: Mapping[str, str], figures: bool) -> str:
    """Give the text of a piece at module level; `figures`: a notebook would close them."""
    places = Places(piece.text)
    return edited(piece.text, _shown_figures(piece, places, modules) if figures else [])


def parameters_text(piece: Piece, parameters: Mapping[str, Parameter]) -> str:
    """Give the text of parameters, with their types."""
    places = Places(piece.text)
    edits: list[Edit] = []
    for node in parse(piece.text).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name) as target]) if name in parameters:
                if parameters[name].default is not None:
                    end = places.span(target)[1]
                    edits.append(Edit(end, end, f": {parameters[name].type}"))
            case _:
                pass
    return edited(piece.text, edits)


def function_text(
    piece: Piece, *, module_level: frozenset[str], modules: Mapping[str, str], figures: bool
) -> str:
    """Give the text of a piece inside a function, where `module_level` names are globals."""
    if not piece.statements:
        return piece.text
    places = Places(piece.text)
    tree = parse(piece.text)
    edits = list(_shown_figures(piece, places, modules)) if figures else []
    for node in _outside_functions(tree.body):
        match node:
            case ast.Global():
                edits.append(places.replace(node, "pass"))
            case ast.ImportFrom(names=[ast.alias(name="*")]):
                text = f'exec("{places.text(node)}", globals())'
                edits.append(places.replace(node, text))
            case ast.AnnAssign(target=ast.Name(id=name)) if name in module_level:
                edits.append(_without_annotation(node, places))
            case _:
                pass
    for call in _own_calls(tree):
        edits += _in_module_namespace(call, places)
    if piece.shows and not is_silenced(piece.text):
        edits += _shown_value(tree.body[-1], places, modules)
    return edited(piece.text, edits)


def _own_calls(node: ast.AST) -> Iterator[ast.Call]:
    """Give the calls in a piece that stand in no scope of their own."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield child
        if not isinstance(child, _SCOPES):
            yield from _own_calls(child)


def _in_module_namespace(call: ast.Call, places: Places) -> Iterator[Edit]:
    """In a notebook the local namespace is the global one."""
    match call:
        case ast.Call(func=ast.Name(id="exec" | "eval" as name), args=[code], keywords=[]):
            yield places.replace(call, f"{name}({places.text(code)}, globals())")
        case ast.Call(func=ast.Name(id="locals" | "vars"), args=[], keywords=[]):
            yield places.replace(call, "globals()")
        case ast.Call(func=ast.Name(id="dir"), args=[], keywords=[]):
            yield places.replace(call, "sorted(globals())")
        case _:
            pass


def _without_annotation(node: ast.AnnAssign, places: Places) -> Edit:
    """Python allows no annotation for a name that is declared global in the same function."""
    if node.value is None:
        return places.replace(node, "pass")
    return Edit(places.span(node.target)[1], places.span(node.annotation)[1], "")


def _shown_value(node: ast.stmt, places: Places, modules: Mapping[str, str]) -> Iterator[Edit]:
    assert isinstance(node, ast.Expr)
    if isinstance(node.value, ast.Call) and (
        dotted_path(node.value.func) in _SHOWS_NOTHING or _is_figure_show(node.value, modules)
    ):
        return
    # The place of the statement includes parentheses around the expression, that of the value
    # does not. A tuple may come without any.
    start, end = places.span(node)
    bare = isinstance(node.value, ast.Tuple) and not _is_one_argument(places.text(node))
    yield Edit(start, start, "_show((" if bare else "_show(")
    yield Edit(end, end, "))" if bare else ")")


def _is_one_argument(text: str) -> bool:
    match ast.parse(f"_({text})", mode="eval").body:
        case ast.Call(args=[ast.Tuple()]):
            return True
        case _:
            return False


def _shown_figures(piece: Piece, places: Places, modules: Mapping[str, str]) -> Iterator[Edit]:
    """`plt.show()` shows figures in a notebook and closes them; by itself it leaves them open."""
    for node in ast.walk(parse(piece.text)):
        if isinstance(node, ast.Call) and _is_figure_show(node, modules):
            yield places.replace(node, "_show_figures()")


def _is_figure_show(call: ast.Call, modules: Mapping[str, str]) -> bool:
    root, _, rest = dotted_path(call.func).partition(".")
    return f"{modules.get(root, root)}.{rest}" in ("matplotlib.pyplot.show", "pylab.show")


def _outside_functions(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                yield from _outside_functions([child])
            elif isinstance(child, ast.ExceptHandler | ast.match_case):
                yield from _outside_functions(child.body)
