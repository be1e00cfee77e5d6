"""Where a module keeps data: its names, its classes, and its functions.

A function keeps data in its attributes (`total.calls`), in defaults of parameters
(`remember(seen)`) and in variables of the function that made it (`count[n]`). A place is written
so, after the path to the function; methods and decorated functions have paths, too. What a function
under `functools.lru_cache` remembers is at `load{}`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from types import CellType, FunctionType, MappingProxyType, ModuleType
from typing import Any, Final

from nbpipe.kernel.remembered_results import Cache, entries_of, is_cache, remember

_NO_DATA: Final = (
    ModuleType,
    FunctionType,
    classmethod,
    staticmethod,
    property,
    cached_property,
    CellType,
    MappingProxyType,
    type,
    type(len),
    type(str.join),
    type(int.__dict__["real"]),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an object is: `read` gives it, or None when there is none; `write` puts another."""

    read: Callable[[], Any]
    write: Callable[[Any], None]


def places_in(module: ModuleType) -> dict[str, Any]:
    """Give the data that a module keeps, by its place."""
    return {
        place: value
        for path, holder in _holders(module).items()
        for place, value in _held(path, holder)
        if _is_data(value)
    }


def place_in(module: ModuleType, place: str) -> Place | None:
    """Find a place in a module, also where nothing is yet; None when what holds it is gone."""
    if place.endswith((")", "]")):
        path, _, name = place[:-1].rpartition("(" if place.endswith(")") else "[")
        function = _holders(module).get(path)
        if not isinstance(function, FunctionType):
            return None
        return _default(function, name) if place.endswith(")") else _cell(function, name)
    path, _, name = place.removesuffix("{}").rpartition(".")
    holder = _holders(module).get(path)
    if holder is None:
        return None
    if place.endswith("{}"):
        return _results(dict(_caches(holder)).get(name))
    return Place(
        read=lambda: vars(holder).get(name), write=lambda value: setattr(holder, name, value)
    )


def _holders(module: ModuleType) -> dict[str, Any]:
    """Give the module, and the classes and functions made in it, by their paths."""
    found: dict[str, Any] = {"": module}
    seen = {id(module)}
    waiting: list[tuple[str, Any]] = [("", module)]
    while waiting:
        path, holder = waiting.pop()
        for name, value in _parts(path, holder):
            inner = _unwrapped(value)
            if id(inner) not in seen and _is_made_in(module, inner):
                seen.add(id(inner))
                found[name] = inner
                waiting.append((name, inner))
    return found


def _parts(path: str, holder: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - see `_holders`
    prefix = f"{path}." if path else ""
    for name, value in list(vars(holder).items()):
        if isinstance(value, property):
            for part in ("fget", "fset", "fdel"):
                yield f"{prefix}{name}.{part}", getattr(value, part)
        else:
            yield f"{prefix}{name}", value
    if isinstance(holder, FunctionType):
        for name, cell in _cells(holder):
            yield f"{path}[{name}]", cell.cell_contents


def _unwrapped(value: Any) -> Any:  # noqa: ANN401 - whatever a module holds
    match value:
        case staticmethod() | classmethod():
            return value.__func__
        case cached_property():
            return value.func
        case FunctionType() | type():
            return value
        case _:
            # What `lru_cache` makes is no function, but has one.
            return vars(value).get("__wrapped__") if _is_wrapper(value) else None


def _is_wrapper(value: object) -> bool:
    return callable(value) and type(value).__module__ == "functools" and hasattr(value, "__dict__")


def _is_made_in(module: ModuleType, value: object) -> bool:
    match value:
        case FunctionType():
            return value.__globals__ is vars(module)
        case type():
            return value.__module__ == module.__name__
        case _:
            return False


def _held(path: str, holder: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - see `_holders`
    prefix = f"{path}." if path else ""
    for name, value in list(vars(holder).items()):
        if not name.startswith("__"):
            yield f"{prefix}{name}", value
    if not isinstance(holder, FunctionType):
        for name, cache in _caches(holder):
            yield f"{prefix}{name}{{}}", entries_of(cache)
    else:
        for name in (*_with_defaults(holder), *(holder.__kwdefaults__ or ())):
            yield f"{path}({name})", _default(holder, name).read()
        for name, cell in _cells(holder):
            yield f"{path}[{name}]", cell.cell_contents


def _caches(holder: Any) -> Iterator[tuple[str, Cache]]:  # noqa: ANN401 - see `_holders`
    """Give the functions under a cache that a module or a class has, and that were made there."""
    home = holder.__name__ if isinstance(holder, ModuleType) else holder.__module__
    for name, value in list(vars(holder).items()):
        function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        if is_cache(function) and function.__module__ == home:
            yield name, function


def _results(cache: Cache | None) -> Place | None:
    if cache is None:
        return None
    return Place(read=lambda: entries_of(cache), write=lambda entries: remember(cache, entries))


def _is_data(value: object) -> bool:
    if isinstance(value, _NO_DATA):
        return False
    return not (callable(value) and getattr(value, "__module__", None) in sys.modules)


def _with_defaults(function: FunctionType) -> tuple[str, ...]:
    """Name the parameters that have a default and can be given by position."""
    code, defaults = function.__code__, function.__defaults__ or ()
    return code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]


def _default(function: FunctionType, name: str) -> Place:
    keywords = function.__kwdefaults__ or {}
    if name in keywords:
        return Place(
            read=lambda: keywords.get(name), write=lambda value: keywords.update({name: value})
        )

    def all_defaults() -> dict[str, Any]:
        return dict(zip(_with_defaults(function), function.__defaults__ or (), strict=True))

    def write(value: object) -> None:
        function.__defaults__ = tuple({**all_defaults(), name: value}.values())

    return Place(read=lambda: all_defaults().get(name), write=write)


def _cell(function: FunctionType, name: str) -> Place | None:
    cell = dict(_cells(function)).get(name)
    if cell is None:
        return None
    return Place(
        read=lambda: cell.cell_contents,
        write=lambda value: setattr(cell, "cell_contents", value),
    )


def _cells(function: FunctionType) -> Iterator[tuple[str, CellType]]:
    """Give the variables of the function around that have a value."""
    names = function.__code__.co_freevars
    for name, cell in zip(names, function.__closure__ or (), strict=True):
        try:
            cell.cell_contents  # noqa: B018 - an empty one raises
        except ValueError:
            continue
        yield name, cell
