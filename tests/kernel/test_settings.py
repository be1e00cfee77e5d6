"""Each kind of settings: read, changed by an author, put back where nobody changed anything."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import warnings

import pytest

from nbpipe.kernel.process_state import ProcessState
from nbpipe.kernel.settings import Changes, all_settings, changes_between
from nbpipe.kernel.tracing.native import LIBRARY, PRELOAD

SCRIPT = """
import json, os, pickle, sys
from nbpipe.kernel.settings import all_settings, changes_between
{imports}
settings = all_settings()[{name!r}]
before = settings.read()
if {changing}:
{change}
    changes = changes_between(before, settings.read())
    sys.stdout.buffer.write(pickle.dumps(changes.as_value()))
else:
    from nbpipe.kernel.settings import Changes
    settings.apply(Changes.from_value(pickle.loads(sys.stdin.buffer.read())))
    {look}
"""

CASES = {
    "@cwd": ("", "os.chdir('sub')", "print(os.path.basename(os.getcwd()))", "sub"),
    "@decimal": (
        "import decimal",
        "decimal.getcontext().prec = 3; decimal.getcontext().traps[decimal.Inexact] = True",
        "print(decimal.getcontext().prec, decimal.getcontext().traps[decimal.Inexact])",
        "3 True",
    ),
    "@environ": (
        "os.environ['GONE'] = '1'",
        "os.environ['NEW'] = 'x'; del os.environ['GONE']",
        "print(os.environ.get('NEW'), os.environ.get('GONE'))",
        "x None",
    ),
    "@interpreter": (
        "",
        "sys.setrecursionlimit(1234)",
        "print(sys.getrecursionlimit())",
        "1234",
    ),
    "@locale": (
        "import locale; locale.setlocale(locale.LC_ALL, 'C')",
        "locale.setlocale(locale.LC_NUMERIC, 'C.UTF-8')",
        "print(locale.setlocale(locale.LC_NUMERIC), locale.setlocale(locale.LC_TIME))",
        "C.UTF-8 C",
    ),
    "@logging": (
        "import logging",
        "logging.basicConfig(level=logging.INFO, stream=sys.stdout, format='%(levelname)s %(name)s "
        "%(message)s'); logging.getLogger('quiet').setLevel('ERROR')",
        "logging.info('a'); logging.getLogger('quiet').warning('b'); "
        "print(len(logging.root.handlers))",
        "INFO root a\n1",
    ),
    "@matplotlib": (
        "import matplotlib",
        "matplotlib.rcParams['font.size'] = 3; "
        "matplotlib.rc('axes', prop_cycle=matplotlib.cycler(color=['red']))",
        "print(matplotlib.rcParams['font.size'], matplotlib.rcParams['axes.prop_cycle'])",
        "3.0 cycler('color', ['red'])",
    ),
    "@numpy": (
        "import numpy",
        "numpy.set_printoptions(precision=2); numpy.seterr(divide='ignore')",
        "print(numpy.array([1 / 3]), numpy.geterr()['divide'])",
        "[0.33] ignore",
    ),
    "@pandas": (
        "import pandas",
        "pandas.set_option('display.precision', 2); "
        "pandas.options.display.float_format = '<{:.1f}>'.format",
        "print(pandas.get_option('display.precision'), pandas.Series([1 / 3]).to_string())",
        "2 0   <0.3>",
    ),
    "@sklearn": (
        "import sklearn",
        "sklearn.set_config(transform_output='pandas')",
        "print(sklearn.get_config()['transform_output'])",
        "pandas",
    ),
    "@sys.path": (
        "",
        "sys.path.insert(0, 'first'); sys.path.insert(0, 'zeroth'); sys.path.append('last')",
        "print(sys.path[:2], sys.path[-1])",
        "['zeroth', 'first'] last",
    ),
    "@warnings": (
        "import warnings",
        "warnings.filterwarnings('ignore', 'lou+d', UserWarning)",
        "warnings.simplefilter('always', append=True); warnings.warn('louud'); "
        "print(warnings.filters[0][0], warnings.filters[0][1].pattern)",
        "ignore lou+d",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_setting_made_in_one_process_holds_in_another(name, tmp_path):
    imports, change, look, shown = CASES[name]
    (tmp_path / "sub").mkdir()

    def run(*, changing, given=b""):
        text = SCRIPT.format(
            name=name, imports=imports, changing=changing, change=f"    {change}", look=look
        )
        return subprocess.run(
            [sys.executable, "-c", text], cwd=tmp_path, input=given, capture_output=True, check=True
        )

    changed = run(changing=True).stdout
    done = run(changing=False, given=changed)
    assert (done.stdout.decode().rstrip("\n"), done.stderr) == (shown, b"")


def test_filters_that_were_reset_are_reset_elsewhere(tmp_path):
    script = """
import warnings
from nbpipe.kernel.settings import all_settings, changes_between
warnings.simplefilter("ignore", UserWarning)
settings = all_settings()["@warnings"]
before = settings.read()
warnings.resetwarnings()
changes = changes_between(before, settings.read())
warnings.simplefilter("ignore", UserWarning)
settings.apply(changes)
print(warnings.filters)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"[]\n"


@pytest.mark.parametrize(
    ("name", "imports", "change"),
    [
        ("@pandas", "import numpy as np, pandas as pd", "pd.options.display.max_rows = 7"),
        ("@numpy", "import numpy as np", "np.set_printoptions(precision=2)"),
        ("@matplotlib", "import matplotlib.pyplot as plt", "plt.rc('figure', figsize=(9, 9))"),
        ("@sklearn", "import sklearn", "sklearn.set_config(display='text')"),
    ],
)
def test_a_setting_right_behind_the_import_of_its_library_is_a_change(name, imports, change):
    script = f"""
from nbpipe.kernel.imports import WATCH
from nbpipe.kernel.process_state import ProcessState
WATCH.start()
state = ProcessState({{}})
state.mark()
{imports}
imported = state.changed()
{change}
print(imported, state.changed())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.decode() == f"() ({name!r},)\n"


@pytest.mark.parametrize("others", ["", "/lib/other.so"])
def test_that_the_tracer_leaves_the_environment_is_no_change(others, monkeypatch):
    environment = all_settings()["@environ"]
    monkeypatch.setenv(PRELOAD, ":".join(filter(None, (str(LIBRARY), others))))
    before = environment.read()
    if others:
        monkeypatch.setenv(PRELOAD, others)
    else:
        monkeypatch.delenv(PRELOAD)
    assert not changes_between(before, environment.read())
    monkeypatch.setenv(PRELOAD, "/lib/another.so")
    assert changes_between(before, environment.read()) == Changes(set={PRELOAD: "/lib/another.so"})


def test_a_logger_that_nobody_sets_is_no_change():
    settings = all_settings()["@logging"]
    before = settings.read()
    logger = logging.getLogger("of a test that asks for it")
    assert not changes_between(before, settings.read())
    logger.setLevel("ERROR")
    logger.disabled = True
    made = changes_between(before, settings.read())
    assert made == Changes(set={f"level {logger.name}": 40, f"disabled {logger.name}": True})
    settings.apply(Changes(set={}, gone=frozenset(made.set)))
    assert (logger.level, logger.disabled) == (logging.NOTSET, False)


def test_a_filter_with_a_compiled_pattern_for_a_name_is_the_same_filter():
    settings = all_settings()["@warnings"]
    with warnings.catch_warnings():
        warnings.filters[:] = [("default", None, DeprecationWarning, "__main__", 0)]
        before = settings.read()
        warnings.filters[:] = [("default", None, DeprecationWarning, re.compile("__main__"), 0)]
        assert not changes_between(before, settings.read())
        warnings.filters[:] = [("default", None, DeprecationWarning, re.compile("other"), 0)]
        assert changes_between(before, settings.read())


def test_changes_add_up():
    first = Changes(set={"a": 1, "b": 1}, gone=frozenset({"c"}))
    second = Changes(set={"b": 2, "c": 3}, gone=frozenset({"a"}))
    assert first.then(second) == Changes(set={"b": 2, "c": 3}, gone=frozenset({"a"}))
    assert changes_between({"a": 1, "b": 1}, {"b": 1.0, "c": 0}) == Changes(
        set={"b": 1.0, "c": 0}, gone=frozenset({"a"})
    )


def test_what_a_step_put_first_in_a_list_stays_first(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    state = ProcessState({})
    state.mark()
    sys.path.insert(0, "a")
    sys.path.insert(0, "b")
    kept = state.values(["@sys.path"])["@sys.path"]
    assert [item for _, item in kept["set"].values()] == ["b", "a"]
