"""Signals, killed processes, and several processes at once on one store."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.cli.shell import kernels_of, kill, wait_until

pytestmark = pytest.mark.slow

# `quick` ends at once; `long` says that it runs, and goes on until somebody ends it.
CELLS = (
    "#| params\nname = 'x'",
    "#| step: quick\nx = [1]",
    "#| step: long\nimport pathlib, subprocess, time\npathlib.Path('running').touch()\n"
    "if not pathlib.Path('go').exists():\n    subprocess.run(['sleep', '600'])\ny = (x[0], name)",
    "#| step: last\nprint(y)",
)


@pytest.fixture
def book(shell):
    shell.write("book.ipynb", *CELLS)
    yield shell
    for process in kernels_of(shell.directory):
        os.kill(process, signal.SIGKILL)


def is_running(book):
    # What `long` starts is a copy of its kernel for a moment.
    return (book.directory / "running").exists() and b"sleep" in map(
        program_of, kernels_of(book.directory)
    )


def program_of(process):
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().partition(b"\0")[0]
    except OSError:
        return b""


def test_an_interrupted_run_ends_cleanly_and_is_resumed(book):
    process = book.start("run", "book.ipynb", "--json", "-p", "name=y z")
    wait_until(lambda: is_running(book))
    assert len(kernels_of(book.directory)) == 2, "the kernel, and what it started"
    started = time.monotonic()
    kill(process, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    took = time.monotonic() - started
    assert (process.returncode, err) == (130, "")
    assert kernels_of(book.directory) == []
    assert took < 5
    summary = json.loads(out.splitlines()[-1])
    assert summary["state"] == "cancelled"
    assert {step["name"]: step["state"] for step in summary["steps"]} == {
        "quick": "succeeded",
        "long": "cancelled",
        "last": "cancelled",
    }
    assert book.store.run("latest").state == "cancelled"

    (book.directory / "go").touch()
    resumed = book("run", "book.ipynb", "-p", "name=y z")
    assert resumed.code == 0
    assert "= reused     quick" in resumed.err


def test_an_interrupted_sweep_goes_no_further_and_says_how_to_go_on(book):
    words = ["--sweep", "-p", "name=y z,w", "--store", "my store"]
    process = book.start("run", "book.ipynb", *words)
    wait_until(lambda: is_running(book))
    kill(process, signal.SIGHUP)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert err.count("To resume from here: ") == 1
    assert "To resume from here: nbpipe run book.ipynb -p 'name=y z' --store 'my store'" in err
    assert "Traceback" not in err


def test_a_driver_that_is_killed_leaves_a_store_that_opens_and_no_kernel_for_long(book):
    process = book.start("run", "book.ipynb", "--json", "-j", "1")
    wait_until(lambda: is_running(book))
    kill(process, signal.SIGKILL)
    process.communicate(timeout=20)
    took = wait_until(lambda: not kernels_of(book.directory), seconds=20)
    assert took < 10, f"a kernel outlived its driver by {took:.1f} s"
    assert book("runs").code == 0
    (book.directory / "go").touch()
    resumed = book("run", "book.ipynb", "--json")
    assert resumed.states == {"quick": "reused", "long": "succeeded", "last": "succeeded"}
    states = {run.state.value for run in book.store.runs()}
    assert states <= {"running", "cancelled", "failed", "succeeded"}


def test_a_kernel_that_is_killed_ends_its_step_with_the_exit_code_of_a_failed_world(book):
    process = book.start("run", "book.ipynb", "--json")
    wait_until(lambda: is_running(book))
    [kernel] = [each for each in kernels_of(book.directory) if program_of(each) != b"sleep"]
    os.kill(kernel, signal.SIGKILL)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 4
    [step] = [s for s in json.loads(out.splitlines()[-1])["steps"] if s["name"] == "long"]
    assert step["failure"]["kind"] == "kernel-died"
    assert step["failure"]["message"] == "The kernel was killed by SIGKILL."
    assert step["failure"]["cell_number"] == 3
    assert "memory" in step["failure"]["hint"]
    assert kernels_of(book.directory) == []


def test_two_runs_at_once_on_one_store(book):
    (book.directory / "go").touch()
    runs = [book.start("run", "book.ipynb", "--json") for _ in range(2)]
    for run in runs:
        out, err = run.communicate(timeout=60)
        assert (run.returncode, err) == (0, "")
        assert json.loads(out.splitlines()[-1])["state"] == "succeeded"
    assert [run.state.value for run in book.store.runs()] == ["succeeded"] * 2
    assert [v.number for v in book.store.versions(variable="x")] == [1]
    assert set(book("run", "book.ipynb", "--json").states.values()) == {"reused"}


def test_two_steps_at_once_in_one_run(shell):
    shell.write(
        "book.ipynb",
        "#| step: top\nx = 1",
        "#| step: left\na = x + 1",
        "#| step: right\nb = x + 2",
        "#| step: join\nprint(a + b)",
    )
    words = ["--bundle", "book.ipynb", "--run-id", "r-1"]
    assert shell("step", "top", *words).code == 0
    both = [shell.start("step", name, *words) for name in ("left", "right")]
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert json.loads(out.splitlines()[-1])["state"] == "succeeded"
    assert shell.store.run("r-1").state == "running"
    assert shell("step", "join", *words).code == 0
    [run] = shell.store.runs()
    assert (run.id, run.state) == ("r-1", "succeeded")
    assert {step.step: step.state.value for step in run.steps} == dict.fromkeys(
        ["top", "left", "right", "join"], "succeeded"
    )
