"""`nbpipe why` and `status`, of results that functions made instead of kernels."""

from __future__ import annotations

import json

import pytest

from tests.api.desk import Desk


@pytest.fixture
def desk(shell, monkeypatch):
    monkeypatch.setenv("MODE", "fast")
    desk = Desk(shell.directory)
    desk.cells("%%params\nalpha = 1", "import lib", "%%step load\nx = lib.load(alpha)")
    desk.file("lib.py", "def load(n): ...")
    desk.file("a.csv", "old")

    def load(touch):
        touch.variable("MODE")
        return {"x": touch.read("a.csv")}

    desk.work = {"load": load}
    desk.run()
    return desk


def test_why_names_every_part_that_differs(nbpipe, desk, monkeypatch):
    run = desk.status()["load"].stored.run
    assert nbpipe("why", "load").out == (
        f"load would be reused: nothing changed since run {run}.\n"
    )
    monkeypatch.setenv("MODE", "secret")
    desk.file("a.csv", "new")
    outcome = nbpipe("why", "load", "-p", "alpha=2")
    lines = outcome.out.splitlines()
    assert lines[:2] == ["load would run:", "  parameter alpha: 1 → 2"]
    assert lines[2].startswith("  file a.csv changed (") and " → " in lines[2]
    assert lines[3:] == ["  variable MODE changed", f"Compared with what run {run} found."]


def test_why_as_json_is_a_structured_difference_without_secrets(nbpipe, desk, monkeypatch):
    run = desk.status()["load"].stored.run
    monkeypatch.setenv("MODE", "secret")
    (desk.directory / "a.csv").unlink()
    outcome = nbpipe("why", "load", "--json", "-p", "alpha=2")
    facts = json.loads(outcome.out)
    (old,) = [change.pop("old") for change in facts["changes"] if change["kind"] == "file"]
    assert len(old) == 64
    assert facts == {
        "step": "load",
        "state": "stale",
        "reasons": ["parameter alpha: 1 → 2", "file a.csv is gone", "variable MODE changed"],
        "run": None,
        "changes": [
            {"kind": "parameter", "name": "alpha", "old": "1", "new": "2"},
            {"kind": "file", "name": "a.csv", "new": "absent"},
            {"kind": "variable", "name": "MODE", "old": None, "new": None},
        ],
        "compared_with": run,
    }


def test_a_doubtful_result_that_is_reused_is_shown_as_such(nbpipe, desk):
    desk.file("pyproject.toml", "[tool.nbpipe]\nreuse-unverified = true\n")
    desk.work["load"] = lambda touch: touch.fact(unverified=("pyarrow",)) or {"x": 1}
    desk.run(forced=None)
    assert nbpipe("status", "book.ipynb").out.endswith("; pyarrow may have read files unseen\n")
