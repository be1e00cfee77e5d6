"""Steps run one by one: by other engines with `nbpipe step`, and by hand with plain papermill."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from tests.cli.shell import text_of

pytestmark = pytest.mark.slow

CELLS = (
    "#| params\nfactor = 2",
    "import math\nimport threading",
    "#| step: make\nx = [1, 2]",
    "#| step: scale\ny = sum(x) * factor\nprint(y)",
    "#| step: bad\n{}[y]",
    "#| step: keep\ng = threading.Lock()",
    "#| step: use\nprint(g.locked())",
    "#| step: dies\nimport os\nos._exit(7)",
)


@pytest.fixture
def bundle(shell):
    shell.write("book.ipynb", *CELLS)
    assert shell("compile", "book.ipynb").code == 0
    # Elsewhere, and without the notebook, as in a container.
    (shell.directory / "elsewhere").mkdir()
    shutil.move(shell.directory / "book.nbpipe", shell.directory / "elsewhere" / "b.nbpipe")
    return "elsewhere/b.nbpipe"


def test_every_ending_of_a_step_has_its_exit_code(shell, bundle):
    def step(name, *words):
        outcome = shell(
            "step", name, "--bundle", bundle, "--run-id", "r:1", "--store", ".nbpipe", *words
        )
        assert "Traceback (most recent call last)\n  File" not in outcome.err
        return outcome.code, outcome.lines[-1], outcome

    code, line, _ = step("scale")
    assert (code, line["event"], line["state"]) == (2, "summary", "refused")
    assert line["message"] == "Step 'make' has no stored result, and only scale may run."

    code, line, outcome = step("make")
    assert (code, line["event"], line["run"], line["name"]) == (0, "step", "r:1", "make")
    assert (line["state"], list(line["outputs"])) == ("succeeded", ["x"])
    assert len(outcome.lines) == 1

    code, line, outcome = step("scale", "-p", "factor=3")
    assert (code, line["outputs"]["y"]["version"]) == (0, 1)
    executed = shell.directory / ".nbpipe" / "runs" / "r:1" / "scale.ipynb"
    assert "9\n" in [text_of(cell) for cell in json.loads(executed.read_text())["cells"]]

    code, line, outcome = step("bad", "-p", "factor=3")
    assert (code, line["state"], line["failure"]["kind"]) == (1, "failed", "error")
    assert "step bad failed in cell 5, line 2: KeyError: 9" in outcome.err
    assert f"executed step notebook: {shell.directory}/.nbpipe/runs/r:1/bad.ipynb" in outcome.err

    code, line, _ = step("keep")
    assert (code, line["failure"]["kind"]) == (5, "output")
    assert "'g' (_thread.lock)" in line["failure"]["message"]
    code, line, _ = step("dies")
    assert (code, line["failure"]["kind"]) == (4, "kernel-died")

    run = shell.store.run("r:1")
    assert (len(shell.store.runs()), run.state) == (1, "failed")
    assert {step.step: step.state.value for step in run.steps} == {
        "make": "succeeded",
        "scale": "succeeded",
        "bad": "failed",
        "keep": "failed",
        "dies": "failed",
    }
    listed = shell("runs", "r:1")
    assert (listed.code, "KeyError: 9" in listed.err) == (0, True)


def papermill(shell, name, *words):
    return subprocess.run(
        [sys.executable, "-m", "papermill", "--no-progress-bar", f"steps/{name}.ipynb", *words],
        cwd=shell.directory / "elsewhere" / "b.nbpipe",
        env=shell.environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_step_notebooks_run_under_plain_papermill(shell, bundle):
    missing = papermill(shell, "scale", "out.ipynb")
    assert missing.returncode == 1
    assert "'x' comes from step 'make', which has no result yet." in missing.stderr
    assert "Run steps/make.ipynb first." in missing.stderr
    for name, words in (("make", ()), ("scale", ("-p", "factor", "5"))):
        done = papermill(shell, name, "out.ipynb", *words)
        assert done.returncode == 0, done.stderr
    cells = json.loads((shell.directory / "elsewhere/b.nbpipe/out.ipynb").read_text())["cells"]
    assert "15\n" in [text_of(cell) for cell in cells if cell["cell_type"] == "code"]
