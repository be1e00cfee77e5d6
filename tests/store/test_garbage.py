import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from nbpipe.model.run import RunState, StepState
from nbpipe.store.garbage import SeriesGarbage
from tests.store.runs import STARTED, a_key, a_run, a_step, commit, open_store

LATER = timedelta(days=10)


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path)
    yield store
    store.close()


def in_ten_days(store, **options):
    return store.collect_garbage(now=datetime.now(UTC) + LATER, **options)


def run_of(store, number, **values):
    """Run number `number` of pipeline p, whose one step makes the values."""
    store.begin_run(a_run(f"r{number}", started=STARTED + timedelta(hours=number)))
    return commit(store, "make", values, run=f"r{number}", key=f"k{number}")


def test_old_runs_go_with_what_only_they_made(store):
    for number in range(4):
        run_of(store, number, df=np.full(1000, number), same=7)
    directory = store.root / "runs" / "r0"
    directory.mkdir(parents=True)
    (directory / "make.ipynb").write_text("{}")
    report = in_ten_days(store, keep_runs=2)
    assert [v.reference for v in store.versions()] == ["df@3", "df@4", "same@1"]
    assert list(store.find_results([a_key(f"k{n}").key for n in range(4)])) == sorted(
        [a_key("k2").key, a_key("k3").key]
    )
    # r0 made `same@1`, which is needed, so the run is remembered; r1 made nothing that is.
    assert [run.id for run in store.runs()] == ["r3", "r2", "r0"]
    assert report.runs == 1
    assert report.results == 2
    assert report.series == (
        SeriesGarbage(pipeline="p", variable="df", versions=2, bytes=report.bytes),
    )
    assert report.bytes > 16_000
    for version in store.versions():
        assert store.blobs.has(version.value.bundle)
    assert run_of(store, 9, df=1).outputs["df"].number == 5  # Numbers are never given out twice.


def test_a_dry_run_reports_the_same_and_deletes_nothing(store):
    for number in range(4):
        run_of(store, number, df=np.full(1000, number))
    before = (store.versions(), store.runs(), {blob.digest for blob in store.blobs})
    dry = in_ten_days(store, keep_runs=1, dry_run=True)
    assert (store.versions(), store.runs(), {blob.digest for blob in store.blobs}) == before
    real = in_ten_days(store, keep_runs=1)
    assert dry.dry_run and not real.dry_run
    assert (dry.series, dry.runs, dry.blobs, dry.bytes) == (
        real.series, real.runs, real.blobs, real.bytes,
    )  # fmt: skip
    assert in_ten_days(store, keep_runs=1).bytes == 0


def test_tagged_and_pinned_versions_stay(store):
    for number in range(5):
        run_of(store, number, df=number)
    store.pin(store.find_version("df@1"))
    store.tag(store.find_version("df@2"), "production")
    in_ten_days(store, keep_runs=1)
    assert [v.reference for v in store.versions()] == ["df@1", "df@2", "df@5"]
    assert [run.id for run in store.runs()] == ["r4", "r1", "r0"]
    store.unpin(store.find_version("df@1"))
    in_ten_days(store, keep_runs=1)
    assert [v.reference for v in store.versions()] == ["df@2", "df@5"]


def test_results_that_a_kept_run_reused_stay(store):
    made = run_of(store, 0, df=np.arange(1000))
    for number in range(1, 4):
        store.begin_run(a_run(f"r{number}", started=STARTED + timedelta(hours=number)))
        store.record_step(
            a_step(
                "make", run=f"r{number}", key="k0", state=StepState.REUSED,
                outputs=dict(made.outputs),
            )
        )  # fmt: skip
    in_ten_days(store, keep_runs=1)
    assert list(store.find_results([a_key("k0").key])) == [a_key("k0").key]
    assert store.run("r3").steps[0].outputs == made.outputs


def test_what_is_young_stays(store):
    run_of(store, 0, df=1)
    store.blobs.put([b"a step that runs has put this and not committed it yet"])
    assert store.collect_garbage(keep_runs=0).blobs == 0
    assert len(store.versions()) == 1
    assert len(list(store.blobs)) == 3
    # Without any grace for facts, blobs still have an hour to be committed in.
    assert store.collect_garbage(keep_runs=0, older_than=timedelta(0)).blobs == 0
    assert store.versions() == ()
    assert len(list(store.blobs)) == 3


def test_what_was_found_lately_stays(store):
    run_of(store, 0, df=1)
    with store._database.transaction():
        store._database.write("UPDATE results SET used = '2020-01-01T00:00:00.000000+00:00'")
        store._database.write("UPDATE versions SET created = '2020-01-01T00:00:00.000000+00:00'")
    store.find_results([a_key("k0").key])
    store.collect_garbage(keep_runs=0)
    assert list(store.find_results([a_key("k0").key])) == [a_key("k0").key]
    in_ten_days(store, keep_runs=0)
    assert store.find_results([a_key("k0").key]) == {}


def test_blobs_nobody_mentions_and_leftovers_go(store):
    run_of(store, 0, df=1)
    cells = store.blobs.put([b"outputs of cells"])
    store.record_step(a_step("show", run="r0", state=StepState.FAILED, cells=cells))
    orphan = store.blobs.put([b"orphan"])
    leftover = Path(store.blobs.path(orphan)).with_name(".partial-x")
    leftover.write_bytes(b"half")
    report = in_ten_days(store)
    assert not store.blobs.has(orphan)
    assert not leftover.exists()
    assert store.blobs.has(cells)
    assert (report.blobs, report.bytes, report.series) == (1, 10, ())


def test_a_blob_that_is_put_again_while_garbage_is_collected_stays(store, monkeypatch):
    digest = store.blobs.put([b"orphan"])
    os.utime(store.blobs.path(digest), (1000, 1000))
    iterate = type(store.blobs).__iter__

    def put_after_listing(blobs):
        listed = list(iterate(blobs))
        blobs.put([b"orphan"])
        return iter(listed)

    monkeypatch.setattr(type(store.blobs), "__iter__", put_after_listing)
    assert store.collect_garbage().blobs == 0
    assert store.blobs.read(digest) == b"orphan"


def test_a_run_that_has_not_ended_stays_with_what_it_made(store):
    now = datetime.now(UTC)
    for number in range(3):
        store.begin_run(a_run(f"r{number}", started=now + timedelta(hours=number)))
    commit(store, "make", {"df": 1}, run="r0", key="k")
    store.collect_garbage(keep_runs=1, now=now + LATER)
    assert [run.id for run in store.runs()] == ["r2", "r1", "r0"]
    assert list(store.find_results([a_key("k").key])) == [a_key("k").key]
    for number in range(3):
        store.finish_run(f"r{number}", RunState.SUCCEEDED, finished=now)
    store.collect_garbage(keep_runs=1, now=now + LATER)
    assert [run.id for run in store.runs()] == ["r2"]
    assert store.versions() == ()


def test_pipelines_do_not_count_against_each_other(store):
    store.begin_run(a_run("q1", pipeline="q"))
    commit(store, "make", {"x": 1}, run="q1", key="q")
    for number in range(3):
        run_of(store, number, df=number)
    in_ten_days(store, keep_runs=1)
    assert [v.reference for v in store.versions()] == ["df@3", "x@1"]
