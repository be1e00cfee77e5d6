"""The state of the global random generators, as values: `@random`, `@numpy.random`, `@torch`.

A notebook that seeds a generator once expects its stream to go on from cell to cell. So the state
is stored like a variable by the step that leaves it, and put back by the step that goes on.
"""

from __future__ import annotations

import importlib
import random
import sys
from typing import Any, Final

STREAMS: Final = ("@random", "@numpy.random", "@torch")


def stream_state(name: str) -> Any:  # noqa: ANN401 - each library has a state of its own type
    """Give the state of a stream; None where its library is not loaded, so that nothing drew."""
    if name == "@random":
        return random.getstate()
    module = sys.modules.get(name[1:])
    if module is None:
        return None
    return module.get_state() if name == "@numpy.random" else module.get_rng_state()


def restore_stream(name: str, state: Any) -> None:  # noqa: ANN401 - as above
    """Put a stream back to a state; its library is imported if it must be."""
    if name == "@random":
        random.setstate(state)
    elif name == "@numpy.random":
        importlib.import_module("numpy.random").set_state(state)
    elif name == "@torch":
        importlib.import_module("torch").set_rng_state(state)


# Where each stream stood when the step's own code began, or when its library was loaded.
_marks: dict[str, str] = {}


def mark_stream(name: str) -> None:
    """Take the present state of a stream for the one that the step's code begins with."""
    _marks[name] = _mark(stream_state(name))


def mark_streams() -> None:
    """Take the present state of every loaded stream for the one that the step begins with."""
    _marks.clear()
    for name in STREAMS:
        if stream_state(name) is not None:
            mark_stream(name)


def drawn_streams() -> tuple[str, ...]:
    """Name the streams that were drawn from, or seeded, since they were marked."""
    if "@torch" not in _marks and "torch" in sys.modules:
        # Loaded meanwhile: a generator that nobody used has the state of a new one.
        _marks["@torch"] = _mark(sys.modules["torch"].Generator().get_state())
    return tuple(name for name, mark in _marks.items() if _mark(stream_state(name)) != mark)


def _mark(state: Any) -> str:  # noqa: ANN401 - as above
    if isinstance(state, tuple):
        return repr([part.tobytes() if hasattr(part, "tobytes") else part for part in state])
    return repr(state.numpy().tobytes()) if hasattr(state, "numpy") else repr(state)
