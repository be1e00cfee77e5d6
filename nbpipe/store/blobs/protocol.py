"""What a place for bytes must do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol, TypeAlias

from nbpipe.model.digest import Digest

Chunk: TypeAlias = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobFacts:
    """A blob as it lies in the store. `written` is the second, since 1970, of its last `put`."""

    digest: Digest
    size: int
    written: float


class BlobStore(Protocol):
    """Bytes by digest. A blob is never changed.

    Every method raises StoreUnavailableError when the place cannot be reached. `read`, `map` and
    `open` raise CorruptStoreError when the blob is gone or is not what its digest says.
    """

    def put(self, chunks: Sequence[Chunk]) -> Digest:
        """Store the chunks as one blob, all or nothing; storing again only renews `written`."""
        ...

    def read(self, digest: Digest) -> bytes:
        """Give the bytes."""
        ...

    def map(self, digest: Digest) -> memoryview:
        """Give the bytes as private, writable memory, without reading them where possible."""
        ...

    def open(self, digest: Digest) -> BinaryIO:
        """Open the bytes for streaming."""
        ...

    def verify(self, digest: Digest) -> None:
        """Read all of the blob, whatever was noted of it before.

        Raises:
            CorruptStoreError: it is gone, or is not what its digest says.
        """
        ...

    def size(self, digest: Digest) -> int | None:
        """Give the size in bytes, or None when there is no such blob."""
        ...

    def has(self, digest: Digest) -> bool:
        """Say whether the blob is there. It may still be damaged."""
        ...

    def delete(self, digest: Digest, *, written_before: float) -> bool:
        """Delete the blob unless it was written later than that; say whether it is gone."""
        ...

    def delete_leftovers(self, *, written_before: float) -> int:
        """Delete what interrupted writers left behind; give the number of bytes."""
        ...

    def __iter__(self) -> Iterator[BlobFacts]:
        """Go through all blobs, in no particular order."""
        ...
