"""Anything else: functions, classes, models, figures; and what is refused."""

import asyncio
import collections
import contextlib
import dataclasses
import functools
import io
import itertools
import logging
import os
import socket
import sqlite3
import sys
import threading
import types
import weakref

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nbpipe.errors import NotFoundError, UserError
from nbpipe.store.values import load_values, store_values
from tests.store.namespaces import (
    comes_back,
    content,
    failures,
    round_trip,
    run_cells,
    stored,
    temporary_blobs,
)

mpl.use("agg")


def kept_of(cells, *names, definitions=(), blobs=None):
    blobs = blobs or temporary_blobs()
    outcome = store_values(blobs, cells, list(names), definitions=frozenset(definitions))
    assert not outcome.failures, outcome.failures
    return blobs, outcome.values


def loaded_from(cells, *names, definitions=(), into=None):
    blobs, values = kept_of(cells, *names, definitions=definitions)
    into = {"__name__": "__main__"} | (into or {})
    return load_values(blobs, list(values.values()), into, trusted=True)


def test_a_function_finds_its_globals_where_it_is_loaded():
    cells = run_cells("k = 1", "f = lambda: k")
    blobs, values = kept_of(cells, "f")
    later = {"__name__": "__main__", "k": 10}
    f = load_values(blobs, list(values.values()), later, trusted=True)["f"]
    assert f() == 10
    later["k"] = 11
    assert f() == 11


def test_functions_that_share_a_variable_still_share_it():
    cells = run_cells(
        "def make():\n"
        "    n = 0\n"
        "    def increase():\n        nonlocal n\n        n += 1\n"
        "    def get():\n        return n\n"
        "    return increase, get\n"
        "increase, get = make()\n"
        "increase()"
    )
    loaded = loaded_from(cells, "increase", "get")
    loaded["increase"]()
    assert loaded["get"]() == 2
    assert cells["get"]() == 1


def test_a_closure_that_calls_itself_comes_back():
    cells = run_cells(
        "def make():\n"
        "    def factorial(n):\n        return n * factorial(n - 1) if n else 1\n"
        "    return factorial\n"
        "factorial = make()"
    )
    assert loaded_from(cells, "factorial")["factorial"](5) == 120


def test_a_function_keeps_defaults_annotations_and_attributes():
    cells = run_cells(
        "def f(a, b=[1], *, c={}) -> int:\n    'what it does'\n    return a, b, c\nf.mark = 1"
    )
    f = loaded_from(cells, "f")["f"]
    assert f(0) == (0, [1], {})
    assert (f.__doc__, f.mark, f.__name__, f.__module__) == ("what it does", 1, "f", "__main__")
    assert f.__annotations__ == cells["f"].__annotations__


def test_a_decorated_function_keeps_what_it_wraps():
    cells = run_cells(
        "import functools",
        "@functools.lru_cache(maxsize=7)\ndef cached(x):\n    return x + k",
        "partial = functools.partial(cached, 1)\nk = 1",
    )
    loaded = loaded_from(cells, "cached", "partial", into={"k": 5})
    assert loaded["cached"](1) == 6
    assert loaded["cached"].cache_parameters() == {"maxsize": 7, "typed": False}
    assert loaded["partial"]() == 6


def test_instances_refer_to_shipped_classes_by_name():
    cells = run_cells(
        "class Point:\n    def __init__(self, x):\n        self.x = x", "p = Point(1)"
    )
    blobs, values = kept_of(cells, "p", definitions=["Point"])
    assert values["p"].definitions == ("Point",)
    other = run_cells("class Point:\n    def twice(self):\n        return 2 * self.x")
    p = load_values(blobs, list(values.values()), other, trusted=True)["p"]
    assert type(p) is other["Point"]
    assert p.twice() == 2


def test_what_a_shipped_class_holds_goes_by_name_too():
    cells = run_cells(
        "class Outer:\n    class Inner: pass\n    def method(self): return 1\n"
        "    @staticmethod\n    def static(): return 2",
        "inner = Outer.Inner(); method = Outer.method; bound = Outer().method",
    )
    blobs, values = kept_of(cells, "inner", "method", "bound", definitions=["Outer"])
    assert {value.definitions for value in values.values()} == {("Outer",)}
    loaded = load_values(blobs, list(values.values()), cells, trusted=True)
    assert type(loaded["inner"]) is cells["Outer"].Inner
    assert loaded["method"] is cells["Outer"].method


def test_an_instance_of_a_class_that_was_redefined_keeps_its_own():
    cells = run_cells(
        "class P:\n    def name(self): return 'old'",
        "old = P(); other = P()",
        "class P:\n    def name(self): return 'new'",
        "new = P()",
    )
    blobs, values = kept_of(cells, "old", "other", "new", definitions=["P"])
    assert [values[name].definitions for name in ("old", "new")] == [(), ("P",)]
    loaded = load_values(blobs, list(values.values()), cells, trusted=True)
    assert [loaded[name].name() for name in ("old", "new")] == ["old", "new"]
    assert type(loaded["old"]) is type(loaded["other"])


def test_a_missing_definition_is_named():
    cells = run_cells("class Point: pass", "p = Point()")
    blobs, values = kept_of(cells, "p", definitions=["Point"])
    with pytest.raises(UserError, match=r"'p'.*needs 'Point'") as caught:
        load_values(blobs, list(values.values()), {}, trusted=True)
    assert "Put the cell that defines 'Point'" in caught.value.hint
    assert isinstance(caught.value.__cause__, NotFoundError)


@pytest.mark.parametrize(
    "source",
    [
        "import enum\nclass Colour(enum.Enum):\n    RED = 1\nx = Colour.RED",
        "from collections import namedtuple\nP = namedtuple('P', 'a b')\nx = P(1, 2)",
        "import dataclasses\n@dataclasses.dataclass\nclass D:\n    a: int = 1\nx = D(2)",
        "import abc\nclass A(abc.ABC):\n    @property\n    def p(self): return 1\nx = A()",
        "class S:\n    __slots__ = ('a',)\nx = S(); x.a = 1",
        (
            "class B:\n    def f(self): return 1\n"
            "class C(B):\n    def f(self): return super().f() + 1\nx = C()"
        ),
        "from typing import NamedTuple\nclass N(NamedTuple):\n    a: int\nx = N(1)",
        "class E(Exception): pass\nx = E('what')",
    ],
)
def test_classes_of_the_notebook_come_back_by_value(source):
    loaded = loaded_from(run_cells(source), "x")["x"]
    assert str(type(loaded)) == str(type(run_cells(source)["x"]))
    if hasattr(loaded, "f"):
        assert loaded.f() == 2


def test_code_of_the_notebook_has_one_digest_in_every_process():
    source = "class K:\n    def f(self): return (lambda: 1)()\nx = [K(), lambda: 2]"
    digests = set()
    for number in (1, 2):
        namespace = {"__name__": "__main__"}
        exec(compile(source, f"/tmp/ipykernel_{number}/123.py", "exec"), namespace)
        digests.add(kept_of(namespace, "x")[1]["x"].content)
    assert len(digests) == 1


def test_a_function_of_a_library_keeps_the_library_s_globals():
    loaded = comes_back(contextlib.contextmanager(iter))
    assert loaded.__globals__ is vars(contextlib)


def test_models_predict_the_same():
    rng = np.random.default_rng(0)
    rows, y = rng.random((200, 4)), np.arange(200) % 2
    for model in (
        make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, y),
        RandomForestClassifier(5, random_state=0).fit(rows, y),
    ):
        loaded = comes_back(model)
        assert np.array_equal(loaded.predict_proba(rows), model.predict_proba(rows))
        assert loaded.get_params().keys() == model.get_params().keys()


def test_a_model_inside_a_pipeline_is_the_same_model():
    model = LogisticRegression()
    loaded = round_trip({"model": model, "pipe": make_pipeline(StandardScaler(), model)})
    assert loaded["pipe"].steps[1][1] is loaded["model"]


def test_a_figure_comes_back_and_still_draws():
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    ax.plot([1, 2], [3, 4], label="line")
    ax.legend()
    managed = plt.get_fignums()
    loaded = round_trip({"fig": fig, "ax": ax})
    assert plt.get_fignums() == managed  # Neither storing nor loading opens a figure.
    assert loaded["ax"].figure is loaded["fig"]
    loaded["ax"].set_title("later")
    before, after = io.BytesIO(), io.BytesIO()
    fig.savefig(before)
    loaded["fig"].savefig(after)
    assert len(after.getvalue()) > 1000
    assert before.getvalue() != after.getvalue()
    plt.close("all")


def test_views_of_a_dictionary_still_follow_it():
    table = {"a": 1}
    ordered = collections.OrderedDict(b=1)
    loaded = comes_back(
        [
            table,
            table.keys(),
            table.items(),
            ordered,
            ordered.values(),
            types.MappingProxyType(table),
        ]
    )
    loaded[0]["c"] = 2
    loaded[3]["d"] = 3
    assert list(loaded[1]) == ["a", "c"]
    assert len(loaded[2]) == 2
    assert list(loaded[4]) == [1, 3]
    assert loaded[5]["c"] == 2


def test_state_of_generators_and_iterators_is_kept():
    rng = np.random.default_rng(0)
    rng.random()
    numbers = iter([1, 2, 3])
    next(numbers)
    loaded = round_trip({"rng": rng, "numbers": numbers, "count": itertools.count(5)})
    assert loaded["rng"].random() == rng.random()
    assert list(loaded["numbers"]) == [2, 3]
    assert next(loaded["count"]) == 5


def test_streams_and_loggers_come_back_as_those_of_the_process():
    assert comes_back(logging.getLogger("x")) is logging.getLogger("x")
    assert comes_back(sys.__stderr__ if sys.stderr is sys.__stderr__ else os) is not None
    assert comes_back(os) is os


@dataclasses.dataclass
class Refuses:
    why: str = "because"

    def __reduce__(self):
        raise RuntimeError(self.why)


class Breaks:
    def __reduce__(self):
        return int, ("not a number",)


class Turns:
    def __reduce__(self):
        return list, ()


async def coroutine():
    pass


class Shell:
    __module__ = "IPython.core.interactiveshell"


Shell.__qualname__ = "InteractiveShell"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: (i for i in [1]), "generator: cannot pickle 'generator' object"),
        (threading.Lock, "_thread.lock: cannot pickle '_thread.lock' object"),
        (lambda: [threading.RLock()], "list: cannot pickle '_thread.RLock' object"),
        (lambda: sqlite3.connect(":memory:"), "sqlite3.Connection: cannot pickle"),
        (socket.socket, "socket.socket: cannot pickle 'socket' object"),
        (lambda: [io.TextIOWrapper(io.BytesIO())], "list: cannot pickle an open file"),
        (functools.partial(open, os.devnull), "_io.TextIOWrapper: cannot pickle an open file"),
        (functools.partial(open, os.devnull, "rb"), "_io.BufferedReader: cannot pickle"),
        (lambda: weakref.ref(Refuses), "weakref.ReferenceType: cannot pickle"),
        (lambda: memoryview(b"x"), "memoryview: cannot pickle 'memoryview' object"),
        (Refuses, "Refuses: RuntimeError: because"),
        (Breaks, "Breaks: it is stored but cannot be loaded: ValueError"),
        (Turns, "Turns: it would come back as list"),
        (lambda: {"shell": Shell()}, "dict: it refers to"),
        (functools.partial(sys._getframe), "frame: cannot pickle 'frame' object"),
        (asyncio.new_event_loop, "asyncio.unix_events._UnixSelectorEventLoop: "),
    ],
    ids=lambda case: case.split(":")[0] if isinstance(case, str) else "",
)
def test_what_cannot_be_kept_is_named_with_its_type_and_the_reason(make, why):
    value = make()
    found = failures({"good": 1, "bad": value})
    assert list(found) == ["bad"]
    assert why in found["bad"]
    if hasattr(value, "close"):
        value.close()


def test_a_value_that_holds_the_namespace_is_refused():
    cells = run_cells("everything = {'here': globals()}", "f = lambda: everything", "l = [1]")
    outcome = store_values(temporary_blobs(), cells, ["everything", "f", "l"])
    assert list(outcome.failures) == ["everything"]
    assert "whole namespace" in outcome.failures["everything"].message


def test_deep_nesting_fails_and_does_not_crash():
    deep = ()
    for _ in range(100_000):
        deep = (deep,)
    assert "recursion" in failures({"deep": deep})["deep"]


def test_digests_tell_types_apart():
    cells = run_cells("class A: pass", "class B: pass", "a = A(); b = B()")
    values = [1, "1", 1.0, True, b"1", (1,), [1], {1}, frozenset({1}), {"1": 1}, {1: 1}, None]
    values += [2**53, 2**53 + 1, float(2**53), [[1], 2], [1, [2]], [1, 2], ["12"], ["1", "2"]]
    values += [(1, 2), [(1, 2)], {"a": 1, "b": 2}, {"b": 2, "a": 1}, cells["a"], cells["b"]]
    nested: object = 1
    for _ in range(20):
        nested = [nested]
    other: object = 2
    for _ in range(20):
        other = [other]
    values += [nested, other]
    assert len({content(value) for value in values}) == len(values)


def test_the_name_of_a_variable_is_not_in_its_digest():
    kept = stored({"a": {1: 2}}) | stored({"b": {1: 2}})
    assert kept["a"].content == kept["b"].content
    assert kept["a"].bundle == kept["b"].bundle
