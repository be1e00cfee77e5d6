"""Digests of files that steps read, computed once as long as the file stays the same."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Final, TypeAlias

from blake3 import blake3

from nbpipe.model.digest import Digest

# A small file is read as fast as it is looked up in a file of digests.
_CACHED_FROM_BYTES: Final = 1 << 20
# A file may change twice within one tick of its file system's clock, and look the same.
_SETTLED_NANOSECONDS: Final = 2_000_000_000
_MOST_ENTRIES: Final = 10_000

# Size, times of change of content and of anything, inode, time of hashing, digest.
_Entry: TypeAlias = tuple[int, int, int, int, int, str]


class FileDigests:
    """Digests by path, kept from run to run in the file `cache`. Losing it costs only time."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._entries: dict[str, _Entry] | None = None
        self._small: dict[str, _Entry] = {}
        self._changed = False

    def digest(self, path: Path) -> Digest | None:
        """Give the digest of a file's content, or None where there is no readable file."""
        try:
            facts = path.stat()
            if not stat.S_ISREG(facts.st_mode):
                return None
            if facts.st_size < _CACHED_FROM_BYTES:
                return self._digest(path, facts, self._small)
            return self._digest(path, facts, self._loaded())
        except OSError:
            return None

    def save(self) -> None:
        """Keep the digests for the next run."""
        if not self._changed or self._entries is None:
            return
        newest = sorted(self._entries.items(), key=lambda entry: entry[1][4])[-_MOST_ENTRIES:]
        unfinished = self._cache.with_suffix(f".{os.getpid()}")
        try:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_text(json.dumps(dict(newest)), "utf-8")
            unfinished.replace(self._cache)
        except OSError:
            unfinished.unlink(missing_ok=True)
        self._changed = False

    def _digest(self, path: Path, facts: os.stat_result, entries: dict[str, _Entry]) -> Digest:
        name = str(path.absolute())
        known = entries.get(name)
        seen = (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)
        if (
            known is not None
            and known[:4] == seen
            and known[4] - max(facts.st_mtime_ns, facts.st_ctime_ns) > _SETTLED_NANOSECONDS
        ):
            return Digest(known[5])
        hashed = time.time_ns()
        if entries is self._small:
            digest = Digest(blake3(path.read_bytes()).hexdigest())
        else:
            digest = Digest(blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest())
            self._changed = True
        entries[name] = (*seen, hashed, digest)
        return digest

    def _loaded(self) -> dict[str, _Entry]:
        if self._entries is None:
            try:
                content = json.loads(self._cache.read_text("utf-8"))
                self._entries = {
                    name: (
                        int(size),
                        int(changed),
                        int(touched),
                        int(inode),
                        int(hashed),
                        str(text),
                    )
                    for name, (size, changed, touched, inode, hashed, text) in content.items()
                }
            except (OSError, ValueError, TypeError, AttributeError):
                self._entries = {}
        return self._entries
