"""Blobs as read-only files: `objects/ab/abcd…`."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from blake3 import blake3

from nbpipe.errors import CorruptStoreError
from nbpipe.model.digest import Digest, digest_bytes
from nbpipe.store.blobs.checked import CheckedFiles
from nbpipe.store.blobs.protocol import BlobFacts, Chunk
from nbpipe.store.unavailable import store_unavailable

# Below this, reading costs no more than mapping, and a process may only have 65,530 mappings.
MAPPED_FROM_BYTES: Final = 1 << 20
_PARTIAL: Final = ".partial-"
_LARGEST_WRITE: Final = 1 << 30


class LocalBlobs:
    """A `BlobStore` in a directory, for any number of processes at once.

    A blob appears by renaming a complete file, so no reader ever sees half of one. Nothing is
    forced to the disk: what a power cut damages is found by its digest, and computed again.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._checked = CheckedFiles(directory / "checked")

    def path(self, digest: Digest) -> Path:
        """Give the file that holds, or would hold, the blob."""
        return self._directory / digest[:2] / digest

    def put(self, chunks: Sequence[Chunk]) -> Digest:
        """Store the chunks as one blob, all or nothing; storing again only renews its time."""
        # A view with a zero in its shape cannot be cast.
        views = [memoryview(chunk).cast("B") for chunk in chunks if len(chunk)]
        digest = digest_bytes(*views)
        if not self._renew(digest, sum(view.nbytes for view in views)):
            self._write(digest, views)
        return digest

    def read(self, digest: Digest) -> bytes:
        """Give the bytes, checked."""
        with self.open(digest) as file:
            return file.read()

    def map(self, digest: Digest) -> memoryview:
        """Give the bytes, checked, as private writable memory: writing never reaches the file."""
        with self._open(digest) as file:
            facts = os.fstat(file.fileno())
            if facts.st_size < MAPPED_FROM_BYTES:
                content = memoryview(bytearray(file.read()))
            else:
                content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
            if not self._is_checked(digest, facts):
                self._check(digest, digest_bytes(content), facts)
        return content

    def open(self, digest: Digest) -> BinaryIO:
        """Open the bytes, checked, for streaming."""
        file = self._open(digest)
        facts = os.fstat(file.fileno())
        if not self._is_checked(digest, facts):
            try:
                self._check(digest, _digest_of(file), facts)
            except BaseException:
                file.close()
                raise
            file.seek(0)
        return file

    def verify(self, digest: Digest) -> None:
        """Read all of the blob, whatever was noted of it before."""
        with self._open(digest) as file:
            self._check(digest, _digest_of(file), os.fstat(file.fileno()))

    def size(self, digest: Digest) -> int | None:
        """Give the size in bytes, or None when there is no such blob."""
        try:
            # Thousands of these decide that a run has nothing to do; a `Path` each costs more.
            return os.stat(f"{self._directory}/{digest[:2]}/{digest}").st_size  # noqa: PTH116
        except FileNotFoundError:
            return None
        except OSError as error:
            raise store_unavailable("look at", self.path(digest), error) from error

    def has(self, digest: Digest) -> bool:
        """Say whether the blob is there. It may still be damaged."""
        return self.size(digest) is not None

    def delete(self, digest: Digest, *, written_before: float) -> bool:
        """Delete the blob unless it was written later than that; say whether it is gone."""
        path = self.path(digest)
        doomed = path.with_name(f"{_PARTIAL}{os.urandom(8).hex()}")
        try:
            if path.stat().st_mtime >= written_before:
                return False
            # A writer that finds the blob there renews its time and relies on it. Take the file
            # out of the way before the last look at its time: either the writer renewed it before
            # and it goes back, or the writer no longer finds it and writes it anew.
            path.rename(doomed)
            if doomed.stat().st_mtime >= written_before:
                doomed.replace(path)
                return False
            doomed.unlink()
        except FileNotFoundError:
            return True
        except PermissionError:
            return False  # On Windows: somebody has it open.
        except OSError as error:
            raise store_unavailable("delete", path, error) from error
        return True

    def delete_leftovers(self, *, written_before: float) -> int:
        """Delete what interrupted writers left behind; give the number of bytes."""
        freed = 0
        for entry in self._entries():
            if not entry.name.startswith(_PARTIAL):
                continue
            with suppress(FileNotFoundError, PermissionError):
                facts = entry.stat()
                if facts.st_mtime < written_before:
                    Path(entry.path).unlink()
                    freed += facts.st_size
        self._checked.forget_all()
        return freed

    def __iter__(self) -> Iterator[BlobFacts]:
        """Go through all blobs, in no particular order."""
        for entry in self._entries():
            if entry.name.startswith(_PARTIAL):
                continue
            with suppress(FileNotFoundError):
                facts = entry.stat()
                yield BlobFacts(
                    digest=Digest(entry.name), size=facts.st_size, written=facts.st_mtime
                )

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        try:
            for shard in os.scandir(self._directory):
                if shard.is_dir():
                    yield from os.scandir(shard.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise store_unavailable("list", self._directory, error) from error

    def _open(self, digest: Digest) -> BinaryIO:
        path = self.path(digest)
        try:
            return path.open("rb", buffering=0)
        except FileNotFoundError as error:
            raise CorruptStoreError(
                f"The store has lost blob {digest[:12]}… ({path}).",
                hint="Run the step that made it again: `nbpipe run --force`.",
            ) from error
        except OSError as error:
            raise store_unavailable("read", path, error) from error

    def _is_checked(self, digest: Digest, facts: os.stat_result) -> bool:
        return facts.st_size >= MAPPED_FROM_BYTES and self._checked.covers(digest, facts)

    def _check(self, digest: Digest, found: Digest, facts: os.stat_result) -> None:
        if found != digest:
            raise CorruptStoreError(
                f"Blob {digest[:12]}… is damaged: its {facts.st_size:,} bytes have another digest "
                f"({self.path(digest)}).",
                hint="Run the step that made it again: `nbpipe run --force`.",
            )
        if facts.st_size >= MAPPED_FROM_BYTES:
            self._checked.add(digest, facts)

    def _renew(self, digest: Digest, size: int) -> bool:
        """Say whether the blob is there and sound; if so its time becomes now."""
        path = self.path(digest)
        try:
            if path.stat().st_size != size:
                return False
            self.open(digest).close()
        except (FileNotFoundError, NotADirectoryError, CorruptStoreError):
            return False
        except OSError as error:
            raise store_unavailable("read", path, error) from error
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        except PermissionError:
            return True  # Another user's file, or a read-only store: it is there all the same.
        except OSError as error:
            raise store_unavailable("write", path, error) from error
        if size >= MAPPED_FROM_BYTES:
            with suppress(OSError):
                self._checked.add(digest, path.stat())
        return True

    def _write(self, digest: Digest, chunks: Sequence[memoryview]) -> None:
        path = self.path(digest)
        partial = path.with_name(f"{_PARTIAL}{os.urandom(8).hex()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o444)
            try:
                for chunk in chunks:
                    _write_all(descriptor, chunk)
            finally:
                os.close(descriptor)
            partial.replace(path)
            facts = path.stat()
        except OSError as error:
            _remove(partial)
            raise store_unavailable("write", path, error) from error
        except BaseException:
            _remove(partial)
            raise
        if facts.st_size >= MAPPED_FROM_BYTES:
            self._checked.add(digest, facts)


_BINARY: Final[int] = getattr(os, "O_BINARY", 0)


def _write_all(descriptor: int, chunk: memoryview) -> None:
    written = 0
    while written < chunk.nbytes:
        written += os.write(descriptor, chunk[written : written + _LARGEST_WRITE])


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _digest_of(file: BinaryIO) -> Digest:
    hasher = blake3()
    while block := file.read(1 << 20):
        hasher.update(block)
    return Digest(hasher.hexdigest())
