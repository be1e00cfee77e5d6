"""Which functions and classes are pickled by name: shipped definitions, and importable ones."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from typing import Any, Final

# The type of what `functools.lru_cache` makes; it has no public name.
CACHED_FUNCTION: Final = type(functools.lru_cache(len))


def definition_path(
    value: Any,  # noqa: ANN401 - a function, class or wrapper
    namespace: Mapping[str, object],
    shipped: frozenset[str],
) -> str | None:
    """Give the name, dotted for what a class holds, by which shipped source defines `value`."""
    path = getattr(value, "__qualname__", None)
    if not isinstance(path, str):
        return None
    root, *rest = path.split(".")
    if root in shipped and root in namespace:
        found: object = namespace[root]
        for name in rest:
            found = getattr(found, name, None)
        if found is value:
            return path
    if "<" in path:
        # A lambda, or what a function of the notebook made: it is called something else.
        return next((name for name in sorted(shipped) if namespace.get(name) is value), None)
    return None


def is_importable(value: Any) -> bool:  # noqa: ANN401 - a function, class or wrapper
    """Say whether importing the value's module gives this very value; the notebook is no module."""
    module = getattr(value, "__module__", None)
    path = getattr(value, "__qualname__", None)
    if module == "__main__" or not isinstance(module, str) or not isinstance(path, str):
        return False
    found: object = sys.modules.get(module)
    for name in path.split("."):
        found = getattr(found, name, None)
    return found is value
