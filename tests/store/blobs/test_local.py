import errno
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbpipe.errors import CorruptStoreError, StoreUnavailableError
from nbpipe.model.digest import Digest, digest_bytes
from nbpipe.store.blobs.local import MAPPED_FROM_BYTES, LocalBlobs

LARGE = b"large" * (MAPPED_FROM_BYTES // 5 + 1)


@given(st.lists(st.binary()))
def test_blobs_come_back_and_are_addressed_by_their_bytes(chunks):
    with tempfile.TemporaryDirectory() as directory:
        blobs = LocalBlobs(Path(directory))
        whole = b"".join(chunks)
        digest = blobs.put(chunks)
        assert digest == digest_bytes(whole)
        assert blobs.read(digest) == bytes(blobs.map(digest)) == whole
        with blobs.open(digest) as file:
            assert file.read() == whole
        assert (blobs.size(digest), blobs.has(digest)) == (len(whole), True)


def test_a_blob_is_a_read_only_file_in_a_shard(tmp_path):
    blobs = LocalBlobs(tmp_path / "objects")
    digest = blobs.put([b"abc"])
    path = tmp_path / "objects" / digest[:2] / digest
    assert path.read_bytes() == b"abc"
    assert path.stat().st_mode & 0o777 == 0o444
    assert [(blob.digest, blob.size) for blob in blobs] == [(digest, 3)]


@pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "large"])
def test_mapped_memory_is_private_and_writable(tmp_path, content):
    blobs = LocalBlobs(tmp_path)
    digest = blobs.put([content])
    memory = blobs.map(digest)
    memory[0] = 0
    assert blobs.read(digest) == content


@pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: b"X" + data[1:],
        lambda data: b"",
    ],
    ids=["truncated", "longer", "flipped", "empty"],
)
def test_damage_is_found_on_every_way_to_read_and_healed_by_putting_again(
    tmp_path, content, damage
):
    blobs = LocalBlobs(tmp_path)
    digest = blobs.put([content])
    blobs.map(digest)
    path = blobs.path(digest)
    times = path.stat()
    path.chmod(0o644)
    path.write_bytes(damage(content))
    # Whoever damages a file may even set its time back.
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    for read in (blobs.read, blobs.map, blobs.open):
        with pytest.raises(CorruptStoreError, match="is damaged"):
            read(digest)
    assert blobs.put([content]) == digest
    assert blobs.read(digest) == content


def test_a_large_blob_is_hashed_once(tmp_path, monkeypatch):
    from nbpipe.store.blobs import local

    digest = LocalBlobs(tmp_path).put([LARGE])
    hashed: list[Digest] = []
    monkeypatch.setattr(
        local, "digest_bytes", lambda *parts: hashed.append(digest_bytes(*parts)) or hashed[-1]
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("needs a boot id")
    LocalBlobs(tmp_path).map(digest)
    assert hashed == []
    (tmp_path / "checked").unlink()
    LocalBlobs(tmp_path).map(digest)
    LocalBlobs(tmp_path).map(digest)
    assert hashed == [digest]


def test_a_missing_blob_is_lost_and_has_no_size(tmp_path):
    blobs = LocalBlobs(tmp_path)
    nowhere = digest_bytes(b"nowhere")
    assert (blobs.size(nowhere), blobs.has(nowhere), list(blobs)) == (None, False, [])
    with pytest.raises(CorruptStoreError, match="has lost blob"):
        blobs.read(nowhere)


def test_deleting_spares_what_was_put_since(tmp_path):
    blobs = LocalBlobs(tmp_path)
    digest = blobs.put([b"abc"])
    os.utime(blobs.path(digest), (1000, 1000))
    assert not blobs.delete(digest, written_before=1000)
    blobs.put([b"abc"])  # Renews its time.
    assert not blobs.delete(digest, written_before=2000)
    assert blobs.read(digest) == b"abc"
    assert blobs.delete(digest, written_before=time.time() + 60)
    assert blobs.delete(digest, written_before=time.time() + 60)
    assert not blobs.has(digest)


def test_what_an_interrupted_writer_left_is_not_a_blob_and_can_be_deleted(tmp_path):
    blobs = LocalBlobs(tmp_path)
    digest = blobs.put([b"abc"])
    leftover = blobs.path(digest).with_name(".partial-x")
    leftover.write_bytes(b"half")
    os.utime(leftover, (1000, 1000))
    assert [blob.digest for blob in blobs] == [digest]
    assert blobs.delete_leftovers(written_before=500) == 0
    assert blobs.delete_leftovers(written_before=2000) == 4
    assert not leftover.exists()


def test_an_error_while_writing_leaves_nothing_behind(tmp_path, monkeypatch):
    blobs = LocalBlobs(tmp_path)
    for error in (OSError(errno.ENOSPC, "full"), KeyboardInterrupt()):

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr(os, "write", fail)
        with pytest.raises((StoreUnavailableError, KeyboardInterrupt)):
            blobs.put([b"abc"])
        monkeypatch.undo()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def run_with_limit(code: str) -> str:
    """Run code in a process that may write files of at most 100 kB: a full disk, for real."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
    done = subprocess.run(
        [sys.executable, "-c", limit + code], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_file_that_cannot_grow_is_a_store_that_is_unavailable(tmp_path):
    output = run_with_limit(
        "from nbpipe.store.blobs.local import LocalBlobs\n"
        "from nbpipe.errors import StoreUnavailableError\n"
        "from pathlib import Path\n"
        f"blobs = LocalBlobs(Path({str(tmp_path)!r}))\n"
        "try:\n    blobs.put([bytes(200_000)])\n"
        "except StoreUnavailableError as error:\n    print(error)\n"
        "print(list(blobs))\n"
    )
    assert "larger than allowed" in output
    assert output.endswith("[]\n")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_full_disk_is_a_store_that_is_unavailable(tmp_path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)],
        check=False, capture_output=True,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip("may not mount")
    try:
        blobs = LocalBlobs(tmp_path)
        with pytest.raises(StoreUnavailableError, match="the disk is full") as caught:
            blobs.put([bytes(2_000_000)])
        assert "nbpipe gc" in caught.value.hint
        assert blobs.has(blobs.put([b"small"]))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_many_threads_may_put_the_same_blob(tmp_path):
    blobs = LocalBlobs(tmp_path)
    errors: list[BaseException] = []

    def put_all():
        try:
            for number in range(30):
                assert blobs.read(blobs.put([b"%d" % number])) == b"%d" % number
        except BaseException as error:  # noqa: BLE001 - the main thread shows it
            errors.append(error)

    threads = [threading.Thread(target=put_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(list(blobs)) == 30
