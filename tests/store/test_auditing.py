"""The audit log: what it records, and that nothing is changed behind its back."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from nbpipe.errors import ConfigurationError, StoreUnavailableError
from nbpipe.model.audit import AuditFinding
from nbpipe.model.digest import digest_structure
from nbpipe.model.run import RunState, StepState
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.store.index import database as database_module
from nbpipe.store.index.audit import FORMAT as RECORD_FORMAT
from nbpipe.store.index.migrations import AUDITED_FROM, MIGRATIONS
from tests.store.runs import STARTED, a_key, a_run, commit, open_store


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def filled(store):
    """Two runs: the first makes, the second reuses. Records 1 to 8."""
    store.begin_run(a_run("r1"))
    commit(store, "make", {"df": np.arange(10), "n": 1}, key="k", cells=store.blobs.put([b"c"]))
    store.finish_run("r1", RunState.SUCCEEDED, finished=STARTED)
    store.begin_run(a_run("r2", started=STARTED + timedelta(hours=1)))
    made = store.run("r1").steps[0]
    store.record_step(replace(made, run="r2", state=StepState.REUSED, reason="reused"))
    store.tag(store.find_version("df"), "live")
    return store


def change(store, *statements):
    """Change the index as somebody would who knows SQL, without a record."""
    with closing(sqlite3.connect(store.root / "index.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


UNLOCK = ("DROP TRIGGER audit_log_is_not_changed", "DROP TRIGGER audit_log_is_not_shortened")


def found(store, **options):
    return [(f.record, f.message) for f in store.audit(**options).findings]


def test_every_event_is_recorded_and_bound_to_the_one_before(filled):
    records = filled.audit_log(100)
    assert [record.event for record in records] == [
        "log-began", "trusted", "run-began", "step-recorded", "run-finished", "run-began",
        "step-recorded", "tagged",
    ]  # fmt: skip
    assert [record.number for record in records] == list(range(1, 9))
    assert [r.previous for r in records] == ["", *(r.digest for r in records[:-1])]
    step = records[3].facts
    assert (step["run"], step["step"], step["state"]) == ("r1", "make", "succeeded")
    assert step["key"] == a_key("k").key
    contents = {v.key.variable: [v.number, v.value.content] for v in filled.versions()}
    assert step["outputs"] == contents
    report = filled.audit(with_blobs=True)
    assert (report.is_whole, report.records, report.head) == (True, 8, records[-1].digest)
    # 2 runs, 2 steps, 1 result, 2 versions, 1 tag; 2 × descriptor and head, and cells.
    assert (report.facts, report.blobs) == (8, 5)


TAMPERED = {
    "a version's content": ("UPDATE versions SET content = 'x' WHERE variable = 'df'",
        4, "version df@1 of p: it was changed since"),
    "a version's summary": ("UPDATE versions SET summary = '{\"type\":\"a\",\"text\":\"b\"}'",
        4, "version df@1 of p: it was changed since"),
    "a version gone": ("DELETE FROM versions WHERE variable = 'n'",
        4, "version n@1 of p was removed"),
    "a version more": (
        """INSERT INTO versions SELECT 99, pipeline, variable, 9, step, run, created, bundle,
           member, content, format, revision, size, summary, definitions FROM versions LIMIT 1""",
        None, "no record knows of version df@9 of p"),
    "a version renumbered": ("UPDATE versions SET number = 7 WHERE variable = 'n'",
        4, "version n@1 of p was removed"),
    "a step's state": ("UPDATE step_runs SET state = 'failed' WHERE run = 'r2'",
        7, "step make of run r2: it was changed since"),
    "a step's reason": ("UPDATE step_runs SET reason = 'x' WHERE run = 'r1'",
        4, "step make of run r1: it was changed since"),
    "a step gone": ("DELETE FROM step_runs WHERE run = 'r1'",
        4, "step make of run r1 was removed"),
    "a step's outputs": (
        "UPDATE step_outputs SET version = 1 WHERE variable = 'n' AND step_run = 2",
        7, "step make of run r2: its outputs were changed since"),
    "an output gone": ("DELETE FROM step_outputs WHERE variable = 'n' AND step_run = 1",
        4, "step make of run r1: its outputs were changed since"),
    "a key's parts": ("UPDATE key_parts SET parts = '{\"code\":\"other\"}'",
        4, "step make of run r1: the parts of its key were changed since"),
    "a result": ("UPDATE results SET seconds = 9",
        4, f"the result under key {a_key('k').key[:12]}: it was changed since"),
    "a result's outputs": ("UPDATE result_outputs SET version = 1",
        4, f"the result under key {a_key('k').key[:12]}: it was changed since"),
    "a result gone": ("DELETE FROM results", 4,
        f"the result under key {a_key('k').key[:12]} was removed"),
    "a run's parameters": ("UPDATE runs SET parameters = '{}' WHERE id = 'r1'",
        5, "run r1: it was changed since"),
    "a run's state": ("UPDATE runs SET state = 'succeeded' WHERE id = 'r2'",
        6, "run r2: it was changed since"),
    "a run gone": ("DELETE FROM runs WHERE id = 'r2'", 6, "run r2 was removed"),
    "a tag gone": ("DELETE FROM tags", 8, "tag live of version df@1 of p was removed"),
    "a tag more": ("INSERT INTO tags VALUES (2, 'live')",
        None, "no record knows of tag live of version n@1 of p"),
    "another store's log": ("UPDATE store SET id = 'other'", 1, "the log is that of another store"),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERED)
def test_a_fact_that_was_changed_is_found(filled, what):
    statement, record, message = TAMPERED[what]
    change(filled, statement)
    assert (record, message) in found(filled)
    if record is not None:
        assert found(filled)[0][0] == record


def test_facts_that_may_change_are_not_missed(filled):
    filled.find_results([a_key("k").key])
    with filled._database.transaction():
        filled._database.write("UPDATE results SET used = '2031-01-01T00:00:00.000000+00:00'")
    assert found(filled) == []


def test_the_log_cannot_be_changed_by_the_way(filled):
    for statement in ("UPDATE audit_log SET who = 'me'", "DELETE FROM audit_log"):
        with (
            pytest.raises(StoreUnavailableError, match="append-only"),
            filled._database.transaction(),
        ):
            filled._database.write(statement)
    assert found(filled) == []


def test_a_changed_record_is_found(filled):
    change(filled, *UNLOCK, "UPDATE audit_log SET who = 'somebody else' WHERE number = 5")
    assert found(filled) == [(5, "the record was changed")]


def test_a_record_that_makes_no_sense_is_found(filled):
    change(filled, *UNLOCK, "UPDATE audit_log SET facts = '[', time = 'x' WHERE number = 5")
    assert found(filled)[:2] == [
        (5, "the record was changed"), (5, "a run-finished record without its facts"),
    ]  # fmt: skip


def test_a_record_with_a_digest_of_its_own_is_found_by_the_next_one(filled):
    record = filled.audit_log(100)[4]
    time = record.time.isoformat(timespec="microseconds")
    facts = filled._database.read("SELECT facts FROM audit_log WHERE number = 5")[0][0]
    forged = digest_structure([RECORD_FORMAT, 5, time, "me", record.event, facts, record.previous])
    forging = f"UPDATE audit_log SET who = 'me', digest = '{forged}' WHERE number = 5"
    change(filled, *UNLOCK, forging)
    assert found(filled) == [
        (6, "it does not follow the record before it: one of the two was replaced")
    ]


def test_records_that_were_taken_out_are_missed(filled):
    change(filled, *UNLOCK, "DELETE FROM audit_log WHERE number IN (5, 6)")
    assert found(filled)[0] == (5, "records 5 to 6 are missing")


def test_an_end_that_was_cut_off_is_missed(filled):
    head = filled.audit().head
    change(filled, *UNLOCK, "DELETE FROM audit_log WHERE number = 8", "DELETE FROM tags")
    assert found(filled) == [(8, "the log ends too soon: 8 records were written")]
    # Also when the count is made to fit, by whoever kept the digest of the last record.
    change(filled, "UPDATE sqlite_sequence SET seq = 7 WHERE name = 'audit_log'")
    assert found(filled) == []
    missing = f"No record has the digest {head[:16]}: the log was shortened or rewritten."
    assert found(filled, expected=head[:16]) == [(None, missing)]


def test_a_digest_that_was_kept_is_still_there_later(filled):
    head = filled.audit().head
    filled.begin_run(a_run("r3"))
    assert found(filled, expected=head) == []
    with pytest.raises(ConfigurationError, match="too short"):
        filled.audit(expected=head[:4])


def test_an_empty_log_is_no_log(filled):
    change(
        filled, *UNLOCK, "DELETE FROM audit_log",
        "DELETE FROM sqlite_sequence WHERE name = 'audit_log'",
    )  # fmt: skip
    assert found(filled)[0] == (1, "the log is empty, and no store's is")


def test_a_store_from_before_the_log_is_taken_over_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(database_module, "MIGRATIONS", MIGRATIONS[: AUDITED_FROM - 1])
    monkeypatch.setattr(database_module, "FORMAT", AUDITED_FROM - 1)
    path = tmp_path / ".nbpipe" / "index.db"
    old = database_module.Database(path, create=True)
    with old.transaction():
        old.write("INSERT INTO runs VALUES ('r', 'p', 'succeeded', '{}', '2020', '', '', '', '')")
        old.write("INSERT INTO key_parts (key, parts) VALUES ('k', '{}')")
        old.write(
            """INSERT INTO step_runs (id, run, step, state, key, attempt, seconds, reason, unbound,
               executed_notebook, notes)
               VALUES (1, 'r', 's', 'succeeded', 'k', 1, 1.0, '', '[]', '', '[]')"""
        )
        old.write(
            """INSERT INTO versions VALUES (1, 'p', 'x', 1, 's', 'r', '2020', 'b', '', 'c', 'json',
               1, 1, '{}', '[]')"""
        )
        old.write("INSERT INTO step_outputs VALUES (1, 'x', 1)")
        old.write("INSERT INTO tags VALUES (1, 'pinned')")
    old.close()
    monkeypatch.undo()
    monkeypatch.setenv("NBPIPE_DATA_DIR", str(tmp_path / "user"))
    store = ArtifactStore.open(tmp_path / ".nbpipe")
    assert [record.event for record in store.audit_log(9)] == ["log-began"]
    report = store.audit()
    assert (report.findings, report.facts) == ((), 4)
    change(store, "UPDATE versions SET content = 'd'")
    assert found(store) == [
        (1, "step s of run r: its outputs were changed since"),
        (1, "version x@1 of p: it was changed since"),
    ]
    store.close()


def test_garbage_collection_is_recorded_and_breaks_nothing(filled):
    filled.begin_run(a_run("r3", started=STARTED + timedelta(hours=2)))
    commit(filled, "make", {"df": np.arange(11), "n": 1}, run="r3", key="k3")
    later = datetime.now(UTC) + timedelta(days=10)
    filled.collect_garbage(keep_runs=1, now=later, dry_run=True)
    assert filled.audit_log(1)[0].event == "step-recorded"
    filled.pin(filled.find_version("df@2"))
    filled.untag(filled.find_version("df@1"), "live")
    filled.collect_garbage(keep_runs=1, now=later)
    record = filled.audit_log(1)[0]
    assert (record.event, dict(record.facts)) == (
        "garbage-collected",
        {"results": [a_key("k").key], "runs": ["r2"], "versions": [["p", "df", 1]]},
    )
    assert filled.audit(with_blobs=True).findings == ()


def test_a_moved_tag_is_recorded(filled):
    filled.begin_run(a_run("r3"))
    commit(filled, "make", {"df": np.arange(11)}, run="r3")
    filled.tag(filled.find_version("df@2"), "live")
    assert [(r.event, r.facts["version"]) for r in filled.audit_log(2)] == [
        ("untagged", ["p", "df", 1]), ("tagged", ["p", "df", 2]),
    ]  # fmt: skip
    assert found(filled) == []


def test_blobs_that_are_not_what_they_say_are_found(filled):
    bundle = filled.find_version("df").value.bundle
    lost = filled.blobs.path(bundle)
    lost.unlink()
    cells = filled.blobs.path(filled.run("r1").steps[0].cells)
    cells.chmod(0o600)
    cells.write_bytes(b"d")
    assert found(filled) == []  # Nobody asked for blobs.
    messages = [message for _, message in found(filled, with_blobs=True)]
    assert len(messages) == 2
    assert messages[0].startswith(f"The store has lost blob {bundle[:12]}…")
    assert messages[0].endswith("It is needed by version df@1 of p.")
    assert "is damaged" in messages[1]
    assert "outputs of cells of step make, run r1" in messages[1]


def test_a_note_that_a_blob_was_checked_does_not_count(store):
    store.begin_run(a_run())
    commit(store, "make", {"big": np.arange(1_000_000)})
    [large] = [blob for blob in store.blobs if blob.size > 1_000_000]
    path = store.blobs.path(large.digest)
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(5000)
        file.write(b"x")
    store.blobs._checked.add(large.digest, path.stat())
    store.blobs.open(large.digest).close()  # The note is believed here.
    assert len(found(store, with_blobs=True)) == 1


def test_a_list_of_blobs_that_was_changed_is_found(filled):
    change(filled, "UPDATE bundle_blobs SET size = size + 1")
    assert found(filled) == []
    assert found(filled, with_blobs=True) == [
        (None, "the list of blobs of version df@1 of p was changed"),
        (None, "the list of blobs of version n@1 of p was changed"),
    ]


def test_what_garbage_collection_takes_meanwhile_is_not_missed(filled, monkeypatch):
    filled.begin_run(a_run("r3", started=STARTED + timedelta(hours=2)))
    commit(filled, "make", {"df": np.arange(11)}, run="r3", key="k3")
    filled.untag(filled.find_version("df@1"), "live")
    verify = type(filled.blobs).verify

    def verify_later(blobs, digest):
        later = datetime.now(UTC) + timedelta(days=10)
        ArtifactStore.open(filled.root).collect_garbage(keep_runs=1, now=later)
        verify(blobs, digest)

    monkeypatch.setattr(type(filled.blobs), "verify", verify_later)
    before = len(list(filled.blobs))
    assert found(filled, with_blobs=True) == []
    assert len(list(filled.blobs)) < before


def test_a_copy_of_a_store_is_as_whole_as_the_store(filled, tmp_path):
    head = filled.audit().head
    filled.close()
    shutil.copytree(filled.root, tmp_path / "copy")
    copy = ArtifactStore.open(tmp_path / "copy", create=False)
    report = copy.audit(with_blobs=True, expected=head)
    assert (report.findings, report.head) == ((), head)
    copy.close()


def test_findings_are_in_the_order_of_records(filled):
    change(
        filled, "DELETE FROM tags", "UPDATE versions SET size = 9",
        "UPDATE runs SET notebook = 'x'",
    )  # fmt: skip
    findings = filled.audit().findings
    assert all(isinstance(finding, AuditFinding) for finding in findings)
    numbers = [finding.record for finding in findings]
    assert numbers == sorted(numbers) == [4, 4, 5, 6, 8]
