"""Which stores may run code.

Most values are kept as pickles, and loading a pickle can run anything. A store that this user
created is trusted; one that came from elsewhere is code, and is loaded only after `nbpipe trust`.

Trust is a line `<random id of the store> <where it lies>` in a file of the user's own. The place
belongs to it: a copy that comes back from somebody else has the id, but lies elsewhere.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from nbpipe.store.index.audit import note_trust
from nbpipe.store.index.database import Database
from nbpipe.store.unavailable import store_unavailable

_TRUST_ALL: Final = "NBPIPE_TRUST_STORE"


def trust(root: Path) -> None:
    """Trust the store at `root` from now on, for this user.

    Raises:
        NotFoundError: there is no store.
        StoreUnavailableError: the user's file cannot be written.
    """
    line = _line(root, store_id(root))
    path = _trusted_stores()
    if line in _lines(path):
        return
    _record(root)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            # One short append is atomic, so two processes may do this at once.
            os.write(descriptor, f"{line}\n".encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise store_unavailable("write", path, error) from error


def _record(root: Path) -> None:
    database = Database(root / "index.db", create=False)
    try:
        if database.writable:
            with database.transaction():
                note_trust(database)
    finally:
        database.close()


def is_trusted(root: Path) -> bool:
    """Say whether values of the store at `root` may run code when they are loaded."""
    if os.environ.get(_TRUST_ALL, "") not in {"", "0"}:
        return True
    known = _lines(_trusted_stores())
    return bool(known) and _line(root, store_id(root)) in known


def store_id(root: Path) -> str:
    """Give the random id that a store got when it was created."""
    database = Database(root / "index.db", create=False)
    try:
        return str(database.read("SELECT id FROM store")[0]["id"])
    finally:
        database.close()


def user_data_directory() -> Path:
    """Give the directory for what nbpipe keeps per user; it may not exist yet."""
    chosen = os.environ.get("NBPIPE_DATA_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "nbpipe"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "nbpipe"
    shared = os.environ.get("XDG_DATA_HOME")
    return (Path(shared) if shared else Path.home() / ".local" / "share") / "nbpipe"


def _trusted_stores() -> Path:
    return user_data_directory() / "trusted-stores"


def _lines(path: Path) -> frozenset[str]:
    try:
        return frozenset(path.read_text(encoding="utf-8", errors="surrogateescape").splitlines())
    except OSError:
        return frozenset()


def _line(root: Path, identity: str) -> str:
    # A path may hold any character; a line of the file may not hold a line break.
    place = str(root.resolve()).encode("unicode_escape", "surrogateescape").decode("ascii")
    return f"{identity} {place}"
