"""Environments of their own: when they are built, and that half-built ones are never used."""

from __future__ import annotations

import json
import os
import sys

import pytest

from nbpipe.environment import isolated
from nbpipe.environment.isolated import environment_key, isolated_python
from nbpipe.errors import ExternalError, StoreUnavailableError

LOCK = "aa==1.0\nbb==2.0\n"


@pytest.fixture
def built(monkeypatch):
    """Building makes a file that stands for the Python, and is noted."""
    places = []

    def build(place, lock):
        places.append((place, lock))
        python = isolated._python(place)
        python.parent.mkdir(parents=True)
        python.write_text(lock)

    monkeypatch.setattr(isolated, "_build", build)
    return places


def get(tmp_path, lock=LOCK):
    told = []
    python = isolated_python(lock, tmp_path / "environments", building=told.append)
    return python, told


def test_an_environment_is_built_once(tmp_path, built):
    first, told = get(tmp_path)
    assert (first.read_text(), told) == (LOCK, [2])
    second, told = get(tmp_path)
    assert (second, told, len(built)) == (first, [], 1)


def test_another_lock_is_another_environment(tmp_path, built):
    assert get(tmp_path)[0] != get(tmp_path, "aa==1.1\n")[0]
    assert environment_key("a==1\nb==2\n") == environment_key("b==2\na==1\n")


@pytest.mark.parametrize("name", ["__version__", "_PACKAGE"])
def test_another_nbpipe_is_another_environment(tmp_path, monkeypatch, name):
    before = environment_key(LOCK)
    monkeypatch.setattr(isolated, name, {"__version__": "99", "_PACKAGE": tmp_path}[name])
    assert environment_key(LOCK) != before


def test_a_half_built_environment_is_never_used(tmp_path, built, monkeypatch):
    def fail(place, lock):
        isolated._python(place).parent.mkdir(parents=True)
        isolated._python(place).write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr(isolated, "_build", fail)
        with pytest.raises(KeyboardInterrupt):
            get(tmp_path)
    assert list((tmp_path / "environments").iterdir()) == []
    # Killed, it would have left the directory, which nothing names.
    left = tmp_path / "environments" / f"{environment_key(LOCK)[:16]}-0000"
    isolated._python(left).parent.mkdir(parents=True)
    isolated._python(left).write_text("half")
    python, told = get(tmp_path)
    assert (python.read_text(), told) == (LOCK, [2])


def test_what_nobody_finished_is_deleted_after_a_day(tmp_path, built):
    used, _ = get(tmp_path)
    for name, age in (("old", 200_000), ("young", 100)):
        left = tmp_path / "environments" / name
        left.mkdir()
        then = left.stat().st_mtime - age
        os.utime(left, (then, then))
    os.utime(used.parents[1], (1000, 1000))
    get(tmp_path, "cc==1\n")
    names = {path.name for path in (tmp_path / "environments").iterdir() if path.is_dir()}
    assert ("old" in names, "young" in names, used.parents[1].name in names) == (False, True, True)


@pytest.mark.parametrize("text", ["", "[]", '{"directory": 7}', '{"directory": "gone"}'])
def test_a_damaged_pointer_means_building_anew(tmp_path, built, text):
    get(tmp_path)
    [pointer] = (tmp_path / "environments").glob("*.json")
    pointer.write_text(text)
    assert get(tmp_path)[1] == [2]
    assert json.loads(pointer.read_text())["directory"] == built[-1][0].name


def test_a_place_that_cannot_be_written_is_said(tmp_path, built):
    (tmp_path / "environments").write_text("")
    with pytest.raises(StoreUnavailableError, match="cannot be written"):
        get(tmp_path)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("ERROR: No matching distribution found for aa==1.0", "on none of pip's indexes"),
        ("WARNING: Retrying after connection broken by NewConnectionError", "network"),
        ("ensurepip is not available", "python3-venv"),
        ("whatever", "Mend what is said above"),
    ],
)
def test_a_failure_is_told_with_its_last_lines_and_what_to_do(said, advice):
    lines = [*(f"line {number}" for number in range(30)), said]
    code = f"import sys\nprint({chr(10).join(lines)!r})\nsys.exit(3)"
    with pytest.raises(ExternalError) as caught:
        isolated._run([sys.executable, "-c", code], "pip")
    message = caught.value.message
    assert message.startswith("The environment cannot be built: pip failed (exit code 3)")
    assert message.endswith(f"    line 29\n    {said}")
    assert "line 10" not in message
    assert advice in caught.value.hint
    assert caught.value.exit_code == 4
