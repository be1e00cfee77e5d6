"""A value as a text that says all that a notebook could see of it, without changing it."""

from __future__ import annotations

import collections
import copy
import functools
import itertools
import types
import warnings
from collections.abc import Iterator
from typing import Any

_LONGEST = 20_000
_PLAIN = (bool, int, float, str, list, dict, tuple, set)


def describe_all(namespace: dict[str, Any]) -> dict[str, str]:
    """Describe every public variable of a notebook, each by itself."""
    return {
        name: describe(value)
        for name, value in sorted(namespace.items())
        if not name.startswith("_")
        and name not in {"In", "Out", "exit", "quit", "get_ipython", "open"}
        and not isinstance(value, types.ModuleType)
    }


def describe(value: object) -> str:
    """Describe a value; an object that turns up twice in it is described once, and counted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return "".join(_parts(value, {}))[:_LONGEST]


def _parts(value: Any, seen: dict[int, tuple[int, Any]]) -> Iterator[str]:
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, range)):
        yield f"{type(value).__name__} {value!r}"
        return
    if id(value) in seen:
        yield f"#{seen[id(value)][0]}"
        return
    # Kept, so that no other object gets its id meanwhile.
    seen[id(value)] = len(seen), value
    yield f"{type(value).__qualname__}("
    for part in _inside(value):
        yield from (part,) if isinstance(part, str) else _parts(part[0], seen)
        yield ", "
    yield ")"


def _inside(value: Any) -> Iterator[str | tuple[Any]]:
    """Give what is inside: a text as it is, a value to go on with in a tuple of one."""
    module = module_of(type(value))
    match value:
        case dict():
            for key, each in value.items():
                yield from ((key,), (each,))
        case set() | frozenset():
            yield from sorted(describe(each) for each in value)
        case list() | tuple():
            yield from ((each,) for each in value)
        case types.FunctionType():
            yield value.__qualname__
            yield (value.__defaults__,)
            yield (value.__kwdefaults__,)
            for cell in value.__closure__ or ():
                try:
                    yield (cell.cell_contents,)
                except ValueError:
                    yield "empty"
        case types.MethodType():
            yield value.__name__
            yield (value.__self__,)
        case type():
            yield value.__qualname__
            for name, each in sorted(vars(value).items()) if module_of(value) == "__main__" else ():
                if isinstance(each, _PLAIN) and not name.startswith("__"):
                    yield from (name, (each,))
        case types.GeneratorType():
            yield value.__qualname__
        case types.ModuleType():
            yield value.__name__
        case _ if module == "numpy":
            yield from _array_inside(value)
        case _ if module == "matplotlib":
            pass  # What it shows is for cells to say.
        case _ if module == "pandas":
            yield from _frame_inside(value)
        case _:
            yield from _object_inside(value)
    if isinstance(value, (dict, set, list, tuple)) and hasattr(value, "__dict__"):
        yield (vars(value),)


def module_of(kind: type) -> str:
    """Give the top-level module of a class."""
    return str(kind.__module__).partition(".")[0]


def _array_inside(value: Any) -> Iterator[str | tuple[Any]]:
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        yield from (str(value.dtype), str(value.shape), (value.tolist(),))
    elif hasattr(value, "bit_generator"):
        yield str(value.bit_generator.state)
    elif hasattr(value, "get_state"):
        yield str(value.get_state())
    else:
        yield repr(value)


def _frame_inside(value: Any) -> Iterator[str | tuple[Any]]:
    match type(value).__name__:
        case "DataFrame":
            yield from ((value.columns,), (value.index,), str(value.dtypes.tolist()))
            yield from ((value.attrs,), (value.to_numpy(object).tolist(),))
        case "Series":
            yield from (str(value.dtype), str(value.name), (value.index,), (value.attrs,))
            yield (value.tolist(),)
        case _ if hasattr(value, "tolist"):
            yield from (str(value.dtype), str(getattr(value, "names", "")), (value.tolist(),))
        case _:
            yield repr(value)


def _object_inside(value: Any) -> Iterator[str | tuple[Any]]:
    if hasattr(value, "getstate"):
        yield str(value.getstate())
    elif hasattr(value, "__next__") and module_of(type(value)) != "__main__":
        try:
            yield ([*itertools.islice(copy.deepcopy(value), 5)],)
        except Exception:
            yield "an iterator"
    elif isinstance(value, functools.partial):
        yield from ((value.func,), (value.args,), (value.keywords,))
    elif isinstance(value, collections.deque):
        yield from (str(value.maxlen), ([*value],))
    else:
        for name in getattr(type(value), "__slots__", ()):
            yield from (name, (getattr(value, name, "unset"),))
        for name, each in sorted(getattr(value, "__dict__", {}).items()):
            yield from (name, (each,))
