from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from nbpipe.model.digest import digest_bytes
from nbpipe.runner import file_digests
from nbpipe.runner.environment_of import EnvironmentProbe
from nbpipe.runner.file_digests import FileDigests


@pytest.fixture
def files_of(book):
    """Give the files of a step with these options."""
    book.step("read", "1")

    def files(**options):
        probe = EnvironmentProbe(
            book.pipeline, directory=book.directory, store=book.directory / ".nbpipe"
        )
        return dict(probe.environment_of(replace(book.steps[0], **options)).files)

    return files


def digest(text: str) -> str:
    return digest_bytes(text.encode())


def test_declared_files_and_patterns_count_with_their_content(book, files_of):
    (book.directory / "data").mkdir()
    for name in ("a", "b"):
        (book.directory / "data" / f"{name}.csv").write_text(name)
    everything = {"data/a.csv": digest("a"), "data/b.csv": digest("b")}
    assert files_of(reads=("data/*.csv",)) == everything
    assert files_of(reads=("data",)) == everything
    assert files_of(reads=("data/a.csv",)) == {"data/a.csv": digest("a")}


def test_a_declared_file_that_is_not_there_counts_as_absent(files_of):
    assert files_of(reads=("none.csv", "no/*.csv")) == {"none.csv": None, "no/*.csv": None}


def test_literals_count_where_they_name_a_file(book, files_of):
    (book.directory / "x.csv").write_text("x")
    (book.directory / "folder").mkdir()
    literals = ("x.csv", "./x.csv", "mean", "folder", "", "a\0b", "line\nline", "x" * 2_000)
    assert files_of(literal_paths=literals) == {"x.csv": digest("x"), "./x.csv": digest("x")}


def test_files_in_the_store_do_not_count(book, files_of):
    (book.directory / ".nbpipe").mkdir()
    (book.directory / ".nbpipe" / "index.db").write_text("x")
    assert files_of(literal_paths=(".nbpipe/index.db",)) == {}


def test_a_home_directory_is_not_part_of_a_name(book, files_of, monkeypatch):
    monkeypatch.setenv("HOME", str(book.directory))
    (book.directory / "x.csv").write_text("x")
    assert files_of(literal_paths=("~/x.csv",)) == {"~/x.csv": digest("x")}
    assert files_of(reads=("~/*.csv",)) == {"~/x.csv": digest("x")}


def large(path: Path, byte: bytes) -> None:
    path.write_bytes(byte * (2 << 20))


def test_a_large_file_is_read_once_as_long_as_it_stays_the_same(tmp_path, monkeypatch):
    path, cache = tmp_path / "large", tmp_path / "cache" / "digests.json"
    large(path, b"a")
    later = time.time_ns() + 60_000_000_000
    monkeypatch.setattr(file_digests.time, "time_ns", lambda: later)
    digests = FileDigests(cache)
    first = digests.digest(path)
    assert first == digest_bytes(b"a" * (2 << 20))
    digests.save()

    # What the cache says is believed: it was not read again.
    cache.write_text(cache.read_text().replace(first, "believed"))
    assert FileDigests(cache).digest(path) == "believed"
    # The same size, and a time of change that was set back.
    facts = path.stat()
    large(path, b"b")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert FileDigests(cache).digest(path) == digest_bytes(b"b" * (2 << 20))


def test_a_large_file_that_changed_a_moment_ago_is_read_again(tmp_path):
    path = tmp_path / "large"
    large(path, b"a")
    facts = path.stat()
    digests = FileDigests(tmp_path / "digests.json")
    first = digests.digest(path)
    large(path, b"b")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert digests.digest(path) != first


@pytest.mark.parametrize("content", ["", "[]", '{"x": 1}', "{"])
def test_a_damaged_cache_is_no_cache(tmp_path, content):
    path, cache = tmp_path / "large", tmp_path / "digests.json"
    large(path, b"a")
    cache.write_text(content)
    assert FileDigests(cache).digest(path) == digest_bytes(b"a" * (2 << 20))


def test_what_cannot_be_read_has_no_digest(tmp_path):
    digests = FileDigests(tmp_path / "digests.json")
    assert digests.digest(tmp_path) is None
    assert digests.digest(tmp_path / "none") is None
