"""A process that dies between any two writes, and several that write at once."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nbpipe.store.artifacts import ArtifactStore
from nbpipe.store.values import load_values
from tests.store.runs import a_key

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")

# A step n stores two values that say which step they are from, and a key `writer n`.
WRITER = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.store.values import store_values
from tests.store.runs import a_run, a_step, a_key

writer = sys.argv[2]
store = ArtifactStore.open(Path(sys.argv[1]))
store.begin_run(a_run(writer, started=datetime.now(UTC)))

def commit(number):
    shared = [writer, number, "x" * 100]
    values = {"a": shared, "b": {"k": shared}, "n": number}
    cells = store.blobs.put([f"cells {writer} {number}".encode()])
    stored = store_values(store.blobs, values, list(values)).values
    store.commit_step(
        a_step(f"step-{writer}-{number}", run=writer, key=f"{writer} {number}", cells=cells), stored
    )
"""

ENDLESS = (
    WRITER
    + """
for number in range(100_000):
    commit(number)
    print(number, flush=True)
"""
)

BOUNDED = (
    WRITER
    + """
for number in range(40):
    commit(number)
print("done")
"""
)

# Children that die at their first, second, third … write to a blob file or to the index.
DYING = (
    WRITER
    + """
import nbpipe.store.blobs.local as local
import nbpipe.store.index.database as database
store.close()
for point in range(1, 400):
    child = os.fork()
    if child == 0:
        left = point
        def count(function):
            def counted(*arguments, **options):
                global left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), 9)
                return function(*arguments, **options)
            return counted
        os.write = count(os.write)
        Path.replace = count(Path.replace)
        database.Database.write = count(database.Database.write)
        database.Database.write_many = count(database.Database.write_many)
        store = ArtifactStore.open(Path(sys.argv[1]))
        commit(point)
        print("alive", point, flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""
)


def start(code: str, store: Path, writer: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(store), writer], stdout=subprocess.PIPE, text=True
    )


def results_of(store: ArtifactStore, writer: str, numbers: range) -> set[int]:
    """The numbers of the steps that have a result; each must be whole."""
    keys = {a_key(f"{writer} {number}").key: number for number in numbers}
    found = store.find_results(list(keys))
    for key, stored in found.items():
        number = keys[key]
        assert store.blobs.read(stored.cells) == f"cells {writer} {number}".encode()
        values = [version.value for version in stored.outputs.values()]
        loaded = load_values(store.blobs, values, {}, trusted=True)
        shared = [writer, number, "x" * 100]
        assert loaded == {"a": shared, "b": {"k": shared}, "n": number}
        assert loaded["a"] is loaded["b"]["k"]
    return {keys[key] for key in found}


def assert_is_sound(store: ArtifactStore) -> None:
    """Every fact is about blobs that are there, and numbers have no gap and no twin."""
    by_series: dict[str, list[int]] = {}
    for version in store.versions():
        by_series.setdefault(version.key.variable, []).append(version.number)
        load_values(store.blobs, [version.value], {}, trusted=True)
    for numbers in by_series.values():
        assert numbers == list(range(1, len(numbers) + 1))
    for run in store.runs(limit=1000):
        for step in run.steps:
            assert set(step.outputs) == {"a", "b", "n"}
    assert store._database.read("PRAGMA integrity_check")[0][0] == "ok"
    assert store._database.read("PRAGMA foreign_key_check") == []
    assert store.audit(with_blobs=True).findings == ()


def test_a_process_killed_at_any_moment_leaves_whole_results(tmp_path):
    root = tmp_path / "store"
    rounds = random.Random(0)
    for number in range(12):
        process = start(ENDLESS, root, f"w{number}")
        process.stdout.readline()
        time.sleep(rounds.uniform(0, 0.03))
        process.kill()
        said = [int(line) for line in process.stdout.read().split() if line]
        process.wait()
        process.stdout.close()
        store = ArtifactStore.open(root)
        last = max(said, default=0)
        done = results_of(store, f"w{number}", range(last + 10))
        # What it said is there; at most the one it could not say any more comes on top.
        assert done in ({*range(last + 1)}, {*range(last + 2)})
        assert_is_sound(store)
        store.close()


def test_a_process_killed_between_any_two_writes_leaves_all_or_nothing(tmp_path):
    root = tmp_path / "store"
    output, _ = start(DYING, root, "w").communicate()
    points = int(output.split()[1])
    assert points > 20
    store = ArtifactStore.open(root)
    assert results_of(store, "w", range(points + 1)) == {points}
    assert_is_sound(store)
    store.close()


def test_processes_that_write_at_once_lose_nothing(tmp_path):
    root = tmp_path / "store"
    writers = ["one", "two", "three"]
    processes = [start(BOUNDED, root, writer) for writer in writers]
    outputs = [process.communicate()[0] for process in processes]
    assert outputs == ["done\n"] * 3
    store = ArtifactStore.open(root)
    for writer in writers:
        assert results_of(store, writer, range(40)) == set(range(40))
    assert len(store.versions(variable="a")) == 120
    assert_is_sound(store)
    store.close()


def test_garbage_collection_beside_writers_takes_nothing_they_made(tmp_path):
    root = tmp_path / "store"
    ArtifactStore.open(root).close()
    processes = [start(BOUNDED, root, writer) for writer in ("one", "two")]
    store = ArtifactStore.open(root)
    while any(process.poll() is None for process in processes):
        store.collect_garbage(keep_runs=1)
    for process, writer in zip(processes, ("one", "two"), strict=True):
        assert process.communicate()[0] == "done\n"
        assert results_of(store, writer, range(40)) == set(range(40))
    assert_is_sound(store)
    store.close()
