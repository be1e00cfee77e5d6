from __future__ import annotations

import pytest

from nbpipe.errors import StoreUnavailableError
from nbpipe.kernel.exchange import KernelReport
from nbpipe.kernel.problems import StepNotebookError
from nbpipe.kernel.step_io import StepIo, StepSide
from nbpipe.model.trace import Trace
from nbpipe.store.blobs.local import LocalBlobs
from nbpipe.store.values import store_values

pytestmark = pytest.mark.usefixtures("without_project_modules")


class Kernel:
    """A step's namespace, its store, and the reports that were delivered."""

    def __init__(self, directory, **inputs):
        self.blobs = LocalBlobs(directory / "objects")
        stored = store_values(self.blobs, inputs, list(inputs)).values
        self.reports: list[KernelReport] = []
        self.namespace: dict[str, object] = {}
        side = StepSide(
            blobs=self.blobs,
            trusted=True,
            inputs=lambda upstream: {name: stored.get(name) for name in upstream},
            deliver=self.reports.append,
            trace=Trace,
        )
        self.io = StepIo(side, self.namespace, definitions=())

    def run(self, source: str, *, loads=(), required=(), optional=()) -> KernelReport:
        self.io.load(dict.fromkeys(loads, "upstream"))
        exec(source, self.namespace)
        self.io.save(required, optional)
        return self.reports[-1]


@pytest.fixture
def kernel(tmp_path):
    return lambda **inputs: Kernel(tmp_path, **inputs)


def test_inputs_come_in_and_outputs_go_out(kernel):
    report = kernel(x=2).run("y = x + 1", loads=["x"], required=["y"])
    assert report.saved
    assert list(report.outputs) == ["y"]
    assert report.outputs["y"].summary.text == "3"


def test_unbound_inputs_stay_unbound_and_unbound_outputs_are_named(kernel):
    report = kernel().run("", loads=["x"], required=["x"], optional=["z"])
    assert (dict(report.outputs), report.unbound) == ({}, ("x", "z"))


@pytest.mark.parametrize(
    ("inputs", "source", "changed"),
    [
        ({"x": [1]}, "x.append(2)", ("x",)),
        ({"x": [1]}, "x.append(2); x.pop()", ()),
        ({"x": [1]}, "x = [2]", ()),
        ({"x": [1]}, "del x", ()),
        ({"x": {"a": [1]}}, "y = x['a']; y += [2]", ("x",)),
        ({"x": [1], "y": [1]}, "len(x)", ()),
        ({"x": [1], "y": [1]}, "y[0] = 5", ("y",)),
        ({"x": [[1]], "y": [1]}, "x[0] = y", ("x", "y")),
    ],
)
def test_inputs_changed_in_place_are_found(kernel, inputs, source, changed):
    report = kernel(**inputs).run(source, loads=list(inputs))
    assert report.changed == changed
    assert tuple(sorted(report.outputs)) == changed


def test_names_that_share_state_still_do_when_one_of_them_changed(kernel):
    shared = [1]
    report = kernel(a=shared, b=shared).run("b.append(2)", loads=["a", "b"])
    assert report.changed == ("a", "b")
    assert report.outputs["a"].bundle == report.outputs["b"].bundle


def test_a_declared_output_is_not_called_a_surprise(kernel):
    report = kernel(x=[1]).run("x.append(2)", loads=["x"], required=["x"])
    assert (report.changed, list(report.outputs)) == ((), ["x"])


def test_a_frame_that_was_only_read_has_not_changed(kernel):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    read = "df.groupby('b').sum(); df.describe(); df['a'].sum(); df.index.get_loc(0); df.T"
    assert kernel(df=frame).run(read, loads=["df"]).changed == ()
    assert kernel(df=frame).run("df['c'] = 1", loads=["df"]).changed == ("df",)


def test_a_required_value_that_cannot_be_stored_is_a_problem(kernel):
    made = kernel()
    with pytest.raises(StepNotebookError) as caught:
        made.run("g = (n for n in range(3))\nok = 1", required=["g", "ok"])
    problem = made.reports[-1].problem
    assert problem.kind == "output"
    assert [(each.variable, each.type) for each in problem.unstorable] == [("g", "generator")]
    lines = caught.value._render_traceback_()
    assert lines[0].startswith("nbpipe: Cannot store 'g' (generator): ")
    assert len(lines) == 2


def test_an_optional_value_never_stands_in_the_way(kernel):
    source = "g = [n for n in 'ab']; shared = [g, (n for n in g)]"
    report = kernel().run(source, required=["g"], optional=["shared", "missing"])
    assert list(report.outputs) == ["g"]


def test_a_full_disk_is_a_problem_of_the_store(kernel, monkeypatch):
    made = kernel()

    def full(self, chunks):
        raise StoreUnavailableError("Cannot write: the disk is full.", hint="Free some space.")

    monkeypatch.setattr(LocalBlobs, "put", full)
    with pytest.raises(StepNotebookError):
        made.run("x = 1", required=["x"])
    problem = made.reports[-1].problem
    assert (problem.kind, problem.message) == ("store", "Cannot write: the disk is full.")


def test_lost_inputs_are_a_problem_of_the_input(kernel, tmp_path):
    made = kernel(x=[1])
    for path in (tmp_path / "objects").glob("??/*"):
        path.unlink()
    with pytest.raises(StepNotebookError):
        made.io.load({"x": "make"})
    assert made.reports[-1].problem.kind == "input"
