"""Arrow and Polars tables as Arrow's own stream: read by every language, and it cannot run code."""

# ruff: noqa: PLC0415 - an optional library is imported where it is used.
from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Any, Final

from nbpipe.model.artifact import Format
from nbpipe.store.serializers.protocol import Serialized


class ArrowTables:
    """The format `arrow`: `pyarrow.Table` and `pyarrow.RecordBatch`."""

    format: Final = Format(name="arrow", revision=1)

    def accepts(self, value: object) -> bool:
        """Say whether the value is a table or a batch."""
        arrow = sys.modules.get("pyarrow")
        return arrow is not None and type(value) in (arrow.Table, arrow.RecordBatch)

    def dump(self, value: Any) -> Serialized | None:  # noqa: ANN401 - pyarrow has no types
        """Give the stream, or None when reading it gives anything else than the value."""
        import pyarrow as pa

        kind = b"t" if isinstance(value, pa.Table) else b"b"
        sink = pa.BufferOutputStream()
        try:
            with pa.ipc.new_stream(sink, value.schema) as writer:
                writer.write(value)
            stream = sink.getvalue()
            loaded = _read(kind, stream)
        except (pa.ArrowException, TypeError):
            return None
        if not (loaded.schema.equals(value.schema, check_metadata=True) and _equal(loaded, value)):
            return None
        return Serialized(head=[memoryview(stream), kind])

    def load(self, head: memoryview, buffers: Sequence[memoryview]) -> object:  # noqa: ARG002
        """Give the table or batch, in place in the memory."""
        import pyarrow as pa

        return _read(bytes(head[-1:]), pa.py_buffer(head[:-1]))


def _read(kind: bytes, stream: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    import pyarrow as pa

    with pa.ipc.open_stream(stream) as reader:
        if kind == b"t":
            return reader.read_all()
        return reader.read_next_batch()


def _equal(loaded: Any, value: Any) -> bool:  # noqa: ANN401 - pyarrow has no types
    # Arrow's `equals` says that NaN differs from NaN; the bytes decide then.
    if loaded.equals(value):
        return True
    return all(
        a.type == b.type and a.null_count == b.null_count and _same_bytes(a, b)
        for a, b in zip(loaded.columns, value.columns, strict=True)
    )


def _same_bytes(a: Any, b: Any) -> bool:  # noqa: ANN401 - pyarrow has no types
    import pyarrow as pa

    if a.equals(b):
        return True
    if not pa.types.is_floating(a.type):
        return False
    # Nulls have arbitrary bytes below them.
    width = pa.int64() if a.type == pa.float64() else pa.int32()
    if a.type not in (pa.float64(), pa.float32()):
        return False
    flat = [x.combine_chunks() if isinstance(x, pa.ChunkedArray) else x for x in (a, b)]
    left, right = (x.view(width) for x in flat)
    return bool(left.equals(right))


class PolarsFrames:
    """The format `polars`: `polars.DataFrame` and `polars.Series`."""

    format: Final = Format(name="polars", revision=1)

    def accepts(self, value: object) -> bool:
        """Say whether the value is a frame or a series and of no subclass."""
        polars = sys.modules.get("polars")
        return polars is not None and type(value) in (polars.DataFrame, polars.Series)

    def dump(self, value: Any) -> Serialized | None:  # noqa: ANN401 - a frame or a series
        """Give the stream, or None when reading it gives anything else than the value."""
        import polars as pl

        kind = b"f" if isinstance(value, pl.DataFrame) else b"s"
        frame = value if isinstance(value, pl.DataFrame) else value.to_frame()
        sink = io.BytesIO()
        try:
            frame.write_ipc(sink, compression="uncompressed")
            loaded = pl.read_ipc(io.BytesIO(sink.getvalue()))
        except Exception:  # noqa: BLE001 - Polars panics with exceptions of its own
            return None
        is_same = (
            loaded.schema == frame.schema
            and loaded.height == frame.height
            and loaded.equals(frame, null_equal=True)
        )
        return Serialized(head=[sink.getvalue(), kind]) if is_same else None

    def load(self, head: memoryview, buffers: Sequence[memoryview]) -> object:  # noqa: ARG002
        """Give the frame or series."""
        import polars as pl

        frame = pl.read_ipc(io.BytesIO(head[:-1]))
        return frame if bytes(head[-1:]) == b"f" else frame.to_series()
