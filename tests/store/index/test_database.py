import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from nbpipe.errors import (
    ConfigurationError,
    CorruptStoreError,
    NotFoundError,
    StoreUnavailableError,
)
from nbpipe.store.index import database as database_module
from nbpipe.store.index import migrations
from nbpipe.store.index.database import Database
from nbpipe.store.index.migrations import APPLICATION_ID, FORMAT, MIGRATIONS


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store" / "index.db"


def test_a_new_index_says_what_it_is(path):
    Database(path, create=True).close()
    connection = sqlite3.connect(path)
    pragmas = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("application_id", "user_version", "journal_mode")
    }
    assert pragmas == {
        "application_id": APPLICATION_ID,
        "user_version": FORMAT,
        "journal_mode": "wal",
    }
    connection.close()


def test_there_is_no_index_unless_it_is_created(path):
    with pytest.raises(NotFoundError, match="There is no store at"):
        Database(path, create=False)
    assert not path.parent.exists()


def test_a_newer_format_is_refused_and_left_alone(path):
    Database(path, create=True).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=f"has format {FORMAT + 1}") as caught:
        Database(path, create=True)
    assert "Upgrade nbpipe" in caught.value.hint
    assert path.read_bytes() == before


def test_an_older_format_is_brought_up_to_date_with_what_it_holds(path, monkeypatch):
    database = Database(path, create=True)
    with database.transaction():
        database.write("INSERT INTO series VALUES ('p', 'df', 3)")
    database.close()
    newer = (*MIGRATIONS, ("ALTER TABLE series ADD COLUMN note TEXT NOT NULL DEFAULT 'old'",))
    monkeypatch.setattr(database_module, "MIGRATIONS", newer)
    monkeypatch.setattr(database_module, "FORMAT", FORMAT + 1)
    database = Database(path, create=False)
    assert [tuple(row) for row in database.read("SELECT * FROM series")] == [("p", "df", 3, "old")]
    database.close()


@pytest.mark.parametrize("format", [1, 2])
def test_results_that_cannot_say_what_they_depend_on_are_not_reused(path, monkeypatch, format):
    monkeypatch.setattr(database_module, "MIGRATIONS", MIGRATIONS[:format])
    monkeypatch.setattr(database_module, "FORMAT", format)
    database = Database(path, create=True)
    with database.transaction():
        database.write("INSERT INTO key_parts VALUES ('k', '{}')")
        database.write(
            """INSERT INTO step_keys (key, pipeline, step, run, created, used, seconds, unbound,
                   executed_notebook)
               VALUES ('k', 'p', 'make', 'r', '2020', '2020', 1.0, '[]', '')"""
        )
    database.close()
    monkeypatch.undo()
    database = Database(path, create=False)
    assert database.read("SELECT * FROM results") == []
    assert len(database.read("SELECT * FROM key_parts")) == 1
    database.close()


def test_a_migration_happens_whole_or_not_at_all(path, monkeypatch):
    Database(path, create=True).close()
    broken = (*MIGRATIONS, ("CREATE TABLE half (x)", "CREATE TABLE half (x)"))
    monkeypatch.setattr(database_module, "MIGRATIONS", broken)
    monkeypatch.setattr(database_module, "FORMAT", FORMAT + 1)
    with pytest.raises(StoreUnavailableError):
        Database(path, create=False)
    monkeypatch.undo()
    database = Database(path, create=False)
    assert database.read("SELECT * FROM sqlite_master WHERE name = 'half'") == []
    database.close()
    assert migrations.FORMAT == FORMAT


def test_another_program_s_file_is_refused(path):
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA application_id = 7")
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(ConfigurationError, match="belongs to another program"):
        Database(path, create=True)


@pytest.mark.parametrize("damage", ["garbage", "pages"])
def test_a_damaged_file_is_found(path, damage):
    database = Database(path, create=True)
    with database.transaction():
        database.write_many(
            "INSERT INTO series VALUES ('p', ?, 1)", [(f"name {n}",) for n in range(5000)]
        )
    database.close()
    if damage == "garbage":
        path.write_bytes(b"not a database" * 1000)
    else:
        content = bytearray(path.read_bytes())
        content[4096 * 3 :] = os.urandom(len(content) - 4096 * 3)
        path.write_bytes(content)
    with pytest.raises(CorruptStoreError, match="is damaged") as caught:
        Database(path, create=False).read("SELECT * FROM series ORDER BY variable")
    assert "Move" in caught.value.hint


def test_a_transaction_that_raises_leaves_nothing(path):
    database = Database(path, create=True)

    def write_and_raise():
        with database.transaction():
            database.write("INSERT INTO series VALUES ('p', 'df', 3)")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_raise()
    with database.transaction(keep=False):
        database.write("INSERT INTO series VALUES ('p', 'df', 3)")
    assert database.read("SELECT * FROM series") == []
    database.close()


def test_a_busy_index_is_waited_for_and_then_unavailable(path, monkeypatch):
    Database(path, create=True).close()
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0.1)
    one, other = Database(path, create=False), Database(path, create=False)
    with one.transaction():
        with pytest.raises(StoreUnavailableError, match="has been busy"), other.transaction():
            pass
        assert other.read("SELECT count(*) FROM runs")[0][0] == 0  # Readers do not wait.
    with other.transaction():
        other.write("INSERT INTO series VALUES ('p', 'df', 3)")
    one.close()
    other.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_opens_the_file_for_itself(path):
    database = Database(path, create=True)
    child = os.fork()
    if child == 0:
        try:
            with database.transaction():
                database.write("INSERT INTO series VALUES ('p', 'child', 1)")
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a child that raised must not go on testing
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    with database.transaction():
        database.write("INSERT INTO series VALUES ('p', 'parent', 1)")
    found = [row["variable"] for row in database.read("SELECT * FROM series ORDER BY variable")]
    assert found == ["child", "parent"]
    database.close()


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs to become someone else"
)
@pytest.mark.parametrize("is_open_elsewhere", [False, True])
def test_a_store_that_may_only_be_read_is_read(is_open_elsewhere):
    # Permissions do not stop root, so another user tries.
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        path = Path(directory) / "store" / "index.db"
        database = Database(path, create=True)
        with database.transaction():
            database.write("INSERT INTO series VALUES ('p', 'df', 3)")
        if not is_open_elsewhere:
            database.close()
        code = f"""
import os, urllib.parse  # What is imported late could not be read by the other user.
from pathlib import Path
from nbpipe.store.index.database import Database
from nbpipe.errors import StoreUnavailableError
os.setgroups([]), os.setgid(65534), os.setuid(65534)
database = Database(Path({str(path)!r}), create=True)
print(database.writable, [tuple(row) for row in database.read("SELECT * FROM series")])
try:
    with database.transaction():
        pass
except StoreUnavailableError as error:
    print(error)
try:
    Database(Path({directory!r}) / "other" / "index.db", create=True)
except StoreUnavailableError as error:
    print(error)
"""
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        if is_open_elsewhere:
            database.close()
        lines = done.stdout.splitlines()
        assert lines[0] == "False [('p', 'df', 3)]", done.stderr
        assert "is read-only" in lines[1]
        assert "permission denied" in lines[3]
