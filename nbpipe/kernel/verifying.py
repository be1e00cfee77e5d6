"""The kernel's part in `nbpipe verify`: snapshots of a plain notebook, and comparing values.

A plain notebook must not notice that it is watched. So its cells of ours bind no name, show
nothing, have no number (the engine runs them unseen), draw no random number, and run no code of
the values' own but what pickling them runs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbpipe.errors import NbpipeError
from nbpipe.kernel.driver_watch import end_with_driver
from nbpipe.kernel.exchange import REQUEST_VARIABLE
from nbpipe.kernel.imports import WATCH
from nbpipe.kernel.random_streams import STREAMS, restore_stream, stream_state
from nbpipe.model.artifact import StoredValue
from nbpipe.model.names import StepName, Variable
from nbpipe.model.verification import Comparison, Likeness
from nbpipe.store.blobs.local import LocalBlobs
from nbpipe.store.differences import compare_values
from nbpipe.store.values import fingerprints, load_values, store_values
from nbpipe.wire.codec import decode, encode


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRequest:
    """What to store of a plain notebook at the end of each step, and where.

    `definitions` are, by step, the functions and classes that are not stored but referred to.
    """

    store: str
    report: str
    variables: Mapping[StepName, tuple[Variable, ...]]
    definitions: Mapping[StepName, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What was stored at the end of a step; `failures` say why a variable was not."""

    values: Mapping[Variable, StoredValue] = field(default_factory=dict)
    failures: Mapping[Variable, str] = field(default_factory=dict)
    unbound: tuple[Variable, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two values of one variable, each with the root of the store it is in."""

    left: StoredValue
    left_store: str
    right: StoredValue
    right_store: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRequest:
    """What to compare; the cells of the comparison notebook go through it by number."""

    report: str
    tolerance: float
    pairs: tuple[Pair, ...]


Request = SnapshotRequest | ComparisonRequest

_snapshots: dict[StepName, Snapshot] = {}
_comparisons: dict[int, Comparison] = {}


def write_request(request: Request, path: Path) -> None:
    """Write the request file that a kernel finds by its environment."""
    path.write_text(json.dumps(encode(request)), "utf-8")


def read_snapshots(path: Path) -> dict[StepName, Snapshot]:
    """Read what a plain notebook's kernel stored, as far as it came."""
    return decode(dict[StepName, Snapshot], _content(path))


def read_comparisons(path: Path) -> dict[int, Comparison]:
    """Read what came of the pairs of a request, by number, as far as the kernel came."""
    found = decode(dict[str, Comparison], _content(path))
    return {int(number): comparison for number, comparison in found.items()}


def begin() -> None:
    """Prepare the kernel as that of a step is prepared, except that nothing is seeded."""
    end_with_driver()
    WATCH.start()


def snapshot(step: str) -> None:
    """Store what the step exports, as it is now."""
    request = decode(SnapshotRequest, _request())
    states = {name: stream_state(name) for name in STREAMS}
    _snapshots[StepName(step)] = _snapshot(request, StepName(step), states)
    for name, state in states.items():
        if state is not None:
            restore_stream(name, state)
    _report(_snapshots, request.report)


def compare(first: int, last: int) -> None:
    """Compare the pairs from number `first` up to, not including, `last`."""
    request = decode(ComparisonRequest, _request())
    for number in range(first, last):
        _comparisons[number] = _compared(request.pairs[number], request.tolerance)
    _report({str(number): each for number, each in _comparisons.items()}, request.report)


def _snapshot(request: SnapshotRequest, step: StepName, states: Mapping[str, object]) -> Snapshot:
    namespace = _namespace()
    wanted = request.variables.get(step, ())
    streams: dict[str, object] = {
        name: states[name] for name in wanted if states.get(name) is not None
    }
    # As in a step, streams stand among the variables while they are stored.
    namespace.update(streams)
    try:
        stored = store_values(
            LocalBlobs(Path(request.store) / "objects"),
            namespace,
            [name for name in wanted if name in namespace],
            definitions=frozenset(request.definitions.get(step, ())),
            proven=False,
        )
        unbound = tuple(name for name in wanted if name not in namespace)
    except NbpipeError as error:
        return Snapshot(failures=dict.fromkeys(wanted, error.message))
    except Exception as error:  # noqa: BLE001 - code of the values' own, which must not be noticed
        return Snapshot(failures=dict.fromkeys(wanted, f"{type(error).__name__}: {error}"))
    finally:
        for name in streams:
            del namespace[name]
    return Snapshot(
        values=stored.values,
        failures={name: failure.message for name, failure in stored.failures.items()},
        unbound=unbound,
    )


def _compared(pair: Pair, tolerance: float) -> Comparison:
    namespace = _namespace()
    try:
        # Both reloaded: some objects are pickled to other bytes after their first round trip.
        left = _loaded(pair.left, pair.left_store, namespace)
        right = _loaded(pair.right, pair.right_store, namespace)
    except NbpipeError as error:
        return Comparison(likeness=Likeness.INCOMPARABLE, detail=error.message)
    one, other = (fingerprints({**namespace, "it": it}, ["it"]) for it in (left, right))
    marks = [mark for found in (one, other) for mark in found.values()]
    if marks[0] is not None and marks[0] == marks[1]:
        return Comparison()
    return compare_values(left, right, tolerance=tolerance)


def _loaded(value: StoredValue, store: str, namespace: dict[str, Any]) -> object:
    blobs = LocalBlobs(Path(store) / "objects")
    return load_values(blobs, [value], namespace, trusted=True)[value.variable]


def _namespace() -> dict[str, Any]:
    """Give the notebook's namespace: in a kernel, the notebook is `__main__`."""
    return vars(sys.modules["__main__"])


def _request() -> Any:  # noqa: ANN401 - JSON, which `decode` checks
    return _content(Path(os.environ[REQUEST_VARIABLE]))


def _content(path: Path) -> Any:  # noqa: ANN401 - as above
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}


def _report(content: Mapping[Any, object], path: str) -> None:
    unfinished = Path(f"{path}.writing")
    unfinished.write_text(json.dumps(encode(content)), "utf-8")
    unfinished.replace(path)
