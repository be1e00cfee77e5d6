import math

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.namespaces import comes_back, content, format_name

numbers = st.lists(st.none() | st.floats(), max_size=20)
texts = st.lists(st.none() | st.text(), max_size=20)


@given(numbers, texts)
def test_arrow_arrays_come_back(floats, strings):
    size = min(len(floats), len(strings))
    table = pa.table(
        {
            "f": pa.array(floats[:size], pa.float64()),
            "s": pa.array(strings[:size], pa.string()),
            "d": pa.array(strings[:size], pa.string()).dictionary_encode(),
        }
    )
    loaded = comes_back(table)
    assert type(loaded) is pa.Table
    assert loaded.schema.equals(table.schema, check_metadata=True)
    assert str(loaded.to_pydict()) == str(table.to_pydict())


@pytest.mark.parametrize(
    "value",
    [
        pa.table({"a": [1, 2]}, metadata={"k": "v"}),
        pa.table({}),
        pa.table({"a": pa.chunked_array([[1], [2, 3]])}),
        pa.RecordBatch.from_pydict({"a": [1, None]}),
        pa.table({"l": [[1], None], "s": [{"x": 1}, {"x": 2}]}),
        pa.table({"n": [math.nan, 1.0]}),
    ],
    ids=["metadata", "empty", "chunks", "batch", "nested", "nan"],
)
def test_arrow_values_are_kept_as_arrow(value):
    loaded = comes_back(value)
    assert format_name(value) == "arrow"
    assert type(loaded) is type(value)
    assert loaded.schema.equals(value.schema, check_metadata=True)
    assert str(loaded.to_pydict()) == str(value.to_pydict())


def test_a_slice_is_kept_without_the_rest_of_its_table():
    from tests.store.namespaces import stored

    table = pa.table({"a": list(range(100_000))}).slice(10, 5)
    assert stored({"t": table})["t"].size < 2000


@pytest.mark.parametrize(
    "value",
    [
        pl.DataFrame({"a": [1, None], "f": [math.nan, None], "s": ["x", None]}),
        pl.DataFrame({"l": [[1], []], "d": [{"x": 1}, {"x": 2}]}),
        pl.DataFrame({"c": pl.Series(["a", "b"], dtype=pl.Categorical)}),
        pl.DataFrame({"e": pl.Series(["a", "b"], dtype=pl.Enum(["b", "a"]))}),
        pl.DataFrame(),
        pl.DataFrame({"a": []}),
        pl.Series("n", [1, 2]),
        pl.Series("", ["x"]),
    ],
    ids=["nulls", "nested", "categorical", "enum", "empty", "no-rows", "series", "no-name"],
)
def test_polars_values_are_kept_as_arrow(value):
    loaded = comes_back(value)
    assert format_name(value) == "polars"
    assert type(loaded) is type(value)
    assert loaded.equals(value, null_equal=True)
    assert str(loaded) == str(value)


def test_a_lazy_frame_comes_back_as_its_plan():
    lazy = pl.LazyFrame({"a": [1, 2, 3]}).filter(pl.col("a") > 1)
    assert comes_back(lazy).collect().to_dict(as_series=False) == {"a": [2, 3]}


def test_names_types_and_order_tell_digests_apart():
    tables = [
        pa.table({"a": [1]}), pa.table({"b": [1]}), pa.table({"a": [1.0]}), pa.table({"a": ["1"]}),
        pl.DataFrame({"a": [1]}), pl.DataFrame({"b": [1]}), pl.Series("a", [1]),
        pa.table({"a": [1], "b": [2]}), pa.table({"b": [2], "a": [1]}),
    ]  # fmt: skip
    assert len({content(table) for table in tables}) == len(tables)
