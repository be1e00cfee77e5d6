"""What functions under `functools.lru_cache` remember, as data for another process.

Nothing in Python gives the results out or puts them in. The garbage collector names what an object
refers to; and a function that for a moment only gives what it is told, called by way of its cache,
has that remembered. Both are ways of CPython.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType
from typing import Any, Final, TypeAlias, TypeGuard

Entry = tuple[tuple[Any, ...], dict[str, Any], Any]  # Arguments, keyword arguments, result.
Cache: TypeAlias = "functools._lru_cache_wrapper[Any]"  # noqa: SLF001 - it has no other name.

_PLACEHOLDER: Final = 0x6E62_7069_7065
_GIVING: Final = (lambda *_, **__: 0x6E62_7069_7065).__code__


def is_cache(value: object) -> TypeGuard[Cache]:
    """Say whether the value is a function of the notebook's kind, under a cache."""
    is_one = type(value) is functools._lru_cache_wrapper  # noqa: SLF001
    return is_one and type(getattr(value, "__wrapped__", None)) is FunctionType


def entries_of(cache: Cache) -> list[Entry]:
    """Give what a cache remembers, the least recently used first."""
    referents = gc.get_referents(cache)
    mark = next((each for each in reversed(referents) if type(each) is object), None)
    is_typed = cache.cache_parameters()["typed"]
    return [
        (*_arguments(key, mark, is_typed=is_typed), result)
        for key, result in _remembered(cache, referents)
    ]


def remember(cache: Cache, entries: Iterable[Entry]) -> None:
    """Let a cache remember these results and no others."""
    function = cache.__wrapped__
    assert isinstance(function, FunctionType)
    cache.cache_clear()
    own = function.__code__
    try:
        for arguments, keywords, result in entries:
            function.__code__ = _giving(result, own)
            cache(*arguments, **keywords)
    finally:
        function.__code__ = own


def _remembered(cache: Cache, referents: list[Any]) -> Iterator[tuple[Any, Any]]:
    count = cache.cache_info().currsize
    if cache.cache_parameters()["maxsize"] is None:
        found = next(r for r in referents if type(r) is dict and r is not vars(cache))
        yield from found.items()
        return
    # A chain of keys and results, each link with its type behind it.
    chain = [r for r in referents if not (isinstance(r, type) and _is_of_chain(r, cache))]
    yield from zip(chain[0 : 2 * count : 2], chain[1 : 2 * count : 2], strict=True)


def _is_of_chain(kind: type, cache: Cache) -> bool:
    return kind is type(cache) or kind.__name__ == "_lru_list_elem"


def _arguments(key: Any, mark: object, *, is_typed: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:  # noqa: ANN401 - of any function
    """Take a key apart: arguments, a mark, names and values of others; and the types of all."""
    if type(key) is not tuple:
        return (key,), {}
    place = next((index for index, each in enumerate(key) if each is mark), None)
    if place is None:
        return key[: len(key) // 2] if is_typed else key, {}
    arguments, rest = key[:place], key[place + 1 :]
    if is_typed:
        rest = rest[: 2 * ((len(rest) - place) // 3)]
    return arguments, dict(zip(rest[0::2], rest[1::2], strict=True))


def _giving(result: object, own: CodeType) -> CodeType:
    """Give code that returns a result, and that a function can have in the place of its own."""
    constants = tuple(result if each == _PLACEHOLDER else each for each in _GIVING.co_consts)
    return _GIVING.replace(co_consts=constants, co_freevars=own.co_freevars)
