"""Which format a value is kept in.

A value that stands alone is offered to each serializer in turn; the first that would give it back
exactly is taken. Whatever none of them takes, and every alias group, is pickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nbpipe.errors import ConfigurationError
from nbpipe.model.artifact import Format
from nbpipe.store.serializers.arrow_tables import ArrowTables, PolarsFrames
from nbpipe.store.serializers.json_values import JsonValues
from nbpipe.store.serializers.numpy_arrays import NumpyArrays
from nbpipe.store.serializers.protocol import Serialized, Serializer

BUILT_IN: Final[tuple[Serializer, ...]] = (
    JsonValues(),
    NumpyArrays(),
    ArrowTables(),
    PolarsFrames(),
)


def serialize_alone(
    value: object, further: Sequence[Serializer] = ()
) -> tuple[Format, Serialized] | None:
    """Give the value in the first format that keeps it exactly, or None when it must be pickled."""
    for serializer in (*further, *BUILT_IN):
        if serializer.accepts(value):
            serialized = serializer.dump(value)
            if serialized is not None:
                return serializer.format, serialized
    return None


def serializer_of(written: Format, further: Sequence[Serializer] = ()) -> Serializer:
    """Give the serializer that reads a format.

    Raises:
        ConfigurationError: it is not installed, or too old.
    """
    for serializer in (*further, *BUILT_IN):
        if serializer.format.name == written.name:
            refuse_newer(written, serializer.format)
            return serializer
    raise ConfigurationError(
        f"Nothing here reads the format {written.name!r}.",
        hint="Install the plug-in that wrote it, or upgrade nbpipe.",
    )


def refuse_newer(written: Format, known: Format) -> None:
    """Raise ConfigurationError when bytes have a later revision than the one known here."""
    if written.revision > known.revision:
        raise ConfigurationError(
            f"Revision {written.revision} of the format {written.name!r} is newer than "
            f"{known.revision}, which this version reads.",
            hint="Upgrade nbpipe, or the plug-in that owns the format.",
        )
