"""Which environment variables count as read, and that their values stay secret."""

from __future__ import annotations

import os
import textwrap

import pytest

from nbpipe.model.digest import digest_structure
from nbpipe.model.trace import digest_of_variable


@pytest.fixture
def names(observe):
    def read(code: str, **environ: str) -> list[str]:
        trace = observe(textwrap.dedent(code), **environ).trace
        return [name for name in trace.environment_read if name.startswith("MINE")]

    return read


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.environ['MINE']",
        "import os; os.environ.get('MINE')",
        "import os; os.getenv('MINE')",
        "import os; 'MINE' in os.environ",
        "import os; os.getenvb(b'MINE')",
        "from os import environ as e; e.get('MINE', '')",
        "import os; os.path.expandvars('$MINE/x')",
        "import os; f = lambda: os.getenv('MINE'); f()",
        "import os, threading as t; x = t.Timer(0, os.getenv, ['MINE']); x.start(); x.join()",
        "import os; os.environ.pop('MINE', None)",
    ],
)  # fmt: skip
def test_reads_are_noted(names, code):
    assert names(code, MINE="x") == ["MINE"]


def test_a_value_is_noted_as_a_digest_and_an_unset_one_as_none(observe):
    seen = observe("import os; os.getenv('MINE'); os.getenv('MINE_NOT')", MINE="secret").trace
    assert seen.environment_read == {
        "MINE": digest_of_variable("MINE", "secret"),
        "MINE_NOT": None,
    }
    assert "secret" not in repr(seen)


def test_digests_do_not_show_that_two_values_are_equal():
    assert digest_of_variable("A", "x") != digest_of_variable("B", "x")
    assert digest_of_variable("A", None) is None
    assert digest_of_variable("A", "x") == digest_structure(["environment variable", "A", "x"])


def test_the_first_value_counts(observe):
    code = "import os; os.getenv('MINE'); os.environ['MINE'] = 'new'; os.getenv('MINE')"
    seen = observe(code, MINE="old").trace
    assert seen.environment_read == {"MINE": digest_of_variable("MINE", "old")}


def test_what_the_step_has_set_is_no_input(names):
    assert names("import os; os.environ['MINE'] = '1'; os.getenv('MINE')") == []
    assert names("import os; del os.environ['MINE']; os.getenv('MINE')", MINE="x") == []


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess; subprocess.run('true')",
        "import os, subprocess; subprocess.run('true', env=os.environ)",
        "import os; os.system('true')",
        "import os; os.environ['OTHER'] = '1'; list(os.environ)",
    ],
)
def test_whoever_hands_all_to_a_child_reads_nothing(names, code):
    assert names(code, MINE="x") == []


@pytest.mark.parametrize(
    "code",
    [
        "import os; dict(os.environ)",
        "import os; {**os.environ}",
        "import os; os.environ.copy()",
        "import os; [value for _, value in os.environ.items()]",
        "import os; list(os.environ.values())",
    ],
)
def test_an_author_who_copies_all_may_read_any_but_what_belongs_to_the_session(observe, code):
    trace = observe(code, MINE="x", SSH_CONNECTION="1 2", SHLVL="3", NBPIPE_X="4").trace
    assert "MINE" in trace.environment_read
    assert {"SSH_CONNECTION", "SHLVL", "NBPIPE_X"}.isdisjoint(trace.environment_read)


def test_an_author_who_asks_for_something_of_the_session_by_name_reads_it(observe):
    trace = observe("import os; os.getenv('SSH_CONNECTION')", SSH_CONNECTION="1 2").trace
    assert list(trace.environment_read) == ["SSH_CONNECTION"]


def test_variables_that_nbpipe_and_jupyter_set_are_never_noted(observe):
    code = "import os; [os.getenv(n) for n in ('NBPIPE_REQUEST', 'JPY_PARENT_PID', 'LD_PRELOAD')]"
    assert observe(code).trace.environment_read == {}


def test_reads_of_project_modules_count(observe):
    (observe.work / "part.py").write_text("import os\nvalue = os.getenv('MINE')\n")
    trace = observe("import sys; sys.path.insert(0, '.'); import part", MINE="x").trace
    assert list(trace.environment_read) == ["MINE"]


def test_installed_libraries_read_settings_but_not_the_whereabouts_of_things(observe):
    site = observe.work / "site-packages"
    site.mkdir()
    (site / "library.py").write_text(
        "import os\n"
        "[os.getenv(name) for name in ('HOME', 'TMPDIR', 'OMP_NUM_THREADS', 'LIBRARY_MODE')]\n"
        "dict(os.environ)\n"
    )
    code = "import sys; sys.path.insert(0, 'site-packages'); import library"
    trace = observe(code, HOME=str(site), MINE="x", LIBRARY_MODE="fast").trace
    assert list(trace.environment_read) == ["LIBRARY_MODE"]


def test_the_environment_looks_as_always(observe):
    observe(
        """
import copy, os, pickle
assert type(os.environ).__name__ == "_Environ", type(os.environ)
assert isinstance(os.environ, os._Environ)
assert "MINE" in os.environ and len(os.environ) == len(list(os.environ))
try:
    os.environ["MINE_NOT"]
except KeyError as error:
    assert error.args == ("MINE_NOT",)
else:
    raise AssertionError
try:
    os.environ["MINE"] = 1
except TypeError:
    pass
os.environ |= {"A": "1"}
assert os.environ.setdefault("A", "2") == "1"
assert os.popen("echo $A").read() == "1\\n"
""",
        MINE="x",
    )


def test_afterwards_the_environment_is_as_before():
    from nbpipe.kernel.tracing.environment import EnvironmentReads

    before = type(os.environ)
    reads = EnvironmentReads()
    reads.start()
    assert type(os.environ) is not before
    reads.stop()
    assert type(os.environ) is before
