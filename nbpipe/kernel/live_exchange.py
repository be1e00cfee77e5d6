"""What a live kernel and the process that advises it tell each other, one JSON line each way.

A live kernel is one that a person works in. It knows its variables and what ran in it; the process
beside it knows the notebook's file, the pipeline, and the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from nbpipe.kernel.exchange import KernelReport
from nbpipe.model.artifact import StoredValue
from nbpipe.model.names import Variable

# Among the outputs of a step that ran in a live kernel: variables as each of its cells left them,
# and the value of each cell's last expression.
_LEFT: Final = "@cell"
_SHOWN: Final = "@shown"


def left_by(place: int, name: str) -> Variable:
    """Name a variable as a cell of a step left it."""
    return Variable(f"{_LEFT}.{place}.{name}")


def shown_by(place: int, name: str = "") -> Variable:
    """Name the value that a cell of a step shows last, and the variable that this is, if any."""
    return Variable(f"{_SHOWN}.{place}.{name}")


def is_of_live_kernel(name: str) -> bool:
    """Say whether an output has a name that `left_by` or `shown_by` gave."""
    return name.startswith((f"{_LEFT}.", f"{_SHOWN}."))


def values_left_by(
    place: int, outputs: Mapping[Variable, StoredValue]
) -> dict[Variable, StoredValue]:
    """Give the variables as a cell of a step left them."""
    return _below(f"{_LEFT}.{place}.", outputs)


def value_shown_by(
    place: int, outputs: Mapping[Variable, StoredValue]
) -> tuple[str, StoredValue] | None:
    """Give the value that a cell of a step shows last, with the variable that it is, if any."""
    return next(iter(_below(f"{_SHOWN}.{place}.", outputs).items()), None)


def _below(prefix: str, outputs: Mapping[Variable, StoredValue]) -> dict[Variable, StoredValue]:
    names = {
        each: Variable(each.removeprefix(prefix)) for each in outputs if each.startswith(prefix)
    }
    return {name: replace(outputs[each], variable=name) for each, name in names.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """A cell that ran in the kernel; without a source, what happened to it between two cells.

    Attributes:
        cell: its id, if the front end told it; empty otherwise.
        source: as typed.
        succeeded: it ended without an exception, or its stored result took its place.
        states: state of the process that it changed, such as `@warnings`.
        is_reused: its stored result took its place.
    """

    cell: str
    source: str
    succeeded: bool
    states: tuple[str, ...] = ()
    is_reused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A cell is about to run: what is it to the pipeline? `executed` ran since the last one."""

    executed: tuple[Executed, ...]
    cell: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyResult:
    """A stored result that may take the place of running a cell.

    Attributes:
        left: what the step's variables were when the cell had run.
        bound: of these, those that the cell may bind; others it has changed in place.
        doubtful: of these, those that it may have changed in place before.
        outputs: what the step has given to others with it; empty but for its last cell.
        displays: the cell's outputs as JSON.
        shown: the value of its last expression, if it was stored.
        shown_name: the variable that this value is.
        lines: first lines of the statements that run all the same: imports and definitions.
        unbound: names that have no value then.
        missing: names that had a value, which was not stored.
        kept: of all these, names that keep the value they have: the cell may not bind them.
        seconds: how long the step took.
        made: when, in ISO format.
    """

    left: Mapping[Variable, StoredValue]
    bound: tuple[Variable, ...]
    doubtful: tuple[Variable, ...]
    outputs: Mapping[Variable, StoredValue]
    displays: str
    shown: StoredValue | None
    shown_name: str
    lines: tuple[int, ...]
    unbound: tuple[Variable, ...]
    missing: tuple[Variable, ...]
    kept: tuple[Variable, ...]
    seconds: float
    made: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What a cell is to the pipeline.

    Attributes:
        step: empty for a cell that is no step's.
        key: the step key.
        place: which of the step's cells it is, from 0.
        cells: how many it has.
        replayed: some step takes code from this cell without running it.
        defines: names that such code binds.
        objection: why the kernel is not what the pipeline would have; empty when nobody knows.
        is_consequence: the objection is that a step before it has no result.
        setup: names that the step takes from replayed code, with the source of the cell that
            binds each.
        absent: names that must have no value here when the step begins, as in the pipeline.
        computes: variables that the step's cells may bind, up to each of them.
        left_over: those that the step may not bind: a value from before is none of its.
        inputs: what the pipeline gives the step; None for what is left unbound.
        streams: random streams that the step may draw from.
        constants: of `setup`, those that are no functions, classes or modules; and parameters.
        watched_files: absolute paths, as in a `KernelRequest`.
        ready: the result to reuse, if there is one and the cell may be left out.
        store: where blobs go.
        trusted: stored values may be unpickled.
    """

    step: str = ""
    key: str = ""
    place: int = 0
    cells: int = 1
    replayed: bool = False
    defines: tuple[str, ...] = ()
    objection: str = ""
    is_consequence: bool = False
    setup: Mapping[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    computes: tuple[tuple[str, ...], ...] = ()
    left_over: tuple[str, ...] = ()
    inputs: Mapping[Variable, StoredValue | None] = field(default_factory=dict)
    streams: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    definitions: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()
    names_indexes: bool = False
    watched_files: tuple[str, ...] = ()
    ready: ReadyResult | None = None
    store: str = ""
    trusted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The result of the step that was asked about last, to be stored under its key.

    `displays` is a JSON list with the outputs of each of its cells.
    """

    report: KernelReport
    displays: str
    started: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What became of an offer; `objection` says why nothing was stored."""

    objection: str = ""
