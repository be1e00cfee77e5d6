"""What does it cost to prove that a step left a large input as it was?

A step takes its input from the store, adds it up, and saves nothing: through the loading and saving
that every step has, in a fresh process each time. Beside it the same without the proof, one hash of
the same bytes, and a copy of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import process_time
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from xxhash import xxh3_128

from nbpipe.kernel.step_io import StepIo, StepSide
from nbpipe.model.artifact import StoredValue
from nbpipe.model.trace import Trace
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.store.values import load_values, store_values
from nbpipe.wire.codec import decode, encode

Array: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"

BYTES = 1 << 30
ROUNDS = 5
COLUMNS = 16
KINDS: dict[str, Callable[[], Array | pd.DataFrame]] = {
    "array": lambda: np.random.default_rng(0).random(BYTES // 8),
    "frame": lambda: pd.DataFrame(
        np.random.default_rng(0).random((BYTES // 8 // COLUMNS, COLUMNS)),
        columns=[f"c{n}" for n in range(COLUMNS)],
    ),
}


def make(directory: str, kind: str) -> None:
    """Store the value, and note how it is found again."""
    with closing(ArtifactStore.open_temporary(Path(directory))) as store:
        (value,) = store_values(store.blobs, {"x": KINDS[kind]()}, ["x"]).values.values()  # noqa: PD011 - no frame
    (Path(directory) / "x.json").write_text(json.dumps(encode(value)))


def measure(directory: str, how: str) -> None:
    """Print the CPU seconds of one step."""
    value = decode(StoredValue, json.loads((Path(directory) / "x.json").read_text()))
    with closing(ArtifactStore.open_temporary(Path(directory))) as store:
        seconds = {"proven": proven, "unproven": unproven, "hash": hashed, "copy": copied}[how](
            store, value
        )
    print(seconds)


def proven(store: ArtifactStore, value: StoredValue) -> float:
    namespace: dict[str, Any] = {}
    side = StepSide(
        blobs=store.blobs,
        trusted=True,
        inputs=lambda _: {value.variable: value},
        deliver=lambda report: None if not report.changed else sys.exit(f"{report.changed}?"),
        trace=Trace,
    )
    step = StepIo(side, namespace, definitions=())
    start = process_time()
    step.load({"x": "make"})
    add_up(namespace["x"])
    step.save([], [])
    return process_time() - start


def unproven(store: ArtifactStore, value: StoredValue) -> float:
    start = process_time()
    add_up(load_values(store.blobs, [value], {}, trusted=True)["x"])
    return process_time() - start


def hashed(store: ArtifactStore, value: StoredValue) -> float:
    memory = memory_of(load_values(store.blobs, [value], {}, trusted=True)["x"])
    xxh3_128(memory)  # Brings the pages in.
    start = process_time()
    xxh3_128(memory)
    return process_time() - start


def copied(store: ArtifactStore, value: StoredValue) -> float:
    memory = memory_of(load_values(store.blobs, [value], {}, trusted=True)["x"])
    target = np.ones_like(memory)
    start = process_time()
    np.copyto(target, memory)
    return process_time() - start


def memory_of(loaded: object) -> Array:
    return np.asarray(loaded, dtype=float).ravel(order="K")


def add_up(loaded: object) -> None:
    np.asarray(loaded).sum()


def least(directory: str, how: str) -> float:
    def once() -> float:
        command = [sys.executable, __file__, "measure", directory, how]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    return min(once() for _ in range(ROUNDS)) / (BYTES / 1e9)


def main() -> None:
    print("CPU seconds for each GB of float64")
    print(f"{'input':>6}  {'proof':>6}  {'hash':>6}  {'copy':>6}  {'proof / hash':>12}")
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run([sys.executable, __file__, "make", directory, kind], check=True)
            found = {h: least(directory, h) for h in ("proven", "unproven", "hash", "copy")}
        proof = found["proven"] - found["unproven"]
        print(
            f"{kind:>6}  {proof:>6.3f}  {found['hash']:>6.3f}  {found['copy']:>6.3f}  "
            f"{proof / found['hash']:>10.1f} ×"
        )


if __name__ == "__main__":
    if sys.argv[1:]:
        {"make": make, "measure": measure}[sys.argv[1]](*sys.argv[2:])
    else:
        main()
