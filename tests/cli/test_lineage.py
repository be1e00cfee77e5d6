"""`nbpipe lineage`, without kernels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nbpipe.model.digest import digest_structure
from nbpipe.model.run import KeyParts
from nbpipe.store.values import store_values
from tests.store.runs import a_run, a_step, open_store

CODE = digest_structure("code")


@pytest.fixture
def filled(shell):
    store = open_store(shell.directory)
    store.begin_run(a_run())
    key = KeyParts(key=digest_structure("k"), parts={"code": CODE, "file a.csv": CODE})
    stored = store_values(store.blobs, {"x": 1}, ["x"]).values
    store.commit_step(replace(a_step("make", cell_numbers=(2,)), key=key), stored)
    store.close()


def test_a_tree_is_printed(nbpipe, filled):
    lines = nbpipe("lineage", "x").out.splitlines()
    assert lines[0].startswith("x@1  1, ")
    assert lines[1:] == [
        "└─ made by step make  cell 2, of p, run r1",
        f"   ├─ code {CODE[:12]}",
        f"   └─ file a.csv  digest {CODE[:12]}",
    ]


def test_json_has_nodes_and_edges(nbpipe, filled):
    [found] = nbpipe("lineage", "a.csv", "--json").lines
    step = f"step:p/make@{digest_structure('k')}"
    assert (found["start"], found["direction"]) == ([f"file:a.csv#{CODE}"], "down")
    assert [node["kind"] for node in found["nodes"]] == ["step", "file", "version"]
    assert found["edges"] == [
        {"source": f"file:a.csv#{CODE}", "target": step, "role": "file a.csv"},
        {"source": step, "target": "version:p/x@1", "role": "output x"},
    ]


def test_what_nothing_was_made_from_is_said(nbpipe, filled):
    outcome = nbpipe("lineage", "x", "--down")
    assert (outcome.code, outcome.err) == (0, "Nothing in the store was made from it.\n")
    outcome = nbpipe("lineage", "a.csv", "--up")
    assert (outcome.code, outcome.err) == (0, "Nothing in the store says what made it.\n")


def test_a_wrong_name_is_refused(nbpipe, filled):
    outcome = nbpipe("lineage", "y@2")
    assert (outcome.code, outcome.out) == (2, "")
    assert "No artifact, file, parameter, step or package 'y@2'" in outcome.err
