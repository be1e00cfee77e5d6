from __future__ import annotations

import dataclasses
import datetime as dt
import io
import threading

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from nbpipe.kernel.optional_values import is_worth_keeping


@dataclasses.dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    "value",
    [
        1, 1.5, True, "text", b"bytes", [1], {"a": 1}, {1}, (1,), range(3),
        dt.date(2026, 1, 1), np.arange(3), np.float64(1), pd.DataFrame({"a": [1]}),
        pd.Series([1]), pd.Timestamp("2026"), LinearRegression(), Point(1),
    ],
)  # fmt: skip
def test_data_are_worth_keeping(value):
    assert is_worth_keeping("name", value)


@pytest.mark.parametrize(
    "value",
    [
        None, np, len, lambda: 1, Point, int, np.add, (n for n in range(3)), io.StringIO(),
        threading.Lock(), iter([]), object(),
    ],
)  # fmt: skip
def test_machinery_is_not(value):
    assert not is_worth_keeping("name", value)


def test_private_names_are_not():
    assert not is_worth_keeping("_name", 1)
