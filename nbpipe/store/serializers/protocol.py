"""What a format must do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nbpipe.model.artifact import Format
from nbpipe.store.blobs.protocol import Chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Serialized:
    """A value as bytes that are still in memory.

    Attributes:
        head: chunks that together become one blob.
        buffers: large pieces that become a blob each, so that equal ones are stored once.
    """

    head: Sequence[Chunk]
    buffers: Sequence[memoryview] = ()

    @property
    def size(self) -> int:
        """Bytes of head and buffers."""
        head = sum(memoryview(chunk).nbytes for chunk in self.head)
        return head + sum(buffer.nbytes for buffer in self.buffers)


class Serializer(Protocol):
    """A format for values that stand alone: equal values give equal bytes, in every process.

    Loading must not run code that the bytes bring along. The entry point group is
    `nbpipe.serializers`; those found there are asked before the built-in ones.
    """

    @property
    def format(self) -> Format:
        """The name and revision that the bytes are marked with."""
        ...

    def accepts(self, value: object) -> bool:
        """Say whether this format is for such values; called often, so judge by type."""
        ...

    def dump(self, value: object) -> Serialized | None:
        """Give the bytes, or None when this very value would not come back exactly."""
        ...

    def load(self, head: memoryview, buffers: Sequence[memoryview]) -> object:
        """Give the value. The memory is private to it: it may be used and changed in place."""
        ...
