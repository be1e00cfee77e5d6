"""`nbpipe verify`: real kernels, on notebooks that are what they seem, and on some that are not."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cli.shell import Outcome, kernels_of, kill, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def shell(shell, tmp_path):
    """Temporary files in a place that can be looked at afterwards."""
    place = tmp_path / "t"
    place.mkdir()
    shell.environ["TMPDIR"] = str(place)
    for name in ("PYTHONHASHSEED",):
        shell.environ.pop(name, None)
    yield shell
    assert list(place.glob("n*")) == [], "left behind"
    for process in kernels_of(shell.directory):
        os.kill(process, signal.SIGKILL)


@dataclass(frozen=True)
class Case:
    """A notebook, and the verdict on each step; `told` are pieces of what is said of it."""

    cells: tuple[str, ...]
    again: dict[str, str]
    told: dict[str, str] = field(default_factory=dict)


def verdicts(outcome: Outcome, counterpart: str = "run") -> dict[str, str]:
    steps = [step for step in outcome.summary["steps"] if step["with"] == counterpart]
    return {step["step"]: step["verdict"] for step in steps}


def told(outcome: Outcome, counterpart: str = "run") -> dict[str, str]:
    """What was found: details, and what was left out of a comparison, by subject."""
    return {
        line["variable"] or f"cell {line['cell']}": line["detail"] or ", ".join(line["apart_from"])
        for line in outcome.lines[:-1]
        if line["with"] == counterpart and (line["detail"] or line["apart_from"])
    }


CASES = {
    "what is deterministic, although it looks as if it were not": Case(
        (
            "import numpy as np\nimport random\nimport matplotlib.pyplot as plt\n"
            "%matplotlib inline",
            "#| step: draw\nx = np.random.rand(3)\nr = random.random()\nprint(object(), r)",
            "#| step: words\ns = {'a', 'b', 'c', 'd', 'e', 'f'}",
            "#| step: plot\n%time total = x.sum()\nfig, ax = plt.subplots()\nax.plot(x)\nsorted(s)",
        ),
        again={"draw": "equal", "words": "equal", "plot": "equal"},
        told={"cell 2": "memory addresses", "s": "how it is stored", "cell 4": "timings"},
    ),
    "clock, hash order, entropy, and noise; what follows from them": Case(
        (
            "import os\nimport time\nimport uuid",
            "#| step: clock\nt = time.time()",
            "#| step: order\nwords = list({'a', 'b', 'c', 'd', 'e', 'f'})",
            "#| step: entropy\nu = str(uuid.uuid4())\nb = os.urandom(8)",
            "#| step: noise\n"
            "parts = {f'part {i}': 1 / (i + 1) for i in range(300)}\n"
            "total = sum(parts[i] for i in {*parts})",
            "#| step: still\nn = 1",
            "#| step: report\nprint(t > 0, len(u), n)\nfirst = ''.join(words)",
        ),
        again={
            "clock": "different",
            "order": "different",
            "entropy": "different",
            "noise": "noise",
            "still": "equal",
            "report": "different",
        },
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_two_runs_are_compared_step_by_step(shell, case):
    path = shell.write("book.ipynb", *case.cells)
    before = path.read_bytes()
    outcome = shell("verify", "book.ipynb", "--json")
    assert verdicts(outcome) == case.again, outcome.out + outcome.err
    assert outcome.code == (0 if {*case.again.values()} == {"equal"} else 3)
    found = told(outcome)
    assert {name: found.get(name) for name in case.told} == case.told
    assert path.read_bytes() == before
    assert not (shell.directory / ".nbpipe").exists()
    assert not (Path(shell.environ["NBPIPE_DATA_DIR"]) / "trusted-stores").exists()


def test_the_culprit_is_named_and_noise_passes_with_a_tolerance(shell):
    shell.write(
        "book.ipynb",
        "#| step: noise\nparts = {f'part {i}': 1 / (i + 1) for i in range(300)}\n"
        "total = sum(parts[i] for i in {*parts})",
        "#| step: double\ntwice = total * 2",
        "#| step: show\nprint(f'{twice:.6f}')",
    )
    outcome = shell("verify", "book.ipynb")
    assert outcome.code == 3
    assert "✗ numeric noise" in outcome.out
    assert "double  because of noise (total); max relative difference" in outcome.out
    assert "✓ deterministic     show" in outcome.out
    passing = shell("verify", "book.ipynb", "--tolerance", "1e-12")
    assert passing.code == 0
    assert "~ numeric noise" in passing.out
    assert "Two runs of the pipeline: 3 of 3 steps deterministic" in passing.out


EQUAL_TO_NOTEBOOK = {
    "state of many kinds": (
        "import random\nimport numpy as np\nimport pandas as pd\nnp.random.seed(3)\n"
        "def push(item):\n    log.append(item)\n"
        "class Box:\n    def __init__(self):\n        self.items = []",
        "#| step: make\na = [1]\nb = a\narr = np.arange(4.0)\nview = arr[1:]\nlog = []\n"
        "box = Box()\n"
        "df = pd.DataFrame({'x': np.random.rand(4)})\ndf",
        "#| step: change\nb.append(1)\nview[0] = 5\npush(3)\nbox.items.append(a)",
        "#| step: show\nprint(a, arr, log, np.random.rand(), a is box.items[0])\ndf.describe()",
    ),
    "parameters, magics and a helper of an untagged cell": (
        "%load_ext nbpipe",
        "#| params\nn = 2",
        "def helper(x):\n    return x + n\nhelper(0)",
        "%%step one\n%%time\nx = helper(1)\nprint(x)",
        "%%step two\ny = x * n\n!echo {y}\ny",
    ),
}


@pytest.mark.parametrize("cells", EQUAL_TO_NOTEBOOK.values(), ids=EQUAL_TO_NOTEBOOK)
def test_a_pipeline_that_equals_its_notebook_is_proven(shell, cells):
    shell.write("book.ipynb", *cells)
    words = ["-p", "n=5"] if "#| params\nn = 2" in cells else []
    outcome = shell("verify", "book.ipynb", "--against-notebook", "--json", *words)
    assert outcome.code == 0, outcome.out + outcome.err
    assert outcome.summary["state"] == "proven"
    assert {*verdicts(outcome, "notebook").values()} == {"equal"}
    if words:
        lines = [line for line in outcome.lines[:-1] if line["variable"] == "y"]
        assert [line["with"] for line in lines] == ["run", "notebook"]


def test_state_that_is_lost_between_steps_is_found(shell):
    """A module counts its calls in one of Python's own, of which nobody carries the state."""
    (shell.directory / "lib.py").write_text(
        "import colorsys\ndef bump():\n    colorsys.count = getattr(colorsys, 'count', 0) + 1\n"
        "    return colorsys.count\n"
    )
    shell.write(
        "book.ipynb",
        "import lib",
        "#| step: one\nx = lib.bump()",
        "#| step: two\ny = lib.bump()\nprint(y)",
        "#| step: three\nz = x + y",
    )
    outcome = shell("verify", "book.ipynb", "--against-notebook")
    assert outcome.code == 3
    assert "Two runs of the pipeline: 3 of 3 steps deterministic" in outcome.out
    assert "The pipeline and the notebook: 1 of 3 steps equal" in outcome.out
    assert "  y: 1 ≠ 2\n  cell 3: stdout, line 1: '1' ≠ '2'\n" in outcome.out
    assert "three  because of two (y)" in outcome.out


def test_a_bundle_whose_step_lost_an_edge_is_found(shell):
    """The manifest says that `use` takes df from `load`, not from `clean` that changes it."""
    shell.write(
        "book.ipynb",
        "#| step: load\nitems = [3, 1]",
        "#| step: clean\nitems.sort()",
        "#| step: use\nfirst = items[0]\nprint(first)",
    )
    assert shell("compile", "book.ipynb", "-o", "book.nbpipe").code == 0
    assert shell("verify", "book.nbpipe", "--against-notebook").code == 0
    manifest = shell.directory / "book.nbpipe" / "pipeline.json"
    document = json.loads(manifest.read_text())
    use = next(step for step in document["steps"] if step["name"] == "use")
    text = json.dumps(use).replace('"clean"', '"load"')
    document["steps"] = [json.loads(text) if s is use else s for s in document["steps"]]
    document["edges"] = json.loads(
        json.dumps(document.get("edges", [])).replace('"clean", "downstream": "use"', "")
    )
    manifest.write_text(json.dumps(document))
    outcome = shell("verify", "book.nbpipe", "--against-notebook", "--json")
    assert outcome.code == 3, outcome.err + outcome.out
    assert verdicts(outcome, "notebook") == {"load": "equal", "clean": "equal", "use": "different"}
    assert told(outcome, "notebook") == {
        "first": "3 ≠ 1",
        "cell 3": "stdout, line 1: '3' ≠ '1'",
    }


def test_a_notebook_that_differs_from_itself_is_no_proof_against_the_pipeline(shell):
    shell.write(
        "book.ipynb",
        "import numpy as np",
        "#| step: draw\nx = np.random.rand()",
        "#| step: use\ny = x + 1",
    )
    outcome = shell("verify", "book.ipynb", "--against-notebook", "--json")
    assert outcome.code == 3
    assert {*verdicts(outcome).values()} == {"equal"}
    found = [line for line in outcome.lines[:-1] if line["detail"]]
    marked = {line["variable"]: line["notebook_varies"] for line in found}
    assert marked == {"x": True, "y": True}


def test_watching_does_not_change_the_notebook(shell):
    """`_`, `Out`, numbers of cells, names, counters of a class, random numbers: all as without."""
    shell.write(
        "book.ipynb",
        "import random\n"
        "class Counted:\n"
        "    def __setstate__(self, state):\n"
        "        print('loaded')\n",
        "#| step: one\nrandom.seed(1)\nc = Counted()\n40 + 2",
        "#| step: two\nprint(sorted(n for n in globals() if 'nbp' in n), random.random())\nd = c",
    )
    path = shell.directory / "book.ipynb"
    from nbpipe.compiler.verification_notebooks import plain_notebook
    from nbpipe.kernel.verifying import SnapshotRequest
    from nbpipe.notebook.parse import parse_notebook
    from nbpipe.runner.kernels.handle import KernelHandle
    from nbpipe.runner.verification_runs import run_plain_notebook
    from nbpipe.workspace import open_workspace

    workspace = open_workspace(path)
    notebook = parse_notebook(workspace.notebook, name="book")[0]
    plain = plain_notebook(notebook, workspace.pipeline, {})
    plain["cells"].append(
        {
            **plain["cells"][1],
            "id": "last",
            "source": "print(_, len(In), [*Out])",
            "metadata": {"nbpipe": {"kind": "body", "cell": "last", "cell_number": 9}},
        }
    )
    done = run_plain_notebook(
        plain,
        SnapshotRequest(
            store=str(shell.directory / "s"),
            report=str(shell.directory / "report.json"),
            variables={"one": ("c", "gone"), "two": ("d",)},
            definitions={"one": ("Counted",), "two": ("Counted",)},
        ),
        directory=shell.directory,
        hash_seed=0,
        handle=KernelHandle(),
    )
    assert {
        number: "".join(o.get("text", "") for o in shown) for number, shown in done.outputs.items()
    } == {
        1: "",
        2: "",
        3: "[] 0.13436424411240122\n",
        9: "42 5 [2]\n",
    }
    assert [*done.snapshots["one"].values] == ["c"]
    assert done.snapshots["one"].unbound == ("gone",)
    assert [*done.snapshots["two"].values] == ["d"]


def test_files_that_a_run_leaves_behind_are_named(shell):
    shell.write(
        "book.ipynb",
        "#| step: count\nimport pathlib\np = pathlib.Path('n.txt')\n"
        "n = len(p.read_text()) if p.exists() else 0\np.write_text('x' * (n + 1))",
    )
    outcome = shell("verify", "book.ipynb")
    assert outcome.code == 3
    assert "n: 1 ≠ 0" in outcome.out
    assert "first wrote n.txt; what ran later found that there" in outcome.err
    assert "lay there before" not in outcome.err


def test_files_that_lay_there_already_are_named_apart_since_they_hide_more(shell):
    shell.write(
        "book.ipynb",
        "#| step: write\nopen('old.txt', 'w').write('1')\nopen('new.txt', 'w').write('1');",
    )
    (shell.directory / "old.txt").write_text("1")
    (shell.directory / "other.txt").write_text("1")
    outcome = shell("verify", "book.ipynb", "--json")
    assert (outcome.code, outcome.summary["state"]) == (0, "proven")
    made, again = outcome.summary["notes"]
    assert made.startswith("the run with the latest steps first wrote new.txt;")
    assert again.startswith("old.txt lay there before and was written anew: that a step reads it")


def test_a_step_that_fails_ends_it_with_its_traceback(shell):
    shell.write("book.ipynb", "#| step: a\nx = 0", "#| step: b\ny = 1 / x")
    outcome = shell("verify", "book.ipynb", "--against-notebook")
    assert outcome.code == 1
    assert "step b failed in cell 2, line 2: ZeroDivisionError: division by zero" in outcome.err
    assert "A pipeline that fails cannot be verified." in outcome.err
    assert outcome.out == ""


def test_a_step_that_fails_in_one_run_only_is_a_difference(shell):
    shell.write(
        "book.ipynb",
        "#| step: once\nimport pathlib\npathlib.Path('there').touch(exist_ok=False)\nx = 1",
        "#| step: more\ny = x",
    )
    outcome = shell("verify", "book.ipynb", "--json")
    assert outcome.code == 3, outcome.err
    once, more = outcome.summary["steps"]
    assert once["failure"].startswith("it fails in the order of the notebook: FileExistsError")
    assert more["failure"] == "it has no result in the order of the notebook: 'once' failed"


def test_a_file_that_a_step_must_not_find_yet_is_waited_for(shell):
    """Nothing says that `read` needs `write`: the name of the file is computed. The run sees it."""
    shell.write(
        "book.ipynb",
        "import pathlib\ndef place(n):\n    return pathlib.Path(f'{n}.txt')",
        "#| step: write\nsize = place(1).write_text('abc')",
        "#| step: read\ntext = place(1).read_text()",
    )
    outcome = shell("verify", "book.ipynb")
    assert outcome.code == 0, outcome.out + outcome.err
    assert "Two runs of the pipeline: 2 of 2 steps deterministic" in outcome.out
    assert "step 'read' shares files with 'write'" in outcome.err


def test_a_notebook_that_raises_where_the_pipeline_does_not_is_a_difference(shell):
    (shell.directory / "lib.py").write_text(
        "import colorsys\ndef call():\n    colorsys.called = True\n"
    )
    shell.write(
        "book.ipynb",
        "#| step: a\nimport lib\nlib.call()\nx = 1",
        "#| step: b\nimport colorsys\nassert not hasattr(colorsys, 'called'), 'called'\ny = x",
        "#| step: c\nz = y",
    )
    outcome = shell("verify", "book.ipynb", "--against-notebook", "--json")
    assert outcome.code == 3, outcome.out + outcome.err
    failures = {s["step"]: s["failure"] for s in outcome.summary["steps"] if s["failure"]}
    assert failures["b"] == "cell 2 of the notebook fails: AssertionError: called"
    assert "c" in failures


def test_a_corrupt_notebook_is_refused(shell):
    (shell.directory / "book.ipynb").write_text("{")
    outcome = shell("verify", "book.ipynb", "--json")
    assert outcome.code == 2
    assert outcome.summary["state"] == "refused"
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("phase", ["pipeline", "notebook"])
def test_an_interrupt_leaves_no_kernel_and_no_files(shell, phase):
    """In the pipeline, each step is alone; in the notebook both are in one process."""
    condition = "True" if phase == "pipeline" else "'first' in globals()"
    shell.write(
        "book.ipynb",
        "#| step: one\nfirst = 1",
        "#| step: two\nimport pathlib, subprocess\n"
        f"if {condition}:\n"
        "    pathlib.Path('running').touch()\n"
        "    subprocess.run(['sleep', '600'])",
    )
    process = shell.start("verify", "book.ipynb", "--against-notebook", "--json")
    wait_until((shell.directory / "running").exists)
    assert list(Path(shell.environ["TMPDIR"]).glob("nbpipe-verify-*")) != []
    kill(process, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "")
    assert json.loads(out.splitlines()[-1])["state"] == "cancelled"
    assert kernels_of(shell.directory) == []


@pytest.mark.timeout(600)
def test_a_demo_equals_its_notebook(shell):
    pd = pytest.importorskip("pandas")
    demos = Path(__file__).parents[2] / "demo_notebooks"
    (shell.directory / "data").mkdir()
    for table in (demos / "data").glob("*.parquet"):
        small = pd.read_parquet(table).iloc[::10]
        small.to_parquet(shell.directory / "data" / table.name)
    (shell.directory / "flights.ipynb").write_bytes((demos / "flights.ipynb").read_bytes())
    process = shell.start("verify", "flights.ipynb", "--against-notebook", "--json")
    out, err = process.communicate(timeout=500)
    outcome = Outcome(process.returncode, out, err)
    assert outcome.code == 0, outcome.out[-3000:] + outcome.err
    assert {*verdicts(outcome, "notebook").values()} == {"equal"}
