from __future__ import annotations

from pathlib import Path

import pytest

from nbpipe.kernel.file_access import FileAccess


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    return path


def test_a_file_that_is_only_written_is_a_product(file):
    access = FileAccess([str(file)])
    access.watch()
    file.write_text("new")
    file.read_text()
    assert access.written == (str(file),)


@pytest.mark.parametrize("mode", ["r", "a", "r+"])
def test_a_file_that_is_read_first_is_none(file, mode):
    access = FileAccess([str(file)])
    access.watch()
    with file.open(mode):
        pass
    file.write_text("new")
    assert access.written == ()


def test_a_file_put_in_place_is_a_product(file, tmp_path, monkeypatch):
    access = FileAccess([str(file)])
    access.watch()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").write_text("new")
    Path("other").replace("file.txt")
    assert access.written == (str(file),)


def test_files_that_nobody_asked_about_are_not_kept(file, tmp_path):
    access = FileAccess([str(file)])
    access.watch()
    (tmp_path / "other").write_text("new")
    assert access.written == ()
