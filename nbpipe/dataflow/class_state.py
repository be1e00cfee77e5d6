"""Classes that keep state: methods that change what all instances share.

An attribute that an instance lacks is looked up on its class, so `self.items.append(x)` changes
the class when `items` is assigned in its body alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from nbpipe.dataflow.mutations import MUTATING_FUNCTIONS, MUTATING_METHODS

_Method: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

# Methods whose first parameter is the class without a decorator that says so.
_OF_THE_CLASS: Final = frozenset({"__new__", "__init_subclass__", "__class_getitem__"})


def shared_attributes(node: ast.ClassDef) -> frozenset[str]:
    """Name the attributes that may change and that all instances share."""
    own = {name for method in _methods(node) for name in _assigned_on_instances(method)}
    return frozenset(name for name in _assigned_in(node.body) if name not in own)


def keeps_state(node: ast.ClassDef) -> bool:
    """Say whether a method of a class changes the class, or an object that belongs to it."""
    methods = _methods(node)
    shared = shared_attributes(node)
    is_metaclass = any(isinstance(base, ast.Name) and base.id == "type" for base in node.bases)
    return any(
        _changes_class(method, node.name, shared, is_metaclass=is_metaclass) for method in methods
    )


def path_inside(node: ast.expr) -> tuple[str, frozenset[str]]:
    """Give the name that `box.items[0]` starts with, and the attributes on the way.

    None for `self.items`, which the class knows best.
    """
    root, attributes = _path(node)
    if root in ("self", "cls"):
        return root, frozenset()
    return root, frozenset(attributes)


def _methods(node: ast.ClassDef) -> list[_Method]:
    return [n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def _assigned_in(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Name the attributes that a class body gives an object which may change."""
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if not _is_fixed(value):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                if not _is_fixed(value):
                    yield name
            case _:
                pass


def _is_fixed(value: ast.expr) -> bool:
    match value:
        case ast.Constant() | ast.Lambda() | ast.JoinedStr() | ast.Name():
            return True
        case ast.UnaryOp(operand=inner):
            return _is_fixed(inner)
        case ast.BinOp(left=left, right=right):
            return _is_fixed(left) and _is_fixed(right)
        case ast.Tuple(elts=parts):
            return all(map(_is_fixed, parts))
        case ast.Call(func=ast.Name(id="field") | ast.Attribute(attr="field")):
            return True  # A dataclass makes one for each instance.
        case _:
            return False


def _assigned_on_instances(method: _Method) -> Iterator[str]:
    """Name the attributes that `__init__` and its like give each instance."""
    first = _first_parameter(method)
    if method.name not in ("__init__", "__new__", "__post_init__", "setUp") or not first:
        return
    for node in method.body:
        match node:
            case ast.Assign(targets=targets):
                yield from (name for t in targets if (name := _attribute_of(t, {first})))
            case ast.AnnAssign(target=target, value=ast.expr()):
                if name := _attribute_of(target, {first}):
                    yield name
            case _:
                pass


def _changes_class(
    method: _Method, name: str, shared: frozenset[str], *, is_metaclass: bool
) -> bool:
    first = _first_parameter(method)
    classes = {name, "__class__"}
    decorators = {d.id for d in method.decorator_list if isinstance(d, ast.Name)}
    if "classmethod" in decorators or method.name in _OF_THE_CLASS or is_metaclass:
        classes.add(first)
    aliases = dict(_aliases_in(method))
    for target, stores in _changed_in(method):
        whole, attributes = _path(target)
        if whole in aliases and not (stores and isinstance(target, ast.Name)):
            whole, attributes = aliases[whole][0], [*aliases[whole][1], *attributes]
        match attributes:
            case []:
                pass
            case ["__class__", *rest] if whole == first:
                if rest:
                    return True
            case _ if whole in classes:
                return True
            case [attribute, *inner] if whole == first and attribute in shared:
                # Assigning an attribute itself gives the instance one of its own.
                if inner or not stores:
                    return True
            case _:
                pass
    return False


def _aliases_in(method: _Method) -> Iterator[tuple[str, tuple[str, list[str]]]]:
    """Give the local names that a body gives attributes: `items = self.items`."""
    for node in ast.walk(method):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Attribute() as value):
                yield name, _path(value)
            case _:
                pass


def _changed_in(method: _Method) -> Iterator[tuple[ast.expr, bool]]:
    """Give what a body changes in place, and whether by storing to a plain attribute of it."""
    for node in ast.walk(method):
        match node:
            case ast.Assign(targets=targets) | ast.Delete(targets=targets):
                yield from ((t, not isinstance(t, ast.Subscript)) for t in _flat(targets))
            case ast.AnnAssign(target=target, value=ast.expr()):
                yield target, not isinstance(target, ast.Subscript)
            case ast.AugAssign(target=target):
                # `self.items += [x]` changes the list of the class before it is the instance's.
                yield target, False
            case ast.Call(func=ast.Attribute(value=inner, attr=attribute)) if (
                attribute in MUTATING_METHODS
            ):
                yield inner, False
            case ast.Call(
                func=ast.Name(id=name) | ast.Attribute(attr=name), args=[changed, *rest]
            ) if name in MUTATING_FUNCTIONS:
                yield (
                    (_set_attribute(changed, rest) if name == "setattr" else changed),
                    name == ("setattr"),
                )
            case _:
                pass


def _flat(targets: Sequence[ast.expr]) -> Iterator[ast.expr]:
    for target in targets:
        if isinstance(target, ast.Tuple | ast.List):
            yield from _flat(target.elts)
        else:
            yield target


def _set_attribute(changed: ast.expr, rest: Sequence[ast.expr]) -> ast.expr:
    """Give `x.name` for `setattr(x, "name", …)`."""
    match rest:
        case [ast.Constant(value=str(name)), *_]:
            return ast.Attribute(value=changed, attr=name, ctx=ast.Store())
        case _:
            return ast.Attribute(value=changed, attr="*", ctx=ast.Store())


def _path(node: ast.expr) -> tuple[str, list[str]]:
    """Give the name that `self.items[0].x` starts with, and the attributes after it."""
    attributes: list[str] = []
    while True:
        match node:
            case ast.Attribute(value=inner, attr=attribute):
                attributes.append(attribute)
                node = inner
            case ast.Call(func=ast.Name(id="type"), args=[ast.Name(id=name)]):
                return name, ["__class__", *reversed(attributes)]
            case ast.Subscript(value=inner) | ast.Call(func=inner):
                node = inner
            case ast.Name(id=name):
                return name, attributes[::-1]
            case _:
                return "", []


def _attribute_of(target: ast.expr, names: set[str]) -> str:
    match target:
        case ast.Attribute(value=ast.Name(id=whole), attr=attribute) if whole in names:
            return attribute
        case _:
            return ""


def _first_parameter(method: _Method) -> str:
    parameters = [*method.args.posonlyargs, *method.args.args]
    return parameters[0].arg if parameters else ""
