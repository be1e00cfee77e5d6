"""The trace of a step in a real run."""

from __future__ import annotations

import importlib.util

import pytest

from nbpipe.kernel.tracing.native import find_library
from nbpipe.model.run import RunState, StepResult
from nbpipe.model.trace import Trace, digest_of_variable
from nbpipe.runner.executors.local import LocalExecutor

pytestmark = pytest.mark.slow


class Watching(LocalExecutor):
    """Runs steps, and keeps what they left behind."""

    def __init__(self) -> None:
        super().__init__(1)
        self.traces: dict[str, Trace] = {}

    async def execute(self, request):
        outcome = await super().execute(request)
        if isinstance(outcome, StepResult):
            self.traces[request.step.name] = outcome.trace
        return outcome


@pytest.fixture(params=["native", "audit"])
def native(request, monkeypatch):
    if request.param == "audit":
        monkeypatch.setenv("NBPIPE_NATIVE_TRACING", "0")
    elif find_library() is None:
        pytest.skip("the native library is not built: python hatch_build.py tracer")
    return request.param == "native"


@pytest.fixture
def traces(book, native):
    """Run the book, and give the traces of its steps by name."""

    def run() -> dict[str, Trace]:
        executor = Watching()
        outcome = book.run(executor=executor)
        assert outcome.state is RunState.SUCCEEDED, outcome.steps
        return executor.traces

    return run


def paths(book, *names):
    return tuple(str(book.directory / name) for name in names)


def test_a_trace_covers_the_authors_cells_and_the_code_they_need(book, traces, native, monkeypatch):
    monkeypatch.setenv("TRACED_MODE", "fast")
    monkeypatch.setenv("TRACED_SECRET", "hush")
    (book.directory / "tools.py").write_text("import os\nmode = os.getenv('TRACED_MODE')\n")
    for name in ("a.txt", "b.txt", "old.txt"):
        (book.directory / name).write_text("1\n")
    book.prelude("import os\nfrom pathlib import Path\nimport tools")
    book.step(
        "read",
        "text = Path('a.txt').read_text() + str(Path('none.txt').exists())",
        "names = sorted(os.listdir())\nos.environ['TRACED_SECRET']\nNone",
        makes=("text",),
    )
    book.step(
        "write",
        "Path('made.txt').write_text(text)\nos.remove('old.txt')",
        "!cat b.txt",
        "!true\nimport time\ntime.time() > 0",
        takes={"text": "read"},
    )

    seen = traces()

    assert seen["read"] == Trace(
        files_read=paths(book, "a.txt", "tools.py"),
        files_absent=paths(book, "none.txt"),
        directories_listed=(str(book.directory),),
        environment_read={
            "TRACED_MODE": digest_of_variable("TRACED_MODE", "fast"),
            "TRACED_SECRET": digest_of_variable("TRACED_SECRET", "hush"),
        },
    )
    write = seen["write"]
    assert write.files_written == paths(book, "made.txt", "old.txt")
    assert write.uses_clock
    assert list(write.environment_read) == ["TRACED_MODE"]
    if native:
        assert write.files_read == paths(book, "b.txt", "tools.py")
        assert write.unverified == ()
    else:
        assert write.files_read == paths(book, "tools.py")
        assert write.unverified == ("child processes",)


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("pandas", "pyarrow", "matplotlib")),
    reason="needs pandas, pyarrow and matplotlib",
)
def test_libraries_leave_no_noise_and_what_they_read_is_seen(book, traces, native):
    book.prelude("import pandas as pd\nimport matplotlib.pyplot as plt")
    book.step("make", "pd.DataFrame({'a': [1]}).to_parquet('data.parquet')")
    book.step("plot", "plt.plot([1, 2])\nplt.show()")
    book.step("use", "n = len(pd.read_parquet('data.parquet'))", makes=("n",), after=("make",))

    seen = traces()

    absent = paths(book, "matplotlibrc")
    for trace in seen.values():
        assert {"pandas", "matplotlib", "numpy"} <= trace.packages.keys()
        assert {"ipython", "ipykernel", "jupyterlab_nbpipe"}.isdisjoint(trace.packages)
        assert trace.directories_listed == ()
        assert [n for n, value in trace.environment_read.items() if value is not None] == []
    plot = seen["plot"]
    assert (plot.files_read, plot.files_absent, plot.paths_found) == ((), absent, ())
    assert (plot.files_written, plot.unverified) == ((), ())
    if native:
        assert seen["make"].files_written == paths(book, "data.parquet")
        assert seen["use"].files_read == paths(book, "data.parquet")
        assert seen["use"].unverified == ()
    else:
        assert seen["use"].unverified == ("pyarrow",)


def test_the_same_step_has_the_same_trace_again(book, traces):
    book.step("one", "import os, glob, json\nx = glob.glob('*.csv')\ndict(os.environ)", "!true")
    first = traces()
    assert first["one"].directories_listed == (str(book.directory),)
    book.store  # noqa: B018 - open it once more: nothing of it counts.
    (book.directory / ".nbpipe" / "index.db").unlink()
    assert traces() == first


def test_the_step_finds_the_environment_that_the_author_gave(book, native, monkeypatch):
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    book.step(
        "look",
        "import os\nshown = [os.getenv('LD_PRELOAD'), os.getenv('NBPIPE_TRACE_FILE')]\nshown",
        makes=("shown",),
    )
    executor = Watching()
    run = book.run(executor=executor)
    assert book.shown(run) == {1: "[None, None]"}
