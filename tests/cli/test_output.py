"""What goes to which stream, and in what form."""

from __future__ import annotations

import os
import pty
import subprocess

import pytest

from nbpipe.cli.main import COMMANDS
from tests.cli.shell import COMMAND
from tests.store.runs import a_run, commit, open_store

ESCAPE = "\x1b"


@pytest.fixture
def filled(shell):
    store = open_store(shell.directory)
    for number in range(300):
        store.begin_run(a_run(f"r{number:03}", "a-pipeline-with-a-long-name" * 10))
    commit(store, "make", {"x": "Zoë → 🚀", "y": float("inf")}, run="r000")
    store.close()
    shell.write("book.ipynb", "#| step: make\nx = 1", "#| step: use\nprint(x)")
    return shell


READING = [["runs"], ["runs", "r000"], ["artifacts"], ["show", "x"], ["doctor"], ["explain"]]


@pytest.mark.parametrize("words", [*READING, ["status", "book.ipynb"], ["--help"], ["run", "-h"]])
def test_no_colour_into_a_pipe(filled, nbpipe, monkeypatch, words):
    monkeypatch.setenv("FORCE_COLOR", "")
    outcome = nbpipe(*words)
    assert outcome.code == 0
    assert outcome.out
    assert ESCAPE not in outcome.out + outcome.err


def in_a_terminal(shell, *words, **environ):
    """Run a command with a terminal as stdout and stderr; give what it wrote there."""
    ours, theirs = pty.openpty()
    process = shell.start(
        *words, environ={"TERM": "xterm", **environ}, stdout=theirs, stderr=theirs, stdin=theirs
    )
    os.close(theirs)
    written = b""
    try:
        while piece := os.read(ours, 65536):
            written += piece
    except OSError:
        pass  # How a terminal says that the other side has gone.
    finally:
        os.close(ours)
    return process.wait(timeout=30), written.decode()


def test_colour_in_a_terminal_that_wants_it(filled):
    code, written = in_a_terminal(filled, "status", "book.ipynb")
    assert (code, ESCAPE in written) == (0, True)
    for environ in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        code, written = in_a_terminal(filled, "status", "book.ipynb", **environ)
        assert (code, ESCAPE in written) == (0, False)


def test_a_reader_who_leaves_early_gets_no_traceback(filled):
    """`nbpipe runs | head -1`: the list is longer than a pipe holds."""
    for words in ("runs -n 300", "runs -n 300 --json"):
        script = f"{' '.join(COMMAND)} {words} | head -c 10; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=filled.directory,
            env=filled.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        assert done.stdout[10:].strip() == "0"


def test_a_reader_who_never_came(filled):
    for words in ("runs", "--help", "--version", "completion bash", "doctor"):
        ours, theirs = os.pipe()
        os.close(ours)
        process = filled.start(*words.split(), stdout=theirs)
        os.close(theirs)
        assert process.communicate(timeout=30)[1] == ""
        assert process.returncode == 0, words


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_that_knows_few_letters(filled, encoding):
    environ = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    for words in (["show", "x"], ["diff", "x", "y"], ["explain"], ["run", "no-such.ipynb"]):
        outcome = filled(*words, environ=environ, errors="replace")
        assert outcome.code in {0, 2}
        assert "Traceback" not in outcome.err


def test_every_command_has_a_help_of_its_own(nbpipe):
    for group in COMMANDS.values():
        for name in group:
            outcome = nbpipe(name, "--help")
            assert (outcome.code, outcome.err) == (0, "")
            assert outcome.out.startswith(f"Usage: nbpipe {name}")
            assert nbpipe(name, "-h").out == outcome.out


def test_numbers_without_end_are_json_too(filled, nbpipe):
    shown = nbpipe("show", "y", "--json")
    assert shown.code == 0
    assert "Infinity" not in shown.out.replace('"Infinity"', "").replace('"inf"', "")
    assert shown.lines


def test_runs_by_their_start_and_the_latest(filled, nbpipe):
    assert nbpipe("runs", "r00").code == 2
    assert nbpipe("runs", "r000").code == 0
    assert nbpipe("runs", "latest", "--json").code == 0


def test_a_defect_is_reported_as_one(nbpipe, shell, monkeypatch, capfd):
    def broken(*_args, **_options):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("nbpipe.cli.run.open_workspace", broken)
    shell.write("book.ipynb", "#| step: make\nx = 1")
    monkeypatch.setattr("sys.argv", ["nbpipe", "run", "book.ipynb", "--json"])
    from nbpipe.cli.main import main

    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capfd.readouterr()
    assert stop.value.code == 70
    assert "This is a defect of nbpipe." in err
    assert '"state": "failed"' in out
    assert "ZeroDivisionError: ours" in out


def test_an_interrupt_before_the_run(nbpipe, shell, monkeypatch):
    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("nbpipe.cli.run.open_workspace", interrupted)
    outcome = nbpipe("run", "book.ipynb", "--json")
    assert (outcome.code, outcome.summary["state"]) == (130, "cancelled")
    assert "Interrupted." in outcome.err
