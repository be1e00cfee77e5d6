"""The SQLite file: opening it, format numbers, transactions, and what its errors mean.

Write-ahead log: readers never wait for the one writer, a writer waits up to `BUSY_SECONDS` for
another, and a killed process leaves either all of a transaction or nothing of it.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

from nbpipe.errors import (
    ConfigurationError,
    CorruptStoreError,
    NbpipeError,
    NotFoundError,
    StoreUnavailableError,
)
from nbpipe.store.index.audit import begin_log
from nbpipe.store.index.migrations import APPLICATION_ID, AUDITED_FROM, FORMAT, MIGRATIONS
from nbpipe.store.unavailable import store_unavailable

# A row holds what SQLite gives; `rows.py` turns rows into the model, where types are known.
Row: TypeAlias = sqlite3.Row
SqlValue: TypeAlias = str | int | float | None

BUSY_SECONDS: Final = 30
_SHARED_MEMORY_BYTES: Final = 32_768


class Database:
    """One connection for all threads of a process; a forked child opens its own.

    A store that cannot be written is opened for reading: `writable` says which it is.
    """

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        self.writable = True
        if create:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise store_unavailable("create the store", path.parent, error) from error
        if not create and not path.exists():
            raise NotFoundError(
                f"There is no store at {path.parent}.",
                hint="Run a pipeline first, or say where the store is: --store PATH.",
            )
        self._mode = "rwc" if create else "rw"
        self._start()

    def read(self, statement: str, parameters: Sequence[SqlValue] = ()) -> list[Row]:
        """Give the rows that a SELECT finds."""
        with self._connection() as connection, self._explained():
            return connection.execute(statement, parameters).fetchall()

    def write(self, statement: str, parameters: Sequence[SqlValue] = ()) -> int:
        """Run one statement inside `transaction`; give the id of the row it inserted, if any."""
        with self._explained():
            return self._open.execute(statement, parameters).lastrowid or 0

    def write_many(self, statement: str, parameters: Iterable[Sequence[SqlValue]]) -> None:
        """Run one statement for each of many parameter rows, inside `transaction`."""
        with self._explained():
            self._open.executemany(statement, parameters)

    @contextmanager
    def transaction(self, *, keep: bool = True) -> Iterator[None]:
        """Commit what the block writes, all or nothing; with `keep=False` nothing.

        The write lock is taken at the start, so what the block reads stays true until the end.

        Raises:
            StoreUnavailableError: the store is read-only, or busy for too long.
        """
        with self._connection() as connection:
            if not self.writable:
                raise StoreUnavailableError(
                    f"The store at {self.path.parent} is read-only.",
                    hint="Choose another with --store, or change its permissions.",
                )
            with self._explained():
                connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                with self._explained():
                    connection.execute("COMMIT" if keep else "ROLLBACK")
            finally:
                if connection.in_transaction:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all that the block reads be of one moment, whatever others write meanwhile."""
        with self._connection() as connection:
            with self._explained():
                connection.execute("BEGIN")
            try:
                yield
            finally:
                if connection.in_transaction:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection; the object cannot be used afterwards."""
        with self._connection() as connection:
            connection.close()

    def __del__(self) -> None:
        # A command that ends need not close its store; the process that opened it still should.
        connection = getattr(self, "_open", None)
        if connection is not None and self._process == os.getpid():
            connection.close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        # SQLite connections must not cross a fork, and another thread may have held the lock when
        # it happened: the child takes a new lock and opens the file anew. It keeps the parent's
        # object, because closing that would drop the parent's file locks.
        if self._process != os.getpid():
            self._of_parent = self._open
            self._start()
        with self._lock:
            yield self._open

    def _start(self) -> None:
        self._process = os.getpid()
        self._lock = threading.RLock()
        directory = self.path.parent
        with self._explained():
            if os.access(directory, os.W_OK) and (
                not self.path.exists() or os.access(self.path, os.W_OK)
            ):
                self._open = _connect(self.path, self._mode)
                _prepare(self._open)
            elif self.path.exists():
                self.writable = False
                self._open = _connect_for_reading(self.path)
            else:
                error = OSError(errno.EACCES, "")
                raise store_unavailable("create the store", directory, error)
            _check_format(self._open, directory)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _explain(error, self.path) from error


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.row_factory = sqlite3.Row
    return connection


def _connect_for_reading(path: Path) -> sqlite3.Connection:
    # A write-ahead log needs a shared-memory file beside it. Where that cannot be made, the file
    # is read as it lies there.
    connection = _connect(path, "ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except sqlite3.OperationalError:
        connection.close()
        connection = _connect(path, "ro&immutable=1")
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        except sqlite3.Error:
            connection.close()
            raise
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    if _format(connection) > FORMAT or not _is_ours(connection):
        return  # `_check_format` refuses it; nothing in it may change.
    connection.execute("PRAGMA foreign_keys = ON")
    if _pragma(connection, "journal_mode") != "wal":
        _switch_to_write_ahead_log(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    if _format(connection) < FORMAT:
        _migrate(connection)


def _switch_to_write_ahead_log(connection: sqlite3.Connection) -> None:
    # SQLite does not wait when two processes that create a store both want to switch.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY"):
                raise
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _migrate(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it while this one waited for the lock.
        found = _format(connection)
        if found == 0 and _pragma(connection, "application_id") == 0:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        for statements in MIGRATIONS[found:]:
            for statement in statements:
                connection.execute(statement)
        if found == 0:
            connection.execute("INSERT INTO store (id) VALUES (?)", (os.urandom(16).hex(),))
        if found < AUDITED_FROM <= FORMAT:
            begin_log(_Migration(connection))
        if found < FORMAT:
            connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


class _Migration:
    """The statements of a migration, for code that writes more than statements can say."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def read(self, statement: str, parameters: Sequence[SqlValue] = ()) -> list[Row]:
        return self._connection.execute(statement, parameters).fetchall()

    def write(self, statement: str, parameters: Sequence[SqlValue] = ()) -> None:
        self._connection.execute(statement, parameters)


def _format(connection: sqlite3.Connection) -> int:
    return int(_pragma(connection, "user_version"))


def _pragma(connection: sqlite3.Connection, name: str) -> Any:  # noqa: ANN401 - SQLite's choice
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def _is_ours(connection: sqlite3.Connection) -> bool:
    found = _pragma(connection, "application_id")
    # A new, empty database is anybody's.
    return found == APPLICATION_ID or (
        found == 0 and not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    )


def _check_format(connection: sqlite3.Connection, directory: Path) -> None:
    found = _format(connection)
    if not _is_ours(connection):
        raise ConfigurationError(
            f"The index in {directory} belongs to another program.", hint="Choose another --store."
        )
    if found > FORMAT:
        raise ConfigurationError(
            f"The store at {directory} has format {found}; this nbpipe reads up to {FORMAT}.",
            hint="Upgrade nbpipe, or choose another store with --store.",
        )
    if found < FORMAT:
        raise StoreUnavailableError(
            f"The store at {directory} has the older format {found} and is read-only.",
            hint="Open it once where it can be written: it is upgraded then.",
        )


def _explain(error: sqlite3.Error, path: Path) -> NbpipeError:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT")):
        return CorruptStoreError(
            f"The index {path} is damaged: {error}.",
            hint=f"Move {path.parent} away and run again; results will be computed anew.",
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreUnavailableError(
            f"The index {path} has been busy for {BUSY_SECONDS} s.",
            hint="Another nbpipe process is writing; try again when it is done.",
        )
    # Without room for the shared memory beside the index, SQLite speaks of an I/O error.
    is_full = name.startswith("SQLITE_IOERR") and _free_bytes(path.parent) < _SHARED_MEMORY_BYTES
    if is_full or name.startswith("SQLITE_FULL"):
        return StoreUnavailableError(
            f"Cannot write the index {path}: the disk is full.",
            hint="Free some space first; then `nbpipe gc` deletes unused results.",
        )
    return StoreUnavailableError(f"Cannot use the index {path}: {error}.")


def _free_bytes(directory: Path) -> int:
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return _SHARED_MEMORY_BYTES
