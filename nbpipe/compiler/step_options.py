"""What several cells, or several steps, say about one step, made one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from nbpipe.model.notebook import StepOptions

# How an option of the whole comes from those of its parts; the others are lists, and add up.
_TOGETHER: Final[Mapping[str, Callable[[Any], Any]]] = {
    "retries": max,
    "retry_delay_seconds": max,
    "timeout_seconds": sum,
    "ttl_seconds": min,
    "cache": all,
    "force": any,
    "cpu": max,
    "memory_bytes": max,
    "gpu": max,
}


def said_by_cells(cells: Sequence[StepOptions]) -> StepOptions:
    """Give what the cells of one step say: of those that disagree, the first one counts."""
    return _made_one(cells, lambda _, given: given[0] if given else None)


def needed_by_all(steps: Sequence[StepOptions]) -> StepOptions:
    """Give the options of steps that run as one: what a part needs, the whole needs."""

    def together(name: str, given: Sequence[Any]) -> object:
        # Without a limit for one of them there is none for the whole.
        is_unlimited = name == "timeout_seconds" and len(given) < len(steps)
        return _TOGETHER[name](given) if given and not is_unlimited else None

    return _made_one(steps, together)


def disagreements(one: StepOptions, other: StepOptions) -> Iterator[tuple[str, object, object]]:
    """Give the options, with both values, that two cells of a step set to different things."""
    for name in _TOGETHER:
        ours, theirs = getattr(one, name), getattr(other, name)
        if ours is not None and theirs is not None and ours != theirs:
            yield name, ours, theirs


def with_defaults(options: StepOptions, defaults: StepOptions) -> StepOptions:
    """Give the options, with defaults for what is not said."""
    unsaid = {n: getattr(defaults, n) for n in _TOGETHER if getattr(options, n) is None}
    return dataclasses.replace(options, **unsaid)


def _made_one(
    parts: Sequence[StepOptions], choose: Callable[[str, Sequence[Any]], object]
) -> StepOptions:
    """Add up lists, and `choose` any other option by its name from the values that are given."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(StepOptions):
        values = [getattr(part, field.name) for part in parts]
        if field.name in _TOGETHER:
            found[field.name] = choose(field.name, [v for v in values if v is not None])
        else:
            found[field.name] = tuple(dict.fromkeys(each for value in values for each in value))
    return StepOptions(**found)
