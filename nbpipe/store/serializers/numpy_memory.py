"""Where NumPy arrays lie in memory, which of them share it, and rebuilding them so that they do.

Pickling copies a view: after loading, writing through it no longer shows in its base. So arrays of
one bundle that overlap are written as places in one run of memory: an offset, a shape, strides.
"""

# ruff: noqa: PLC0415 - an optional library is imported where it is used.
from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pickle import PickleBuffer
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, order=True)
class Extent:
    """The addresses from `start` up to, not including, `end`."""

    start: int
    end: int


def is_array(value: object) -> bool:
    """Say whether the value is an `ndarray` or of a subclass; never imports NumPy."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def extent(array: Array) -> Extent | None:
    """Give the addresses that the array's elements lie between, or None when it has none."""
    if array.size == 0:
        return None
    start = end = array.__array_interface__["data"][0]
    for length, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            start += (length - 1) * stride
        else:
            end += (length - 1) * stride
    return Extent(start, end + array.itemsize)


def overlapping(extents: Iterable[Extent]) -> list[Extent]:
    """Give the runs of memory in which two or more of the extents overlap, in order."""
    found: list[Extent] = []
    current: Extent | None = None
    count = 0
    for next_extent in sorted(extents):
        if current is not None and next_extent.start < current.end:
            current = Extent(current.start, max(current.end, next_extent.end))
            count += 1
            continue
        if current is not None and count > 1:
            found.append(current)
        current, count = next_extent, 1
    if current is not None and count > 1:
        found.append(current)
    return found


def memory_of(run: Extent) -> memoryview:
    """Give a run of memory as bytes. Whoever owns the memory must outlive the view."""
    memory = (ctypes.c_ubyte * (run.end - run.start)).from_address(run.start)
    # Of all views only this one has the plain byte format that everybody takes.
    return PickleBuffer(memory).raw()


def is_one_memory(one: memoryview, other: memoryview) -> bool:
    """Say whether two pieces of memory are known to be the same; False where NumPy is not there."""
    numpy = sys.modules.get("numpy")
    if numpy is None or one.nbytes != other.nbytes or one.nbytes == 0:
        return False
    views = (numpy.frombuffer(each, dtype="u1") for each in (one, other))
    starts = {view.__array_interface__["data"][0] for view in views}
    return len(starts) == 1


def objects_in(run: Extent, array: Array) -> Array:
    """Give a run of memory that holds object references, such as `array`'s, as a flat array."""
    import numpy as np

    class _Memory:
        __array_interface__ = {  # noqa: RUF012 - NumPy's protocol
            "data": (run.start, False),
            "shape": ((run.end - run.start) // array.itemsize,),
            "strides": (array.itemsize,),
            "typestr": "|O",
            "version": 3,
        }
        owner = array

    return np.asarray(_Memory())


# What follows is named in pickles: keep names and signatures, or raise the format's revision.


def rebuild_memory(buffer: bytearray | memoryview) -> Array:
    """Give the bytes that several arrays share."""
    import numpy as np

    return np.frombuffer(buffer, dtype=np.uint8)


def rebuild_array(  # noqa: PLR0913 - the order is that of the pickles
    memory: Array,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    offset: int,
    is_writeable: bool,  # noqa: FBT001
) -> Array:
    """Give an array that lies in `memory`; its first element is `offset` bytes from the start."""
    import numpy as np

    array: Array = np.ndarray(shape, dtype, buffer=memory.data, offset=offset, strides=strides)
    if not is_writeable:
        array.flags.writeable = False
    return array


def packed(array: Array) -> tuple[Array, tuple[int, ...], bool]:
    """Give the elements of an array with gaps, without these, and how it lay in memory.

    Gives them in C order, the axes in the order in which they lie in memory, and whether there are
    gaps between single elements; else they are between rows.
    """
    lengths, strides = array.shape, [abs(stride) for stride in array.strides]
    axes = tuple(sorted(range(array.ndim), key=lambda a: (lengths[a] > 1, -strides[a])))
    has_gaps_within = lengths[axes[-1]] == 1 or strides[axes[-1]] != array.itemsize
    return array.transpose(axes).copy(order="C"), axes, has_gaps_within


def rebuild_window(
    content: Array,
    axes: tuple[int, ...],
    has_gaps_within: bool,  # noqa: FBT001
    is_writeable: bool,  # noqa: FBT001
) -> Array:
    """Give an array with gaps, as narrow as there are: code asks whether an array has any."""
    import numpy as np

    if has_gaps_within:
        window = np.empty((*content.shape, 2), content.dtype)[..., 0]
    else:
        *rows, length = content.shape
        window = np.empty((*rows, length + 1), content.dtype)[..., :-1]
    window[...] = content
    array: Array = window.transpose(np.argsort(axes))
    if not is_writeable:
        array.flags.writeable = False
    return array


def rebuild_object_array(
    objects: Array,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    position: int,
    is_writeable: bool,  # noqa: FBT001
) -> Array:
    """Give an array of references that lies in `objects`, from `position` on."""
    from numpy.lib.stride_tricks import as_strided

    array: Array = as_strided(objects[position:], shape, strides, writeable=is_writeable)
    return array
