"""Reuse through real kernels: what makes a step run again, and what is said about it."""

from __future__ import annotations

import json
import time

import pytest

pytestmark = pytest.mark.slow

CELLS = (
    "import helper",
    "#| step: load\n#| ttl: 1h\ntable = helper.load('numbers.txt')",
    "#| step: report\nprint(sum(table))",
)


def test_what_changed_is_named_before_anything_runs(shell):
    (shell.directory / "helper.py").write_text("from deeper import load\n")
    (shell.directory / "deeper.py").write_text(
        "def load(path):\n    return [int(word) for word in open(path).read().split()]\n"
    )
    (shell.directory / "numbers.txt").write_text("1 2 3")
    shell.write("book.ipynb", *CELLS)
    first = shell("run", "book.ipynb", "--json")
    assert first.states == {"load": "succeeded", "report": "succeeded"}
    assert shell("run", "book.ipynb", "--json").states == {"load": "reused", "report": "reused"}

    (shell.directory / "numbers.txt").write_text("1 2 4")
    (shell.directory / "deeper.py").write_text(
        "def load(path):\n    return [2 * int(word) for word in open(path).read().split()]\n"
    )
    facts = json.loads(shell("why", "load", "book.ipynb", "--json").out)
    assert [(each["kind"], each["name"]) for each in facts["changes"]] == [
        ("file", "deeper.py"),
        ("file", "numbers.txt"),
    ]
    assert facts["reasons"] == ["file deeper.py changed", "file numbers.txt changed"]
    again = shell("run", "book.ipynb", "--json")
    assert again.states == {"load": "succeeded", "report": "succeeded"}
    assert shell("status", "book.ipynb", "--json").lines[-1][0]["state"] == "fresh"

    # Both results are there, each for its own surroundings.
    (shell.directory / "numbers.txt").write_text("1 2 3")
    (shell.directory / "deeper.py").write_text(
        "def load(path):\n    return [int(word) for word in open(path).read().split()]\n"
    )
    assert shell("run", "book.ipynb", "--json").states == {"load": "reused", "report": "reused"}


def test_a_result_lives_as_long_as_its_step_allows(shell):
    shell.write("book.ipynb", "#| step: ask\n#| ttl: 2s\nanswer = 1")
    assert shell("run", "book.ipynb", "--json").states == {"ask": "succeeded"}
    time.sleep(2)
    assert "older than 0:00:02" in shell("why", "ask", "book.ipynb").out
    assert shell("run", "book.ipynb", "--json").states == {"ask": "succeeded"}
