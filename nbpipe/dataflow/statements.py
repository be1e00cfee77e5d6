"""What a top-level statement is good for outside its own cell."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Final

from nbpipe.dataflow.ipython_syntax import INSTALL_MAGICS, OWN_MAGICS, SETTING_MAGICS
from nbpipe.dataflow.mutations import (
    CLASS_MAKERS,
    GENERATOR_MAKERS,
    NEVER_SWALLOWING,
    PURE_CONSTRUCTORS,
)
from nbpipe.dataflow.normal import normal_form
from nbpipe.model.flow import Event, Statement, StatementKind

_PATH: Final = re.compile(r"[^\n\x00]{1,240}")


def statement(
    node: ast.stmt, lines: Sequence[str], events: tuple[Event, ...], modules: tuple[str, ...]
) -> Statement:
    """Describe a statement; `lines` are those of the cell it stands in, as Python."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    last = node.end_lineno or node.lineno
    return Statement(
        kind=_kind(node),
        line=first,
        last_line=last,
        source=_source(node, lines, first, last),
        normal=normal_form(node),
        events=events,
        target=_target(node),
        imports=_imports(node),
        modules=modules,
        texts=_texts(node),
    )


def dotted_path(node: ast.expr) -> str:
    """Give `np.random.seed` for that expression; empty when it is no plain dotted name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def bound_names(body: Sequence[ast.stmt]) -> frozenset[str]:
    """Give the names that a block is sure to bind, as far as its own statements show."""
    names: set[str] = set()
    for node in body:
        match node:
            case ast.Assign(targets=targets):
                for target in targets:
                    names |= _plain_targets(target)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.ClassDef(name=name):
                names.add(name)
            case ast.Import(names=aliases):
                names |= {a.asname or a.name.split(".")[0] for a in aliases}
            case ast.ImportFrom(names=aliases):
                names |= {a.asname or a.name for a in aliases}
            case ast.With(items=items, body=inner) | ast.AsyncWith(items=items, body=inner):
                if not may_end_early(items):
                    names |= bound_names(inner)
            case ast.If(body=inner, orelse=orelse):
                names |= bound_names(inner) & bound_names(orelse)
            case _:
                pass
    return frozenset(names)


def may_end_early(items: Sequence[ast.withitem]) -> bool:
    """Say whether a `with` may swallow what its body raises, so that code goes on after it."""
    for item in items:
        match item.context_expr:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if (
                name in NEVER_SWALLOWING
            ):
                pass
            case _:
                return True
    return False


def _plain_targets(target: ast.expr) -> set[str]:
    match target:
        case ast.Name(id=name):
            return {name}
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return set().union(*(_plain_targets(e) for e in elements))
        case ast.Starred(value=inner):
            return _plain_targets(inner)
        case _:
            return set()


def _source(node: ast.stmt, lines: Sequence[str], first: int, last: int) -> str:
    """Give the text of a statement: whole lines where it has them to itself."""
    text = "\n".join(lines[first - 1 : last])
    before = lines[first - 1].encode()[: node.col_offset if first == node.lineno else 0]
    end = node.end_col_offset or 0
    after = lines[last - 1].encode()[end:].decode(errors="replace").strip()
    if not before.strip() and (not after or after.startswith("#")):
        return text
    return ast.get_source_segment("\n".join(lines), node) or text


def _kind(node: ast.stmt) -> StatementKind:
    match node:
        case ast.Import() | ast.ImportFrom():
            return StatementKind.IMPORT
        case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=[]) if all(
            _is_setup_in_try(s) for s in (*body, *orelse, *(s for h in handlers for s in h.body))
        ) and any(isinstance(s, ast.Import | ast.ImportFrom) for s in body):
            return StatementKind.IMPORT
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return StatementKind.DEFINITION
        case ast.Assign(targets=[ast.Name()], value=ast.Lambda()):
            return StatementKind.DEFINITION
        case ast.AnnAssign(target=ast.Name(), value=ast.Lambda()):
            return StatementKind.DEFINITION
        case ast.Assign(targets=targets, value=value) if all(_plain_targets(t) for t in targets):
            if _only_names(targets):
                return _constant_kind(value)
        case ast.AnnAssign(target=ast.Name(), value=ast.expr() as value):
            return _constant_kind(value)
        case ast.Expr(value=ast.Constant()):
            return StatementKind.TEXT
        case ast.Pass():
            return StatementKind.NOTHING
        case ast.Expr(value=ast.Call() as call) if _has_no_effect(call):
            return StatementKind.NOTHING
        case _:
            pass
    return StatementKind.OTHER


def _only_names(targets: Sequence[ast.expr]) -> bool:
    return all(
        isinstance(part, ast.Name | ast.Tuple | ast.List | ast.Store)
        for target in targets
        for part in ast.walk(target)
    )


def _is_setup_in_try(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass) or _kind(node) in (
        StatementKind.IMPORT,
        StatementKind.DEFINITION,
        StatementKind.CONSTANT,
        StatementKind.TEXT,
    )


def _constant_kind(value: ast.expr) -> StatementKind:
    if _makes_class(value):
        return StatementKind.DEFINITION
    if is_pure(value):
        return StatementKind.CONSTANT
    if (
        isinstance(value, ast.Call)
        and dotted_path(value.func).rsplit(".", 1)[-1] in GENERATOR_MAKERS
        and all(is_pure(a) for a in (*value.args, *(k.value for k in value.keywords)))
        and (value.args or value.keywords)
    ):
        return StatementKind.GENERATOR
    return StatementKind.OTHER


def _makes_class(value: ast.expr) -> bool:
    """Say whether this makes a class: `namedtuple("Point", "x y")`, `type("Made", (), {})`."""
    match value:
        case ast.Call(
            func=ast.Name(id=name) | ast.Attribute(attr=name), args=[_, _, *_] as arguments
        ) if name in CLASS_MAKERS:
            if name == "type" and len(arguments) < len(("name", "bases", "content")):
                return False
            return all(is_pure(a) for a in (*arguments, *(k.value for k in value.keywords)))
        case _:
            return False


def is_pure(node: ast.expr) -> bool:
    """Say whether an expression is built of literals, names and harmless constructors only."""
    match node:
        case ast.Constant() | ast.Name():
            return True
        case ast.Attribute(value=inner):
            return is_pure(inner)
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            return all(is_pure(p) for p in parts)
        case ast.Dict(keys=keys, values=values):
            return all(p is None or is_pure(p) for p in (*keys, *values))
        case ast.UnaryOp(operand=inner):
            return is_pure(inner)
        case ast.BinOp(left=left, right=right):
            return is_pure(left) and is_pure(right)
        case ast.Compare(left=left, comparators=others):
            return is_pure(left) and all(is_pure(p) for p in others)
        case ast.BoolOp(values=values):
            return all(is_pure(p) for p in values)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return is_pure(test) and is_pure(body) and is_pure(orelse)
        case ast.Subscript(value=inner, slice=index):
            return is_pure(inner) and is_pure(index)
        case ast.Slice(lower=lower, upper=upper, step=step):
            return all(p is None or is_pure(p) for p in (lower, upper, step))
        case ast.JoinedStr(values=values):
            return all(is_pure(p) for p in values)
        case ast.FormattedValue(value=inner):
            return is_pure(inner)
        case ast.Starred(value=inner):
            return is_pure(inner)
        case ast.Call(func=function, args=arguments, keywords=keywords):
            name = (
                function.attr
                if isinstance(function, ast.Attribute)
                else getattr(function, "id", "")
            )
            inner_pure = not isinstance(function, ast.Attribute) or is_pure(function.value)
            return (
                name in PURE_CONSTRUCTORS
                and inner_pure
                and all(is_pure(a) for a in (*arguments, *(k.value for k in keywords)))
            )
        case _:
            return False


def _ipython(call: ast.Call) -> tuple[str, str, str]:
    """Give (method, first argument, second argument) of a `get_ipython().method(…)` call."""
    match call.func:
        case ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=method):
            texts = [str(a.value) if isinstance(a, ast.Constant) else "" for a in call.args]
            first, second, *_ = [*texts, "", ""]
            return method, first, second
        case _:
            return "", "", ""


def _has_no_effect(call: ast.Call) -> bool:
    method, first, second = _ipython(call)
    if method == "run_line_magic":
        loads_us = first in ("load_ext", "reload_ext") and second.split()[:1] == ["nbpipe"]
        return loads_us or first in INSTALL_MAGICS or first in OWN_MAGICS
    if method == "system":
        return bool(re.match(r"\s*(?:python3? -m )?(?:pip3?|conda|mamba|uv)\s", first + " "))
    return False


def _target(node: ast.stmt) -> str:
    match node:
        case ast.Expr(value=ast.Call() as call):
            method, first, _ = _ipython(call)
            if method == "run_line_magic" and first in SETTING_MAGICS:
                return f"%{first}"
            return _chain(call.func)
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript() as target]):
            return _chain(target)
        case ast.AugAssign(target=ast.Attribute() | ast.Subscript() as target):
            return _chain(target)
        case _:
            return ""


def _chain(node: ast.expr) -> str:
    """Give a dotted path through calls and subscripts: `logging.getLogger.setLevel`."""
    parts: list[str] = []
    while True:
        match node:
            case ast.Attribute(value=inner, attr=attribute):
                parts.append(attribute)
                node = inner
            case ast.Call(func=inner) | ast.Subscript(value=inner):
                node = inner
            case ast.Name(id=name):
                return ".".join([name, *reversed(parts)])
            case _:
                return ""


def _imports(node: ast.stmt) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for inner in ast.walk(node) if isinstance(node, ast.Try) else [node]:
        match inner:
            case ast.Import(names=aliases):
                for alias in aliases:
                    top = alias.name.split(".")[0]
                    found[alias.asname or top] = alias.name if alias.asname else top
            case ast.ImportFrom(module=module, names=aliases, level=level):
                prefix = "." * level + (module or "")
                for alias in aliases:
                    if alias.name != "*":
                        found[alias.asname or alias.name] = f"{prefix}.{alias.name}"
            case _:
                pass
    return found


def _texts(node: ast.stmt) -> tuple[str, ...]:
    """Give the string literals that might be paths: one line, with a slash or an ending."""
    return tuple(
        dict.fromkeys(
            n.value
            for n in ast.walk(node)
            if isinstance(n, ast.Constant)
            and isinstance(n.value, str)
            and _PATH.fullmatch(n.value)
            and ("/" in n.value or re.search(r"\w\.\w{1,8}\Z", n.value))
            and "://" not in n.value
        )
    )
