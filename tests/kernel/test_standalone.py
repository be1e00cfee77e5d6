"""Step notebooks under plain papermill, with nobody there to ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from nbpipe.compiler.step_notebook import notebook_text, step_notebook
from nbpipe.kernel.standalone import find_store
from nbpipe.model.pipeline import (
    Fragment,
    FragmentKind,
    Input,
    Load,
    Output,
    Parameter,
    Pipeline,
    Step,
)
from nbpipe.store.artifacts import ArtifactStore

pytestmark = pytest.mark.slow


def fragment(source):
    return Fragment(
        kind=FragmentKind.BODY, cell="c1", cell_number=1, source=source, lines=(1,), whole=True
    )


def step(name, source, *, takes=(), makes=(), parameters=()):
    inputs = tuple(Input(variable=v, upstream=s) for v, s in takes)
    return Step(
        name=name,
        cells=("c1",),
        setup=(Load(inputs=inputs),) if inputs else (),
        body=(fragment(source),),
        inputs=inputs,
        outputs=tuple(Output(variable=v, required=True) for v in makes),
        parameters=parameters,
        after=(),
        code="code",
        own="own",
    )


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    monkeypatch.setenv("NBPIPE_DATA_DIR", str(tmp_path / "user"))
    pipeline = Pipeline(
        name="p",
        steps=(
            step("make", "x = [n] * 2", makes=("x",), parameters=("n",)),
            step("use", "print(x)", takes=(("x", "make"),)),
        ),
        parameters=(Parameter(name="n", default=1, cell="c0", line=1),),
        kernel="python3",
        source="s",
    )
    # As an installed nbpipe says it; this checkout need not be installed.
    facts = tmp_path / "engine-1.dist-info"
    facts.mkdir()
    (facts / "entry_points.txt").write_text(
        "[papermill.engine]\nnbpipe = nbpipe.runner.papermill_engine:NbpipeEngine\n"
    )
    (tmp_path / "steps").mkdir()
    for each in pipeline.steps:
        path = tmp_path / "steps" / f"{each.name}.ipynb"
        path.write_text(notebook_text(step_notebook(pipeline, each)))
    return tmp_path


def papermill(bundle, name, *arguments):
    return subprocess.run(
        [
            sys.executable, "-m", "papermill", f"steps/{name}.ipynb", f"{name}.out.ipynb",
            "--no-progress-bar", *arguments,
        ],
        check=False,
        cwd=bundle,
        env={**os.environ, "PYTHONPATH": f"{bundle}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
    )  # fmt: skip


def test_steps_run_one_after_another_and_hand_on_their_values(bundle):
    assert papermill(bundle, "make", "-p", "n", "5").returncode == 0
    done = papermill(bundle, "use", "--engine", "nbpipe")
    assert done.returncode == 0, done.stderr
    executed = json.loads((bundle / "use.out.ipynb").read_text())
    assert executed["cells"][2]["outputs"][0]["text"] == ["[5, 5]\n"]
    store = ArtifactStore.open(bundle / ".nbpipe", create=False)
    assert store.latest_outputs("p", "make")["x"].number == 1
    assert [run.state.value for run in store.runs()] == ["succeeded", "succeeded"]
    store.close()


def test_a_step_whose_upstream_never_ran_says_which_to_run_first(bundle):
    done = papermill(bundle, "use")
    assert done.returncode == 1
    executed = json.loads((bundle / "use.out.ipynb").read_text())
    [error] = [o for c in executed["cells"] for o in c.get("outputs", ()) if "ename" in o]
    assert error["traceback"] == [
        "nbpipe: 'x' comes from step 'make', which has no result yet.",
        "Run steps/make.ipynb first.",
    ]


def test_the_nearest_store_upwards_is_taken(bundle, monkeypatch):
    monkeypatch.delenv("NBPIPE_STORE", raising=False)
    deep = bundle / "a" / "b"
    deep.mkdir(parents=True)
    assert find_store(deep) == deep / ".nbpipe"
    ArtifactStore.open(bundle / ".nbpipe").close()
    assert find_store(deep) == bundle / ".nbpipe"
    monkeypatch.setenv("NBPIPE_STORE", "/elsewhere")
    assert str(find_store(deep)) == "/elsewhere"
