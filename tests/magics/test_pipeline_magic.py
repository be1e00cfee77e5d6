"""`%pipeline`: a name is checked, a command runs in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from textwrap import dedent
from threading import Timer

import pytest
from IPython.core.error import UsageError

from nbpipe.magics import command, pipeline_magic
from nbpipe.magics.notebook_path import notebook_path


@pytest.mark.parametrize("line", ["flights", "late-flights --retries 2 --rng per-step"])
def test_a_name_is_taken_in_silence(line, session):
    result, output = session.run(f"%pipeline {line}")
    assert (result.success, result.result, output) == (True, None, "")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "%pipeline needs a name or a command: %pipeline NAME, or one of %pipeline show"),
        ("1st", "'1st' cannot name a pipeline"),
        ("flights --retrys 2", "unknown option --retrys. Did you mean --retries?"),
        ("flights --rng sometimes", "--rng is carry or per-step, not 'sometimes'."),
        ("'flights", "cannot read the line: No closing quotation."),
    ],
)
def test_a_wrong_line_says_what_is_wrong(line, message, session):
    result, output = session.run(f"%pipeline {line}")
    assert isinstance(result.error_in_exec, UsageError)
    assert message in output


# ---- commands ---------------------------------------------------------------------------------


@pytest.fixture
def commands(monkeypatch):
    """Records commands instead of running them; each ends with the code that is last in it."""
    calls = []

    def run(arguments, show):
        calls.append(arguments)
        show("progress\n")
        return int(arguments[-1]) if arguments[-1].isdigit() else 0

    monkeypatch.setattr(pipeline_magic, "run_command", run)
    return calls


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("show", ["compile", "--check", "NB"]),
        ("run -p alpha=0.2 --force", ["run", "NB", "-p", "alpha=0.2", "--force"]),
        ("run -p 'name=a b'", ["run", "NB", "-p", "name=a b"]),
        ("run --out done.ipynb", ["run", "NB", "--out", "done.ipynb"]),
        ("run other.ipynb -j 2", ["run", "other.ipynb", "-j", "2"]),
        ("status other.nbpipe/", ["status", "other.nbpipe/"]),
        ("export --to docker", ["export", "NB", "--to", "docker"]),
    ],
)
def test_commands_run_on_this_notebook(line, arguments, session, commands, tmp_path, monkeypatch):
    notebook = tmp_path / "flights.ipynb"
    notebook.write_text("{}")
    monkeypatch.setenv("JPY_SESSION_NAME", str(notebook))
    _, output = session.run(f"%pipeline {line}", store_history=False)
    assert [[str(notebook) if word == "NB" else word for word in arguments]] == commands
    assert output == "progress\n" or arguments[-1].isdigit()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (1, "UsageError: %pipeline run: a step failed (exit code 1)."),
        (2, "UsageError: %pipeline run: it was refused (exit code 2)."),
        (77, "UsageError: %pipeline run: it ended unexpectedly (exit code 77)."),
    ],
)
def test_a_command_that_fails_fails_the_cell(code, message, session, commands):
    result, output = session.run(f"%pipeline run a.ipynb {code}")
    assert not result.success
    assert output == f"progress\n{message}\n"


def test_without_a_trace_of_the_notebook_its_path_is_asked_for(session, commands, monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    _, output = session.run("%pipeline run")
    assert "Name it: %pipeline run NOTEBOOK.ipynb" in output
    assert commands == []


# ---- where the notebook is --------------------------------------------------------------------


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "flights.ipynb"
    path.write_text("{}")
    return path


@pytest.mark.parametrize(
    "session_name", ["{folder}/flights.ipynb", "deep/in/flights.ipynb", "RTC:flights.ipynb"]
)
def test_jupyter_names_the_notebook(session_name, notebook):
    environ = {"JPY_SESSION_NAME": session_name.format(folder=notebook.parent)}
    assert notebook_path(environ, {}) == notebook.resolve()


def test_vscode_names_the_notebook(notebook):
    namespace = {"__vsc_ipynb_file__": str(notebook)}
    assert notebook_path({}, namespace) == notebook.resolve()
    assert notebook_path({"JPY_SESSION_NAME": "gone.ipynb"}, namespace) == notebook.resolve()


@pytest.mark.parametrize(
    ("environ", "namespace"),
    [
        ({}, {}),
        ({"JPY_SESSION_NAME": "renamed.ipynb"}, {}),
        ({"JPY_SESSION_NAME": "console-1"}, {"__vsc_ipynb_file__": 3}),
    ],
)
def test_no_trace_gives_no_path(environ, namespace, notebook):
    assert notebook_path(environ, namespace) is None


# ---- processes --------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts a package `nbpipe` in front that does what a test says."""

    def write(source):
        folder = tmp_path / "path" / "nbpipe"
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "__main__.py").write_text(dedent(source))
        monkeypatch.setenv("PYTHONPATH", str(folder.parent))

    return write


def test_output_is_shown_as_it_comes(program):
    program("""
        import sys, time
        print("first é", sys.argv[1:])
        print("to stderr", file=sys.stderr)
        time.sleep(1.5)
        print("last")
        sys.exit(3)
    """)
    shown = []
    code = command.run_command(["run", "a b"], lambda text: shown.append((text, time.monotonic())))
    assert code == 3
    assert "".join(text for text, _ in shown).splitlines() == [
        "first é ['run', 'a b']",
        "to stderr",
        "last",
    ]
    assert shown[-1][1] - shown[0][1] > 1


def test_nothing_can_be_typed_into_a_command(program):
    program("print(repr(input()) if False else __import__('sys').stdin.read() == '')")
    shown = []
    assert command.run_command(["run"], shown.append) == 0
    assert "".join(shown) == "True\n"


def test_a_module_beside_the_notebook_is_not_imported(program, tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)
    program("import random; print(random.__name__)")
    shown = []
    assert command.run_command(["run"], shown.append) == 0
    assert "".join(shown) == "random\n"


@pytest.fixture
def interruptible():
    """Let SIGINT raise, also where the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_interrupt_lets_the_command_stop_cleanly(program):
    program("""
        import time
        print("started", flush=True)
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            print("stopped cleanly")
            raise SystemExit(130)
    """)
    shown = []
    with pytest.raises(KeyboardInterrupt):
        command.run_command(["run"], interrupting(shown))
    assert "".join(shown) == "started\nstopped cleanly\n"


@pytest.mark.usefixtures("interruptible")
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_command_that_does_not_stop_is_killed(program, monkeypatch):
    monkeypatch.setattr(command, "_GRACE_SECONDS", 0.5)
    program("""
        import os, signal, time
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print(os.getpid(), flush=True)
        time.sleep(60)
    """)
    shown = []
    with pytest.raises(KeyboardInterrupt):
        command.run_command(["run"], interrupting(shown))
    assert not Path(f"/proc/{''.join(shown).strip()}").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
def test_a_command_ends_though_a_grandchild_holds_its_output(program):
    program("""
        import subprocess, sys
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(5)"])
        print("done")
    """)
    start = time.monotonic()
    shown = []
    assert command.run_command(["run"], shown.append) == 0
    assert "".join(shown) == "done\n"
    assert time.monotonic() - start < 4


def interrupting(shown):
    """Records output, and interrupts this process shortly after the first."""

    def show(text):
        if not shown:
            Timer(0.2, lambda: os.kill(os.getpid(), 2)).start()
        shown.append(text)

    return show
