"""Files as they were before a step changed them, for steps that run again in the same run."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBefore:
    """A file as it was before a step changed it.

    Attributes:
        path: where it is.
        copy: where a copy of it lies, with a name that grows with time; None when there was none.
    """

    path: str
    copy: str | None


def put_back(before: FileBefore) -> None:
    """Make a file again what it was. It is never there in part.

    Raises:
        OSError: it cannot be written, or removed.
    """
    # Where it is a link, that stays.
    target = Path(os.path.realpath(before.path))
    if before.copy is None:
        target.unlink(missing_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, unfinished = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(descriptor)
    try:
        shutil.copy2(before.copy, unfinished)
        os.replace(unfinished, target)  # noqa: PTH105
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
