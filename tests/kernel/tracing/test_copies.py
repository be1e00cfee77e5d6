"""Copies of files before a step changes them: they are what was there, and only of what was."""

import os
import shutil
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from nbpipe.kernel.tracing import copies as copying
from nbpipe.kernel.tracing.copies import CopiesBefore

WAYS = {
    "append": "with open('old.txt', 'a') as file: file.write('+')",
    "overwrite": "with open('old.txt', 'w') as file: file.write('new')",
    "update": "with open('old.txt', 'r+b') as file: file.write(b'N')",
    "read, then overwrite": (
        "text = open('old.txt').read()\nwith open('old.txt', 'w') as file: file.write(text + '+')"
    ),
    "by descriptor": (
        "import os\nfile = os.open('old.txt', os.O_WRONLY | os.O_APPEND)\nos.write(file, b'+')\n"
        "os.close(file)"
    ),
    "truncate": "import os\nos.truncate('old.txt', 1)",
    "remove": "import os\nos.remove('old.txt')",
    "unlink": "import pathlib\npathlib.Path('old.txt').unlink()",
    "rename": "import os\nos.rename('old.txt', 'new.txt')",
    "replace": (
        "import os\nwith open('new.txt', 'w') as file: file.write('new')\n"
        "os.replace('new.txt', 'old.txt')"
    ),
    "numpy": "import numpy\nnumpy.save(open('old.txt', 'wb'), numpy.arange(3))",
    "pandas": "import pandas\npandas.DataFrame({'a': [1]}).to_csv('old.txt')",
    "twice": "for i in range(2):\n    with open('old.txt', 'a') as file: file.write(str(i))",
    "another spelling": "with open('./x/../old.txt', 'a') as file: file.write('+')",
}


@pytest.fixture
def old(observe):
    path = observe.work / "old.txt"
    path.write_text("old")
    (observe.work / "x").mkdir()
    return path


@pytest.mark.parametrize("way", WAYS)
def test_what_was_there_is_copied(observe, old, way):
    os.utime(old, (1, 1))
    seen = observe(WAYS[way])
    copy = Path(seen.trace.copies_before[str(old)])
    assert (seen.error, copy.read_text(), copy.stat().st_mtime) == ("", "old", 1)


def test_a_database_is_copied(observe):
    make = "import sqlite3\ndb = sqlite3.connect('a.db')\n{}\ndb.commit()\ndb.close()"
    assert observe(make.format("db.execute('create table t (a)')")).trace.copies_before == {}
    before = (observe.work / "a.db").read_bytes()
    trace = observe(make.format("db.execute('insert into t values (1)')")).trace
    (copy,) = trace.copies_before.values()
    assert Path(copy).read_bytes() == before


@pytest.mark.parametrize(
    "code",
    [
        "open('old.txt').read()",
        "open('old.txt', 'r+').close()",
        "with open('new.txt', 'w') as file: file.write('1')\n"
        "with open('new.txt', 'a') as file: file.write('2')",
        "import os\nwith open('new.txt', 'w') as file: file.write('1')\nos.remove('new.txt')",
        "try: open('x', 'w')\nexcept OSError: pass",
    ],
)
def test_what_was_not_there_or_is_not_changed_has_no_copy(observe, old, code):
    seen = observe(code)
    assert (seen.error, seen.trace.copies_before) == ("", {})


@pytest.fixture
def copies(tmp_path):
    return CopiesBefore(tmp_path / "copies", is_noise=lambda _: False, quietly=nullcontext)


def keep(copies, *files):
    for file in files:
        copies.handlers()["open"]((file, "a", os.O_WRONLY))


@pytest.mark.parametrize(("limit", "count"), [(3, 1), (2, 0), (5, 1), (6, 2)])
def test_there_is_a_limit(copies, tmp_path, monkeypatch, limit, count):
    monkeypatch.setattr(copying, "_MOST_BYTES", limit)
    copies = CopiesBefore(tmp_path / "copies", is_noise=lambda _: False, quietly=nullcontext)
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_text("old")
    keep(copies, *files)
    assert sum(copies.of(str(file)) is not None for file in files) == count


def test_there_is_a_limit_to_their_number(copies, tmp_path, monkeypatch):
    monkeypatch.setattr(copying, "_MOST_FILES", 2)
    files = [tmp_path / name for name in "abc"]
    for file in files:
        file.write_text("old")
    keep(copies, *files)
    assert [copies.of(str(file)) is not None for file in files] == [True, True, False]


def test_a_disk_that_is_nearly_full_is_left_alone(copies, tmp_path, monkeypatch):
    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=8))
    keep(copies, tmp_path / "a")
    assert copies.of(str(tmp_path / "a")) is None


@pytest.mark.parametrize("given", [3, None, b"\xff", "a\0b", "", object()])
def test_what_is_no_file_is_no_matter(copies, given):
    keep(copies, given)


def test_a_copy_that_cannot_be_made_harms_nobody(copies, tmp_path):
    (tmp_path / "copies").write_text("not a directory")
    (tmp_path / "a").write_text("old")
    keep(copies, tmp_path / "a")
    assert copies.of(str(tmp_path / "a")) is None


def test_copies_of_one_file_are_in_the_order_of_time(copies, tmp_path):
    (tmp_path / "a").write_text("old")
    other = CopiesBefore(tmp_path / "copies", is_noise=lambda _: False, quietly=nullcontext)
    found = []
    for each in (copies, other):
        keep(each, tmp_path / "a")
        found.append(Path(each.of(str(tmp_path / "a"))).name)
    assert found == sorted(found)
