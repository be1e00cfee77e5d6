"""What pickles of this store call when they are loaded.

Pickles name these functions, so names, arguments and meaning stay, or the revision of the format
goes up.
"""

from __future__ import annotations

import functools
import importlib
import types
from collections.abc import Callable
from typing import Any, NoReturn


def definition(path: str) -> NoReturn:
    """Stand for a function or class that the notebook defines; the unpickler puts it here."""
    raise RuntimeError(f"{path} is looked up by the unpickler")


def notebook_globals() -> NoReturn:
    """Stand for the namespace that a value is loaded into; the unpickler puts it here."""
    raise RuntimeError("the notebook's globals are looked up by the unpickler")


def module_globals(name: str) -> dict[str, object]:
    """Give the globals of a module, the very dictionary."""
    return vars(importlib.import_module(name))


def make_function(
    code: types.CodeType,
    function_globals: dict[str, Any],
    name: str,
    closure: tuple[types.CellType, ...] | None,
) -> types.FunctionType:
    """Make a function that has its closure's very cells, which others may share."""
    return types.FunctionType(code, function_globals, name, None, closure)


def set_function_state(
    function: types.FunctionType, state: tuple[dict[str, object], dict[str, object]]
) -> None:
    """Give a function its attributes, and what its private globals hold."""
    private_globals, attributes = state
    function.__globals__.update(private_globals)
    for name, value in attributes.items():
        if name == "__dict__":
            assert isinstance(value, dict)
            function.__dict__.update(value)
        else:
            setattr(function, name, value)


def empty_cell() -> types.CellType:
    """Make a closure cell; its content, which may refer to it, comes later."""
    return types.CellType()


def set_cell(cell: types.CellType, state: tuple[object]) -> None:
    """Fill a closure cell."""
    (cell.cell_contents,) = state


def cached_function(
    function: Callable[..., object],
    maximum: int | None,
    is_typed: bool,  # noqa: FBT001 - the order is that of the pickles
) -> Callable[..., object]:
    """Wrap a function in `functools.lru_cache`, with an empty cache."""
    return functools.lru_cache(maxsize=maximum, typed=is_typed)(function)
