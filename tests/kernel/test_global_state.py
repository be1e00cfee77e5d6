"""State of the process that a step changes, and no variable holds: later steps see it.

Each row runs as a notebook in one process and as a pipeline with a process for each step: once with
the statement in the step, where the compiler sees it, and once in a module, where only a run does.
"""

from __future__ import annotations

import contextlib
import io
import os
import sqlite3

import pytest

from tests.fuzz.case import steps_of
from tests.fuzz.judge import Outcome
from tests.fuzz.processes import in_fork
from tests.kernel.test_mutations import namespace_of, reported_changes

# What it is called: the states that change, imports, what changes them, what shows it.
CARRIED = {
    "a variable is set": (
        "@environ", "import os", "os.environ['NBP_T'] = 'x'", "os.environ.get('NBP_T')"
    ),
    "a variable is removed": (
        "@environ", "import os", "os.environ.pop('HOME')", "os.environ.get('HOME')"
    ),
    "another directory": ("@cwd", "import os", "os.chdir('/')", "os.getcwd()"),
    "the search path": (
        "@sys.path", "import sys", "sys.path.insert(0, '/first')", "sys.path[0]"
    ),
    "an option of pandas": (
        "@pandas", "import pandas as pd", "pd.set_option('display.max_rows', 7)",
        "pd.get_option('display.max_rows')"
    ),
    "an option of pandas, as an attribute": (
        "@pandas", "import pandas as pd", "pd.options.display.precision = 2", "pd.Series([1 / 3])"
    ),
    "how numpy prints": (
        "@numpy", "import numpy as np", "np.set_printoptions(precision=2)", "np.array([1 / 3])"
    ),
    "what numpy does about errors": (
        "@numpy", "import numpy as np", "np.seterr(all='ignore')", "np.geterr()"
    ),
    "a filter of warnings": (
        "@warnings", "import warnings", "warnings.filterwarnings('error', message='zz')",
        "warnings.filters[0]"
    ),
    "filters of warnings are reset": (
        "@warnings", "import warnings", "warnings.resetwarnings()", "len(warnings.filters)"
    ),
    "a parameter of matplotlib": (
        "@matplotlib", "import matplotlib.pyplot as plt", "plt.rcParams['font.size'] = 33",
        "plt.rcParams['font.size']"
    ),
    "a style of matplotlib": (
        "@matplotlib", "import matplotlib.pyplot as plt", "plt.style.use('ggplot')",
        "plt.rcParams['axes.facecolor']"
    ),
    "the locale": (
        "@locale", "import locale", "locale.setlocale(locale.LC_NUMERIC, 'C.UTF-8')",
        "locale.setlocale(locale.LC_NUMERIC)"
    ),
    "the level of the root logger": (
        "@logging", "import logging", "logging.getLogger().setLevel('ERROR')",
        "logging.getLogger().level"
    ),
    "the level of a logger": (
        "@logging", "import logging", "logging.getLogger('q').setLevel('ERROR')",
        "logging.getLogger('q').level"
    ),
    "a logger that keeps to itself": (
        "@logging", "import logging", "logging.getLogger('q').propagate = False",
        "logging.getLogger('q').propagate"
    ),
    "logging up to a level is off": (
        "@logging", "import logging", "logging.disable(30)", "logging.root.manager.disable"
    ),
    "a handler": (
        "@logging", "import logging", "logging.basicConfig(filename='log')",
        "len(logging.root.handlers)"
    ),
    "the precision of decimals": (
        "@decimal", "import decimal", "decimal.getcontext().prec = 3", "decimal.getcontext().prec"
    ),
    "a setting of scikit-learn": (
        "@sklearn", "import sklearn", "sklearn.set_config(transform_output='pandas')",
        "sklearn.get_config()['transform_output']"
    ),
    "the limit of recursion": (
        "@interpreter", "import sys", "sys.setrecursionlimit(2345)", "sys.getrecursionlimit()"
    ),
    "the limit of digits": (
        "@interpreter", "import sys", "sys.set_int_max_str_digits(5000)",
        "sys.get_int_max_str_digits()"
    ),
    "how often threads switch": (
        "@interpreter", "import sys", "sys.setswitchinterval(0.5)", "sys.getswitchinterval()"
    ),
    "garbage collection": ("@interpreter", "import gc", "gc.disable()", "gc.isenabled()"),
    "when garbage is collected": (
        "@interpreter", "import gc", "gc.set_threshold(500, 5, 5)", "gc.get_threshold()"
    ),
    "the time limit of sockets": (
        "@interpreter", "import socket", "socket.setdefaulttimeout(3)", "socket.getdefaulttimeout()"
    ),
    "the time zone": (
        "@environ @interpreter", "import os, time",
        "os.environ['TZ'] = 'Asia/Tokyo'\ntime.tzset()", "time.tzname"
    ),
}  # fmt: skip

# No value holds these: the statement is made again in later steps, which must be able to see it.
REPEATED = {
    "a class of the notebook counts": ("class C:\n    n = 0", "C.n += 1", "C.n"),
    "a method is put into a library": (
        "import pandas as pd", "pd.DataFrame.mine = lambda self: 1", "pd.DataFrame().mine()"
    ),
    "a name is put into a module": ("import json", "json.mine = 42", "json.mine"),
    "an accessor is registered": (
        "import pandas as pd",
        "@pd.api.extensions.register_series_accessor('mine')\nclass Mine:\n"
        "    def __init__(self, series):\n        self.n = len(series)",
        "pd.Series([1]).mine.n",
    ),
    "the mask of new files": ("import os", "os.umask(0o077)", "os.umask(0o077)"),
    "the longest field of a table": (
        "import csv", "csv.field_size_limit(99_999)", "csv.field_size_limit()"
    ),
    "a dialect of tables": (
        "import csv", "csv.register_dialect('mine', delimiter='|')", "'mine' in csv.list_dialects()"
    ),
    "a type of file": (
        "import mimetypes", "mimetypes.add_type('a/b', '.zz')", "mimetypes.guess_type('x.zz')"
    ),
    "where temporary files are": (
        "import tempfile", "tempfile.tempdir = '/nowhere'", "tempfile.tempdir"
    ),
    "a map of colours": (
        "import matplotlib as mpl",
        "mpl.colormaps.register(mpl.colormaps['viridis'].with_extremes(), name='mine')",
        "'mine' in mpl.colormaps",
    ),
    "an adapter of a database": (
        "import sqlite3",
        "sqlite3.register_adapter(complex, str)",
        "sqlite3.connect(':memory:').execute('select ?', (1j,)).fetchall()",
    ),
    "what a signal does": (
        "import signal",
        "signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
        "signal.getsignal(signal.SIGUSR1)",
    ),
}  # fmt: skip
# What a module does to a class of the notebook is a change of a variable that it is given.
GIVEN_AWAY = frozenset({"a class of the notebook counts"})

ROWS = {name: row[1:] for name, row in CARRIED.items()} | REPEATED


@pytest.mark.parametrize("name", ROWS)
def test_state_that_a_step_changes_is_what_later_steps_see(judged, name):
    imports, change, look = ROWS[name]
    case = steps_of(imports, "z = 1", change, f"print({look})")
    verdict = judged(case)
    assert (verdict.outcome, verdict.steps) == (Outcome.EQUAL, 3), verdict.why


@pytest.mark.slow
@pytest.mark.parametrize("name", CARRIED)
def test_state_that_a_module_changes_is_what_later_steps_see(judged, name):
    verdict = judged(hidden(*ROWS[name]))
    assert (verdict.outcome, verdict.surprises) == (Outcome.EQUAL, 1), verdict.why


@pytest.mark.slow
@pytest.mark.xfail(strict=True, reason="state of a library, which nothing can read or set for all")
@pytest.mark.parametrize("name", sorted(REPEATED.keys() - GIVEN_AWAY))
def test_state_of_a_library_that_a_module_changes_is_what_later_steps_see(judged, name):
    assert judged(hidden(*ROWS[name])).outcome in {Outcome.EQUAL, Outcome.REFUSED}


@pytest.mark.slow
@pytest.mark.parametrize("name", CARRIED)
def test_state_that_a_step_changed_is_found(elsewhere, tmp_path, name):
    states, imports, change, _ = CARRIED[name]
    assert elsewhere(found_in_fork, tmp_path, imports, change) == set(states.split())


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_a_row_shows_what_it_changes(elsewhere, tmp_path, name):
    imports, change, look = ROWS[name]
    after = elsewhere(shown_in_fork, tmp_path, imports, change, look)
    assert elsewhere(shown_in_fork, tmp_path, imports, "", look) != after
    assert not after.startswith("raises")


def hidden(imports, change, look):
    """The change in a function of a module beside the notebook."""
    body = "\n".join(f"    {line}" for line in change.split("\n"))
    library = f"{imports}\n\n\ndef act():\n{body}\n"
    setup = f"{imports}\nimport lib"
    return steps_of(setup, "z = 1", "lib.act()", f"print({look})", files={"lib.py": library})


def found_in_fork(directory, imports, change):
    def found():
        os.chdir(directory)
        return set(reported_changes(f"{imports}\nz = 1", change).changed)

    return in_fork(found)


def shown_in_fork(directory, imports, change, look):
    def shown():
        os.chdir(directory)
        printed = io.StringIO()
        namespace = namespace_of(imports)
        with contextlib.redirect_stdout(printed):
            try:
                exec(f"{change}\nprint({look})", namespace)
            except (AttributeError, sqlite3.Error) as error:
                return f"raises {error!r}"
        return printed.getvalue()

    return in_fork(shown)
