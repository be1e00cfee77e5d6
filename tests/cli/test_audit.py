"""`nbpipe audit`, without kernels."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.store.runs import a_run, commit, open_store


@pytest.fixture
def filled(shell):
    store = open_store(shell.directory)
    store.begin_run(a_run())
    commit(store, "make", {"x": 1}, key="k")
    store.close()
    return shell.directory / ".nbpipe"


def tamper(root):
    with closing(sqlite3.connect(root / "index.db")) as connection:
        connection.execute("UPDATE versions SET content = 'other'")
        connection.commit()


def test_a_whole_store_is_called_so(nbpipe, filled):
    outcome = nbpipe("audit", "--blobs")
    assert outcome.code == 0
    assert outcome.out.startswith("whole  4 records, 4 facts, 2 blobs\nlast record: ")
    head = outcome.out.split()[-1]
    assert nbpipe("audit", "--expect", head[:12]).code == 0
    [report] = nbpipe("audit", "--json").lines
    assert report == {
        "whole": True, "records": 4, "head": head, "facts": 4, "blobs": None, "findings": [],
    }  # fmt: skip


def test_a_changed_store_fails_and_names_the_first_record(nbpipe, filled):
    tamper(filled)
    outcome = nbpipe("audit")
    assert outcome.code == 3
    assert "changed  record 4: version x@1 of p: it was changed since" in outcome.out
    assert "The first record that does not hold is number 4." in outcome.err
    as_json = nbpipe("audit", "--json")
    assert (as_json.code, as_json.lines[0]["whole"]) == (3, False)
    assert as_json.lines[0]["findings"][0]["record"] == 4


def test_a_digest_that_is_not_there_fails(nbpipe, filled):
    outcome = nbpipe("audit", "--expect", "0123456789ab")
    assert (outcome.code, "the log was shortened or rewritten" in outcome.out) == (3, True)
    outcome = nbpipe("audit", "--expect", "01")
    assert (outcome.code, "Give 12 digits or more." in outcome.err) == (2, True)


def test_the_log_is_printed(nbpipe, filled):
    nbpipe("pin", "x")
    nbpipe("gc")
    lines = nbpipe("audit", "--log", "4").out.splitlines()
    shown = [line.split()[4] for line in lines[1:]]
    assert shown == ["run-began", "step-recorded", "tagged", "garbage-collected"]
    assert "step make succeeded, run r1: x@1" in lines[2]
    [records] = nbpipe("audit", "--log", "1", "--json").lines
    assert records[0]["event"] == "garbage-collected"
