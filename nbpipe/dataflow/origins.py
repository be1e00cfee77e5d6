"""What the object of an expression is connected with, worked out from the origins of its parts.

Pure functions: `Origin`s and syntax in, `Origin`s out. The walkers find the parts and their order.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Final

from nbpipe.dataflow import mutations as known
from nbpipe.model.flow import Call, Names, Origin
from nbpipe.model.names import Variable

FRESH: Final = Origin()
NO_NAMES: Final[Names] = frozenset()
# Attributes of functions, frames and the shell that are the notebook's namespace, or may be.
_NAMESPACE_ATTRIBUTES: Final = frozenset(
    {"user_ns", "user_global_ns", "user_module", "__globals__", "f_globals", "f_locals"}
)
_NAMESPACES: Final = frozenset({"globals", "locals", "vars", "dir"})


def origin_of_name(name: str) -> Origin:
    """Give the origin of the object that a name stands for."""
    names = frozenset({Variable(name)})
    return Origin(shares=names, same=names)


def names_of(origins: Iterable[Origin]) -> Names:
    """Give every name that one of the objects is connected with."""
    return NO_NAMES.union(*(origin.names for origin in origins))


def origin_of_display(elements: Sequence[Origin], maker: str) -> Origin:
    """Give the origin of a list, a dictionary and the like that is written out."""
    return Origin(holds=names_of(elements), keeps=very_objects(elements), maker=maker)


def kept_in(wholes: Iterable[Origin]) -> Names:
    """Give the names whose very objects one of these holds."""
    return NO_NAMES.union(*(whole.keeps for whole in wholes))


def very_objects(origins: Iterable[Origin]) -> Names:
    """Give the names whose very objects these are, or hold."""
    return NO_NAMES.union(*(origin.same | origin.keeps for origin in origins))


def origin_of_unpacked(whole: Origin) -> Origin:
    """Give the origin of `*value`: all that is in it, and not itself."""
    return Origin(
        shares=whole.shares,
        part_of=whole.part_of,
        holds=whole.holds,
        keeps=whole.keeps,
        calls=whole.calls,
        maker=whole.maker,
    )


def joined(*origins: Origin) -> Origin:
    """Give the origin of an object that may be any of these."""
    if len(origins) == 1:
        return origins[0]
    return Origin(
        shares=NO_NAMES.union(*(o.shares for o in origins)),
        part_of=NO_NAMES.union(*(o.part_of for o in origins)),
        holds=NO_NAMES.union(*(o.holds for o in origins)),
        same=NO_NAMES.union(*(o.same for o in origins)),
        keeps=NO_NAMES.union(*(o.keeps for o in origins)),
        calls=tuple(call for o in origins for call in o.calls),
        maker=next((o.maker for o in origins if o.maker), ""),
    )


def origin_of_attribute(whole: Origin, attribute: str) -> Origin:
    """Say what `value.attribute` is connected with."""
    if attribute in known.VIEW_ATTRIBUTES:
        return Origin(shares=whole.shares, part_of=whole.part_of, holds=whole.holds)
    return Origin(part_of=whole.names)


def origin_of_subscript(whole: Origin, index: ast.expr) -> Origin:
    """Say what `value[index]` is connected with.

    A list or a mask makes a copy in every array library; a string key takes a part out; anything
    else may be a view of the whole.
    """
    match index:
        case ast.List() | ast.Compare() | ast.BinOp(op=ast.BitAnd() | ast.BitOr()):
            return Origin(holds=whole.holds)
        case ast.UnaryOp(op=ast.Invert()):
            return Origin(holds=whole.holds)
        case ast.Constant(value=str()):
            return Origin(part_of=whole.names)
        case ast.Tuple(elts=elements) if any(
            isinstance(e, ast.List | ast.Compare) for e in elements
        ):
            return FRESH
        case ast.Slice():
            return Origin(
                shares=whole.shares | whole.holds,
                part_of=whole.part_of | whole.shares,
                holds=whole.holds,
                keeps=whole.keeps,
            )
        case _:
            return Origin(
                shares=whole.shares | whole.holds,
                part_of=whole.part_of | whole.shares,
                holds=whole.holds,
                same=whole.keeps,
            )


def origin_of_element(whole: Origin, calls: tuple[Call, ...] = ()) -> Origin:
    """Say what each element of a value is connected with, when it is looped over or unpacked."""
    # What a call collected may be what is in its arguments: `list(frames.values())`.
    inside = whole.holds if whole.calls else NO_NAMES
    return Origin(
        shares=whole.holds,
        part_of=whole.shares | whole.part_of | inside,
        same=whole.keeps,
        calls=calls,
    )


def origin_of_call(
    function: ast.expr,
    call: Call,
    receiver: Origin,
    positional: Sequence[Origin],
    keywords: Sequence[Origin],
) -> Origin:
    """Say what the result of a call is connected with, as far as the tables of names know."""
    method = call.method
    if method in known.FLUENT_METHODS:
        return Origin(
            shares=receiver.shares, part_of=receiver.part_of, same=receiver.same, calls=(call,)
        )
    if method in known.VIEW_METHODS and receiver.names:
        return Origin(
            shares=receiver.shares,
            part_of=receiver.part_of,
            holds=receiver.holds,
            calls=(call,),
            maker=call.function,
        )
    if method in known.VIEW_FUNCTIONS and positional:
        return Origin(shares=positional[0].shares, part_of=positional[0].part_of)
    if isinstance(function, ast.Name) and call.function in known.COLLECTING_FUNCTIONS:
        goes_through = call.function in known.ITERATORS
        return Origin(
            holds=names_of([*positional, *keywords]),
            keeps=very_objects([*positional, *keywords])
            if goes_through
            else kept_in(positional) | very_objects(keywords),
            calls=(call,),
            maker=call.function,
        )
    if call.function.rpartition(".")[2] in known.ITERTOOLS:
        return Origin(
            holds=names_of(positional),
            keeps=very_objects(positional),
            calls=(call,),
            maker=call.function,
        )
    maker = call.function or method
    if maker.rpartition(".")[2] in known.CONTAINER_MAKERS:
        return Origin(keeps=kept_in(positional), calls=(call,), maker=maker)
    return Origin(calls=(call,), maker=maker)


def root_of(node: ast.expr) -> str:
    """Give the name that `a.b[0].c().d` starts with; empty when it starts with none."""
    while True:
        match node:
            case ast.Attribute(value=inner) | ast.Subscript(value=inner) | ast.Call(func=inner):
                node = inner
            case ast.Name(id=name):
                return name
            case _:
                return ""


def main_module(node: ast.expr) -> str:
    """Give how an expression names the notebook's own module; empty for any other expression."""
    match node:
        case ast.Name(id="__main__"):
            return "__main__"
        case ast.Subscript(
            value=ast.Attribute(value=ast.Name(id="sys"), attr="modules"),
            slice=ast.Constant(value="__main__") | ast.Name(id="__name__"),
        ):
            return "sys.modules['__main__']"
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value="__main__"), *_],
        ):
            return "import_module('__main__')"
        case _:
            return ""


def whole_namespace(node: ast.expr) -> str:
    """Give how an expression hands out all of the notebook's variables at once, if it does."""
    match node:
        case ast.Attribute(value=ast.Name(id="sys"), attr="modules"):
            return "sys.modules"
        case ast.Attribute(attr=attribute) if attribute in _NAMESPACE_ATTRIBUTES:
            return attribute
        case _:
            return main_module(node)


def other_module(node: ast.expr) -> bool:
    """Say whether an expression is `sys.modules['name']`, or `.get('name')`, of another module."""
    match node:
        case (
            ast.Subscript(value=table, slice=ast.Constant(value=str(name)))
            | ast.Call(
                func=ast.Attribute(value=table, attr="get" | "pop"),
                args=[ast.Constant(value=str(name)), *_],
            )
        ):
            return whole_namespace(table) == "sys.modules" and name != "__main__"
        case _:
            return False


def names_asked_for(test: ast.expr) -> tuple[Names, Names]:
    """Give the names that have values where a test holds, and those that have where it does not.

    That is what `'df' in globals()` and `'df' not in dir()` say.
    """
    match test:
        case ast.Compare(left=ast.Constant(value=str(name)), ops=[operator], comparators=[table]):
            found = frozenset({Variable(name)}) if namespace_function(table) else NO_NAMES
            match operator:
                case ast.In():
                    return found, NO_NAMES
                case ast.NotIn():
                    return NO_NAMES, found
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            there, missing = names_asked_for(inner)
            return missing, there
        case ast.BoolOp(op=ast.And(), values=values):
            return NO_NAMES.union(*(names_asked_for(each)[0] for each in values)), NO_NAMES
    return NO_NAMES, NO_NAMES


def namespace_function(node: ast.expr) -> str:
    """Give `globals` for `globals()`, and so on; empty for what gives no namespace as a whole."""
    match node:
        case ast.Call(func=ast.Name(id=name), args=[], keywords=[]) if name in _NAMESPACES:
            return name
        case ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr="user_ns"):
            return "user_ns"
        case _:
            return ""
