"""Stores that are not what they should be. Nothing here starts a kernel."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys

import pytest

from nbpipe.kernel.tracing import native
from tests.store.runs import a_run, commit, open_store

READING = [("runs",), ("artifacts",), ("show", "x"), ("artifacts", "x"), ("runs", "r1")]
CHANGING = [("pin", "x"), ("gc",), ("pin", "x", "--tag", "best")]


@pytest.fixture
def filled(shell):
    """A store with two versions of `x`, by two pipelines, and of `frame`."""
    store = open_store(shell.directory)
    store.begin_run(a_run("r1", "p"))
    commit(store, "make", {"x": 1, "frame": [1, 2]})
    store.begin_run(a_run("r2", "p"))
    commit(store, "make", {"x": float("nan")}, run="r2")
    store.begin_run(a_run("q1", "q"))
    commit(store, "make", {"y": 1, "frame": [3]}, run="q1")
    store.close()
    return shell.directory / ".nbpipe"


@pytest.fixture
def book(shell):
    return shell.write("book.ipynb", "#| step: make\nx = 1", "#| step: use\nprint(x)")


# ---- damage -------------------------------------------------------------------------------------


def garbage(index):
    index.write_bytes(os.urandom(30_000))


def halved(index):
    os.truncate(index, index.stat().st_size // 2)


def scratched(index):
    content = bytearray(index.read_bytes())
    content[4096:-4096] = b"\xff" * (len(content) - 8192)
    index.write_bytes(content)


def no_file(index):
    index.unlink()
    index.mkdir()


@pytest.mark.parametrize("damage", [garbage, halved, scratched])
def test_a_damaged_index_is_never_used(nbpipe, filled, book, damage):
    index = filled / "index.db"
    damage(index)
    before = index.read_bytes()
    for words in [*READING, *CHANGING, ("run", "book.ipynb"), ("run", "book.ipynb", "--json")]:
        outcome = nbpipe(*words)
        assert outcome.code == 4, words
        assert f"The index {index} is damaged" in outcome.err
        assert "Move " in outcome.err
    assert outcome.summary["state"] == "failed"
    assert index.read_bytes() == before
    checks = nbpipe("doctor", "--json")
    assert checks.code == 4
    [found] = [check for check in checks.lines[0] if check["what"] == "store"]
    assert (found["state"], "is damaged" in found["found"]) == ("problem", True)


def test_an_index_that_is_a_directory(nbpipe, filled):
    no_file(filled / "index.db")
    outcome = nbpipe("runs")
    assert outcome.code == 4
    assert "Cannot use the index" in outcome.err


def test_an_empty_index_is_a_new_store(nbpipe, filled):
    (filled / "index.db").write_bytes(b"")
    outcome = nbpipe("runs")
    assert (outcome.code, "No runs yet." in outcome.err) == (0, True)


def test_an_index_of_another_program_is_left_alone(nbpipe, filled, book):
    index = filled / "index.db"
    index.unlink()
    with contextlib.closing(sqlite3.connect(index)) as other:
        other.execute("CREATE TABLE runs (a)")
        other.commit()
    before = index.read_bytes()
    for words in (("runs",), ("run", "book.ipynb")):
        outcome = nbpipe(*words)
        assert (outcome.code, "belongs to another program" in outcome.err) == (2, True), outcome
    assert index.read_bytes() == before


def test_a_store_of_a_newer_format_is_left_alone(nbpipe, filled, book):
    index = filled / "index.db"
    with contextlib.closing(sqlite3.connect(index)) as newer:
        newer.execute("PRAGMA user_version = 99")
        newer.commit()
    before = index.read_bytes()
    for words in [*READING, *CHANGING, ("run", "book.ipynb")]:
        outcome = nbpipe(*words)
        assert outcome.code == 2
        assert f"The store at {filled} has format 99; this nbpipe reads up to " in outcome.err
        assert "Upgrade nbpipe" in outcome.err
    assert index.read_bytes() == before


def test_learned_effects_that_are_none(nbpipe, filled, book):
    (filled / "effects").mkdir()
    (filled / "effects" / "book.json").write_text("{")
    outcome = nbpipe("run", "book.ipynb")
    assert (outcome.code, "Delete it: they are learned again." in outcome.err) == (2, True)


# ---- places -------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("run", "book.ipynb"), ("runs",), ("artifacts",), ("gc",)])
def test_a_store_that_is_a_file(nbpipe, book, words):
    outcome = nbpipe(*words, "--store", "book.ipynb")
    assert (outcome.code, "book.ipynb is a file" in outcome.err) == (2, True), outcome
    outcome = nbpipe(*words, "--store", "book.ipynb/store")
    assert outcome.code == (4 if words[0] == "run" else 2), outcome
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("words", READING + CHANGING)
def test_no_store(nbpipe, shell, words):
    outcome = nbpipe(*words)
    assert outcome.code == 2
    assert f"There is no store at {shell.directory / '.nbpipe'}." in outcome.err
    assert not list(shell.directory.iterdir())


@pytest.fixture
def read_only(filled):
    """The store, in a place that really cannot be written, also not by root."""
    with mounted("--bind", filled, filled), remounted(filled):
        yield filled


@contextlib.contextmanager
def mounted(*words):
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", words[-1]], check=True)


@contextlib.contextmanager
def remounted(place):
    subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
    yield


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid(), reason="needs root on Linux")
def test_a_read_only_store_is_read_and_not_changed(nbpipe, read_only, book):
    for words in READING:
        assert nbpipe(*words, "--pipeline", "p").code == 0 or "runs" in words
    assert nbpipe("status", "book.ipynb").code == 0
    for words in [*CHANGING, ("run", "book.ipynb"), ("run", "book.ipynb", "--json")]:
        outcome = nbpipe(*words)
        assert outcome.code == 4, words
        assert f"The store at {read_only} is read-only." in outcome.err
        assert "--store" in outcome.err
    assert outcome.summary["state"] == "failed"
    assert "read only" in nbpipe("doctor").out
    outcome = nbpipe("run", "book.ipynb", "--store", read_only / "new")
    assert (outcome.code, "read-only" in outcome.err) == (4, True), outcome


# ---- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "fraem"], "Did you mean 'frame'?"),
        (["show", "zzz"], "Known: frame, x, y."),
        (["show", "x@9"], "Did you mean 'x@2' or 'x@1'?"),
        (["show", "x@best"], "No version 'x@best'"),
        (["show", "x@"], "'x@' names no version."),
        (["show", "@1"], "'@1' names no version."),
        (["show", ""], "'' names no version."),
        (["show", "frame"], "2 pipelines have 'frame': p, q."),
        (["show", "frame", "--pipeline", "r"], "No artifact 'frame'"),
        (["artifacts", "fraem"], "Did you mean 'frame'?"),
        (["artifacts", "x", "--pipeline", "q"], "Known: frame, y."),
        (["diff", "x@1", "x@9"], "Did you mean 'x@2' or 'x@1'?"),
        (["pin", "x@9"], "Did you mean 'x@2' or 'x@1'?"),
        (["pin", "x", "--tag", "a b"], "'a b' cannot be a tag."),
        (["pin", "x", "--tag", "pinned"], "'pinned' cannot be a tag."),
        (["pin", "x", "--tag", "7"], "'7' cannot be a tag."),
        (["runs", "r"], "2 runs start with 'r'."),
        (["runs", "r11"], "Did you mean 'r1'?"),
        (["runs", "zzz"], "Known: q1, r1, r2."),
    ],
)
def test_names_that_mean_nothing_name_near_misses(nbpipe, filled, words, said):
    outcome = nbpipe(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err


@pytest.mark.parametrize(
    "words",
    [
        ["artifacts"],
        ["artifacts", "x"],
        ["show", "x@2"],
        ["diff", "x@1", "x@2"],
        ["runs"],
        ["runs", "r2"],
        ["gc", "--dry-run"],
        ["doctor"],
    ],
)
def test_json_is_one_line_of_json(nbpipe, filled, words):
    outcome = nbpipe(*words, "--json")
    assert outcome.code == 0, outcome
    assert (len(outcome.lines), outcome.err) == (1, "")


def test_pins_and_tags(nbpipe, filled):
    assert nbpipe("pin", "x@1", "--tag", "best").code == 0
    assert nbpipe("show", "x@best", "--json").lines[0]["number"] == 1
    assert nbpipe("pin", "x@2", "--tag", "best").code == 0
    assert nbpipe("show", "x@best", "--json").lines[0]["number"] == 2
    assert nbpipe("pin", "x@best", "--tag", "best", "--remove").code == 0
    assert nbpipe("show", "x@best").code == 2
    assert nbpipe("pin", "x@1").code == 0
    assert nbpipe("gc", "--keep-runs", "0", "--older-than", "0s").code == 0
    assert [v["number"] for v in nbpipe("artifacts", "x", "--json").lines[0]] == [1]


def test_a_store_from_elsewhere_is_code(nbpipe, filled, monkeypatch):
    shutil.move(filled, filled.with_name("theirs"))
    checks = nbpipe("doctor", "--store", "theirs", "--json").lines[0]
    [found] = [check for check in checks if check["what"] == "store"]
    assert (found["state"], "comes from elsewhere" in found["found"]) == ("note", True)
    assert nbpipe("trust", "theirs").code == 0
    checks = nbpipe("doctor", "--store", "theirs", "--json").lines[0]
    assert [check["state"] for check in checks if check["what"] == "store"] == ["ok"]


def test_the_doctor_says_whether_native_code_is_traced(nbpipe, filled, monkeypatch, tmp_path):
    def check() -> tuple[str, str]:
        checks = nbpipe("doctor", "--json").lines[0]
        [found] = [check for check in checks if check["what"] == "file tracing"]
        return found["state"], found["advice"]

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "trace_files.so")
    monkeypatch.delenv("NBPIPE_NATIVE_TRACING", raising=False)
    assert check()[0] == "note"
    assert "C compiler" in check()[1]
    native.LIBRARY.touch()
    assert check() == ("ok", "")
    monkeypatch.setenv("NBPIPE_NATIVE_TRACING", "0")
    assert check() == ("note", "NBPIPE_NATIVE_TRACING is 0.")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "on Linux only" in check()[1]
