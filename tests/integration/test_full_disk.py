"""Disks that fill up: a clear message, exit code 4, and nothing that was stored before is lost."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.cli.shell import COMMAND

pytestmark = pytest.mark.slow

CELLS = (
    "#| step: small\nsmall = 1\nprint(small)",
    "#| step: large\nimport os\nlarge = os.urandom(9_000_000)",
    "#| step: after\nprint(len(large), small)",
)


@pytest.fixture
def disk(shell):
    """A file system of 3 MB for the store."""
    place = shell.directory / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system of our own: {done.stderr.strip()}")
    shell.write("book.ipynb", *CELLS)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk):
    with (disk / "fill").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_a_full_disk_loses_nothing(shell, disk):
    store = disk / "store"

    def run(*words):
        return shell("run", "book.ipynb", "--store", store, *words)

    failed = run("--json")
    assert failed.code == 4
    assert failed.states == {"small": "succeeded", "large": "failed", "after": "skipped"}
    failure = failed.summary["steps"][1]["failure"]
    assert failure["kind"] == "store"
    assert failure["message"].startswith(f"Cannot write {store}/objects/")
    assert failure["message"].endswith(": the disk is full.")
    assert "Free some space" in failure["hint"]
    assert not list(store.rglob("*partial*"))
    assert run("--until", "small", "--json").states == {"small": "reused"}

    fill(disk)
    for words in (("run", "book.ipynb"), ("runs",), ("gc",)):
        outcome = shell(*words, "--store", store)
        assert outcome.code == 4
        assert "the disk is full" in outcome.err
        assert "Free some space" in outcome.err
    outcome = run("--json")
    assert (outcome.code, outcome.summary["state"]) == (4, "failed")

    (disk / "fill").unlink()
    assert run("--until", "small", "--json").states == {"small": "reused"}
    assert shell("show", "small", "--store", store).code == 0

    # Somewhere else there is room.
    out = shell(
        "run", "book.ipynb", "--store", store, "--until", "small", "--out", disk / "o.ipynb"
    )
    assert out.code == 0
    fill(disk)
    compiled = shell("compile", "book.ipynb", "-o", disk / "bundle")
    assert (compiled.code, "No space left on device" in compiled.err) == (4, True)
    assert not (disk / "bundle").exists()


def test_a_limit_on_the_size_of_files(shell):
    """The same for a limit of the process, which needs no right to mount anything."""
    shell.write("book.ipynb", *CELLS)
    assert shell("run", "book.ipynb", "--until", "small").code == 0
    limited = ["bash", "-c", 'ulimit -f 2000; exec "$@"', "-", *COMMAND]
    done = subprocess.run(
        [*limited, "run", "book.ipynb", "--json"],
        cwd=shell.directory,
        env=shell.environ | {"MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert [step["state"] for step in summary["steps"]] == ["reused", "failed", "skipped"]
    assert "larger than allowed" in summary["steps"][1]["failure"]["message"]
    assert shell("run", "book.ipynb", "--json", "--until", "small").states == {"small": "reused"}
