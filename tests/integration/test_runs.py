"""`nbpipe run` from the command line, with real kernels."""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.shell import kernels_of, text_of

pytestmark = pytest.mark.slow

CHAIN = (
    "#| params\nalpha = 1",
    "import math",
    "#| step: make\nx = [1, 2]\nprint('made')",
    "# markdown\nNotes",
    "#| step: scale\ny = sum(x) * alpha",
    "x  # not in the pipeline",
    "#| step: scale\ny",
    "#| step: show\nprint(math.floor(y))",
)


def test_a_run_from_start_to_end(shell):
    path = shell.write("book.ipynb", *CHAIN)
    before = path.read_bytes()
    first = shell("run", "book.ipynb", "--json")
    assert (first.code, first.err) == (0, "")
    assert [line["event"] for line in first.lines] == [
        "run-began",
        *["step-started", "step-finished"] * 3,
        "summary",
    ]
    summary = first.summary
    assert (summary["state"], summary["parameters"]) == ("succeeded", {"alpha": 1})
    assert first.states == {"make": "succeeded", "scale": "succeeded", "show": "succeeded"}
    assert summary["steps"][0]["outputs"]["x"]["version"] == 1
    assert re.fullmatch("[0-9a-f]{64}", summary["steps"][0]["outputs"]["x"]["digest"])
    shown = [text_of(cell) for cell in shell.executed(first)]
    assert shown == ["", "", "made\n", "", "", "3", "3\n"]

    again = shell("run", "book.ipynb", "--out", "deep/er/out.ipynb")
    assert (again.code, again.out) == (0, "")
    assert again.err.count("= reused") == 3
    assert "\x1b" not in again.err
    assert "executed notebook: deep/er/out.ipynb" in again.err
    executed = json.loads((shell.directory / "deep/er/out.ipynb").read_text())
    assert [text_of(c) for c in executed["cells"] if c["cell_type"] == "code"] == shown

    assert shell("compile", "book.ipynb").code == 0
    from_bundle = shell("run", "book.nbpipe", "--json")
    assert set(from_bundle.states.values()) == {"reused"}
    assert path.read_bytes() == before
    assert (path.stat().st_mode & 0o777, len(list(shell.directory.glob("*.ipynb")))) == (0o644, 1)


FAILING = (
    "#| step: make\nx = 0",
    "# markdown\nHere it goes wrong",
    "#| step: bad\nprint('before')",
    "def invert(v):\n    return 1 / v",
    "#| step: bad\n# a comment\ny = invert(x)",
    "#| step: after\nprint(y)",
    "#| step: side\nprint('side', x)",
)


SURPRISE = (
    "from counting import Basket\nbasket = 0",
    "#| step: make\nbasket = Basket()",
    "#| step: count\nn = len(basket)",
    "#| step: show\nprint(basket.apples, n)",
)


def test_reuse_knows_what_a_result_changed_unseen(shell):
    """Whatever became of the learned effects, a reused step tells what it did to its inputs."""
    (shell.directory / "counting.py").write_text(
        "class Basket:\n    apples = 1\n"
        "    def __len__(self):\n        self.apples += 1\n        return 0\n"
    )
    shell.write("book.ipynb", *SURPRISE)
    assert shell("compile", "book.ipynb").code == 0

    def shown(path):
        outcome = shell("run", path, "--json")
        assert outcome.code == 0
        events = [line["event"] for line in outcome.lines]
        states = set(outcome.states.values())
        return text_of(shell.executed(outcome)[-1]), events.count("pipeline-revised"), states

    right = "2 0\n"
    assert shown("book.nbpipe") == (right, 1, {"succeeded"})
    assert shown("book.nbpipe") == (right, 0, {"reused"})
    assert shown("book.ipynb") == (right, 0, {"reused"})

    shell.write("renamed.ipynb", *SURPRISE)
    strict = shell("run", "renamed.ipynb", "--strict", "--json")
    assert (strict.code, strict.states["count"]) == (1, "failed")
    assert "%%step count --out basket" in strict.err + strict.out
    status = shell("status", "renamed.ipynb", "--json").lines[-1]
    assert [step["state"] for step in status] == ["fresh"] * 3
    assert shown("renamed.ipynb") == (right, 1, {"reused"})
    assert shown("renamed.ipynb") == (right, 0, {"reused"})

    # Made again by a pipeline that knows it, a result still tells those that do not.
    assert shell("run", "book.ipynb", "--force").code == 0
    for effects in (shell.directory / ".nbpipe" / "effects").iterdir():
        effects.unlink()
    assert shown("book.ipynb") == (right, 1, {"reused"})
    assert shown("book.nbpipe") == (right, 0, {"reused"})


def test_a_failure_says_where_and_the_next_run_resumes(shell):
    shell.write("my book.ipynb", *FAILING)
    failed = shell("run", "my book.ipynb", "--keep-going", "-j", "1")
    assert (failed.code, failed.out) == (1, "")
    for line in (
        "✗ failed     bad",
        "- skipped    after",
        "✓ succeeded  side",
        "step bad failed in cell 4, line 3: ZeroDivisionError: division by zero",
        "    Cell In[4], line 3",
        "    ----> 3 y = invert(x)",
        "    Cell In[3], line 2, in invert(v)",
        "    ----> 2     return 1 / v",
        "To resume from here: nbpipe run 'my book.ipynb' -j 1 --keep-going",
    ):
        assert line in failed.err
    for place in ("executed step notebook: ", "executed notebook: "):
        [line] = [line for line in failed.err.splitlines() if line.startswith(place)]
        executed = json.loads(Path(line.removeprefix(place)).read_text())
        assert "before\n" in [text_of(cell) for cell in executed["cells"] if "outputs" in cell]
    assert "nbpipe/" not in failed.err.replace(".nbpipe/", "")

    shell.write("my book.ipynb", *[c.replace("1 / v", "1 / (v + 1)") for c in FAILING])
    resumed = shell("run", "my book.ipynb", "--json")
    assert resumed.code == 0
    assert resumed.states == {
        "make": "reused",
        "bad": "succeeded",
        "after": "succeeded",
        "side": "reused",
    }


def test_without_keep_going_nothing_more_starts(shell):
    shell.write("book.ipynb", "#| step: bad\n1 / 0", "#| step: other\nprint(1)")
    failed = shell("run", "book.ipynb", "--json", "-j", "1")
    assert failed.code == 1
    assert failed.states == {"bad": "failed", "other": "skipped"}
    failure = failed.summary["steps"][0]["failure"]
    assert (failure["kind"], failure["cell_number"], failure["line"]) == ("error", 1, 2)
    assert failure["traceback"].endswith("ZeroDivisionError: division by zero")
    shown = [text_of(cell) for cell in shell.executed(failed)]
    assert shown == ["", ""]


def test_a_sweep_shares_what_does_not_depend_on_it(shell):
    shell.write(
        "book.ipynb",
        "#| params\nalpha = 1\nname = 'a'",
        "#| step: make\nimport os\nx = os.urandom(4)",
        "#| step: scale\ny = (x, alpha, name)",
    )
    swept = shell("run", "book.ipynb", "--sweep", "-p", "alpha=1,2", "-p", "name=a,b/c")
    assert swept.code == 0
    assert swept.err.count("✓ succeeded  make") == 1
    assert swept.err.count("= reused     make") == 3
    assert swept.err.count("✓ succeeded  scale") == 4
    assert [len(shell.store.versions(variable=name)) for name in "xy"] == [1, 4]
    again = shell(
        "run", "book.ipynb", "--sweep", "-p", "alpha=2", "-p", "name=a,b/c", "--json", "--out", "o"
    )
    summaries = [line for line in again.lines if line["event"] == "summary"]
    assert [s["parameters"] for s in summaries] == [
        {"alpha": 2, "name": "a"},
        {"alpha": 2, "name": "b/c"},
    ]
    assert {step["state"] for s in summaries for step in s["steps"]} == {"reused"}
    assert again.lines[-1] == summaries[-1]
    assert sorted(p.name for p in shell.directory.iterdir() if p.name[0] == "o") == [
        "o-alpha=2-name=a",
        "o-alpha=2-name=b_c",
    ]


def test_which_steps_run(shell):
    """`--until`, `--from`, `--only` and `--force`, over a chain a → b → c."""
    shell.write(
        "book.ipynb",
        "#| step: a\nimport os\nx = os.urandom(4)",
        "#| step: b\ny = x + os.urandom(4)",
        "#| step: c\nprint(len(y))",
    )

    def states(*words):
        outcome = shell("run", "book.ipynb", "--json", *words)
        assert outcome.code == 0, outcome
        return outcome.states

    assert states("--until", "b") == {"a": "succeeded", "b": "succeeded"}
    assert states("--only", "b") == {"a": "reused", "b": "reused"}
    assert states("--from", "b") == {"a": "reused", "b": "reused", "c": "succeeded"}
    assert states("--only", "b", "--force") == {"a": "reused", "b": "succeeded"}
    assert states("--until", "c", "--force", "a") == {
        "a": "succeeded",
        "b": "succeeded",
        "c": "succeeded",
    }
    refused = shell("run", "book.ipynb", "--json", "--only", "c", "--store", "new")
    assert (refused.code, refused.summary["state"]) == (2, "refused")
    assert "--until c" in refused.err


def test_retries_and_timeouts_from_tags(shell):
    shell.write(
        "book.ipynb",
        "#| step: flaky\n#| retries: 2\nimport pathlib\n"
        "seen = len(list(pathlib.Path().glob('m*')))\npathlib.Path(f'm{seen}').touch()\n"
        "assert seen == 2, f'attempt {seen}'",
        "%%step stuck --timeout 1s --retries 1 --retry-delay 10ms\nimport time\ntime.sleep(60)",
    )
    outcome = shell("run", "book.ipynb", "--json", "--keep-going")
    assert outcome.code == 1
    assert outcome.states == {"flaky": "succeeded", "stuck": "failed"}
    retried = [line for line in outcome.lines if line["event"] == "step-retried"]
    flaky = [line for line in retried if line["step"] == "flaky"]
    assert [line["failure"]["message"] for line in flaky] == [
        "AssertionError: attempt 0",
        "AssertionError: attempt 1",
    ]
    assert len(retried) == 3
    failure = outcome.summary["steps"][1]["failure"]
    assert (failure["kind"], failure["cell_number"], failure["line"]) == ("timeout", 2, 3)
    assert outcome.seconds["stuck"] < 10


def peak_of(process):
    """Give the most memory that a process had at once, in kB; 0 when it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def test_a_hundred_megabytes_of_text(shell):
    """In bounded time and memory, and said."""
    shell.write(
        "book.ipynb", "#| step: loud\nline = 'x' * 999\nfor _ in range(100_000):\n    print(line)"
    )
    process = shell.start("run", "book.ipynb", "--json")
    largest = 0
    while process.poll() is None:
        largest = max(largest, *map(peak_of, (process.pid, *kernels_of(shell.directory))))
        time.sleep(0.2)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    finished = [json.loads(line) for line in out.splitlines()]
    assert "90,000,000 bytes of printed text left out" in json.dumps(finished)
    assert 50_000 < largest < 400_000
    executed = Path(finished[-1]["executed_notebook"])
    assert executed.stat().st_size < 11_000_000


def test_what_one_step_calls_another_when_its_options_or_comments_change(shell):
    """Comments, names, options, order of independent cells: nothing runs again."""
    shell.write("book.ipynb", "#| step: one\nx = 1", "#| step: two\nprint( x )")
    assert shell("run", "book.ipynb").code == 0
    shell.write(
        "book.ipynb",
        "# markdown\nTitle",
        "%%step first --retries 3 --timeout 1h\n# why\nx=1",
        "%%step second\nprint(x)  # shown",
    )
    moved = shell("run", "book.ipynb", "--json")
    assert moved.states == {"first": "reused", "second": "reused"}
    assert text_of(shell.executed(moved)[-1]) == "1\n"
    assert "fresh" in shell("status", "book.ipynb").out
