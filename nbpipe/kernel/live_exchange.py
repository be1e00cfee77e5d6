"""What a live kernel and the process that advises it tell each other, one JSON line each way.

A live kernel is one that a person works in. It knows its variables and what ran in it; the process
beside it knows the notebook's file, the pipeline, and the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nbpipe.kernel.exchange import KernelReport
from nbpipe.model.artifact import StoredValue
from nbpipe.model.names import Variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """A cell that ran in the kernel.

    Attributes:
        cell: its id, if the front end told it; empty otherwise.
        source: as typed.
        succeeded: it ended without an exception, or its stored result took its place.
        states: state of the process that it changed, such as `@warnings`.
    """

    cell: str
    source: str
    succeeded: bool
    states: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A cell is about to run: what is it to the pipeline? `executed` ran since the last one."""

    executed: tuple[Executed, ...]
    cell: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyResult:
    """A stored result that may take the place of running the cell.

    Attributes:
        displays: the cell's outputs as JSON.
        lines: first lines of the statements that run all the same: imports and definitions.
        unbound: names that the step leaves unbound, or that are not stored.
        seconds: how long the step took.
        made: when, in ISO format.
    """

    outputs: Mapping[Variable, StoredValue]
    displays: str
    lines: tuple[int, ...]
    unbound: tuple[Variable, ...]
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
        setup: names that the step takes from replayed code, with the source of the cell that
            binds each.
        absent: names that must have no value here when the step begins, as in the pipeline.
        left_over: outputs that the step may not bind: a value from before is none of its.
        inputs: what the pipeline gives the step; None for what is left unbound.
        streams: random streams that the step may draw from.
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
    setup: Mapping[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    left_over: tuple[str, ...] = ()
    inputs: Mapping[Variable, StoredValue | None] = field(default_factory=dict)
    streams: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    definitions: tuple[str, ...] = ()
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
