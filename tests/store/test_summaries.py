import time

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from nbpipe.model.artifact import Summary
from nbpipe.store.summaries import summarize, type_name

mpl.use("agg")


def test_a_frame_is_its_size_its_columns_and_its_first_rows():
    frame = pd.DataFrame(
        {"carrier": ["UA", "DL"], "delay": [1.25, None], "n": [1, 2]}, index=[7, 8]
    )
    text = str(frame["carrier"].dtype)
    assert summarize(frame) == Summary(
        type="pandas.DataFrame",
        text="2 rows × 3 columns",
        preview="carrier  delay  n\n     UA   1.25  1\n     DL    nan  2",
        fields={
            "rows": 2,
            "columns": [
                {"name": "carrier", "type": text},
                {"name": "delay", "type": "float64"},
                {"name": "n", "type": "int64"},
            ],
            "column_count": 3,
        },
    )


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (pl.DataFrame({"a": [1]}), "polars.DataFrame", "1 row × 1 column"),
        (pa.table({"a": [1], "b": [2]}), "pyarrow.Table", "1 row × 2 columns"),
        (pd.Series([1, 2], name="s"), "pandas.Series", "2 values of int64"),
        (pl.Series([1.5]), "polars.Series", "1 value of Float64"),
        (np.zeros((336_776, 3)), "numpy.ndarray", "float64, 336,776 × 3"),
        (np.array(1), "numpy.ndarray", "int64, a single value"),
        (LogisticRegression(C=2), "sklearn.linear_model.LogisticRegression",
         "LogisticRegression, not fitted"),
        ([1] * 7, "list", "list of 7 elements"),
        ({"a": 1}, "dict", "dict of 1 entry"),
        (3, "int", "3"),
        (0.1, "float", "0.1"),
        (2.0, "float", "2.0"),
        (float("nan"), "float", "nan"),
        (True, "bool", "True"),
        (None, "NoneType", "None"),
        ("text", "str", "'text'"),
        (b"abc", "bytes", "3 bytes"),
        (np.float64(1.5), "numpy.float64", "1.5"),
        (10**1000, "int", "integer of 3,322 bits"),
        (len, "builtin_function_or_method", "builtin_function_or_method"),
        (summarize, "function", "function summarize"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)  # fmt: skip
def test_values_are_summed_up_by_type(value, kind, text):
    found = summarize(value)
    assert (found.type, found.text) == (kind, text)


def test_figures_of_merit_can_be_compared_by_programs():
    assert summarize(0.93).fields == {"value": 0.93}
    assert summarize(np.int64(3)).fields == {"value": 3}
    assert summarize(float("inf")).fields == {"value": "inf"}  # JSON has no infinity.


def test_a_model_is_its_parameters():
    found = summarize(LogisticRegression(C=2).fit([[0], [1]], [0, 1]))
    assert found.fields["parameters"]["C"] == "2"
    assert found.fields["fitted"]


def test_a_figure_is_its_plots():
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(1, 2)
    ax[0].set_title("Delays")
    assert summarize(fig).text == "figure with 2 plots, 6.4 × 4.8 in"
    assert summarize(fig).preview == "Delays"
    plt.close("all")


class Hostile:
    def __repr__(self):
        raise SystemError

    __str__ = __repr__


class HostileList(list):
    def __len__(self):
        raise ValueError

    def __iter__(self):
        raise ValueError


@pytest.mark.parametrize(
    "value",
    [
        Hostile(),
        [Hostile()] * 10,
        {Hostile: Hostile()},
        HostileList([1]),
        pd.DataFrame({"h": [Hostile(), Hostile()]}),
        np.array([Hostile()], dtype=object),
        LogisticRegression(C=Hostile()),
    ],
    ids=["alone", "list", "dict", "subclass", "frame", "array", "model"],
)
def test_hostile_values_are_summed_up_all_the_same(value):
    found = summarize(value)
    assert found.type == type_name(type(value))
    assert found.text


deep: list[object] = []
deep.append([deep, [[[deep]]]])


@pytest.mark.parametrize(
    "value",
    [
        "x" * 50_000_000,
        [list(range(1000))] * 1_000_000,
        {"k" * 1_000_000: "v" * 1_000_000},
        pd.DataFrame(np.zeros((1000, 5000))),
        pd.DataFrame({"o": [["x" * 1_000_000] * 1000] * 10}),
        np.zeros((3000, 3000)),
        2**10_000_000,
        deep,
    ],
    ids=["text", "list", "dict", "wide", "objects", "array", "integer", "cycle"],
)
def test_huge_values_have_short_summaries_soon(value):
    summarize(value)
    start = time.process_time()
    found = summarize(value)
    assert time.process_time() - start < 0.2  # Tens of times what it takes.
    assert len(found.text) < 300
    assert len(found.preview) < 3000
