"""What functions and classes of the notebook hold that calls of them can change.

Every step defines them anew, so that what a step changes of them is lost to the next: it must be
known that it does. Of functions: attributes, default values, and variables that they enclose; of
classes: everything but methods.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import EnumType
from types import CellType, FunctionType
from typing import Any, Final

from nbpipe.store.values import fingerprints, steady_fingerprints

# No variable of the author's can be called so.
_PARTS: Final = "parts of a definition"


def states_of(
    namespace: Mapping[str, Any], names: Iterable[str], *, definitions: frozenset[str], steady: bool
) -> dict[str, str]:
    """Give for functions and classes a text that differs when what they hold does.

    Compare only texts of one process. Those that hold nothing, or what cannot be looked at, are
    left out. `steady`: leave out what looks different when it is looked at again at once.
    """
    take = steady_fingerprints if steady else fingerprints
    found: dict[str, str] = {}
    for name in names:
        parts = _parts_of(namespace[name])
        if parts is not None:
            around = {**namespace, _PARTS: parts}
            (mark,) = take(around, [_PARTS], definitions=definitions - {name}).values()
            if mark is not None:
                found[name] = mark
    return found


def _parts_of(value: object) -> object:
    """Give what a definition holds; None when that is nothing, or it is no definition."""
    match value:
        case FunctionType():
            cells = [_content(cell) for cell in value.__closure__ or ()]
            held = (value.__defaults__, value.__kwdefaults__, value.__dict__, cells)
            return held if any(held) else None
        case EnumType():
            # Its members are fixed; it notes combinations of flags that were asked for.
            return None
        case type():
            return [
                (name, id(each) if _is_method(each) else each)
                for name, each in vars(value).items()
                if _is_method(each) or not _is_bookkeeping(name)
            ]
        case _:
            return None


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # Nothing is bound yet.
        return None


def _is_bookkeeping(name: str) -> bool:
    """Say whether Python or pickle may write it down at any time: `__slotnames__`, `_abc_impl`."""
    return name == "_abc_impl" or (name.startswith("__") and name.endswith("__"))


def _is_method(value: object) -> bool:
    return callable(value) or hasattr(type(value), "__get__")
