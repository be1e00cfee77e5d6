"""What differs between two values: tables of pairs, and what is said of them."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import functools
import io
import math
import random
import re

import numpy as np
import pandas as pd
import pytest

from nbpipe.model.verification import Comparison, Likeness
from nbpipe.store.differences import compare_values

SUM = 0.1 + 0.2  # 0.30000000000000004
NOISE = (SUM - 0.3) / SUM


class Model:
    def __init__(self, **attributes):
        vars(self).update(attributes)


@dataclasses.dataclass
class Point:
    x: float
    y: float


class Opaque:
    def __reduce_ex__(self, protocol):
        raise TypeError("cannot be taken apart")


def nested(value, depth):
    for _ in range(depth):
        value = [value]
    return value


def linked(number):
    """A list that holds itself."""
    items = [number]
    items.append(items)
    return items


def shared(together):
    inner = [1]
    return (inner, inner if together else [1])


def adder(n):
    return lambda x: x + n


frame = pd.DataFrame

EQUAL = {
    "numbers": (lambda: (1, 2.5, 1j, True, None)),
    "nan": (lambda: [math.nan, math.inf]),
    "texts and dates": (lambda: ["a", b"b", dt.date(2026, 1, 2), re.compile("x")]),
    "sets of texts": (lambda: {"a", "b", "c"}),
    "containers": (lambda: [{"a": [1, (2, 3)]}, collections.deque([1]), range(3)]),
    "counters": (lambda: collections.Counter("aab")),
    "an object": (lambda: Model(coef=np.arange(3.0), name="m")),
    "a dataclass": (lambda: Point(0.5, 1.5)),
    "a function with a closure": (lambda: adder(3)),
    "a partial function": (lambda: functools.partial(max, 3)),
    "a method": (lambda: [1].append),
    "a random generator": (lambda: random.Random(3)),
    "a NumPy generator": (lambda: np.random.default_rng(3)),
    "arrays": (lambda: [np.array([1, 2]), np.array([1.0, np.nan]), np.array(["a", None])]),
    "records": (lambda: np.zeros(2, dtype=[("a", float), ("b", "U3")])),
    "masked": (lambda: np.ma.masked_array([1.0, 2.0], mask=[0, 1])),
    "dates": (lambda: np.array(["2026-01-01", "NaT"], dtype="datetime64[D]")),
    "a frame": (
        lambda: frame({"a": [1.0, None], "b": ["x", None], "c": pd.Categorical(["u", "v"])})
    ),
    "extension arrays": (lambda: frame({"a": pd.array([1, None]), "b": pd.array(["x", None])})),
    "a multi-index": (lambda: frame({"a": [1, 1], "b": [1, 2], "c": [0, 1]}).set_index(["a", "b"])),
    "times": (lambda: pd.Series(pd.date_range("2026", periods=2, tz="UTC"))),
    "recursive": (lambda: linked(1)),
    "shared": (lambda: shared(True)),
}


@pytest.mark.parametrize("make", EQUAL.values(), ids=EQUAL)
def test_values_made_in_the_same_way_are_equal(make):
    assert compare_values(make(), make()) == Comparison()


NOISY = {
    "a number": (SUM, 0.3, f"{SUM} ≠ 0.3"),
    "in a container": ({"a": [1, SUM]}, {"a": [1, 0.3]}, f"['a'][1]: {SUM} ≠ 0.3"),
    "complex": (SUM * 1j, 0.3j, f".imag: {SUM} ≠ 0.3"),
    "an array": (
        np.array([1.0, SUM, 2.0]),
        np.array([1.0, 0.3, 2.0]),
        f"[1]: {SUM} ≠ 0.3, 1 of 3 numbers differ",
    ),
    "a NumPy number": (np.float64(SUM), np.float64(0.3), f"{SUM} ≠ 0.3"),
    "a frame": (
        frame({"a": [1.0, SUM]}),
        frame({"a": [1.0, 0.3]}),
        f"['a'][1]: {SUM} ≠ 0.3, 1 of 2 numbers differ",
    ),
    "a model": (
        Model(coef=np.array([[SUM]])),
        Model(coef=np.array([[0.3]])),
        f".coef[0, 0]: {SUM} ≠ 0.3",
    ),
    "an index": (
        pd.Series([1], index=[SUM]),
        pd.Series([1], index=[0.3]),
        f".index[0]: {SUM} ≠ 0.3",
    ),
}


@pytest.mark.parametrize(("left", "right", "detail"), NOISY.values(), ids=NOISY)
def test_numbers_that_differ_by_rounding_are_noise(left, right, detail):
    found = compare_values(left, right)
    assert (found.likeness, found.detail) == (Likeness.NOISE, detail)
    assert found.relative == pytest.approx(NOISE)
    assert not found.passes(0.0)
    assert found.passes(1e-15)


def test_the_largest_noise_counts():
    found = compare_values([1.0, 1.0, 1.0], [1.0, 1.0 + 1e-12, 1.0 + 1e-14])
    assert found.relative == pytest.approx(1e-12, rel=1e-3)
    assert found.detail.startswith("[1]: ")


def test_noise_of_a_type_with_fewer_digits_may_be_larger():
    def compared(kind):
        return compare_values(np.array([1.0], kind), np.array([1.0 + 1e-6], kind)).likeness

    assert compared("float32") is Likeness.NOISE
    assert compared("float64") is Likeness.DIFFERENT


def test_a_tolerance_makes_noise_of_what_is_a_difference_otherwise():
    assert compare_values([1.0], [1.01]).likeness is Likeness.DIFFERENT
    found = compare_values([1.0], [1.01], tolerance=0.05)
    assert (found.likeness, found.passes(0.05)) == (Likeness.NOISE, True)


DIFFERENT = {
    "numbers": (1, 2, "1 ≠ 2"),
    "types of numbers": (1, 1.0, "int ≠ float"),
    "truth": (True, 1, "bool ≠ int"),
    "times of day": (1795529940.43, 1795529940.73, "1795529940.43 ≠ 1795529940.73"),
    "a missing number": ([1.0], [math.nan], "[0]: 1.0 ≠ nan"),
    "zero and a small number": (0.0, 1e-30, "0.0 ≠ 1e-30"),
    "texts": ("a", "b", "'a' ≠ 'b'"),
    "long texts": ("x" * 80 + "a", "x" * 80 + "b", "'xxxxxxxxxxa' ≠ 'xxxxxxxxxxb'"),
    "lengths": ([1], [1, 2], "1 elements ≠ 2"),
    "in a container": ({"a": [1, 2]}, {"a": [1, 3]}, "['a'][1]: 2 ≠ 3"),
    "keys": ({"a": 1}, {"a": 1, "b": 2}, "1 keys ≠ 2 (the second is with 'b')"),
    "order of keys": (
        {"a": 1, "b": 2},
        {"b": 2, "a": 1},
        "its keys stand in another order ('a' ≠ 'b')",
    ),
    "sets": ({1, 2}, {1, 3}, "other elements (the second is without 2)"),
    "attributes": (Model(a=1), Model(b=1), "other attributes (the second is without 'a')"),
    "an attribute": (Model(a=[1]), Model(a=[2]), ".a[0]: 1 ≠ 2"),
    "closures": (adder(1), adder(2), ".__closure__[0]: 1 ≠ 2"),
    "dtype": (np.array([1]), np.array([1.0]), "dtype int64 ≠ float64"),
    "shape": (np.zeros(2), np.zeros((2, 1)), "shape (2,) ≠ (2, 1)"),
    "an array": (np.array([1, 2, 3]), np.array([1, 5, 6]), "[1]: 2 ≠ 5, and 1 more"),
    "an array with an infinite number": (np.array([1.0]), np.array([np.inf]), "[0]: 1.0 ≠ inf"),
    "objects in an array": (np.array(["a", 1], object), np.array(["a", 2], object), "[1]: 1 ≠ 2"),
    "a column": (frame({"a": [1, 2]}), frame({"a": [1, 3]}), "['a'][1]: 2 ≠ 3"),
    "columns": (frame({"a": [1]}), frame({"b": [1]}), ".columns[0]: 'a' ≠ 'b'"),
    "order of rows": (
        frame({"a": [1, 2]}, index=[0, 1]),
        frame({"a": [2, 1]}, index=[1, 0]),
        ".index: RangeIndex ≠ Index",
    ),
    "notes on a frame": (
        frame({"a": [1]}),
        frame({"a": [1]}).assign(),
        ".attrs: 1 keys ≠ 0 (the second is without 'source')",
    ),
    "what is shared": (shared(True), shared(False), "[1]: shares its object with other parts"),
    "recursive": (linked(1), linked(2), "[0]: 1 ≠ 2"),
}
DIFFERENT["notes on a frame"][0].attrs["source"] = "x"


@pytest.mark.parametrize(("left", "right", "detail"), DIFFERENT.values(), ids=DIFFERENT)
def test_the_first_difference_is_told_with_its_place(left, right, detail):
    found = compare_values(left, right)
    assert found.likeness is Likeness.DIFFERENT
    if detail.startswith(".index: "):
        assert found.detail.startswith(".index")
    else:
        assert found.detail.startswith(detail)
        assert "\n" not in found.detail


INCOMPARABLE = {
    "opaque": (Opaque(), Opaque(), "a tests.store.test_differences.Opaque, is opaque"),
    "opaque inside": ([Opaque()], [Opaque()], "[0], a "),
    "objects without equality in a set": ({object()}, {object()}, "it is a set of objects"),
    "too deep": (nested(1.5, 100_000), nested(2.5, 100_000), "it is nested too deeply"),
}


@pytest.mark.parametrize(("left", "right", "detail"), INCOMPARABLE.values(), ids=INCOMPARABLE)
def test_what_nobody_can_tell_is_not_called_equal(left, right, detail):
    found = compare_values(left, right)
    assert found.likeness is Likeness.INCOMPARABLE
    assert detail.rpartition(".")[2] in found.detail
    assert not found.passes(1.0)


def test_attributes_that_were_asked_for_and_are_none_make_no_difference():
    asked, unasked = io.StringIO("a"), io.StringIO("a")
    assert vars(asked) == {}
    assert compare_values(asked, unasked) == Comparison()
    found = compare_values(asked, io.StringIO("b"))
    assert found.detail == "(state)[0]: 'a' ≠ 'b'"


def test_fitted_models_are_compared_by_their_arrays():
    linear_model = pytest.importorskip("sklearn.linear_model")
    ensemble = pytest.importorskip("sklearn.ensemble")
    x = np.arange(40.0).reshape(20, 2)
    y = (x[:, 0] > 15).astype(int)
    logistic = [linear_model.LogisticRegression(C=c).fit(x, y) for c in (1.0, 1.0, 2.0)]
    assert compare_values(logistic[0], logistic[1]) == Comparison()
    assert compare_values(logistic[0], logistic[2]).detail == ".C: 1.0 ≠ 2.0"
    forests = [ensemble.RandomForestClassifier(3, random_state=s).fit(x, y) for s in (0, 0, 1)]
    assert compare_values(forests[0], forests[1]) == Comparison()
    assert compare_values(forests[0], forests[2]).likeness is Likeness.DIFFERENT


def test_polars_frames_are_compared_by_column():
    pl = pytest.importorskip("polars")
    left = pl.DataFrame({"a": [1.0, None], "b": ["x", "y"]})
    assert compare_values(left, left.clone()) == Comparison()
    found = compare_values(left, left.with_columns(b=pl.Series(["x", "z"])))
    assert found.detail == "['b'][1]: 'y' ≠ 'z'"


def test_figures_are_compared_by_what_they_draw():
    figures = pytest.importorskip("matplotlib.figure")

    def drawn(*points):
        figure = figures.Figure()
        figure.subplots().plot(points)
        return figure

    assert compare_values(drawn(1, 2), drawn(1, 2)) == Comparison()
    assert compare_values(drawn(1, 2), drawn(2, 1)).detail == "it draws another picture"
    axes = compare_values(drawn(1, 2).axes[0], drawn(1, 3).axes[0])
    assert axes.likeness is Likeness.DIFFERENT
