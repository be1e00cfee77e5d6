"""Does code ask for the time? No event tells, so its text has to.

A sign, no proof: the time may be asked for in a module, and `now()` may be somebody's own.
"""

from __future__ import annotations

import ast
from typing import Final

_OF_TIME: Final = frozenset(
    {
        *("time", "time_ns", "localtime", "gmtime", "ctime", "asctime", "strftime"),
        *("monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"),
        *("process_time", "process_time_ns", "thread_time", "thread_time_ns"),
    }
)
_ANYWHERE: Final = frozenset({"now", "utcnow", "today"})
_WORDS: Final = frozenset({"now", "today"})
_TAKE_WORDS: Final = frozenset({"Timestamp", "to_datetime", "datetime64"})


def asks_for_time(source: str) -> bool:
    """Say whether Python code calls something that gives the time or the date of now."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    from_time = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
        if alias.name in _OF_TIME
    }
    return any(_gives_now(node, from_time) for node in ast.walk(tree) if isinstance(node, ast.Call))


def _gives_now(call: ast.Call, from_time: set[str]) -> bool:
    match call.func:
        case ast.Attribute(value=ast.Name(id="time"), attr=name) if name in _OF_TIME:
            # With a second argument it formats a time that it is given.
            return name != "strftime" or len(call.args) < 2  # noqa: PLR2004
        case ast.Attribute(attr=name) if name in _ANYWHERE:
            return True
        case ast.Attribute(attr=name) | ast.Name(id=name) if name in _TAKE_WORDS:
            return any(
                isinstance(each, ast.Constant) and each.value in _WORDS for each in call.args
            )
        case ast.Name(id=name):
            return name in from_time
    return False
