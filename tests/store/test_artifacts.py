import dataclasses
import os
from datetime import timedelta

import numpy as np
import pytest

from nbpipe.errors import ConfigurationError, CorruptStoreError, NotFoundError
from nbpipe.model.effects import FileEffects
from nbpipe.model.observed import Observed
from nbpipe.model.run import RunState, StepFailure, StepState
from nbpipe.store.values import load_values, store_values
from tests.store.runs import STARTED, a_key, a_run, a_step, commit, open_store


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path)
    store.begin_run(a_run())
    yield store
    store.close()


def test_a_committed_step_is_found_by_its_key_with_everything(store):
    cells = store.blobs.put([b"outputs of cells"])
    committed = commit(
        store, "train", {"df": [1, 2], "n": 3}, key="k", cells=cells, seconds=1.5,
        unbound=("maybe",), executed_notebook="runs/r1/train.ipynb", notes=("slow",), attempt=2,
    )  # fmt: skip
    assert [v.reference for v in committed.outputs.values()] == ["df@1", "n@1"]
    found = store.find_results([a_key("k").key, a_key("other").key])
    assert list(found) == [a_key("k").key]
    stored = found[a_key("k").key]
    assert stored.outputs == committed.outputs
    assert (stored.pipeline, stored.step, stored.run) == ("p", "train", "r1")
    assert (stored.unbound, stored.cells, stored.seconds) == (("maybe",), cells, 1.5)
    assert stored.key == a_key("k")
    assert load_values(
        store.blobs, [v.value for v in stored.outputs.values()], {}, trusted=True
    ) == {"df": [1, 2], "n": 3}


def test_a_run_comes_back_with_its_steps(store):
    failure = StepFailure(kind="error", message="ValueError: no", cell_number=3, line=2)
    committed = commit(store, "load", {"df": [1]}, key="k", notes=("note",))
    failed = a_step("train", state=StepState.FAILED, failure=failure, reason="code changed")
    skipped = a_step("plot", state=StepState.SKIPPED)
    assert store.record_step(failed) == failed
    store.record_step(skipped)
    store.finish_run(
        a_run().id, RunState.FAILED, finished=STARTED + timedelta(seconds=9), executed_notebook="x"
    )
    assert store.run("latest") == dataclasses.replace(
        a_run(),
        state=RunState.FAILED,
        finished=STARTED + timedelta(seconds=9),
        executed_notebook="x",
        steps=(committed, failed, skipped),
    )


def test_a_second_attempt_replaces_the_first_in_its_run(store):
    store.record_step(a_step("train", state=StepState.FAILED, attempt=1))
    committed = commit(store, "train", {"m": 1}, attempt=2)
    assert store.run("latest").steps == (committed,)


def test_versions_count_per_pipeline_and_variable(store):
    store.begin_run(a_run("r2"))
    store.begin_run(a_run("q1", pipeline="q"))
    commit(store, "load", {"df": 1})
    commit(store, "load", {"df": 2}, run="r2")
    commit(store, "load", {"df": 2}, run="q1")
    commit(store, "clean", {"df": 3}, run="r2")
    assert [(v.key.pipeline, v.reference, v.step) for v in store.versions()] == [
        ("p", "df@1", "load"), ("p", "df@2", "load"), ("p", "df@3", "clean"), ("q", "df@1", "load"),
    ]  # fmt: skip
    assert [v.reference for v in store.versions(pipeline="q")] == ["df@1"]
    assert store.versions(variable="nothing") == ()


def test_the_same_content_of_the_same_step_is_the_same_version(store):
    for run in ("r2", "r3", "r4"):
        store.begin_run(a_run(run))
    commit(store, "load", {"df": 1})
    commit(store, "clean", {"df": 2})
    again = commit(store, "load", {"df": 1}, run="r2")
    assert again.outputs["df"].number == 1
    assert again.outputs["df"].run == "r1"
    # Only the newest of a step counts: 1, 3, 1 are three versions.
    assert commit(store, "load", {"df": 3}, run="r3").outputs["df"].number == 3
    assert commit(store, "load", {"df": 1}, run="r4").outputs["df"].number == 4
    # Another step that makes the same is another version.
    assert commit(store, "clean", {"df": 1}, run="r4").outputs["df"].number == 5


def test_a_result_whose_blobs_are_gone_or_cut_short_is_a_miss(store):
    cells = store.blobs.put([b"cells"])
    commit(store, "a", {"x": np.arange(3)}, key="a")
    commit(store, "b", {"y": 1}, key="b", cells=cells)
    commit(store, "c", {"z": 2}, key="c")
    keys = [a_key(name).key for name in "abc"]
    assert list(store.find_results(keys)) == sorted(keys)
    bundle = store.find_results(keys)[keys[0]].outputs["x"].value.bundle
    store.blobs.path(bundle).unlink()
    store.blobs.path(cells).unlink()
    assert list(store.find_results(keys)) == [keys[2]]
    path = store.blobs.path(store.find_results(keys)[keys[2]].outputs["z"].value.bundle)
    path.chmod(0o644)
    path.write_bytes(b"")
    assert store.find_results(keys) == {}


def test_a_result_that_is_made_again_replaces_the_old_one(store):
    store.begin_run(a_run("r2"))
    commit(store, "a", {"x": 1}, key="k")
    commit(store, "a", {"y": 2}, key="k", run="r2")
    assert list(store.find_results([a_key("k").key])[a_key("k").key].outputs) == ["y"]


def seen(value: str) -> Observed:
    return Observed(parts={"file a.csv": value}, files=FileEffects(reads=("a.csv",)))


def test_results_that_saw_other_files_lie_side_by_side(store):
    key = a_key("k").key
    for number, value in enumerate("ABA"):
        store.begin_run(a_run(f"s{number}"))
        commit(store, "a", {"x": value}, key="k", run=f"s{number}", observed=seen(value))
    for value in "AB":
        found = store.find_results(
            [key], lambda stored, value=value: stored.observed == seen(value)
        )
        values = [version.value for version in found[key].outputs.values()]
        assert load_values(store.blobs, values, {}, trusted=True) == {"x": value}
    assert store.find_results([key])[key].observed == seen("A")
    assert store.find_results([key], lambda _: False) == {}
    assert [r.observed for r in store.results_to_compare("p", "a", key)] == [seen("A"), seen("B")]


def test_the_newest_eight_are_kept_of_results_that_saw_other_files(store):
    for number in range(10):
        commit(store, "a", {"x": number}, key="k", observed=seen(str(number)))
    kept = store.results_to_compare("p", "a", a_key("k").key)
    assert [stored.observed.parts["file a.csv"] for stored in kept] == list("98765432")


def test_a_result_can_be_forgotten_without_its_versions(store):
    commit(store, "a", {"x": 1}, key="k", observed=seen("A"))
    commit(store, "a", {"x": 2}, key="k", observed=seen("B"))
    store.forget_result(a_key("k").key, seen("B"))
    assert store.find_results([a_key("k").key])[a_key("k").key].observed == seen("A")
    assert len(store.versions()) == 2


def test_an_older_result_stands_in_for_a_newer_one_that_is_gone(store):
    commit(store, "a", {"x": np.arange(3)}, key="k", observed=seen("A"))
    newer = commit(store, "a", {"x": np.arange(4)}, key="k", observed=seen("B"))
    store.blobs.path(newer.outputs["x"].value.bundle).unlink()
    assert store.find_results([a_key("k").key])[a_key("k").key].observed == seen("A")


def test_a_thousand_keys_are_found_with_a_few_statements(store, monkeypatch):
    commit(store, "a", {"x": 1}, key="k500")
    statements = []
    store._database._open.set_trace_callback(statements.append)
    found = store.find_results([a_key(f"k{n}").key for n in range(1000)])
    store._database._open.set_trace_callback(None)
    assert len(found) == 1
    assert len(statements) <= 4


def test_a_reused_step_has_the_outputs_it_reused(store):
    committed = commit(store, "load", {"df": 1}, key="k")
    store.begin_run(a_run("r2"))
    reused = a_step(
        "load", run="r2", key="k", state=StepState.REUSED, outputs=dict(committed.outputs)
    )
    assert store.record_step(reused) == reused
    assert store.run("r2").steps == (reused,)
    assert len(store.versions()) == 1


def test_what_another_pipeline_made_gets_versions_of_its_own(store):
    made = commit(store, "load", {"df": 1}, key="k").outputs["df"]
    store.begin_run(a_run("q1", pipeline="q"))
    recorded = store.record_step(
        a_step("read", run="q1", key="k", state=StepState.REUSED, outputs={"df": made})
    )
    assert recorded.outputs["df"].key.pipeline == "q"
    assert recorded.outputs["df"].value == made.value
    assert store.versions(pipeline="q") == (recorded.outputs["df"],)
    assert store.latest_outputs("q", "read") == recorded.outputs


def test_the_last_key_is_that_of_the_newest_result(store):
    assert store.last_key("p", "load") is None
    commit(store, "load", {"df": 1}, key="one")
    store.begin_run(a_run("r2"))
    commit(store, "load", {"df": 2}, key="two", run="r2")
    store.begin_run(a_run("r3"))
    store.record_step(a_step("load", run="r3", key="three", state=StepState.FAILED))
    assert store.last_key("p", "load") == a_key("two")
    assert store.last_key("q", "load") is None


def test_the_latest_outputs_are_for_step_notebooks_that_run_alone(store):
    committed = commit(store, "load", {"df": 1})
    assert store.latest_outputs("p", "load") == committed.outputs
    with pytest.raises(NotFoundError, match="No result of step 'laod'") as caught:
        store.latest_outputs("p", "laod")
    assert caught.value.hint == "Did you mean 'load'?"


def test_versions_are_found_by_number_tag_or_none(store):
    store.begin_run(a_run("r2"))
    commit(store, "load", {"df": 1})
    commit(store, "load", {"df": 2}, run="r2")
    store.tag(store.find_version("df@1"), "production")
    found = {text: store.find_version(text).number for text in ("df", "df@1", "df@production")}
    assert found == {"df": 2, "df@1": 1, "df@production": 1}
    for text, hint in [
        ("dff", "Did you mean 'df'?"),
        ("df@7", "Did you mean"),
        ("df@productoin", "Did you mean 'df@production'?"),
        ("df@", "Write NAME"),
    ]:
        with pytest.raises(NotFoundError) as caught:
            store.find_version(text)
        assert hint in caught.value.hint


def test_a_reference_that_fits_two_pipelines_is_refused_until_one_is_named(store):
    store.begin_run(a_run("q1", pipeline="q"))
    commit(store, "load", {"df": 1})
    commit(store, "load", {"df": 2}, run="q1")
    with pytest.raises(NotFoundError, match="2 pipelines have 'df': p, q"):
        store.find_version("df")
    assert store.find_version("df", pipeline="q").key.pipeline == "q"


def test_a_tag_moves_and_a_pin_stays(store):
    store.begin_run(a_run("r2"))
    commit(store, "load", {"df": 1, "n": 1})
    commit(store, "load", {"df": 2, "n": 1}, run="r2")
    one, two = store.versions(variable="df")
    store.tag(one, "production")
    store.tag(store.find_version("n"), "production")
    store.pin(one)
    store.tag(two, "production")
    store.pin(two)
    assert [v.tags for v in store.versions(variable="df")] == [
        ("pinned",), ("pinned", "production"),
    ]  # fmt: skip
    assert store.find_version("n@production").tags == ("production",)
    store.unpin(one)
    store.untag(two, "production")
    assert [v.tags for v in store.versions(variable="df")] == [(), ("pinned",)]


@pytest.mark.parametrize("tag", ["7", "", "a b", "pinned", "@x"])
def test_what_cannot_be_a_tag_is_refused(store, tag):
    commit(store, "load", {"df": 1})
    with pytest.raises(ConfigurationError, match="cannot be a tag"):
        store.tag(store.find_version("df"), tag)


def test_runs_are_found_by_the_start_of_their_id(store):
    store.begin_run(a_run("r22", started=STARTED + timedelta(hours=1)))
    store.begin_run(a_run("x1", pipeline="q", started=STARTED + timedelta(hours=2)))
    assert store.run("r1").id == "r1"
    assert store.run("r2").id == "r22"
    assert store.run("latest").id == "x1"
    assert [run.id for run in store.runs()] == ["x1", "r22", "r1"]
    assert [run.id for run in store.runs("p", limit=1)] == ["r22"]
    with pytest.raises(NotFoundError, match="2 runs start with 'r'"):
        store.run("r")
    with pytest.raises(NotFoundError, match="No run 'zz'"):
        store.run("zz")


def test_a_step_of_an_unknown_run_is_refused(store):
    with pytest.raises(NotFoundError, match="No run 'r9'"):
        store.record_step(a_step(run="r9"))


def test_a_step_whose_bundle_was_never_put_is_refused_whole(store, tmp_path):
    elsewhere = open_store(tmp_path / "elsewhere")
    stored = store_values(elsewhere.blobs, {"x": 1}, ["x"])
    with pytest.raises(CorruptStoreError, match="has lost blob"):
        store.commit_step(a_step(key="k"), stored.values)
    assert store.versions() == ()
    assert store.run("latest").steps == ()
    elsewhere.close()


def test_two_stores_see_each_other_s_steps_at_once(store, tmp_path):
    other = open_store(tmp_path)
    commit(store, "load", {"df": 1}, key="k")
    assert list(other.find_results([a_key("k").key])) == [a_key("k").key]
    commit(other, "clean", {"df": 2})
    assert [v.number for v in store.versions(variable="df")] == [1, 2]
    other.close()


def test_opening_what_is_not_there_creates_it_or_says_so(tmp_path):
    from nbpipe.store.artifacts import ArtifactStore

    with pytest.raises(NotFoundError, match="There is no store"):
        ArtifactStore.open(tmp_path / "x", create=False)
    ArtifactStore.open(tmp_path / "x").close()
    store = ArtifactStore.open(str(tmp_path / "x"), create=False)
    assert store.writable
    store.close()


def test_a_store_opened_by_a_relative_path_survives_a_change_of_directory(tmp_path, monkeypatch):
    from nbpipe.store.artifacts import ArtifactStore

    monkeypatch.chdir(tmp_path)
    store = ArtifactStore.open("here")
    os.chdir("/")
    store.begin_run(a_run())
    commit(store, "load", {"df": 1})
    assert (tmp_path / "here" / "index.db").exists()
    assert store.versions()[0].reference == "df@1"
    store.close()
