"""Runs that are killed at a random moment, one or two at once, and what they leave behind."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from contextlib import closing
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from unittest import mock

from nbpipe.api import runs
from nbpipe.model.run import RunState
from nbpipe.runner import loop
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.store.bundles import read_bundle
from nbpipe.workspace import open_workspace, read_notebook
from tests.fuzz.case import Case
from tests.fuzz.judge import normal_outputs, shown_by
from tests.fuzz.processes import ForkingExecutor, in_fork, run_cells


def survives(case: Case, *, seed: int, rounds: int = 3) -> list[str]:
    """Kill runs of a notebook on one store, then let one end; gives what is wrong afterwards.

    In every other round two runs work at once. The store is looked at after each.
    """
    chance = random.Random(seed)
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="crash-") as place:
        plain, piped = Path(place) / "plain", Path(place) / "piped"
        plain.mkdir()
        piped.mkdir()
        case.write(plain)
        path = case.write(piped)
        expected = in_fork(lambda: run_cells(case.sources, directory=plain)).outputs
        started = time.monotonic()
        in_fork(lambda: _run(case.write(_made(Path(place) / "timed"))) and None)
        longest = time.monotonic() - started
        for number in range(rounds):
            running = [_start(path) for _ in range(1 + number % 2)]
            time.sleep(chance.uniform(0, longest))
            for process in running:
                _kill(process)
            faults += [f"round {number}: {fault}" for fault in faults_of(piped / ".nbpipe")]
        state, shown, _ = in_fork(lambda: _run(path))
        faults += faults_of(piped / ".nbpipe")
    if state != RunState.SUCCEEDED.value:
        faults.append(f"the last run {state}")
    faults += [
        f"cell {number} shows {is_} for {was}"
        for number, (cell, is_, was) in enumerate(
            zip(case.cells, shown, map(normal_outputs, expected), strict=True), start=1
        )
        if cell.step and is_ != was
    ]
    return faults


def states_when_the_clock_goes_back(case: Case) -> list[str]:
    """Run a notebook, and again a day earlier; gives the states of the steps then."""
    with tempfile.TemporaryDirectory(prefix="clock-") as place:
        path = case.write(Path(place))
        _, shown, _ = in_fork(lambda: _run(path))
        with mock.patch.object(loop, "datetime", _Yesterday):
            _, shown_again, states = in_fork(lambda: _run(path))
        faults = faults_of(Path(place) / ".nbpipe")
    return [*faults, *states] if shown == shown_again else ["another result"]


class _Yesterday(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) - timedelta(days=1)


def faults_of(root: Path) -> list[str]:
    """Look at everything a store says it has; nothing at all is fine, half of something is not."""
    if not (root / "index.db").exists():
        return []
    faults: list[str] = []
    with closing(ArtifactStore.open(root)) as store:
        for check, fine in (("integrity_check", [("ok",)]), ("foreign_key_check", [])):
            found = [tuple(row) for row in store._database.read(f"PRAGMA {check}")]
            if found != fine:
                faults.append(f"{check}: {found}")
        for version in store.versions():
            bundle = read_bundle(store.blobs, version.value.bundle)
            for blob in (bundle.head, *bundle.buffers):
                store.blobs.read(blob.digest)  # Raises when it is gone or damaged.
        for run in store.runs(limit=1000):
            for step in run.steps:
                if step.cells is not None:
                    store.blobs.read(step.cells)
                if step.key is not None and step.state.is_good:
                    found = store.find_results([step.key.key])
                    if step.key.key not in found:
                        faults.append(f"the result of {step.step} is not whole")
    return faults


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _run(path: Path) -> tuple[str, list[object], list[str]]:
    workspace = open_workspace(path)
    with closing(workspace.open_store()) as store:
        run = runs.run(
            workspace, store, executor=ForkingExecutor(), options=runs.RunOptions(jobs=1)
        )
        shown = shown_by(read_notebook(store.root / run.executed_notebook))
        return run.state.value, shown, [step.state.value for step in run.steps]


def _start(path: Path) -> int:
    child = os.fork()
    if child == 0:
        os.setsid()
        try:
            _run(path)
        finally:
            os._exit(0)
    return child


def _kill(process: int) -> None:
    try:
        # Its kernels, too: they are forks of its session.
        os.killpg(process, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
