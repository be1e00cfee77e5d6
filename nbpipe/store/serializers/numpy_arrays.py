"""NumPy arrays as `.npy`: one blob that `numpy.load` reads, too."""

# ruff: noqa: PLC0415 - an optional library is imported where it is used.
from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

from nbpipe.model.artifact import Format
from nbpipe.store.serializers.protocol import Serialized

if TYPE_CHECKING:
    import numpy as np


class NumpyArrays:
    """The format `npy`: `ndarray` itself, without references to Python objects."""

    format: Final = Format(name="npy", revision=1)

    def accepts(self, value: object) -> bool:
        """Say whether the value is an array and of no subclass."""
        numpy = sys.modules.get("numpy")
        return numpy is not None and type(value) is numpy.ndarray

    def dump(self, value: object) -> Serialized | None:
        """Give header and data, or None when the header cannot tell all there is to tell."""
        import numpy as np

        assert isinstance(value, np.ndarray)
        is_whole = value.flags.writeable and (value.flags.c_contiguous or value.flags.f_contiguous)
        if not is_whole or not _is_kept(value.dtype):
            return None
        header = io.BytesIO()
        np.lib.format.write_array_header_2_0(
            header, np.lib.format.header_data_from_array_1_0(value)
        )
        # `T` of a Fortran-ordered array has the same memory in C order. Dates have no buffers,
        # so every array goes as bytes.
        in_order = value if value.flags.c_contiguous else value.T
        data = in_order.reshape(-1).view(np.uint8) if value.nbytes else np.empty(0, np.uint8)
        return Serialized(head=[header.getvalue(), data.data])

    def load(self, head: memoryview, buffers: Sequence[memoryview]) -> object:  # noqa: ARG002
        """Give the array, in place in the memory."""
        import numpy as np

        # The header's own length stands in bytes 8 to 12 (version 2 of the format).
        start = 12 + int.from_bytes(head[8:12], "little")
        file = io.BytesIO(head[:start])
        np.lib.format.read_magic(file)
        shape, is_fortran, dtype = np.lib.format.read_array_header_2_0(file)
        order: Literal["F", "C"] = "F" if is_fortran else "C"
        return np.ndarray(shape, dtype, buffer=head, offset=start, order=order)


def _is_kept(dtype: np.dtype[np.generic]) -> bool:
    import numpy as np

    if dtype.hasobject or dtype.metadata is not None:
        return False
    # Titles, alignment, offsets, sub-arrays and foreign types do not all survive as a description.
    described = np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(dtype))
    return (
        dtype.kind in "biufcmMSU"
        and type(described) is type(dtype)
        and described == dtype
        and described.metadata is None
        and described.isalignedstruct == dtype.isalignedstruct
    )
