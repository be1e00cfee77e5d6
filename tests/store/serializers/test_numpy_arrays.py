import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from tests.store.namespaces import comes_back, content, format_name

dtypes = st.one_of(
    np_st.boolean_dtypes(),
    np_st.integer_dtypes(endianness="?"),
    np_st.floating_dtypes(endianness="?"),
    np_st.complex_number_dtypes(),
    np_st.datetime64_dtypes(),
    np_st.timedelta64_dtypes(),
    np_st.unicode_string_dtypes(),
    np_st.byte_string_dtypes(),
)
shapes = np_st.array_shapes(min_dims=0, max_dims=3, min_side=0)


def assert_same_array(one, other):
    assert type(one) is type(other)
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    assert one.tobytes() == other.tobytes()
    assert one.flags.writeable == other.flags.writeable
    assert one.flags.c_contiguous == other.flags.c_contiguous
    assert one.flags.f_contiguous == other.flags.f_contiguous


@given(dtypes.flatmap(lambda dtype: np_st.arrays(dtype, shapes)), st.sampled_from("CF"))
def test_arrays_come_back_to_the_last_bit(array, order):
    array = np.asarray(array, order=order)
    assert_same_array(comes_back(array), array)
    assert format_name(array) == "npy"


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "array",
    [
        np.array([1, "a", None], dtype=object),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array([1.0], dtype=np.dtype("f8", metadata={"unit": "m"})),
        np.array(["a", "bc"], dtype=np.dtypes.StringDType()),
        read_only(np.arange(3)),
        np.arange(10)[::2],
        np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    ],
    ids=["objects", "records", "metadata", "strings", "read-only", "strided", "transposed"],
)
def test_what_npy_cannot_tell_is_pickled(array):
    assert format_name(array) == "pickle"
    loaded = comes_back(array)
    assert loaded.dtype == array.dtype
    assert loaded.flags.writeable == array.flags.writeable
    assert loaded.tolist() == array.tolist()


def test_the_order_of_axes_in_memory_is_kept():
    array = np.arange(24.0).reshape(2, 3, 4)[:, ::2].transpose(2, 0, 1)
    loaded = comes_back(array)
    assert loaded.tolist() == array.tolist()
    assert np.argsort(loaded.strides).tolist() == np.argsort(array.strides).tolist()


@given(st.sampled_from(["i8", "O"]), np_st.array_shapes(max_dims=3, max_side=5), st.data())
def test_a_window_with_gaps_comes_back_with_gaps(dtype, shape, data):
    array = np.arange(np.prod(shape)).astype(dtype).reshape(shape)
    window = data.draw(np_st.basic_indices(array.shape).map(lambda index: array[index]))
    window = np.asarray(window).transpose(data.draw(st.permutations(range(np.ndim(window)))))
    loaded = comes_back(window)
    assert loaded.tolist() == window.tolist()
    assert loaded.flags.c_contiguous == window.flags.c_contiguous
    assert loaded.flags.f_contiguous == window.flags.f_contiguous
    assert loaded.flags.writeable == window.flags.writeable


def test_windows_and_broadcasts_are_stored_as_small_as_their_memory():
    from tests.store.namespaces import stored

    window = np.lib.stride_tricks.sliding_window_view(np.arange(1000.0), 500)
    broadcast = np.broadcast_to(np.float64(7), (10**6, 10**6))
    for array in (window, broadcast, np.arange(9)[::-1]):
        assert stored({"x": array})["x"].size < 10_000
        loaded = comes_back(array)
        assert (loaded.shape, loaded.strides) == (array.shape, array.strides)
        assert loaded[-1, -1] == array[-1, -1] if array.ndim > 1 else loaded[-1] == array[-1]
        assert loaded.flags.writeable == array.flags.writeable


@pytest.mark.parametrize("kind", [np.ma.MaskedArray, np.matrix, np.rec.recarray])
def test_subclasses_stay_what_they_are(kind):
    array = np.array([[1.0, 2.0]]).view(kind)
    assert type(comes_back(array)) is kind


def test_a_loaded_array_can_be_changed_in_place_and_the_store_stays_as_it_is():
    array = np.arange(500_000.0)
    loaded = comes_back(array)
    loaded[0] = 9.0
    assert loaded[0] == 9.0
    assert comes_back(array)[0] == 0.0


def test_npy_blobs_are_files_that_numpy_reads(tmp_path):
    from nbpipe.store.blobs.local import LocalBlobs
    from nbpipe.store.bundles import read_bundle
    from tests.store.namespaces import stored

    blobs = LocalBlobs(tmp_path)
    array = np.arange(12.0).reshape(3, 4)
    bundle = read_bundle(blobs, stored({"x": array}, blobs=blobs)["x"].bundle)
    assert np.array_equal(np.load(blobs.path(bundle.head.digest)), array)


def test_order_shape_and_dtype_tell_digests_apart():
    arrays = [
        np.arange(6), np.arange(6).reshape(2, 3), np.arange(6).reshape(3, 2),
        np.asfortranarray(np.arange(6).reshape(2, 3)), np.arange(6.0), np.arange(6)[::-1].copy(),
        np.arange(6, dtype="i4"), np.arange(6, dtype=">i8"),
    ]  # fmt: skip
    assert len({content(array) for array in arrays}) == len(arrays)


def test_a_memory_map_that_is_only_read_is_kept_and_one_that_writes_is_refused(tmp_path):
    from tests.store.namespaces import failures

    path = tmp_path / "data"
    np.arange(10.0).tofile(path)
    assert comes_back(np.memmap(path, mode="r", dtype="f8")).tolist() == list(range(10))
    assert "writes to its file" in failures({"m": np.memmap(path, mode="r+", dtype="f8")})["m"]
