"""What an operating system error means to the person who owns the store."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from nbpipe.errors import StoreUnavailableError

_ADVICE: Final = {
    errno.ENOSPC: ("the disk is full", "Free some space; `nbpipe gc` deletes unused results."),
    errno.EDQUOT: ("the disk quota is used up", "`nbpipe gc` deletes unused results."),
    errno.EFBIG: ("the file would be larger than allowed", "Raise the limit (`ulimit -f`)."),
    errno.EROFS: ("the file system is read-only", "Choose another store with --store."),
    errno.EACCES: ("permission denied", "Check who owns the store, or choose another: --store."),
    errno.EPERM: ("permission denied", "Check who owns the store, or choose another: --store."),
    errno.EMFILE: ("too many open files", "Raise the limit (`ulimit -n`)."),
    errno.ENFILE: ("too many open files", "Close other programs and try again."),
    errno.ENOENT: ("it does not exist", "Check the path; is the disk mounted?"),
    errno.ENOTDIR: ("a part of the path is not a directory", "Check the path of the store."),
    errno.EIO: ("the disk reports an error", "Check the disk before anything else."),
    errno.ESTALE: ("the network file system lost the file", "Mount it again and try again."),
}


def store_unavailable(doing: str, path: Path, error: OSError) -> StoreUnavailableError:
    """Say that `doing` (as in "write") at `path` failed, why, and what to do."""
    reason, advice = _ADVICE.get(error.errno or 0, (error.strerror or str(error), ""))
    return StoreUnavailableError(f"Cannot {doing} {path}: {reason}.", hint=advice)
