import shutil

import pytest

from nbpipe.errors import NotFoundError
from nbpipe.store import trust
from tests.store.runs import open_store


@pytest.fixture(autouse=True)
def user(tmp_path, monkeypatch):
    monkeypatch.setenv("NBPIPE_DATA_DIR", str(tmp_path / "user"))
    monkeypatch.delenv("NBPIPE_TRUST_STORE", raising=False)
    return tmp_path / "user"


def test_who_creates_a_store_trusts_it(tmp_path, user):
    store = open_store(tmp_path)
    assert store.trusted
    assert trust.is_trusted(store.root)
    assert (user / "trusted-stores").stat().st_mode & 0o777 == 0o600
    store.close()
    open_store(tmp_path).close()
    assert len((user / "trusted-stores").read_text().splitlines()) == 1


def test_a_store_from_elsewhere_is_trusted_when_told(tmp_path, monkeypatch):
    store = open_store(tmp_path)
    monkeypatch.setenv("NBPIPE_DATA_DIR", str(tmp_path / "someone else"))
    assert not store.trusted
    trust.trust(store.root)
    trust.trust(store.root)
    assert store.trusted
    store.close()


def test_a_copy_that_comes_back_is_not_trusted(tmp_path):
    store = open_store(tmp_path)
    store.close()
    shutil.copytree(store.root, tmp_path / "copy" / ".nbpipe")
    copy = open_store(tmp_path / "copy")
    assert trust.store_id(copy.root) == trust.store_id(store.root)
    assert not copy.trusted
    copy.close()


def test_a_container_trusts_by_environment(tmp_path, monkeypatch):
    store = open_store(tmp_path)
    monkeypatch.setenv("NBPIPE_DATA_DIR", str(tmp_path / "nobody"))
    monkeypatch.setenv("NBPIPE_TRUST_STORE", "1")
    assert store.trusted
    monkeypatch.setenv("NBPIPE_TRUST_STORE", "0")
    assert not store.trusted
    store.close()


def test_without_a_place_to_note_it_a_store_is_still_created(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NBPIPE_DATA_DIR", str(tmp_path / "file" / "no directory"))
    store = open_store(tmp_path)
    assert not store.trusted
    store.close()


def test_only_a_store_can_be_trusted(tmp_path):
    with pytest.raises(NotFoundError):
        trust.trust(tmp_path)


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"XDG_DATA_HOME": "/xdg"}, "/xdg/nbpipe"),
        ("linux", {"HOME": "/home/me"}, "/home/me/.local/share/nbpipe"),
        ("darwin", {"HOME": "/home/me"}, "/home/me/Library/Application Support/nbpipe"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/nbpipe"),
    ],
)
def test_each_platform_has_its_place(monkeypatch, platform, environment, expected):
    for name in ("NBPIPE_DATA_DIR", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert str(trust.user_data_directory()) == expected
