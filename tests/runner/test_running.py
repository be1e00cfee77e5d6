"""Whole runs with real kernels."""

from __future__ import annotations

import json
import os
import py_compile
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from nbpipe.errors import ConfigurationError, StoreUnavailableError
from nbpipe.model.effects import LearnedEffects
from nbpipe.model.names import Variable
from nbpipe.model.pipeline import Input, Output, Retry
from nbpipe.model.run import RunState
from nbpipe.runner.listening import (
    RunBegan,
    RunFinished,
    StepFinished,
    StepRetried,
    StepStarted,
)
from nbpipe.runner.selection import select_steps
from nbpipe.store.artifacts import ArtifactStore

pytestmark = pytest.mark.slow


def states(run):
    return {step_run.step: step_run.state.value for step_run in run.steps}


def failure(run, step):
    return next(step_run.failure for step_run in run.steps if step_run.step == step)


def reasons(run):
    return {step_run.step: step_run.reason for step_run in run.steps}


def processes_mentioning(text: str) -> list[str]:
    """Give the command lines of running processes that mention `text` there or in their
    environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and entry.name != str(os.getpid()):
            try:
                command = (entry / "cmdline").read_bytes()
                around = command + (entry / "environ").read_bytes()
            except OSError:
                continue
            if text.encode() in around and command:
                found.append(command.replace(b"\0", b" ").decode())
    return found


def test_a_chain_runs_is_reused_and_runs_on_from_what_changed(book, listener):
    book.parameter("alpha", 2)
    book.step("make", "x = [1, 2]\nprint('made', x)", makes=("x",))
    book.step(
        "scale",
        "y = sum(x) * alpha\ny",
        takes={"x": "make"},
        makes=("y",),
        reads_parameters=("alpha",),
    )
    book.step("show", "print(y)\nkept = y + 1", takes={"y": "scale"}, keeps=("kept",))

    first = book.run(listener=listener)
    assert first.state is RunState.SUCCEEDED
    assert set(reasons(first).values()) == {"never ran"}
    assert book.shown(first) == {2: "made [1, 2]\n", 3: "6", 4: "6\n"}
    assert [cell["execution_count"] for cell in book.executed(first)["cells"]] == [None, 2, 3, 4]
    assert first.steps[2].outputs["kept"].value.summary.text == "7"
    assert [type(event) for event in listener.events] == [
        RunBegan,
        *[StepStarted, StepFinished] * 3,
        RunFinished,
    ]

    second = book.run()
    assert set(states(second).values()) == {"reused"}
    assert book.shown(second) == book.shown(first)

    third = book.run(parameters={"alpha": 2.0})
    assert states(third) == {"make": "reused", "scale": "succeeded", "show": "succeeded"}
    assert reasons(third)["scale"] == "parameter alpha: 2 → 2.0"
    assert reasons(third)["show"] == "input y changed"
    executed = json.loads(
        (book.directory / ".nbpipe" / third.steps[1].executed_notebook).read_text()
    )
    assert executed["metadata"]["papermill"]["parameters"] == {"alpha": 2.0}


def test_branches_of_a_diamond_run_at_the_same_time(book):
    meet = textwrap.dedent("""\
        import pathlib, time
        pathlib.Path("{me}").touch()
        while not pathlib.Path("{other}").exists():
            time.sleep(0.01)
        {me} = 1""")
    book.step("top", "x = 1", makes=("x",))
    book.step("left", meet.format(me="a", other="b"), takes={"x": "top"}, makes=("a",))
    book.step("right", meet.format(me="b", other="a"), takes={"x": "top"}, makes=("b",))
    book.step("join", "print(a + b)", takes={"a": "left", "b": "right"})
    run = book.run(parallelism=2)
    assert set(states(run).values()) == {"succeeded"}
    assert book.shown(run)[4] == "2\n"


def test_a_failure_points_into_the_notebook_and_the_next_run_resumes(book):
    book.prelude("def invert(x):\n    # a comment\n    return 1 / x")
    book.step("make", "x = 0", makes=("x",))
    bad = book.step(
        "bad", "print('before')", "y = 1\nz = invert(x)", takes={"x": "make"}, makes=("z",)
    )
    book.step("after", "print(z)", takes={"z": "bad"})
    run = book.run()
    assert run.state is RunState.FAILED
    assert states(run) == {"make": "succeeded", "bad": "failed", "after": "skipped"}
    assert reasons(run)["after"] == "'bad' failed"
    found = failure(run, "bad")
    assert (found.kind, found.message) == ("error", "ZeroDivisionError: division by zero")
    assert (found.cell, found.cell_number, found.line) == ("cell-4", 4, 2)
    assert found.traceback == (
        "ZeroDivisionError                         Traceback (most recent call last)\n"
        "Cell In[4], line 2\n"
        "      1 y = 1\n"
        "----> 2 z = invert(x)\n"
        "Cell In[1], line 3, in invert(x)\n"
        "      1 def invert(x):\n"
        "      2     # a comment\n"
        "----> 3     return 1 / x\n"
        "ZeroDivisionError: division by zero"
    )
    shown = book.executed(run)["cells"]
    assert shown[2]["outputs"][0]["text"] == "before\n"
    assert "In[4]" in "".join(shown[3]["outputs"][0]["traceback"])
    assert shown[4]["execution_count"] is None

    book.steps[1] = book.step("bad", "y = 1\nz = invert(x + 1)", takes={"x": "make"}, makes=("z",))
    assert bad.code != book.steps.pop().code
    again = book.run()
    assert states(again) == {"make": "reused", "bad": "succeeded", "after": "succeeded"}


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("x = 1\nif x\n    pass", 2, "SyntaxError: expected ':' (dummy, line 2)"),
        ("%%time\nx = 1\n1 / 0", 3, "ZeroDivisionError: division by zero"),
        ("import asyncio\nawait asyncio.sleep(0)\n{}['k']", 3, "KeyError: 'k'"),
        ("x = 1\n%nonsense", 2, "UsageError: Line magic function `%nonsense` not found."),
        ("import sys\nsys.exit()", 2, "SystemExit"),
        ("raise ExceptionGroup('g', [ValueError(1)])", 1, "ExceptionGroup: g (1 sub-exception)"),
    ],
)
def test_every_kind_of_exception_has_its_line(book, source, line, message):
    book.step("bad", source)
    found = failure(book.run(), "bad")
    name = message.partition(":")[0]
    assert found.message.startswith(name)
    assert message in found.message or name == "SyntaxError"
    assert (found.cell_number, found.line) == (1, line)


def test_a_step_succeeds_at_its_second_attempt(book, listener):
    book.step(
        "flaky",
        "import pathlib\nmark = pathlib.Path('mark')\nfirst = not mark.exists()\nmark.touch()\n"
        "assert not first, 'not yet'",
        retry=Retry(retries=2, delay_seconds=0.05),
    )
    run = book.run(listener=listener)
    assert states(run) == {"flaky": "succeeded"}
    assert run.steps[0].attempt == 2
    [retried] = [event for event in listener.events if isinstance(event, StepRetried)]
    assert retried.failure.message == "AssertionError: not yet"
    assert (retried.attempt, retried.delay_seconds) == (1, 0.05)


def test_a_step_that_takes_too_long_is_interrupted(book):
    book.step("slow", "import time\nprint('so far')\ntime.sleep(60)", timeout_seconds=1.0)
    started = time.monotonic()
    run = book.run()
    assert time.monotonic() - started < 10
    found = failure(run, "slow")
    assert (found.kind, found.message) == ("timeout", "Still running after 1 s.")
    assert (found.cell_number, found.line) == (1, 3)
    assert book.shown(run)[1].startswith("so far\n")


def test_a_step_that_ignores_the_interrupt_is_killed(book, monkeypatch):
    monkeypatch.setattr("nbpipe.runner.papermill_engine._INTERRUPT_GRACE_SECONDS", 0.5)
    book.step(
        "stubborn",
        "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)",
        timeout_seconds=0.5,
    )
    assert failure(book.run(), "stubborn").kind == "timeout"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
        ("import os\nos._exit(7)", "ended with exit status 7"),
        ("import ctypes\nctypes.string_at(0)", "killed by SIGSEGV"),
    ],
)
def test_the_death_of_a_kernel_is_noticed_at_once(book, source, message):
    book.step("dies", "print('alive', flush=True)", source)
    started = time.monotonic()
    run = book.run()
    assert time.monotonic() - started < 5
    found = failure(run, "dies")
    assert found.kind == "kernel-died"
    assert message in found.message
    assert found.cell_number == 2
    assert book.shown(run) == {1: "alive\n"}
    if "SEGV" in message:
        assert "string_at" in found.traceback


def test_a_hundred_megabytes_of_text_are_cut_in_bounded_memory(book):
    book.step("loud", "line = 'x' * 99\nfor _ in range(1_000_000):\n    print(line)")
    run = book.run()
    assert states(run) == {"loud": "succeeded"}
    [cell] = book.executed(run)["cells"]
    [output] = cell["outputs"]
    assert 9_900_000 < len(output["text"]) < 10_100_000
    assert "90,000,000 bytes left out here" in output["text"]
    assert run.steps[0].notes == (
        "90,000,000 bytes of printed text left out (NBPIPE_OUTPUT_LIMIT)",
    )


def test_a_value_that_cannot_be_stored_fails_its_step_and_is_not_retried(book):
    step = book.step("make", "g = (n for n in range(3))", retry=Retry(retries=3))
    needed = Output(variable=Variable("g"), required=True, readers=("use", "show"))
    book.steps = [replace(step, outputs=(needed,))]
    run = book.run()
    found = failure(run, "make")
    assert found.kind == "output"
    assert found.message.startswith("Cannot store 'g' (generator): ")
    assert found.message.endswith("; 'g' is needed by use, show")
    assert run.steps[0].attempt == 1


def test_values_nobody_asked_for_never_fail_a_step(book):
    book.step(
        "make",
        "import os\nn = 1\ng = (n for n in range(3))\ndef f(): pass\n_p = 1\nos_module = os",
        keeps=("n", "g", "f", "_p", "os_module"),
    )
    run = book.run()
    assert list(run.steps[0].outputs) == ["n"]


def test_an_output_that_was_not_bound_stays_unbound_behind_its_step(book):
    book.step("make", "if False:\n    x = 1", makes=("x",))
    book.step("use", "print('x' in globals())", takes={"x": "make"})
    run = book.run()
    assert run.steps[0].unbound == ("x",)
    assert book.shown(run)[2] == "False\n"
    assert set(states(book.run()).values()) == {"reused"}


def test_an_input_changed_in_place_is_found_and_its_readers_run_again(book):
    book.step("make", "x = [1]\ny = [1]", makes=("x", "y"))
    book.step("sneaky", "(lambda v: v.append(2))(x)", takes={"x": "make", "y": "make"})
    book.step("use", "print(x)", takes={"x": "make"}, after=("sneaky",))
    before = book.pipeline
    sneaky = replace(before.steps[1], outputs=(Output(variable=Variable("x"), required=True),))
    use = replace(before.steps[2], inputs=(Input(variable=Variable("x"), upstream="sneaky"),))
    after = replace(before, steps=(before.steps[0], sneaky, use))
    found = []

    def revise(changed):
        found.append(changed)
        return after, select_steps(after)

    run = book.run(revise=revise)
    assert found == [LearnedEffects(changes={sneaky.own: (Variable("x"),)})]
    assert list(run.steps[1].outputs) == ["x"]
    assert set(states(run).values()) == {"succeeded"}
    assert book.shown(run)[3] == "[1, 2]\n"


def test_a_file_a_step_reads_is_part_of_its_key(book):
    data = book.directory / "data.csv"
    data.write_text("1,2")
    book.step("read", "print(open('data.csv').read())", literal_paths=("data.csv", "nothing.csv"))
    assert book.shown(book.run()) == {1: "1,2\n"}
    assert states(book.run()) == {"read": "reused"}
    data.write_text("3,4")
    again = book.run()
    assert book.shown(again) == {1: "3,4\n"}
    assert reasons(again)["read"] == "file data.csv changed"


def test_a_file_a_step_writes_is_made_again_only_when_it_is_lost(book):
    book.step(
        "write",
        "with open('out.txt', 'w') as f:\n    print('hello', id(f), file=f)",
        literal_paths=("out.txt", "hello", "w"),
    )
    assert states(book.run()) == {"write": "succeeded"}
    assert states(book.run()) == {"write": "reused"}
    forced = book.run(selection=select_steps(book.pipeline, forced=None))
    assert (states(forced), reasons(forced)) == ({"write": "succeeded"}, {"write": "forced"})
    assert states(book.run()) == {"write": "reused"}
    (book.directory / "out.txt").unlink()
    lost = book.run()
    assert states(lost) == {"write": "succeeded"}
    assert reasons(lost) == {"write": "file out.txt is no longer there or no longer used"}


def test_a_project_module_is_part_of_the_key(book, monkeypatch):
    # Bytecode that looks current, because size and time are those of the changed source.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    module = book.directory / "cleaning.py"
    module.write_text("def clean(x): return x + 1")
    py_compile.compile(str(module))
    facts = module.stat()
    book.step("use", "import cleaning\nprint(cleaning.clean(1))", imports=("cleaning",))
    assert book.shown(book.run()) == {1: "2\n"}
    assert states(book.run()) == {"use": "reused"}
    module.write_text("def clean(x): return x + 2")
    os.utime(module, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    again = book.run()
    assert book.shown(again) == {1: "3\n"}
    assert reasons(again)["use"] == "file cleaning.py changed"


def test_only_runs_one_step_and_refuses_when_its_inputs_are_missing(book):
    book.step("make", "x = 1", makes=("x",))
    book.step("use", "print(x)", takes={"x": "make"})
    only = select_steps(book.pipeline, only="use")
    with pytest.raises(ConfigurationError, match="Step 'make' has no stored result, and only use"):
        book.run(selection=only)
    book.run(selection=select_steps(book.pipeline, last="make"))
    assert states(book.run(selection=only)) == {"make": "reused", "use": "succeeded"}


def test_a_lost_blob_is_made_again(book):
    book.step("make", "x = 'a value of some length' * 10", makes=("x",))
    book.step("use", "print(x[:7])", takes={"x": "make"})
    book.run()
    for path in (book.directory / ".nbpipe" / "objects").glob("??/*"):
        path.unlink()
    run = book.run()
    assert states(run)["make"] == "succeeded"
    assert run.state is RunState.SUCCEEDED


def test_each_step_is_seeded_by_its_key(book):
    source = "import random, numpy as np\nprint(random.random(), np.random.rand())"
    book.step("one", source)
    first = book.shown(book.run())
    forced = select_steps(book.pipeline, forced=None)
    assert book.shown(book.run(selection=forced)) == first
    book.steps.clear()
    book.cells.clear()
    book.step("two", source + " ")
    assert book.shown(book.run())[1] != first[1]


def test_the_kernel_starts_beside_the_notebook_and_sees_the_environment(book, monkeypatch):
    monkeypatch.setenv("OF_THE_AUTHOR", "yes")
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    book.step(
        "look",
        "import os, sys\nprint(os.getcwd(), os.environ['OF_THE_AUTHOR'], "
        "os.environ['PYTHONHASHSEED'], sys.executable)",
    )
    assert book.shown(book.run()) == {1: f"{book.directory} yes 0 {sys.executable}\n"}


def test_a_kernel_speaks_tcp_where_sockets_have_no_place(book, monkeypatch):
    monkeypatch.setattr("nbpipe.runner.kernels.jupyter._LONGEST_SOCKET_PATH", 0)
    book.step("look", "print(get_ipython().kernel.parent.transport)")
    assert book.shown(book.run()) == {1: "tcp\n"}


def kernel(directory: Path, name: str, *command: str) -> None:
    place = directory / "jupyter" / "kernels" / name
    place.mkdir(parents=True)
    specification = {"argv": list(command), "display_name": name, "language": "python"}
    (place / "kernel.json").write_text(json.dumps(specification))


def test_the_kernel_is_the_one_the_notebook_names_or_that_of_nbpipe(book, monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", str(book.directory / "jupyter"))
    launch = ("-m", "ipykernel_launcher", "-f", "{connection_file}")
    kernel(book.directory, "own", sys.executable, "-X", "own", *launch)
    # One of this name in a home directory must not get in the way.
    kernel(book.directory, "python3", "/nowhere/python", *launch)
    book.step("look", "import sys\nprint('own' in sys._xoptions)")
    assert book.shown(book.run()) == {1: "False\n"}
    own = replace(book.pipeline, kernel="own")
    forced = select_steps(book.pipeline, forced=None)
    assert book.shown(book.run(pipeline=own, selection=forced)) == {1: "True\n"}
    unknown = book.run(pipeline=replace(book.pipeline, kernel="unknown"), selection=forced)
    assert unknown.steps[0].notes == (
        "kernel 'unknown' is not installed; ran with the Python of nbpipe",
    )


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["/nowhere/python"], "The kernel 'broken' cannot be started: "),
        ([sys.executable, "-c", "import no_such_module"], "ended before it was ready"),
    ],
)
def test_a_kernel_that_does_not_start_says_so(book, monkeypatch, command, message):
    monkeypatch.setenv("JUPYTER_PATH", str(book.directory / "jupyter"))
    kernel(book.directory, "broken", *command)
    book.step("look", "1")
    found = failure(book.run(pipeline=replace(book.pipeline, kernel="broken")), "look")
    assert found.kind == "kernel-died"
    assert message in found.message
    if "no_such_module" in command[-1]:
        assert "No module named 'no_such_module'" in found.traceback


def test_nothing_a_step_started_outlives_it(book):
    book.step(
        "leaves",
        "import subprocess\nsubprocess.Popen(['sleep', '4711'])",
        "%%bash\nset -m\nsleep 4711 > /dev/null 2>&1 &",
    )
    assert states(book.run()) == {"leaves": "succeeded"}
    assert processes_mentioning(str(book.directory)) == []


def test_a_store_that_cannot_be_written_ends_the_run_with_a_clear_failure(book, monkeypatch):
    def full(self, *_, **__):
        raise StoreUnavailableError("Cannot write: the disk is full.", hint="Free some space.")

    book.step("make", "x = 1", makes=("x",))
    book.step("other", "y = 1", makes=("y",))
    monkeypatch.setattr(ArtifactStore, "commit_step", full)
    run = book.run(keep_going=True)
    assert states(run) == {"make": "failed", "other": "skipped"}
    found = failure(run, "make")
    assert (found.kind, found.message) == ("store", "Cannot write: the disk is full.")


SCRIPT = """\
import os, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from conftest import Book, states
book = Book(Path({directory!r}))
book.step("quick", "x = 1", makes=("x",))
book.step("long", "import subprocess, pathlib\\npathlib.Path('running').touch()\\n"
          "subprocess.run(['sleep', '4712'])", takes={{"x": "quick"}})
book.step("never", "1", after=("long",))
run = book.run()
print(run.state.value, states(run))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_cleanly(book, number):
    script = SCRIPT.format(tests=str(Path(__file__).parent), directory=str(book.directory))
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 30
        while not (book.directory / "running").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(process.pid, number)
        output, _ = process.communicate(timeout=10)
    finally:
        process.kill()
    assert output.strip() == (
        "cancelled {'quick': 'succeeded', 'long': 'cancelled', 'never': 'cancelled'}"
    )
    assert processes_mentioning(str(book.directory)) == []
    (book.directory / "running").unlink()
    store = book.store
    assert store.run("latest").state is RunState.CANCELLED
    store.close()


def test_two_runs_share_a_store(book):
    book.step("make", "import time\ntime.sleep(0.3)\nx = 1", makes=("x",))
    script = SCRIPT.partition("book.step")[0] + (
        "book.step('make', 'import time\\ntime.sleep(0.3)\\nx = 1', makes=('x',))\n"
        "print(book.run().state.value)\n"
    )
    script = script.format(tests=str(Path(__file__).parent), directory=str(book.directory))
    runs = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [run.communicate(timeout=60)[0].strip() for run in runs] == ["succeeded"] * 2
    assert states(book.run()) == {"make": "reused"}
