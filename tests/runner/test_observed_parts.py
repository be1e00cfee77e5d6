from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nbpipe.model.digest import Digest, digest_structure
from nbpipe.model.effects import FileEffects
from nbpipe.model.observed import Observed
from nbpipe.model.trace import Trace
from nbpipe.runner.observed_parts import ABSENT, IS_DIRECTORY, UNSET, changes_of, holds, observe

STARTED = datetime(2020, 1, 1, tzinfo=UTC)


class Around:
    """A world of a few names: files and directories under `/w/`, which is the notebook's place."""

    def __init__(self, *, packages=None, variables=None, files=None, changed=(), scratch=()):
        self.packages = packages or {}
        self.variables = variables or {}
        self.files = files or {}
        self.changed = changed
        self.scratch = scratch
        self.looked: list[str] = []

    def package(self, distribution):
        self.looked.append(distribution)
        return self.packages.get(distribution, ABSENT)

    def variable(self, name):
        self.looked.append(name)
        return self.variables.get(name, UNSET)

    def directory(self, name, without):
        self.looked.append(name)
        below = {n.removeprefix(f"{name}/") for n in self.files if n.startswith(f"{name}/")}
        return digest_structure(sorted(below - {*without})) if below else ABSENT

    def file(self, name):
        self.looked.append(name)
        return self.files.get(name, ABSENT)

    def name_of(self, path):
        return None if path.startswith("/store/") else path.removeprefix("/w/")

    def is_scratch(self, name):
        return name in self.scratch

    def changed_since(self, name, time):
        assert time == STARTED
        return name in self.changed


def seen(trace: Trace, around: Around, **held: object) -> Observed:
    return observe(trace, around, started=STARTED, **held)


def test_a_trace_becomes_parts():
    trace = Trace(
        files_read=("/w/a.csv", "/store/blob"),
        files_absent=("/w/no.csv",),
        directories_listed=("/w/data",),
        files_written=("/w/out.csv",),
        packages={"scikit-learn": "1.5", "numpy": "2.0"},
        environment_read={"MODE": Digest("what the kernel saw"), "NBPIPE_REQUEST": None},
        unverified=("pyarrow",),
    )
    around = Around(
        packages={"scikit_learn": "1.5"},
        variables={"MODE": "m"},
        files={"a.csv": "a", "out.csv": "o", "data/x": "x"},
    )
    assert seen(trace, around, held_packages={"numpy"}) == Observed(
        parts={
            "package scikit_learn": "1.5",
            "variable MODE": "m",
            "directory data": digest_structure(["x"]),
            "file a.csv": "a",
            "file no.csv": ABSENT,
            "file out.csv": "o",
        },
        files=FileEffects(reads=("a.csv", "no.csv"), lists=("data",), writes=("out.csv",)),
        unverified=("pyarrow",),
    )


def test_what_the_key_has_is_left_out_but_counts_for_the_order_of_steps():
    observed = seen(Trace(files_read=("/w/a",)), Around(files={"a": "1"}), held_files={"a"})
    assert observed == Observed(files=FileEffects(reads=("a",)))


@pytest.mark.parametrize(
    ("trace", "around", "moving", "rewritten"),
    [
        # Changed by somebody else, vanished, appeared.
        (Trace(files_read=("/w/a",)), Around(files={"a": "1"}, changed=("a",)), ("a",), ()),
        (Trace(files_read=("/w/a",)), Around(), ("a",), ()),
        (Trace(files_absent=("/w/a",)), Around(files={"a": "1"}), ("a",), ()),
        (Trace(directories_listed=("/w/d",)), Around(changed=("d",)), ("d",), ()),
        # A directory that was there, and went; a file that was there, and was made anew.
        (Trace(paths_found=("/w/d",)), Around(), ("d",), ()),
        (
            Trace(paths_found=("/w/a",), files_written=("/w/a",)),
            Around(files={"a": "1"}, changed=("a",)),
            (),
            (),
        ),
        # Read, and then changed by the step itself; or opened for both, and left as it was.
        (
            Trace(files_read=("/w/a",), files_written=("/w/a",)),
            Around(files={"a": "1"}, changed=("a",)),
            (),
            ("a",),
        ),
        (
            Trace(files_read=("/w/a",), files_written=("/w/a",)),
            Around(files={"a": "1"}),
            (),
            (),
        ),
        # Looked for in vain, and then made: a product.
        (
            Trace(files_absent=("/w/a",), files_written=("/w/a",)),
            Around(files={"a": "1"}, changed=("a",)),
            (),
            (),
        ),
        # Its own product made the directory change.
        (
            Trace(directories_listed=("/w/d",), files_written=("/w/d/a",)),
            Around(files={"d/a": "1"}, changed=("d", "d/a")),
            (),
            (),
        ),
    ],
)
def test_what_changed_while_the_step_ran_is_told_apart(trace, around, moving, rewritten):
    observed = seen(trace, around)
    assert (observed.moving, observed.rewritten) == (moving, rewritten)


def test_that_a_directory_is_there_is_a_part_and_making_one_orders_nobody():
    trace = Trace(paths_found=("/w/d",), files_absent=("/w/e",), files_written=("/w/e", "/w/e/x"))
    around = Around(files={"d": IS_DIRECTORY, "e": IS_DIRECTORY, "e/x": "1"})
    assert seen(trace, around) == Observed(
        parts={"file d": IS_DIRECTORY, "file e": IS_DIRECTORY, "file e/x": "1"},
        files=FileEffects(reads=("d", "e"), writes=("e/x",)),
        found=("d",),
    )


def test_temporary_files_that_are_gone_leave_no_part():
    trace = Trace(files_read=("/w/t",), files_absent=("/w/t",), files_written=("/w/t",))
    assert seen(trace, Around(scratch=("t",))) == Observed()


def test_a_directory_does_not_count_what_are_parts_themselves():
    trace = Trace(directories_listed=("/w/d",), files_written=("/w/d/made",))
    around = Around(files={"d/made": "1", "d/there": "2"})
    observed = seen(trace, around)
    assert observed.parts["directory d"] == digest_structure(["there"])
    around.files["d/other"] = "3"
    assert [part for part, _, _ in changes_of(observed, around)] == ["directory d"]
    del around.files["d/other"], around.files["d/made"]
    assert [part for part, _, _ in changes_of(observed, around)] == ["file d/made"]


def test_a_version_that_the_driver_sees_otherwise_never_holds():
    observed = seen(Trace(packages={"lib": "1.0"}), Around())
    assert observed.parts == {"package lib": "1.0"}
    assert not holds(observed, Around())
    assert list(changes_of(observed, Around())) == [("package lib", "1.0", ABSENT)]


def test_a_module_without_a_distribution_is_reused_until_it_has_one():
    observed = seen(Trace(packages={"loose": "unknown"}), Around())
    assert holds(observed, Around())
    assert not holds(observed, Around(packages={"loose": "1.0"}))


def test_versions_are_compared_however_they_are_spelled():
    observed = seen(Trace(packages={"lib": "1.0-Beta"}), Around(packages={"lib": "1.0_beta"}))
    assert holds(observed, Around(packages={"lib": "1.0_beta"}))


def test_what_is_cheap_is_looked_at_first_and_the_first_difference_ends_it():
    trace = Trace(
        files_read=("/w/a",),
        packages={"lib": "1"},
        environment_read={"MODE": None},
        directories_listed=("/w/d",),
    )
    around = Around(packages={"lib": "1"}, files={"a": "1", "d/x": "x"})
    observed = seen(trace, around)
    around.looked.clear()
    assert holds(observed, around)
    assert around.looked == ["lib", "MODE", "d", "a"]
    around.looked.clear()
    around.variables["MODE"] = "set"
    assert not holds(observed, around)
    assert around.looked == ["lib", "MODE"]


@pytest.mark.parametrize(("unverified", "writes"), [((), ()), (("pyarrow",), ("a", "b"))])
def test_what_changed_meanwhile_counts_as_written_where_not_all_is_seen(unverified, writes):
    trace = Trace(files_read=("/w/a",), files_absent=("/w/b",), unverified=unverified)
    observed = seen(trace, Around(files={"a": "1", "b": "1"}, changed=("a",)))
    assert (observed.files.writes, observed.moving) == (writes, ("a", "b"))
