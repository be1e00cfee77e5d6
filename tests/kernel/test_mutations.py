"""Ways to change an input in place, and ways that only look like it: none is missed, none made up.

Each case runs through the real loading and saving of a step. What really changed is established
beside it, by describing the variables before and after the body in one plain namespace.
"""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest

from nbpipe.kernel.exchange import KernelReport
from nbpipe.kernel.step_io import StepIo, StepSide
from nbpipe.model.names import INDEX_NAMES
from nbpipe.model.trace import Trace
from nbpipe.store.values import store_values
from tests.fuzz.describe import describe
from tests.store.namespaces import failures, temporary_blobs

pytestmark = pytest.mark.usefixtures("without_project_modules")

IMPORTS = """
import functools, io, os, random
import numpy as np
import pandas as pd
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split
"""
FRAME = "df = pd.DataFrame({'a': [1.0, 2], 'b': [3.0, 4]})"
MODEL = "X = np.arange(6.0).reshape(3, 2); y = np.arange(3.0); model = LinearRegression()"
ACCOUNT = (
    "class Account:\n    total = 0\n    def __init__(self):\n        self.items, self._seen = [], 0\n"
    "    def add(self, item):\n        self.items.append(item)\n        return self\n"
    "    def peek(self):\n        self._seen += 1\n        return self._seen\nacc = Account()"
)

# What it is called: setup, body, what changed in place, what was bound anew.
CASES = {
    # frames
    "drop in place": (FRAME, "df.drop(columns=['b'], inplace=True)", "df", ""),
    "a new column": (FRAME, "df['c'] = df.a * 2", "df", ""),
    "one cell by label": (FRAME, "df.loc[0, 'a'] = 9.0", "df", ""),
    "a column by attribute, augmented": (FRAME, "df.a += 1", "df", ""),
    "names of columns": (FRAME, "df.columns = ['y', 'z']", "df", ""),
    "insert": (FRAME, "df.insert(0, 'z', 1)", "df", ""),
    "pop a column": (FRAME, "s = df.pop('b')", "df", ""),
    "name of the index": (FRAME, "df.index.name = 'q'", "df", ""),
    "attrs": (FRAME, "df.attrs['x'] = 1", "df", ""),
    "eval in place": (FRAME, "df.eval('c = a + 1', inplace=True)", "df", ""),
    "exec of text": (FRAME, "exec(\"df['q'] = 1\")", "df", ""),
    "a helper": (f"{FRAME}\ndef helper(d):\n    d['new'] = 1", "helper(df)", "df", ""),
    "a loop over a list of it": (FRAME, "for t in [df]:\n    t['z'] = 0", "df", ""),
    "a column copied on write": (FRAME, "s = df.a\ns[:] = 0", "", ""),
    "a pure helper": (f"{FRAME}\ndef helper(d):\n    return d.sum()", "t = helper(df)", "", ""),
    "grouping": (FRAME, "g = df.groupby('a').b.sum()", "", ""),
    "merging": (f"{FRAME}; e = df.copy()", "m = df.merge(e, on='a')", "", ""),
    "looking": (FRAME, "repr(df.head())", "", ""),
    "asking times": (
        "df = pd.DataFrame({'a': [1, 2]}, index=pd.to_datetime(['2020-01-01', '2020-01-03']))",
        "n = df.loc['2020-01-03', 'a'], df.index.month, df.index.inferred_freq, df.index.is_unique",
        "",
        "",
    ),
    "changing a time": (
        "t = pd.array(pd.to_datetime(['2020-01-01', '2020-01-03']))",
        "n = t.month\nt[0] = pd.Timestamp('2021-01-01')",
        "t",
        "",
    ),
    "using a colormap": ("c = plt.get_cmap('jet')", "n = c(0.5)", "", ""),
    # arrays
    "a view is written": ("arr = np.zeros(3)", "v = arr[1:]\nv[0] = 5", "arr", ""),
    "a reshaped view is filled": ("arr = np.zeros(3)", "v = arr.reshape(3, 1)\nv.fill(2)", "arr", ""),
    "sort": ("arr = np.array([3, 1, 2])", "arr.sort()", "arr", ""),
    "out=": ("arr = np.zeros(3)", "r = np.add(arr, 1, out=arr)", "arr", ""),
    "an array augmented": ("arr = np.zeros(3)", "arr += 1", "arr", ""),
    "a record of an array": (
        "arr = np.zeros(2, dtype=[('a', 'i4')])", "r = arr[1]\nr['a'] = 5", "arr", ""
    ),
    "shuffle": ("arr = np.arange(5)", "np.random.shuffle(arr)", "arr @numpy.random", ""),
    # models
    "fit": (MODEL, "model.fit(X, y)", "model", ""),
    "fit, its result bound": (MODEL, "r = model.fit(X, y)", "model", ""),
    "set_params": (MODEL, "model.set_params(fit_intercept=False)", "model", ""),
    "predict": (f"{MODEL}; model.fit(X, y)", "p = model.predict(X)", "", ""),
    # names for one object
    "an alias made here": ("a = [1]", "b = a\nb.append(1)", "a", ""),
    "an alias made before": ("a = [1]; b = a", "b.append(1)", "a b", ""),
    "an alias in a container": ("a = [1]; d = {'k': a}", "d['k'].append(2)", "a d", ""),
    "a global changed by a function": (
        "log = []\ndef push(x):\n    log.append(x)", "push(3)", "log", ""
    ),
    "a global bound by a function": (
        "n = 0\ndef inc():\n    global n\n    n += 1", "inc()", "", "n"
    ),
    "a function that remembers results": (
        "@functools.lru_cache\ndef f(x):\n    return x", "y = f(1)", "", ""
    ),
    # objects
    "a method": (ACCOUNT, "acc.add(3)", "acc", ""),
    "a method that counts": (ACCOUNT, "k = acc.peek()", "acc", ""),
    "setattr": (ACCOUNT, "setattr(acc, 'items', [9])", "acc", ""),
    # containers
    "update": ("d = {'a': 1}", "d.update(b=2)", "d", ""),
    "merged in place": ("d = {'a': 1}", "d |= {'b': 2}", "d", ""),
    "a key deleted": ("d = {'a': 1}", "del d['a']", "d", ""),
    "popped in an expression": ("a = [1, 2]", "x = a.pop()", "a", ""),
    "changed and changed back": ("a = [1]", "a.append(2)\na.pop()", "", ""),
    "bound anew": ("a = [1]", "a = [2]", "", "a"),
    # what is used up
    "an iterator": ("it = iter([1, 2, 3])", "x = next(it)", "it", ""),
    "text read from memory": ("fh = io.StringIO('abc')", "x = fh.read()", "fh", ""),
    "a generator of random numbers": ("rng = np.random.default_rng(0)", "x = rng.random(3)", "rng", ""),
    "one that a library draws from": (
        f"{FRAME}; rng = np.random.default_rng(0)", "s = df.sample(1, random_state=rng)", "rng", ""
    ),
    # figures
    "an axes drawn on": ("fig, ax = plt.subplots()", "ax.plot([1, 2])", "ax fig", ""),
    # random streams
    "numpy's stream seeded": ("z = 1", "np.random.seed(0)", "@numpy.random", ""),
    "a draw": ("z = 1", "x = random.random()", "@random", ""),
    "a draw in a library": (
        "X = np.arange(10)", "a, b = train_test_split(X)", "@numpy.random", ""
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _quiet_and_random_as_before():
    states = random.getstate(), np.random.get_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    random.setstate(states[0])
    np.random.set_state(states[1])


@pytest.mark.parametrize("name", CASES)
def test_what_a_step_changed_in_place_is_found(name):
    setup, body, changed, bound = CASES[name]
    report = reported_changes(setup, body)
    assert {*report.changed} - {INDEX_NAMES} == set(changed.split())
    assert set(report.outputs) == set(changed.split())
    variables = {name for name in changed.split() if not name.startswith("@")}
    assert really_changed(setup, body) == variables | set(bound.split())


def test_an_input_that_cannot_be_stored_is_refused_where_it_is_made():
    namespace = namespace_of("g = (i for i in range(3))")
    assert failures({"g": namespace["g"]}) == {"g": "generator: cannot pickle 'generator' object"}


def reported_changes(setup: str, body: str) -> KernelReport:
    """Run the body as a step that loads what the setup made."""
    before, namespace = namespace_of(setup), namespace_of(setup)
    made = inputs_of(before)
    definitions = frozenset(before.keys() - namespace_of("").keys() - made.keys())
    for name in made:
        del namespace[name]
    blobs = temporary_blobs()
    stored = store_values(blobs, before, list(made), definitions=definitions)
    assert not stored.failures
    reports: list[KernelReport] = []
    side = StepSide(
        blobs=blobs,
        trusted=True,
        inputs=lambda _: dict(stored.values),
        deliver=reports.append,
        trace=Trace,
    )
    step = StepIo(side, namespace, definitions=definitions)
    step.load(dict.fromkeys(made, "setup"))
    exec(body, namespace)
    step.save([], [])
    return reports[-1]


def really_changed(setup: str, body: str) -> set[str]:
    """Compare what variables look like before and after, in a notebook without steps."""
    namespace = namespace_of(setup)
    before = {name: looks(namespace[name]) for name in inputs_of(namespace)}
    exec(body, namespace)
    return {name for name, look in before.items() if looks(namespace[name]) != look}


def looks(value: object) -> str:
    text = describe(value)
    if hasattr(value, "get_figure"):
        figure = value.get_figure()
        text = f"{len(text) > 0} {[len(axes.lines) for axes in figure.axes]}"
    if hasattr(value, "getvalue"):
        text = f"{value.getvalue()} {value.tell()}"
    return text


def namespace_of(setup: str) -> dict[str, object]:
    namespace: dict[str, object] = {"__name__": "__main__"}
    exec(f"{IMPORTS}\n{setup}", namespace)
    return namespace


def inputs_of(namespace: dict[str, object]) -> dict[str, object]:
    """The variables; functions and classes of a notebook are shipped as source."""
    given = namespace_of("")
    return {
        name: value
        for name, value in namespace.items()
        if name not in given and not isinstance(value, type) and not callable_of_notebook(value)
    }


def callable_of_notebook(value: object) -> bool:
    return getattr(value, "__module__", None) == "__main__" and hasattr(value, "__qualname__")
