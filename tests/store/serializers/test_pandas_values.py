"""Pandas 2.3 and 3: what comes back is the frame that went in."""

import numpy as np
import pandas as pd
import pytest

from tests.store.namespaces import comes_back, content, round_trip, stored

copies_on_write = pd.__version__ >= "3" or pd.options.mode.copy_on_write is True


def frame_with(index=None, columns=None, **attributes):
    frame = pd.DataFrame([[1, 2.0], [3, 4.0]], index=index, columns=columns)
    for name, value in attributes.items():
        setattr(frame, name, value)
    return frame


def named_columns():
    frame = frame_with(columns=["a", "b"])
    frame.columns.name = "kind"
    return frame


def unique_labels():
    frame = frame_with()
    frame.flags.allows_duplicate_labels = False
    return frame


times = pd.date_range("2020", periods=6, freq="h", tz="Europe/Paris")
arrays = {
    "unused category": pd.Categorical(["u", "v"], categories=["w", "v", "u"], ordered=True),
    "zoned": times[:2],
    "naive": pd.DatetimeIndex(["2020", None]),
    "durations": pd.to_timedelta([1, None], unit="s"),
    "Int64": pd.array([1, None], dtype="Int64"),
    "boolean": pd.array([True, None], dtype="boolean"),
    "Float64": pd.array([1.5, None], dtype="Float64"),
    "string": pd.array(["a", None], dtype="string"),
    "arrow": pd.array([1.5, None], dtype="double[pyarrow]"),
    "arrow string": pd.array(["a", None], dtype="string[pyarrow]"),
    "period": pd.period_range("2000", periods=2, freq="M"),
    "interval": pd.arrays.IntervalArray.from_breaks([0, 1, 2]),
    "sparse": pd.arrays.SparseArray([0, 1]),
    "complex": np.array([1j, 2]),
    "objects": np.array([{"a": 1}, None], dtype=object),
    "mixed": np.array([1, "a"], dtype=object),
    "texts": ["a", "b"],
    "int8": np.array([1, 2], dtype="i1"),
    "bool": [True, False],
}
frames = {
    **{name: pd.DataFrame({"x": array}) for name, array in arrays.items()},
    "empty": pd.DataFrame(),
    "no rows": pd.DataFrame({"a": pd.Series(dtype="f8")}),
    "no columns": pd.DataFrame(index=[1, 2]),
    "duplicate columns": frame_with(columns=["a", "a"]),
    "number columns": frame_with(columns=[1, 0]),
    "mixed columns": frame_with(columns=["a", 1]),
    "column name": named_columns(),
    "text index": frame_with(index=["x", "y"]),
    "duplicate index": frame_with(index=[1, 1]),
    "time index": frame_with(index=times[:2]),
    "multi-index": frame_with(
        index=pd.MultiIndex.from_product([["a"], [1, 2]], names=["k", None]),
        columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]),
    ),
    "attributes": frame_with(attrs={"source": {"url": "…"}}),
    "flags": unique_labels(),
}


@pytest.mark.parametrize("name", frames)
def test_frames_come_back_as_they_were(name):
    frame = frames[name]
    loaded = comes_back(frame)
    pd.testing.assert_frame_equal(
        loaded, frame, check_freq=True, check_flags=True, check_column_type="exact"
    )
    assert loaded.dtypes.tolist() == frame.dtypes.tolist()
    assert loaded.attrs == frame.attrs
    assert loaded.columns.names == frame.columns.names


@pytest.mark.parametrize("name", arrays)
def test_series_and_indexes_come_back_as_they_were(name):
    series = pd.Series(arrays[name], name="s")
    pd.testing.assert_series_equal(comes_back(series), series)
    if name not in {"objects", "mixed"}:
        index = pd.Index(arrays[name], name="i")
        pd.testing.assert_index_equal(comes_back(index), index, exact=True)


def test_scalars_come_back_as_they_were():
    for value in (
        pd.NA, pd.NaT, pd.Timestamp("2020", tz="UTC"), pd.Timedelta("1h"), pd.Period("2020-01"),
        pd.Interval(0, 1, closed="both"), pd.offsets.MonthEnd(2), np.float32(1.5), np.int64(3),
    ):  # fmt: skip
        loaded = comes_back(value)
        assert type(loaded) is type(value)
        assert loaded is value or loaded == value


def test_a_grouping_comes_back_with_its_frame():
    frame = pd.DataFrame({"a": [1, 1, 2], "b": [1, 2, 3]})
    loaded = round_trip({"groups": frame.groupby("a"), "frame": frame})
    assert loaded["groups"]["b"].sum().tolist() == [3, 3]
    assert loaded["groups"].obj is loaded["frame"]


def test_every_difference_shows_in_the_digest():
    base = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    different = {
        "base": base,
        "renamed column": base.rename(columns={"a": "c"}),
        "index": base.set_axis([5, 6]),
        "index name": base.rename_axis("i"),
        "index type": base.set_axis([0.0, 1.0]),
        "duplicate index": base.set_axis([0, 0]),
        "dtype": base.astype("i4"),
        "nullable": base.astype("Int64"),
        "object": base.astype(object),
        "column order": base[["b", "a"]],
        "row order": base[::-1],
        "swapped values": pd.DataFrame({"a": [2, 1], "b": [3, 4]}),
        "values": pd.DataFrame({"a": [2**53, 2], "b": [3, 4]}),
        "values by one": pd.DataFrame({"a": [2**53 + 1, 2], "b": [3, 4]}),
        "text": pd.DataFrame({"a": ["1", "2"], "b": [3, 4]}),
        "series": base["a"],
        "attrs": base.assign(),
    }
    different["attrs"].attrs["k"] = 1
    assert len({content(frame) for frame in different.values()}) == len(different)


def test_the_same_frame_made_twice_has_one_digest():
    def make():
        frame = pd.DataFrame({"a": np.arange(50_000), "s": ["x", "y"] * 25_000})
        frame["t"] = pd.date_range("2020", periods=50_000, freq="s")
        return frame

    assert content(make()) == content(make())


def test_a_new_column_stores_one_column(tmp_path):
    from nbpipe.store.blobs.local import LocalBlobs

    blobs = LocalBlobs(tmp_path)
    frame = pd.DataFrame(np.random.default_rng(0).random((50_000, 5)))
    stored({"frame": frame}, blobs=blobs)
    before = sum(blob.size for blob in blobs)
    frame["new"] = np.arange(50_000.0)
    stored({"frame": frame}, blobs=blobs)
    added = sum(blob.size for blob in blobs) - before
    assert 400_000 <= added < 410_000


def test_dates_are_stored_as_buffers_of_their_own():
    frame = pd.DataFrame({"t": pd.date_range("2020", periods=50_000, freq="s", tz="UTC")})
    from nbpipe.store.serializers.pickled_objects import dump_objects

    pickled = dump_objects(frame, namespace={}, definitions=frozenset())
    assert [buffer.nbytes for buffer in pickled.serialized.buffers] == [400_000]


def test_a_loaded_frame_can_be_changed_in_place():
    frame = pd.DataFrame(np.zeros((200_000, 3)), columns=list("abc"))
    loaded = comes_back(frame)
    loaded.loc[0, "a"] = 1.0
    loaded["d"] = 2
    loaded["a"] *= 3
    del loaded["b"]
    loaded.iloc[1, 0] = 7.0
    assert loaded.iloc[:2].to_numpy().tolist() == [[3.0, 0.0, 2.0], [7.0, 0.0, 2.0]]
    assert comes_back(frame).to_numpy().sum() == 0


@pytest.mark.skipif(not copies_on_write, reason="needs copy-on-write")
class TestCopyOnWrite:
    def test_frames_that_share_memory_do_not_see_each_other_after_loading(self):
        frame = pd.DataFrame({"a": np.arange(4.0), "c": pd.Categorical(list("xyxy"))})
        values = {"frame": frame, "series": frame["a"], "shallow": frame.copy(deep=False)}
        for loaded in (round_trip(values), comes_back(values)):
            loaded["series"].loc[1] = 98.0
            assert loaded["frame"]["a"].tolist() == [0, 1, 2, 3]
            loaded["series"].loc[1] = 1.0
            loaded["frame"].loc[0, "a"] = 99.0
            loaded["frame"].loc[0, "c"] = "y"
            assert loaded["series"].tolist() == [0, 1, 2, 3]
            assert loaded["shallow"]["a"].tolist() == [0, 1, 2, 3]
            assert loaded["shallow"]["c"].tolist() == list("xyxy")

    def test_series_of_objects_do_not_see_each_other_after_loading(self):
        series = pd.Series([[1], 2, "x"], dtype=object)
        loaded = round_trip({"series": series, "other": pd.Series(series)})
        assert loaded["series"][0] is loaded["other"][0]
        loaded["series"][1] = 5
        assert loaded["other"].tolist() == [[1], 2, "x"]

    def test_an_index_made_of_a_column_does_not_change_with_it(self):
        frame = pd.DataFrame({"a": np.arange(4.0)})
        frame.index = pd.Index(frame["a"])
        loaded = comes_back({"frame": frame, "index": frame.index})
        loaded["frame"].iloc[0, 0] = 99.0
        assert loaded["frame"].index.tolist() == [0, 1, 2, 3]
        assert loaded["index"].tolist() == [0, 1, 2, 3]

    def test_an_array_that_shows_a_frame_still_does(self):
        frame = pd.DataFrame({"a": np.arange(4.0)})
        loaded = round_trip({"frame": frame, "array": frame["a"].to_numpy()})
        loaded["frame"].loc[0, "a"] = 99.0
        assert loaded["array"].tolist() == [99, 1, 2, 3]
        assert not loaded["array"].flags.writeable

    def test_an_array_that_shows_a_reversed_frame_still_does(self):
        frame = pd.DataFrame({"a": np.arange(4.0), "b": np.arange(4)})
        array = frame["a"].to_numpy()
        frame = frame[::-1]
        loaded = round_trip({"frame": frame, "array": array})
        loaded["frame"].iloc[0, 0] = 99.0
        assert loaded["array"].tolist() == [0, 1, 2, 99]

    def test_a_digest_does_not_depend_on_who_else_shares_the_memory(self):
        frame = pd.DataFrame({"a": np.arange(4.0)})
        alone = content(frame)
        others = [frame["a"], frame.copy(deep=False)]
        assert content(frame) == alone
        assert others


@pytest.mark.skipif(copies_on_write, reason="needs pandas without copy-on-write")
class TestSharedMemory:
    def test_a_column_and_its_frame_still_change_together(self):
        frame = pd.DataFrame({"a": np.arange(4.0), "b": np.arange(4.0)})
        series = frame["a"]
        for loaded in (
            round_trip({"frame": frame, "series": series}),
            comes_back({"frame": frame, "series": series}),
        ):
            loaded["series"].iloc[0] = 99.0
            assert loaded["frame"]["a"].tolist() == [99, 1, 2, 3]
            loaded["frame"].iloc[1, 0] = 98.0
            assert loaded["series"].tolist() == [99, 98, 2, 3]

    def test_an_array_and_its_frame_still_change_together(self):
        array = np.zeros((3, 2))
        loaded = round_trip({"array": array, "frame": pd.DataFrame(array)})
        loaded["array"][0, 0] = 5
        assert loaded["frame"].iloc[0, 0] == 5

    def test_rows_and_their_frame_still_change_together(self):
        frame = pd.DataFrame({"a": np.arange(4.0), "b": np.arange(4.0)})
        loaded = round_trip({"frame": frame, "rows": frame.iloc[1:3], "turned": frame.T})
        loaded["frame"].iloc[1, 0] = 99.0
        assert loaded["rows"].iloc[0, 0] == 99.0
        assert loaded["turned"].iloc[0, 1] == 99.0
