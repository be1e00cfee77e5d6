"""When results are reused, and what is said when not. Steps are functions with true traces."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from nbpipe.api.runs import status
from nbpipe.model.effects import FileEffects
from nbpipe.model.observed import Observed
from nbpipe.model.run import RunState
from nbpipe.runner import interpreters
from nbpipe.runner.files_before import FileBefore
from nbpipe.runner.meetings import Meetings
from nbpipe.store.index import results

CELLS = (
    "%%params\nalpha = 1",
    "import helper",
    "%%step load\ntable = helper.load('da' + 'ta.csv')",
    "%%step fit\nmodel = len(table) + alpha",
    "%%step report\nprint(model)",
)


def load(touch):
    touch.variable("MODE")
    (installed,) = (touch.directory.parent / "site-packages").glob("numlib-*")
    touch.fact(packages={"numlib": installed.stem.partition("-")[2]})
    return {"table": touch.read("data.csv")}


@pytest.fixture
def site(desk, monkeypatch):
    """Where distributions are installed, for this pipeline."""
    site = desk.directory.parent / "site-packages"
    (site / "numlib-1.0.dist-info").mkdir(parents=True)
    real = interpreters.interpreter_of("python3")
    fake = replace(real, search_path=(site, *real.search_path))
    monkeypatch.setattr("nbpipe.runner.environment_of.interpreter_of", lambda _: fake)
    return site


@pytest.fixture
def filled(desk, site):
    desk.cells(*CELLS)
    desk.file("data.csv", "1 2 3")
    desk.file("helper.py", "import deeper\nload = deeper.load")
    desk.file("deeper.py", "def load(name): ...")
    desk.work = {"load": load, "fit": lambda _: {"model": 4}, "report": lambda _: None}
    assert desk.run().state is RunState.SUCCEEDED
    assert desk.ran == ["load", "fit", "report"]
    return desk


def cells(**changes: str) -> list[str]:
    return [changes.get(f"cell_{number}", source) for number, source in enumerate(CELLS)]


@pytest.mark.parametrize(
    "changed",
    [
        CELLS,
        cells(cell_2="%%step load\n# A remark.\ntable = helper.load('da'   + 'ta.csv')"),
        cells(cell_2="%%step fetch\ntable = helper.load('da' + 'ta.csv')"),
        [CELLS[1], CELLS[0], *CELLS[2:]],
        ["1 + 1", *CELLS],
        cells(cell_1="# What loads.\nimport helper  # ours"),
        cells(cell_0="%%params\n# How much.\nalpha = 1"),
        ["# markdown\nA remark.", *CELLS],
        cells(cell_3="%%step fit --retries 2 --timeout 1h\nmodel = len(table) + alpha"),
        cells(cell_3="#| step: fit\nmodel = len(table) + alpha"),
        [*CELLS, "def unused(): ..."],
    ],
    ids=[
        *("nothing", "comment", "renamed step", "moved cell", "new cell", "comment on an import"),
        *("comment on a parameter", "text", "options", "spelling of a tag", "unused definition"),
    ],
)
def test_what_changes_no_result_reuses_everything(filled, changed):
    filled.cells(*changed)
    assert filled.stale() == {}
    filled.run()
    assert filled.ran == []


def set_mode(desk, site, monkeypatch):
    monkeypatch.setenv("MODE", "secret")


def upgrade(desk, site, monkeypatch):
    (site / "numlib-1.0.dist-info").rename(site / "numlib-2.0.dist-info")


def edit(name, text="anew = 1"):
    return lambda desk, site, monkeypatch: desk.file(name, text)


def remove(name):
    return lambda desk, site, monkeypatch: (desk.directory / name).unlink()


@pytest.mark.parametrize(
    ("change", "reason", "facts"),
    [
        (edit("helper.py", "import deeper"), "file helper.py changed", ("file", "helper.py")),
        (edit("deeper.py"), "file deeper.py changed", ("file", "deeper.py")),
        (edit("data.csv"), "file data.csv changed", ("file", "data.csv")),
        (remove("data.csv"), "file data.csv is gone", ("file", "data.csv")),
        (set_mode, "variable MODE is set now", ("variable", "MODE")),
        (upgrade, "package numlib: 1.0 → 2.0", ("package", "numlib")),
    ],
    ids=["module", "module of a module", "data", "no data", "variable", "library"],
)
def test_what_a_step_depends_on_runs_it_again_and_is_named(
    filled, site, monkeypatch, change, reason, facts
):
    change(filled, site, monkeypatch)
    found = filled.status()
    assert (found["load"].state, found["load"].reasons) == ("stale", (reason,))
    (difference,) = found["load"].changes
    assert (difference.kind, difference.name) == facts
    assert [found[step].state for step in ("fit", "report")] == ["unknown", "unknown"]
    filled.work["load"] = lambda touch: load(touch) | {"table": "1 2 3"}
    run = filled.run()
    assert filled.ran == ["load"]
    assert run.steps[0].reason == reason
    # What it makes is what it was, and now there is nothing to do.
    assert [step.state.value for step in run.steps] == ["succeeded", "reused", "reused"]
    assert filled.stale() == {}


BRANCHES = (
    "%%params\nalpha = 1\nbeta = 1",
    "import helper\nSCALE = 2\ndef scaled(n):\n    return n * SCALE",
    "%%step load\ntable = helper.load('da' + 'ta.csv')",
    "%%step fit\nmodel = scaled(len(table)) + alpha",
    "%%step side\nother = beta",
    "%%step list\nnames = sorted(other)",
    "%%step report\nprint(model, names)",
)


@pytest.fixture
def branching(desk, site):
    """Two branches and their join; each step finds something else around it."""
    desk.cells(*BRANCHES)
    desk.file("data.csv", "1 2 3")
    desk.file("idle.csv", "")
    desk.file("folder/a", "")
    desk.file("helper.py", "import deeper\nload = deeper.load")
    desk.file("deeper.py", "def load(name): ...")
    (site / "sparelib-1.0.dist-info").mkdir()
    desk.work = {
        "load": load,
        "fit": lambda _: {"model": 4},
        "side": lambda touch: {"other": touch.read("extra.csv")},
        "list": lambda touch: {"names": touch.entries("folder")},
        "report": lambda touch: touch.write("out.txt", "made"),
    }
    desk.run()
    assert desk.stale() == {}
    return desk


def edit_cell(number, old, new):
    def change(desk, site, monkeypatch):
        sources = list(BRANCHES)
        assert old in sources[number]
        sources[number] = sources[number].replace(old, new)
        desk.cells(*sources)

    return change


def install(name):
    return lambda desk, site, monkeypatch: (site / f"{name}.dist-info").mkdir()


def set_variable(name):
    return lambda desk, site, monkeypatch: monkeypatch.setenv(name, "secret")


AFTER_LOAD = {"fit": "load runs first", "report": "fit runs first"}
AFTER_FIT = {"report": "fit runs first"}
AFTER_SIDE = {"list": "side runs first", "report": "list runs first"}

# What changes: what runs again, or may, and what is said about it. All else is reused.
DEPENDENTS = {
    "the code of a step": (
        edit_cell(3, "+ alpha", "- alpha"), {"fit": "code changed", **AFTER_FIT}
    ),
    "a function of the notebook": (
        edit_cell(1, "n * SCALE", "n + SCALE"), {"fit": "code changed", **AFTER_FIT}
    ),
    "a constant that a function uses": (
        edit_cell(1, "SCALE = 2", "SCALE = 3"), {"fit": "code changed", **AFTER_FIT}
    ),
    "the default of a parameter": (
        edit_cell(0, "alpha = 1", "alpha = 2"), {"fit": "parameter alpha: 1 → 2", **AFTER_FIT}
    ),
    "the default of another": (
        edit_cell(0, "beta = 1", "beta = 1.0"), {"side": "parameter beta: 1 → 1.0", **AFTER_SIDE}
    ),
    "a module": (
        edit("helper.py", "import deeper"), {"load": "file helper.py changed", **AFTER_LOAD}
    ),
    "a module that a module imports": (
        edit("deeper.py"), {"load": "file deeper.py changed", **AFTER_LOAD}
    ),
    "a data file": (edit("data.csv"), {"load": "file data.csv changed", **AFTER_LOAD}),
    "a data file is deleted": (remove("data.csv"), {"load": "file data.csv is gone", **AFTER_LOAD}),
    "a file that was looked for in vain": (
        edit("extra.csv"), {"side": "file extra.csv appeared", **AFTER_SIDE}
    ),
    "a file in a folder that was listed": (
        edit("folder/b"), {"list": "directory folder changed", "report": "list runs first"}
    ),
    "a product": (edit("out.txt"), {"report": "file out.txt changed"}),
    "a variable that was read": (set_mode, {"load": "variable MODE is set now", **AFTER_LOAD}),
    "the version of a library": (upgrade, {"load": "package numlib: 1.0 → 2.0", **AFTER_LOAD}),
    "a file that nobody read": (edit("idle.csv"), {}),
    "the content of a file that was only listed": (edit("folder/a"), {}),
    "a module that nobody imports": (edit("idle.py"), {}),
    "a variable that nobody read": (set_variable("IDLE_MODE"), {}),
    "a library that nobody imported": (install("sparelib-2.0"), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", DEPENDENTS)
def test_exactly_what_depends_on_a_change_runs_again_and_the_change_is_named(
    branching, site, monkeypatch, name
):
    change, expected = DEPENDENTS[name]
    change(branching, site, monkeypatch)
    # What comes to another result runs on: nothing here is cut off early.
    branching.work |= {
        "load": lambda touch: load(touch) | {"table": "anew"},
        "fit": lambda _: {"model": "anew"},
        "side": lambda touch: {"other": (touch.read("extra.csv"), "anew")},
        "list": lambda touch: {"names": [*touch.entries("folder"), "anew"]},
    }
    assert {step: "; ".join(said) for step, said in branching.stale().items()} == expected
    branching.run(jobs=1)
    assert sorted(branching.ran) == sorted(expected)
    assert branching.stale() == {}


def test_a_parameter_runs_what_reads_it(filled):
    assert filled.stale(alpha=2) == {
        "fit": ("parameter alpha: 1 → 2",),
        "report": ("fit runs first",),
    }
    filled.run(parameters={"alpha": 2})
    assert filled.ran == ["fit"]


def test_going_back_finds_the_result_from_before(filled):
    filled.work["load"] = load
    for text in ("A", "B", "A", "B"):
        filled.file("data.csv", text)
        run = filled.run()
        assert [v.value.summary.text for v in run.steps[0].outputs.values()] == [repr(text)]
    assert filled.ran == []


def test_why_compares_with_the_closest_of_several_results(filled):
    filled.file("data.csv", "B")
    filled.run()
    filled.file("data.csv", "1 2 3")
    filled.file("deeper.py", "anew = 1")
    assert filled.status()["load"].reasons == ("file deeper.py changed",)


def test_of_two_that_are_as_close_the_one_with_the_same_key_tells_more(filled):
    filled.work["fit"] = lambda touch: touch.write("made", "x") or {"model": 4}
    filled.run(parameters={"alpha": 2})
    filled.run(parameters={"alpha": 3})
    filled.file("made", "by hand")
    assert filled.status(alpha=2)["fit"].reasons == ("file made changed",)


def test_a_renamed_step_is_compared_with_what_it_reused(filled):
    filled.cells(*cells(cell_2="%%step fetch\ntable = helper.load('da' + 'ta.csv')"))
    filled.run()
    filled.file("data.csv", "anew")
    assert filled.status()["fetch"].reasons == ("file data.csv changed",)


# ---- files -----------------------------------------------------------------------------------


def test_a_product_that_is_gone_or_changed_is_made_anew(desk):
    desk.cells("make = print", "%%step make\nmake('o' + 'ut/x.csv')")
    desk.work = {"make": lambda touch: touch.write("out/x.csv", "made")}
    desk.run()
    assert desk.stale() == {}
    desk.file("out/x.csv", "by hand")
    assert desk.stale() == {"make": ("file out/x.csv changed",)}
    desk.run()
    assert desk.ran == ["make"]
    (desk.directory / "out" / "x.csv").unlink()
    assert desk.stale() == {"make": ("file out/x.csv is gone",)}
    desk.run()
    assert (desk.directory / "out" / "x.csv").read_text() == "made"
    assert desk.stale() == {}


def test_files_looked_for_in_vain_and_listed_directories_count(desk):
    desk.cells("def list_all(): ...", "%%step scan\nn = len(list_all())")
    desk.file("data/a", "a")

    def scan(touch):
        touch.read("extra")
        return {"n": len(touch.entries("data"))}

    desk.work = {"scan": scan}
    desk.run()
    assert desk.stale() == {}
    desk.file("data/b", "b")
    desk.file("extra", "x")
    assert desk.stale() == {"scan": ("file extra appeared", "directory data changed")}
    desk.run()
    assert desk.stale() == {}


def test_listing_the_directory_of_the_notebook_does_not_see_the_store(desk):
    desk.cells("%%step scan\nn = 1")
    desk.work = {"scan": lambda touch: {"n": len(touch.entries("."))}}
    desk.run()
    assert desk.stale() == {}
    desk.file("new.csv", "")
    assert desk.stale() == {"scan": ("directory . changed",)}


def test_a_file_that_changed_while_the_step_ran_forbids_reuse(desk):
    desk.cells("%%step look\nn = 1")
    desk.file("a.csv", "old")

    def look(touch):
        touch.read("a.csv")
        desk.file("a.csv", "new")
        return {"n": 1}

    desk.work = {"look": look}
    run = desk.run()
    assert run.steps[0].notes == ("a.csv changed while the step ran: not reused",)
    assert desk.stale() == {"look": ("a.csv changed while the step ran",)}
    desk.work = {"look": lambda touch: {"n": touch.read("a.csv")}}
    desk.run()
    assert desk.stale() == {}


def test_a_step_that_changes_what_it_reads_runs_every_time_and_once_a_run(desk):
    desk.cells("%%step count\nn = 1", "%%step other\nm = 2")
    desk.file("n.txt", "0")

    def count(touch):
        n = int(touch.read("n.txt")) + 1
        touch.write("n.txt", str(n))
        return {"n": n}

    desk.work = {"count": count, "other": lambda touch: {"m": touch.read("n.txt")}}
    run = desk.run(after={"count": "other"})
    # `other` ran too early, and again; `count` counted once.
    assert desk.ran == ["count", "other", "other"]
    assert run.steps[0].notes == ("it reads n.txt and changes it: not reused",)
    assert (desk.directory / "n.txt").read_text() == "1"
    assert desk.stale()["count"] == ("the step reads n.txt and changes it",)


def test_a_literal_product_that_only_the_trace_saw_is_reused_at_once(desk):
    desk.cells("import lib\nn = 1", "%%step make\nlib.write('x.parquet')")
    desk.file("x.parquet", "old")
    desk.work = {"make": lambda touch: touch.write("x.parquet", "new")}
    desk.run()
    assert desk.stale() == {}
    desk.file("x.parquet", "by hand")
    assert desk.stale() == {"make": ("file x.parquet changed",)}


# ---- not reused although nothing changed -----------------------------------------------------


def test_what_may_have_read_unseen_is_reused_only_when_told_to(desk, monkeypatch):
    desk.cells("%%step look\nn = 1")
    desk.work = {"look": lambda touch: touch.fact(unverified=("pyarrow",)) or {"n": 1}}
    note = (
        "pyarrow may have read files unseen: not reused; declare --reads PATH, "
        "or set reuse-unverified"
    )
    assert desk.run().steps[0].notes == (note,)
    assert desk.stale() == {"look": ("pyarrow may have read files unseen",)}
    desk.run()
    assert desk.ran == ["look"]
    run = desk.run(reuse_unverified=True)
    assert desk.ran == []
    assert run.steps[0].reason.endswith(", unverified: pyarrow")
    monkeypatch.setenv("NBPIPE_REUSE_UNVERIFIED", "1")
    assert desk.stale() == {}
    monkeypatch.delenv("NBPIPE_REUSE_UNVERIFIED")
    desk.cells("%%step look --reads x.csv\nn = 1")
    assert desk.run().steps[0].notes == ()
    assert desk.stale() == {}


def test_frames_kept_apart_run_again_when_an_index_is_named(desk):
    def parting(touch):
        touch.fact(parts_indexes=True)
        return {"frame": 1, "other": 2}

    cells = ["%%step a\nframe, other = make()", "%%step b\nnumber = 1", "%%step c\nprint(other)"]
    desk.cells("make = print", *cells)
    desk.work = {"a": parting, "b": lambda _: {"number": 1}, "c": lambda _: None}
    assert desk.run().state is RunState.SUCCEEDED
    naming = "%%step d\nframe.index.name = 'day'"
    desk.work["d"] = desk.work["c"]
    desk.cells("make = print", *cells, naming)
    desk.work["a"] = lambda _: {"frame": 1, "other": 2}
    desk.ran.clear()
    run = desk.run()
    assert (run.state, desk.ran) == (RunState.SUCCEEDED, ["a", "d"])
    assert run.steps[0].reason == "frames of it have one index, and indexes are given names now"
    # Together is good for those that do not care, too.
    desk.cells("make = print", *cells)
    desk.ran.clear()
    assert desk.run().state is RunState.SUCCEEDED
    assert desk.ran == []


def test_a_step_that_kept_a_constant_runs_again_when_a_later_step_uses_that(desk):
    def keeping(touch):
        touch.fact(parts_constants=("names",))
        return {"rows": 1}

    cells = ["names = ['a']", "%%step a\nrows = [names]", "%%step b\nprint(rows)"]
    desk.cells(*cells)
    desk.work = {"a": keeping, "b": lambda _: None, "c": lambda _: None}
    assert desk.run().state is RunState.SUCCEEDED
    desk.cells(*cells, "%%step c\nprint(rows, 1)")
    desk.ran.clear()
    desk.run()
    assert desk.ran == ["c"]
    desk.cells(*cells, "%%step c\nprint(names)")
    desk.ran.clear()
    run = desk.run()
    assert desk.ran[:1] == ["a"]
    assert run.steps[0].reason == (
        "names is used by a later step now, and this one changes or keeps it"
    )


def test_the_network_and_the_clock_are_noted_and_reused(desk):
    desk.cells("%%step ask\nn = 1")
    desk.work = {"ask": lambda touch: touch.fact(uses_network=True, uses_clock=True)}
    note = "it uses the network and the clock; --ttl or --no-cache limit its reuse"
    assert desk.run().steps[0].notes == (note,)
    assert desk.stale() == {}


def test_a_result_has_a_time_to_live(desk, monkeypatch):
    desk.cells("%%step ask --ttl 1h\nn = 1")
    desk.work = {"ask": lambda touch: touch.fact(uses_network=True)}
    assert desk.run().steps[0].notes == ()
    assert desk.stale() == {}
    made = datetime.now(UTC) - timedelta(hours=2)
    real = results.time_from_text
    monkeypatch.setattr(results, "time_from_text", lambda text: min(real(text), made))
    assert desk.stale() == {"ask": ("its result is older than 1:00:00 (--ttl)",)}
    desk.run()
    assert desk.ran == ["ask"]


# ---- files between steps ---------------------------------------------------------------------

WRITE_READ = ("from lib import put, get", "%%step write\nput('x')", "%%step read\nn = get('x')")


@pytest.fixture
def exchange(desk):
    desk.cells(*WRITE_READ)
    desk.file("lib.py", "put = get = print")
    desk.work = {
        "write": lambda touch: touch.write("out/x.csv", "new"),
        "read": lambda touch: {"n": touch.read("out/x.csv")},
    }
    return desk


def value_of(run):
    return value_of_step(run, run.steps[-1].step)


def value_of_step(run, name):
    (step,) = [step for step in run.steps if step.step == name]
    return next(iter(step.outputs.values())).value.summary.text


def test_a_reader_that_was_too_early_runs_again_and_the_order_is_learned(exchange):
    exchange.file("out/x.csv", "old")
    run = exchange.run(after={"write": "read"})
    assert exchange.ran == ["write", "read", "read"]
    assert (run.state, value_of(run)) == (RunState.SUCCEEDED, "'new'")
    assert exchange.revisions == [
        "step 'read' shares files with 'write', which its code does not show: it runs after that"
    ]
    assert run.steps[-1].reason == "it ran before what it must run after"
    assert exchange.workspace.pipeline.step_by_name["read"].after == ("write",)
    assert exchange.stale() == {}
    exchange.run()
    assert (exchange.ran, exchange.revisions) == ([], [])


def test_a_reader_that_came_late_by_luck_runs_once(exchange):
    run = exchange.run(after={"read": "write"})
    # It started beside the writer, so nobody knows; its launch counts.
    assert (run.state, value_of(run)) == (RunState.SUCCEEDED, "'new'")
    exchange.run()
    assert exchange.ran == []


def test_a_reader_that_failed_beside_the_writer_is_tried_again(exchange):
    def read(touch):
        text = touch.read("out/x.csv")
        if text is None:
            raise FileNotFoundError("out/x.csv")
        return {"n": text}

    exchange.work["read"] = read
    run = exchange.run(after={"write": "read"})
    assert (run.state, value_of(run)) == (RunState.SUCCEEDED, "'new'")
    assert exchange.ran == ["write", "read", "read"]
    assert exchange.revisions[0] == (
        "step 'read' failed over a file that 'write' was writing: it is tried again"
    )
    assert exchange.stale() == {}


@pytest.mark.parametrize(
    ("message", "ran"),
    [("no x.csv at all", ["write", "read", "read"]), ("no such thing", ["write", "read"])],
)
def test_a_step_that_fails_for_itself_is_tried_again_once_at_most(exchange, message, ran):
    def read(touch):
        raise FileNotFoundError(message)

    exchange.work["read"] = read
    run = exchange.run(after={"write": "read"})
    assert (run.state, exchange.ran) == (RunState.FAILED, ran)


def test_an_order_that_is_learned_survives_its_file(exchange):
    exchange.file("out/x.csv", "old")
    exchange.run(after={"write": "read"})
    for path in (exchange.directory / ".nbpipe" / "effects").iterdir():
        path.unlink()
    assert exchange.workspace.pipeline.step_by_name["read"].after == ()
    assert exchange.stale() == {}
    exchange.run()
    assert exchange.ran == []
    assert exchange.workspace.pipeline.step_by_name["read"].after == ("write",)


@pytest.fixture
def overwriting(desk):
    desk.cells("from lib import put, get", "%%step read\nn = get('x')", "%%step write\nput('x')")
    desk.file("lib.py", "put = get = print")
    desk.file("x.csv", "old")
    desk.work = {
        "read": lambda touch: {"n": touch.read("x.csv")},
        "write": lambda touch: touch.write("x.csv", "new"),
    }
    return desk


def test_a_reader_before_the_writer_keeps_what_it_read(overwriting):
    run = overwriting.run(jobs=1)
    assert overwriting.ran == ["read", "write"]
    assert value_of_step(run, "read") == "'old'"
    assert overwriting.workspace.pipeline.step_by_name["write"].after == ("read",)
    # As with the notebook: the second time, the reader finds what the writer left.
    assert overwriting.stale() == {"read": ("file x.csv changed",), "write": ("read runs first",)}
    assert value_of_step(overwriting.run(), "read") == "'new'"
    assert overwriting.stale() == {}


def test_a_reader_that_a_later_writer_may_have_overtaken_fails_once(overwriting):
    run = overwriting.run()
    failure = run.steps[0].failure
    assert (run.state, failure.message) == (
        RunState.FAILED,
        "it ran beside step 'write', and both touched x.csv, which their code does not show: "
        "nobody knows what was read",
    )
    overwriting.file("x.csv", "old")
    run = overwriting.run()
    assert (run.state, value_of_step(run, "read")) == (RunState.SUCCEEDED, "'old'")
    assert overwriting.ran == ["read", "write"]


def test_a_reader_that_comes_after_a_later_writer_fails_once(overwriting):
    run = overwriting.run(after={"read": "write"}, jobs=1, latest_first=True)
    assert run.state is RunState.FAILED
    assert run.steps[0].failure.message == (
        "it reads x.csv, which step 'write' behind it had written by then; what they share, "
        "their code does not show"
    )
    overwriting.file("x.csv", "old")
    run = overwriting.run(jobs=1)
    assert (run.state, value_of_step(run, "read")) == (RunState.SUCCEEDED, "'old'")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_reader_that_comes_after_a_later_writer_finds_the_file_put_back(overwriting, jobs):
    overwriting.work["write"] = lambda touch: touch.write("x.csv", "new", is_seen_before=True)
    run = overwriting.run(after={"read": "write"} if jobs > 1 else {}, jobs=jobs, latest_first=True)
    assert overwriting.ran[-2:] == ["read", "write"]
    assert (run.state, value_of_step(run, "read")) == (RunState.SUCCEEDED, "'old'")
    assert (overwriting.directory / "x.csv").read_text() == "new"
    # No copy outlives the run.
    kept = (overwriting.directory / ".nbpipe" / "runs" / run.id).iterdir()
    assert [path.name for path in kept if path.name.startswith("before")] == []


def test_a_writer_that_comes_after_a_later_writer_finds_the_file_put_back(overwriting):
    def change(touch, end):
        found = touch.read("x.csv")
        touch.write("x.csv", f"{found}{end}", is_seen_before=True)
        return {"n": found}

    overwriting.work = {
        "read": lambda touch: change(touch, "1"),
        "write": lambda touch: change(touch, "2"),
    }
    run = overwriting.run(jobs=1, latest_first=True)
    assert (overwriting.directory / "x.csv").read_text() == "old12"
    assert [value_of_step(run, name) for name in ("read", "write")] == ["'old'", "'old1'"]


def run_while_somebody_changes_the_file(desk):
    def read(touch):
        found = touch.read("x.csv")
        desk.file("x.csv", "mine")
        return {"n": found}

    desk.work["read"] = read
    return desk.run(jobs=1, latest_first=True)


def test_a_file_that_somebody_else_has_changed_is_never_put_back(overwriting):
    overwriting.work["write"] = lambda touch: touch.write("x.csv", "new", is_seen_before=True)
    run = run_while_somebody_changes_the_file(overwriting)
    assert run.state is RunState.FAILED
    assert (overwriting.directory / "x.csv").read_text() == "mine"


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_reader_that_comes_after_a_later_maker_has_it_unmade(overwriting, jobs):
    (overwriting.directory / "x.csv").unlink()
    run = overwriting.run(after={"read": "write"} if jobs > 1 else {}, jobs=jobs, latest_first=True)
    assert overwriting.ran[-2:] == ["read", "write"]
    assert (run.state, value_of_step(run, "read")) == (RunState.SUCCEEDED, "None")
    assert (overwriting.directory / "x.csv").read_text() == "new"
    assert overwriting.workspace.pipeline.step_by_name["write"].after == ("read",)


def test_a_product_that_somebody_else_has_changed_is_never_removed(overwriting):
    (overwriting.directory / "x.csv").unlink()
    run = run_while_somebody_changes_the_file(overwriting)
    assert run.state is RunState.FAILED
    assert (overwriting.directory / "x.csv").read_text() == "mine"


def test_a_step_that_changes_the_file_of_one_beside_it_fails_once(desk):
    desk.cells("from lib import put", "%%step write\nput('x')", "%%step add\nput('y')")
    desk.file("lib.py", "put = print")
    desk.file("x", "0")

    def add(touch):
        touch.write("x", touch.read("x") + "+")

    desk.work = {"write": lambda touch: touch.write("x", "1"), "add": add}
    assert desk.run(after={"add": "write"}).state is RunState.FAILED
    # One `+` too many would be silently wrong.
    assert desk.ran == ["write", "add"]
    assert desk.run().state is RunState.SUCCEEDED
    assert (desk.directory / "x").read_text() == "1+"


def test_two_writers_leave_the_file_of_the_later_one(desk):
    desk.cells("from lib import put", "%%step one\nput(1)", "%%step two\nput(2)")
    desk.file("lib.py", "put = print")
    desk.work = {
        "one": lambda touch: touch.write("x", "1"),
        "two": lambda touch: touch.write("x", "2"),
    }
    desk.run(after={"one": "two"})
    assert (desk.directory / "x").read_text() == "2"
    assert desk.ran == ["one", "two", "two"]
    # Whether `one` left what its result says is not known: the next run makes it anew.
    assert desk.stale()["one"] == ("its result is gone",)
    assert desk.workspace.pipeline.step_by_name["two"].after == ("one",)


def test_a_listing_comes_after_what_is_written_below(exchange):
    exchange.file("out/old.csv", "")
    exchange.work["read"] = lambda touch: {"n": len(touch.entries("out"))}
    run = exchange.run(after={"write": "read"})
    assert value_of(run) == "2"
    assert exchange.workspace.pipeline.step_by_name["read"].after == ("write",)
    assert exchange.stale() == {}


def test_a_file_of_a_step_before_is_not_removed_for_one_that_runs_again(desk):
    desk.cells("from lib import f", "%%step make\nf()", "%%step look\nf(2)", "%%step change\nf(1)")
    pipeline = desk.workspace.pipeline
    meetings = Meetings()
    touched = {
        "make": FileEffects(writes=("x",)),
        "look": FileEffects(lists=(".",)),
        "change": FileEffects(writes=("x",)),
    }
    for minute, (name, files) in enumerate(touched.items()):
        meetings.note_launch(name, datetime(2026, 1, 1, 0, minute, tzinfo=UTC))
        meetings.observed[name] = Observed(files=files)
        before = {"x": FileBefore(path="/w/x", copy=None)} if name == "make" else {}
        meetings.note_end(name, datetime(2026, 1, 1, 0, minute, 30, tzinfo=UTC), before)
    look, make = pipeline.step_by_name["look"], pipeline.step_by_name["make"]
    assert meetings.to_put_back(pipeline, look) == {}
    assert meetings.to_put_back(pipeline, make).keys() == {"x"}
    # It was there and is there: what is in it is nothing to who lists it.
    meetings.note_launch("look", datetime(2026, 1, 1, 1, tzinfo=UTC))
    assert meetings.came_too_late(pipeline, "look", is_there=lambda _: True) is None
    assert meetings.came_too_late(pipeline, "look", is_there=lambda _: False) is not None


def test_steps_that_are_in_order_anyway_learn_nothing(desk):
    desk.cells("from lib import put", "%%step write\na = put('x')", "%%step read\nn = put(a)")
    desk.file("lib.py", "put = print")
    desk.work = {
        "write": lambda touch: touch.write("x", "1") or {"a": 1},
        "read": lambda touch: {"n": touch.read("x")},
    }
    desk.run(strict=True)
    assert (desk.ran, desk.revisions) == (["write", "read"], [])


def test_strict_runs_want_an_order_declared(exchange):
    exchange.file("out/x.csv", "old")
    run = exchange.run(after={"write": "read"}, strict=True)
    assert run.state is RunState.FAILED
    failure = run.steps[-1].failure
    assert failure.message == "it shares files with write, which its code does not show"
    assert failure.hint == "Declare it: %%step read --after write. Or run without --strict."
    exchange.cells(*WRITE_READ[:-1], "%%step read --after write\nn = get('x')")
    assert exchange.run(strict=True).state is RunState.SUCCEEDED


def test_a_forced_step_that_was_too_early_does_not_take_an_older_result(exchange):
    exchange.run(after={"read": "write"})
    for path in (exchange.directory / ".nbpipe" / "effects").iterdir():
        path.unlink()
    exchange.file("out/x.csv", "old")
    run = exchange.run(after={"write": "read"}, forced=None)
    assert exchange.ran == ["write", "read", "read"]
    assert value_of(run) == "'new'"


def test_a_hundred_reused_steps_are_found_in_no_time(desk):
    """The measure is CPU time; the limit is generous, because the machine may be slow."""
    sources = [f"%%step s{n}\nx{n} = {n}" for n in range(100)]
    desk.cells(*sources)
    for n in range(100):
        desk.file(f"data/{n}", str(n))

    def touching(n):
        def work(touch):
            for other in range(n, n + 5):
                touch.read(f"data/{other}")
            touch.variable("HOME")
            return {f"x{n}": n}

        return work

    desk.work = {f"s{n}": touching(n) for n in range(100)}
    desk.run()
    assert len(desk.ran) == 100
    workspace = desk.workspace
    store = workspace.open_store()
    before = time.process_time()
    assert all(each.state == "fresh" for each in status(workspace, store))
    assert time.process_time() - before < 0.3
    store.close()
