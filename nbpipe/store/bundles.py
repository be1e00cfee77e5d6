"""Bundles: how the values of one alias group lie in the blob store.

A bundle is a small descriptor blob that names a head blob and any number of buffer blobs. Large
arrays are buffers, so two versions of a table that differ in one column share all other blobs.
The descriptor names no variable: renaming one changes no digest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from nbpipe.errors import ConfigurationError, CorruptStoreError
from nbpipe.model.artifact import Format
from nbpipe.model.digest import Digest
from nbpipe.store.blobs.protocol import BlobStore, Chunk

# Raised when the descriptor itself changes; the revision of a format is another matter.
_DESCRIPTOR = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobReference:
    """A blob and its size in bytes."""

    digest: Digest
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A descriptor, read: `head` and `buffers` are what the serializer of `format` wrote."""

    format: Format
    head: BlobReference
    buffers: tuple[BlobReference, ...]

    @property
    def size(self) -> int:
        """Bytes of head and buffers; a buffer that occurs twice counts twice."""
        return self.head.size + sum(buffer.size for buffer in self.buffers)


def write_bundle(
    blobs: BlobStore, written: Format, *, head: Sequence[Chunk], buffers: Sequence[memoryview]
) -> tuple[Digest, Bundle]:
    """Store a bundle; its digest is that of the descriptor, which is stored last."""
    bundle = Bundle(
        format=written,
        head=_put(blobs, head),
        buffers=tuple(_put(blobs, [buffer]) for buffer in buffers),
    )
    descriptor = {
        "descriptor": _DESCRIPTOR,
        "format": written.name,
        "revision": written.revision,
        "head": [bundle.head.digest, bundle.head.size],
        "buffers": [[buffer.digest, buffer.size] for buffer in bundle.buffers],
    }
    text = json.dumps(descriptor, sort_keys=True, separators=(",", ":"))
    return blobs.put([text.encode("ascii")]), bundle


def read_bundle(blobs: BlobStore, digest: Digest) -> Bundle:
    """Read a descriptor.

    Raises:
        CorruptStoreError: the blob is gone, damaged, or no descriptor.
        ConfigurationError: a newer nbpipe wrote it.
    """
    content = blobs.read(digest)
    try:
        match json.loads(content):
            case {
                "descriptor": 1,
                "format": str(name),
                "revision": int(revision),
                "head": [str(head), int(size)],
                "buffers": list(buffers),
            }:
                return Bundle(
                    format=Format(name=name, revision=revision),
                    head=BlobReference(digest=Digest(head), size=size),
                    buffers=tuple(
                        BlobReference(digest=Digest(buffer), size=size) for buffer, size in buffers
                    ),
                )
            case {"descriptor": int(number)} if number > _DESCRIPTOR:
                raise ConfigurationError(
                    f"Bundle {digest[:12]}… was written by a newer nbpipe.",
                    hint="Upgrade nbpipe, or run the step again with --force.",
                )
    except ValueError as error:
        if isinstance(error, ConfigurationError):
            raise
    raise CorruptStoreError(f"Blob {digest[:12]}… is not a bundle.")


def blobs_of_bundle(blobs: BlobStore, digest: Digest) -> dict[Digest, int]:
    """Give every blob that a bundle needs, its descriptor included, with its size."""
    bundle = read_bundle(blobs, digest)
    sizes = {part.digest: part.size for part in (bundle.head, *bundle.buffers)}
    return sizes | {digest: blobs.size(digest) or 0}


def _put(blobs: BlobStore, chunks: Sequence[Chunk]) -> BlobReference:
    size = sum(memoryview(chunk).nbytes for chunk in chunks)
    return BlobReference(digest=blobs.put(chunks), size=size)
