"""One cache for live kernels and for runs, with real kernels and a notebook on disk."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nbpipe
from tests.builders import notebook_json
from tests.magics.test_kernel import Client, text_of, traceback_of, values_of

pytestmark = pytest.mark.slow

LOAD = "%load_ext nbpipe"
# `calls.txt` lies outside of what a step is seen to touch: the store is nobody's business.
COUNTED = "open('.nbpipe/calls.txt', 'a').write('{} ')"


class Desk:
    """A notebook in a folder, and kernels that belong to it."""

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "demo.ipynb"
        self.cells = []
        self.kernels = []
        (folder / ".nbpipe").mkdir()

    def write(self, *cells):
        self.cells = [LOAD, *cells]
        self.path.write_text(json.dumps(notebook_json(*self.cells)))

    def kernel(self, **environ):
        environ = {"NBPIPE_LIVE_CACHE": "1", **environ}
        client = Client(self.folder, JPY_SESSION_NAME=str(self.path), **environ)
        self.kernels.append(client)
        return client

    def run_all(self, client=None):
        """Run the cells from the top, in a new kernel unless one is given."""
        client = client or self.kernel()
        shown = [client.run(cell)[1] for cell in self.cells]
        return client, [lines(messages) for messages in shown]

    def headless(self, *options, **environ):
        """What a run said of its steps."""
        path = os.pathsep.join([str(Path(nbpipe.__file__).parents[1]), *filter(None, sys.path)])
        done = subprocess.run(
            [sys.executable, "-m", "nbpipe", "run", str(self.path), *options],
            capture_output=True,
            check=False,
            text=True,
            env=os.environ | {"PYTHONPATH": path} | environ,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    def value(self, name):
        return nbpipe.load(name, store=self.folder / ".nbpipe")

    def calls(self):
        path = self.folder / ".nbpipe" / "calls.txt"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path)
    yield made
    for client in made.kernels:
        client.close()


def lines(messages):
    """What nbpipe said, without times."""
    said = [text for text in values_of(messages) if text.startswith(("nbpipe:", "reused from"))]
    time_and_cost = re.compile(r"from \d\d:\d\d, saved [\d.]+ m?s;")
    return [time_and_cost.sub("from T, saved S;", line) for line in said]


def reused(step):
    return [f"reused from T, saved S; %%step {step} --force to run"]


def not_kept(step, why):
    return [f"nbpipe: the result of step '{step}' is not kept: {why}"]


def all_reused(stderr):
    return re.findall(r"(?m)^= reused +(\w+)", stderr)


TWO = (
    "import math\nSCALE = 3\ndef scaled(x):\n    return x * SCALE",
    f"%%step load\n{COUNTED.format('load')}\ndata = [1, 2, 3]\nprint('loaded')\nlen(data)",
    f"%%step total\n{COUNTED.format('total')}\nresult = scaled(sum(data))\nresult",
)


def test_a_run_reuses_what_a_kernel_computed(desk):
    desk.write(*TWO)
    assert desk.run_all()[1] == [[], [], [], []]
    assert all_reused(desk.headless()) == ["load", "total"]
    assert desk.calls() == ["load", "total"]


def test_a_kernel_restores_what_a_run_computed_with_its_displays(desk):
    desk.write(*TWO)
    desk.headless()
    client = desk.kernel()
    for cell in desk.cells[:2]:
        client.run(cell)
    reply, messages = client.run(desk.cells[2])
    assert reply["execution_count"] == 3
    assert text_of(messages) == "loaded\n"
    result = next(content for kind, content in messages if kind == "execute_result")
    assert (result["data"], result["execution_count"]) == ({"text/plain": "3"}, 3)
    assert lines(messages) == reused("load")
    assert lines(client.run(desk.cells[3])[1]) == reused("total")
    assert values_of(client.run("data, result")[1]) == ["([1, 2, 3], 18)"]
    assert desk.calls() == ["load", "total"]


def test_restart_and_run_all_is_quick(desk):
    desk.write(*TWO[:1], TWO[1] + "\nimport time\ntime.sleep(2)", TWO[2])
    desk.run_all()
    client = desk.kernel()
    for cell in desk.cells[:2]:
        client.run(cell)
    start = time.monotonic()
    assert lines(client.run(desk.cells[2])[1]) == reused("load")
    assert time.monotonic() - start < 1.0
    # Imports and definitions of a reused cell are there.
    assert values_of(client.run("time.__name__")[1]) == ["'time'"]


def test_an_edited_step_runs_and_is_kept_again(desk):
    desk.write(*TWO)
    client, _ = desk.run_all()
    desk.write(*TWO[:2], TWO[2].replace("sum(data)", "sum(data) + 1"))
    assert lines(client.run(desk.cells[3])[1]) == []
    assert all_reused(desk.headless()) == ["load", "total"]
    assert desk.value("result") == 21


def test_an_unsaved_cell_counts_as_it_is_in_the_kernel(desk):
    desk.write(*TWO)
    client, _ = desk.run_all()
    edited = TWO[2].replace("sum(data)", "sum(data) + 1")
    assert lines(client.run(edited, cell="c4")[1]) == []
    desk.write(*TWO[:2], edited)
    assert all_reused(desk.headless()) == ["load", "total"]


def test_cells_before_that_are_not_saved_count_as_they_ran(desk):
    desk.write(*TWO)
    client = desk.kernel()
    for number, cell in enumerate(desk.cells, 1):
        client.run(cell, cell=f"c{number}")
    definitions, load = TWO[0].replace("3", "5"), TWO[1].replace("[1, 2, 3]", "[4]")
    said = [
        lines(client.run(cell, cell=f"c{number}")[1])
        for number, cell in enumerate([definitions, load, TWO[2]], 2)
    ]
    assert said == [[], [], []]
    assert values_of(client.run("result")[1]) == ["20"]
    # What the file has is another pipeline.
    assert all_reused(desk.headless()) == ["load", "total"]
    desk.write(definitions, load, TWO[2])
    assert all_reused(desk.headless()) == ["load", "total"]


def test_a_cell_that_is_not_in_the_file_asks_once_to_save(desk):
    desk.write(*TWO)
    client, _ = desk.run_all()
    message = (
        "nbpipe: no result of a step is kept: save the notebook, so that its file has this cell"
    )
    assert lines(client.run("%%step more\nmore = sum(data)")[1]) == [message]
    assert lines(client.run("%%step more\nmore = sum(data) + 1")[1]) == []
    assert values_of(client.run("more")[1]) == ["7"]


def test_a_changed_input_is_not_what_the_pipeline_gives(desk):
    desk.write(*TWO)
    client = desk.kernel()
    for cell in desk.cells[:3]:
        client.run(cell)
    client.run("data.append(100)")
    assert lines(client.run(desk.cells[3])[1]) == not_kept(
        "total", "'data' is not what the pipeline gives"
    )
    assert values_of(client.run("result")[1]) == ["318"]
    assert all_reused(desk.headless()) == ["load"]
    assert desk.value("result") == 18


def test_an_input_of_another_source_is_not_what_the_pipeline_gives(desk):
    desk.write(*TWO)
    client, _ = desk.run_all()
    client.run("data = [1, 2, 3]")
    assert lines(client.run(desk.cells[3])[1]) == not_kept(
        "total", "'data' is not what the pipeline gives"
    )


def test_a_step_before_its_input_was_edited(desk):
    desk.write(*TWO)
    client, _ = desk.run_all()
    desk.write(TWO[0], TWO[1].replace("[1, 2, 3]", "[1, 2, 4]"), TWO[2])
    (line,) = lines(client.run(desk.cells[3])[1])
    assert "step 'load', which comes before it, has no result" in line
    assert lines(client.run(desk.cells[2])[1]) == []
    assert lines(client.run(desk.cells[3])[1]) == []
    assert all_reused(desk.headless()) == ["load", "total"]
    assert desk.value("result") == 21


def test_cells_out_of_order_are_not_kept(desk):
    # In the notebook `total` comes before the step that changes its input.
    change = "%%step change\ndata.append(4)"
    desk.write(*TWO, change, "%%step end\nend = len(data)")
    client = desk.kernel()
    for number in (0, 1, 2, 4):
        assert lines(client.run(desk.cells[number])[1]) == []
    assert lines(client.run(desk.cells[3])[1]) == not_kept(
        "total", "'data' is not what the pipeline gives"
    )
    assert values_of(client.run("result")[1]) == ["30"]
    desk.headless()
    assert desk.value("result") == 18


def test_a_helper_that_changed(desk):
    desk.write(*TWO)
    client, _ = desk.run_all()
    client.run("def scaled(x):\n    return x * 1000")
    (line,) = lines(client.run(desk.cells[3])[1])
    assert "'scaled' is not what its cell made" in line
    assert values_of(client.run("result")[1]) == ["6000"]
    assert all_reused(desk.headless()) == ["load", "total"]
    assert desk.value("result") == 18


def test_a_constant_that_a_helper_reads_changed(desk):
    desk.write("SCALE = [3]", "def scaled(x):\n    return x * SCALE[0]", *TWO[1:])
    client, _ = desk.run_all()
    client.run("globals()['SCALE'][0] = 4")
    (line,) = lines(client.run(desk.cells[4])[1])
    assert line.startswith("nbpipe: the result of step 'total' is not kept: ")
    desk.headless()
    assert desk.value("result") == 18


def test_settings_that_a_cell_changed(desk):
    desk.write("import numpy as np", "%%step shown\ntext = repr(np.array([1.23456]))")
    client = desk.kernel()
    for cell in desk.cells[:2]:
        client.run(cell)
    client.run("np.set_printoptions(precision=1)")
    (line,) = lines(client.run(desk.cells[2])[1])
    assert "a cell that is not in the file changed numpy settings" in line
    desk.headless()
    assert desk.value("text") == "array([1.23456])"


def test_a_seeded_stream_goes_on(desk):
    cells = (
        "import random",
        "random.seed(1)",
        "%%step one\na = random.random()",
        "%%step two\nb = a + random.random()",
    )
    desk.write(*cells)
    assert desk.run_all()[1] == [[]] * 5
    values = desk.value("a"), desk.value("b")
    assert all_reused(desk.headless()) == ["one", "two"]
    desk.headless("--force")
    assert (desk.value("a"), desk.value("b")) == values
    client, said = desk.run_all()
    assert said == [[], [], [], reused("one"), reused("two")]
    client.run("random.random()")
    (line,) = lines(client.run("%%step two\nb = a + random.random()")[1])
    assert "random" in line and "is not what the pipeline gives" in line


def test_settings_go_on_from_step_to_step(desk):
    desk.write(
        "import numpy as np",
        "%%step set\nnp.set_printoptions(precision=2)\nx = 1.23456",
        "%%step shown\ntext = repr(np.array([x]))",
    )
    assert desk.run_all()[1] == [[], [], [], []]
    assert all_reused(desk.headless()) == ["set", "shown"]
    client, said = desk.run_all()
    assert said == [[], [], reused("set"), reused("shown")]
    assert values_of(client.run("np.array([1.23456])")[1]) == ["array([1.23])"]
    client = desk.kernel()
    for cell in desk.cells[:3]:
        client.run(cell)
    client.run("np.set_printoptions(precision=4)")
    assert "changed numpy settings" in lines(client.run(desk.cells[3])[1])[0]
    assert desk.value("text") == "array([1.23])"


def test_a_callback_between_two_cells(desk):
    desk.write("import numpy as np", "%%step shown\ntext = repr(np.array([1.23456]))")
    client = desk.kernel()
    for cell in desk.cells[:2]:
        client.run(cell)
    # Front ends run code of their own silently, as they call back widgets.
    client.client.execute("np.set_printoptions(precision=1)", silent=True)
    client.client.get_shell_msg(timeout=10)
    assert lines(client.run(desk.cells[2])[1]) == not_kept(
        "shown", "something between two cells changed numpy settings"
    )


def test_state_that_functions_and_classes_hold(desk):
    desk.write(
        "def count(x, seen=[]):\n    seen.append(x)\n    return len(seen)",
        "class Kinds:\n    known = []",
        "def learn():\n    Kinds.known.append(1)",
        "%%step one\nx = count(1)",
        "%%step two\ny = len(Kinds.known)",
    )
    client = desk.kernel()
    for cell in desk.cells[:4]:
        client.run(cell)
    client.run("count(5)")
    client.run("learn()")
    assert lines(client.run(desk.cells[4])[1]) == not_kept(
        "one", "'count' is not what its cell made"
    )
    assert lines(client.run(desk.cells[5])[1])[0].startswith(not_kept("two", "")[0])
    desk.headless()
    assert (desk.value("x"), desk.value("y")) == (1, 0)


def test_a_stream_that_nobody_seeded(desk):
    desk.write("import random", "%%step one\na = random.random()")
    _, said = desk.run_all()
    assert "which does not stand where the pipeline has it" in said[2][0]
    assert all_reused(desk.headless()) == []


def test_a_failing_cell_has_its_own_traceback(desk):
    desk.write(TWO[0], "%%step fails\nx = 1\nraise ValueError('so')")
    client = desk.kernel()
    for cell in desk.cells[:2]:
        client.run(cell)
    reply, messages = client.run(desk.cells[2])
    _, ordinary = client.run("#\nx = 1\nraise ValueError('so')")
    assert reply["ename"] == "ValueError"
    assert traceback_of(messages) == traceback_of(ordinary)
    assert nbpipe.open_store(desk.folder / ".nbpipe").versions() == ()


def test_await_and_magics_in_a_step(desk):
    desk.write(
        "%%step slept\nimport asyncio\nx = await asyncio.sleep(0.01, 'slept')\nx",
        "%%step timed\n%%time\ny = x + '!'",
    )
    assert desk.run_all()[1] == [[], [], []]
    client, said = desk.run_all()
    assert said == [[], reused("slept"), reused("timed")]
    assert values_of(client.run("y")[1]) == ["'slept!'"]


def test_an_interrupted_step_is_not_kept(desk):
    desk.write("%%step slow\nimport time\ntime.sleep(60)\nx = 1")
    client = desk.kernel()
    client.run(LOAD)
    reply, messages = client.run(desk.cells[1], interrupt_after=2)
    assert reply["ename"] == "KeyboardInterrupt"
    assert lines(messages) == []
    assert values_of(client.run("1 + 1")[1]) == ["2"]
    assert nbpipe.open_store(desk.folder / ".nbpipe").versions() == ()


def test_storing_may_be_interrupted(desk):
    desk.write(
        "%%step one\nimport time\nclass Slow:\n    def __reduce__(self):\n"
        "        time.sleep(60)\n        return (Slow, ())\nx = Slow()\n'made'"
    )
    client = desk.kernel()
    client.run(LOAD)
    reply, messages = client.run(desk.cells[1], interrupt_after=3)
    assert reply["status"] == "ok"
    assert values_of(messages)[0] == "'made'"
    assert lines(messages) == not_kept("one", "storing it was interrupted")
    # Nothing else is lost.
    desk.write("%%step one\nx = 1")
    assert lines(client.run(desk.cells[1])[1]) == []
    assert all_reused(desk.headless()) == ["one"]


def test_a_disk_that_is_full(desk):
    desk.write("%%step one\nx = bytes(range(256)) * 10_000\nlen(x)", "%%step two\ny = len(x)\ny")
    client = desk.kernel()
    client.run(LOAD)
    client.run(
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))"
    )
    messages = client.run(desk.cells[1])[1]
    assert values_of(messages)[0] == "2560000"
    assert "the result of step 'one' is not kept: Cannot write" in lines(messages)[0]
    assert values_of(client.run(desk.cells[2])[1])[-1] == "2560000"


def test_a_notebook_that_is_gone_or_damaged(desk):
    desk.write(*TWO)
    client, _ = desk.run_all()
    desk.path.unlink()
    messages = client.run(desk.cells[2])[1]
    assert "no result of a step is kept: There is no file" in lines(messages)[0]
    assert values_of(messages)[-1] == "3"
    desk.path.write_text("{")
    assert "demo.ipynb cannot be compiled" in lines(client.run(desk.cells[2])[1])[0]
    desk.write(*TWO)
    assert lines(client.run(desk.cells[2])[1]) == reused("load")


def test_a_value_that_only_the_display_is_kept_of(desk):
    desk.write("%%step one\nx = 20\nx + 1", "%%step two\ny = [x]\ny")
    # Runs keep no values but those of variables.
    desk.headless()
    client, said = desk.run_all()
    assert said == [[], reused("one"), reused("two")]
    assert values_of(client.run("Out[2], Out[3], Out[3] is y")[1]) == [
        "(<not kept: run the cell with --force for its value>, [20], True)"
    ]


def test_an_empty_cell_between_cells_of_a_step(desk):
    desk.write(
        "%%step both\ndata = [1]", "%%step both\ndata.append(2)", "%%step end\nend = len(data)"
    )
    client = desk.kernel()
    said = [lines(client.run(cell)[1]) for cell in (*desk.cells[:2], "", " ", *desk.cells[2:])]
    assert said == [[]] * 6
    desk.headless("--force")
    assert desk.value("end") == 2


def test_a_step_of_several_cells(desk):
    desk.write(
        "%%step both\ndata = [1]\nprint('first')",
        "%%step both\ndata.append(2)\nprint('second')",
        "%%step end\nend = sum(data)",
    )
    assert desk.run_all()[1] == [[], [], [], []]
    assert all_reused(desk.headless()) == ["both", "end"]
    client, said = desk.run_all()
    assert said == [[], reused("both"), reused("both"), reused("end")]
    # Between its cells, variables are what the first one left.
    client = desk.kernel()
    client.run(LOAD)
    assert lines(client.run(desk.cells[1])[1]) == reused("both")
    assert values_of(client.run("data")[1]) == ["[1]"]
    # Something between its cells.
    client.run("data.append(50)")
    (line,) = lines(client.run(desk.cells[2])[1])
    assert "its first cell did not run just before" in line
    desk.headless("--force")
    assert desk.value("end") == 3


def test_force_and_switching_off(desk):
    desk.write(*TWO)
    desk.run_all()
    client = desk.kernel()
    for cell in desk.cells[:2]:
        client.run(cell)
    forced = desk.cells[2].replace("%%step load", "%%step load --force")
    assert lines(client.run(forced, cell="c3")[1]) == []
    assert desk.calls() == ["load", "total", "load"]
    client = desk.kernel(NBPIPE_LIVE_CACHE="0")
    assert desk.run_all(client)[1] == [[], [], [], []]
    assert desk.calls() == ["load", "total", "load", "load", "total"]


def test_two_kernels_share_a_store(desk):
    desk.write(*TWO)
    one, other = desk.kernel(), desk.kernel()
    for cell in desk.cells[:2]:
        one.run(cell)
        other.run(cell)
    assert lines(one.run(desk.cells[2])[1]) == []
    assert lines(other.run(desk.cells[2])[1]) == reused("load")
    assert lines(other.run(desk.cells[3])[1]) == []
    assert lines(one.run(desk.cells[3])[1]) == reused("total")


def test_large_outputs(desk):
    desk.write("%%step much\nfor i in range(200_000):\n    print(i)\nbig = bytes(50_000_000)\n1")
    desk.run_all()
    client = desk.kernel()
    client.run(LOAD)
    _, messages = client.run(desk.cells[1])
    assert lines(messages) == reused("much")
    assert text_of(messages).count("\n") == 200_000
    assert values_of(client.run("len(big)")[1]) == ["50000000"]


def test_a_file_that_changed_is_read_anew(desk):
    (desk.folder / "in.txt").write_text("1")
    desk.write("%%step read\nname = 'in' + '.txt'\nx = open(name).read()")
    desk.run_all()
    assert all_reused(desk.headless()) == ["read"]
    (desk.folder / "in.txt").write_text("22")
    assert desk.run_all()[1] == [[], []]
    assert desk.value("x") == "22"


def test_a_module_of_the_project_counts_as_long_as_it_is_what_was_imported(desk):
    module = desk.folder / "mine.py"
    module.write_text("def f():\n    return 1\n")
    desk.write("import mine", "%%step one\nx = mine.f()")
    assert desk.run_all()[1] == [[], [], []]
    assert all_reused(desk.headless()) == ["one"]
    client, said = desk.run_all()
    assert said == [[], [], reused("one")]
    module.write_text("def f():\n    return 22\n")
    assert lines(client.run(desk.cells[2])[1]) == not_kept(
        "one", "module 'mine' changed since it was imported"
    )
    client.run("import importlib\nimportlib.reload(mine)")
    assert lines(client.run(desk.cells[2])[1]) == not_kept(
        "one", "module 'mine' was loaded more than once"
    )
    desk.headless()
    assert desk.value("x") == 22


def test_data_of_a_module_goes_on_from_step_to_step(desk):
    (desk.folder / "mine.py").write_text("n = [0]\ndef f():\n    n[0] += 1\n    return n[0]\n")
    desk.write("import mine", "%%step one\nx = mine.f()", "%%step two\ny = mine.f()")
    # What no code shows, runs find out.
    said = desk.run_all()[1]
    assert said[2] == not_kept(
        "one", "the step changed data of module mine, which its code does not show"
    )
    desk.headless()
    client, said = desk.run_all()
    assert said == [[], [], reused("one"), reused("two")]
    assert values_of(client.run("x, y, mine.n")[1]) == ["(1, 2, [2])"]
    client.run("mine.n[0] = 100")
    assert lines(client.run(desk.cells[3])[1]) == not_kept(
        "two", "cell 4 changed data of module mine"
    )


def test_another_version_that_was_installed_meanwhile(desk):
    site = desk.folder / "site-packages"
    (site / "thing-1.0.dist-info").mkdir(parents=True)
    desk.write("%%step one\nx = 1")
    client = desk.kernel(PYTHONPATH=os.pathsep.join([str(site), *filter(None, sys.path)]))
    client.run(LOAD)
    assert lines(client.run(desk.cells[1])[1]) == []
    (site / "thing-1.0.dist-info").rename(site / "thing-2.0.dist-info")
    assert lines(client.run(desk.cells[1])[1]) == not_kept(
        "one", "another version of thing was installed since this kernel started"
    )


def test_names_that_are_not_stored_are_not_older_ones(desk):
    desk.write("%%step one\nscratch = (n for n in [1, 2])\nx = sum(scratch)")
    desk.run_all()
    client = desk.kernel()
    client.run(LOAD)
    client.run("scratch = 'old'")
    (line,) = lines(client.run(desk.cells[1])[1])
    assert ", without scratch; %%step one --force to run" in line
    assert client.run("scratch")[0]["ename"] == "NameError"
    # Where another cell of the notebook wants it, the step runs.
    desk.write(*desk.cells[1:], "scratch")
    assert desk.run_all()[1] == [[], [], []]


def test_kernels_of_runs_are_no_live_kernels(desk):
    desk.write(*TWO)
    # As in a cell that calls nbpipe.
    desk.headless(JPY_SESSION_NAME=str(desk.path))
    store = nbpipe.open_store(desk.folder / ".nbpipe")
    assert [len(run.steps) for run in store.runs()] == [2]
    assert desk.calls() == ["load", "total"]


def test_the_extension_has_to_be_first(desk):
    desk.write(*TWO)
    client = desk.kernel()
    client.run(TWO[0])
    client.run(LOAD)
    (line,) = lines(client.run(desk.cells[2])[1])
    assert "code ran in this kernel before %load_ext nbpipe" in line


def test_without_a_notebook_nothing_happens(tmp_path):
    client = Client(tmp_path, JPY_SESSION_NAME="")
    try:
        client.run(LOAD)
        assert lines(client.run("%%step one\nx = 1\nx")[1]) == []
        assert [path.name for path in tmp_path.iterdir()] == []
    finally:
        client.close()


def test_a_name_that_hides_one_of_python(desk):
    desk.write("%%step one\nx = len([1, 2])")
    client = desk.kernel()
    client.run(LOAD)
    client.run("len = lambda _: 7")
    assert lines(client.run(desk.cells[1])[1]) == not_kept(
        "one", "'len' has a value here, and none in the pipeline"
    )
    desk.headless()
    assert desk.value("x") == 2


def test_a_name_that_is_left_over(desk):
    desk.write(
        "%%step one\nif len('a') > 5:\n    x = 1",
        "%%step two\ntry:\n    y = x\nexcept NameError:\n    y = 'none'",
    )
    client = desk.kernel()
    client.run(LOAD)
    client.run("x = 'old'")
    assert lines(client.run(desk.cells[1])[1]) == not_kept("one", "'x' may be left from before")
    client.run(desk.cells[2])
    desk.headless()
    assert desk.value("y") == "none"


def test_a_patched_module(desk):
    desk.write("%%step one\nimport math\nx = math.floor(1.5)")
    client = desk.kernel()
    client.run(LOAD)
    client.run("import math as m\nm_old = m.floor")
    client.run("import math\nmath.floor = lambda x: 50")
    (line,) = lines(client.run(desk.cells[1])[1])
    assert "may have changed 'math'" in line
    desk.headless()
    assert desk.value("x") == 1


def test_a_prelude_that_reads_a_file(desk):
    (desk.folder / "in.txt").write_text("1")
    desk.write("%%prelude\ntext = open('in' + '.txt').read()", "%%step one\nx = text * 2")
    assert desk.run_all()[1] == [[], [], []]
    assert all_reused(desk.headless()) == ["one"]
    (desk.folder / "in.txt").write_text("2")
    assert desk.run_all()[1] == [[], [], []]
    assert desk.value("x") == "22"


def test_loops_may_run_again(desk):
    desk.write("%%step one\nxs = []\nfor i in range(3):\n    t = i * 2\n    xs.append(t)")
    client, said = desk.run_all()
    desk.write(desk.cells[1].replace("* 2", "* 3"))
    assert [said[1], lines(client.run(desk.cells[1])[1])] == [[], []]
    desk.headless()
    assert desk.value("xs") == [0, 3, 6]


def test_other_names_of_what_a_step_changes(desk):
    desk.write("%%step one\nxs = [1]", "ys = xs", "%%step two\nxs.append(2)", "len(ys)")
    desk.run_all()
    client, said = desk.run_all()
    assert said == [[], reused("one"), [], [], []]
    assert values_of(client.run("ys")[1]) == ["[1, 2]"]


def test_one_run_stands_for_what_a_kernel_did(desk):
    desk.write(*TWO, "%%step end\nend = result + 1")
    client, _ = desk.run_all()
    client.run(desk.cells[3])
    client.run("1")
    client, _ = desk.run_all()
    client.run("1")
    store = nbpipe.open_store(desk.folder / ".nbpipe")
    found = [
        (str(run.state), {str(step.step): str(step.state) for step in run.steps})
        for run in store.runs()
    ]
    assert found == [
        ("succeeded", dict.fromkeys(("load", "total", "end"), "reused")),
        # What it reused of its own is what it made.
        ("succeeded", dict.fromkeys(("load", "total", "end"), "succeeded")),
    ]


def test_what_follows_from_a_step_without_a_result_is_said_once(desk):
    desk.write(
        "import random",
        "%%step one\nx = random.random()",
        "%%step two\ny = x",
        "%%step three\nz = x",
    )
    _, said = desk.run_all()
    assert "which does not stand where the pipeline has it" in said[2][0]
    assert said[3:] == [not_kept("two", "step 'one', which comes before it, has no result"), []]
