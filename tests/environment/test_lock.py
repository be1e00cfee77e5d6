"""Locks: what they pin, from what is installed here and from small made-up distributions."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

from nbpipe.environment.lock import NEEDED_BY_NBPIPE, environment_files, requirements_lock

ROOT = Path(__file__).parents[2]


def pins(text):
    return dict(line.split("==") for line in text.splitlines())


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Make distributions: name, version, modules, requirements."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name, version, *, modules=(), requires=()):
        directory = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        directory.mkdir()
        lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
        lines += [f"Requires-Dist: {text}" for text in requires]
        (directory / "METADATA").write_text("\n".join(lines))
        (directory / "top_level.txt").write_text("\n".join(modules))
        importlib.invalidate_caches()

    return make


def test_a_lock_pins_what_is_imported_and_what_that_needs(install):
    install("Aa.Bb", "1.0", modules=["aab"], requires=["cc>=1", "dd; python_version < '3'"])
    install("cc", "2.0", requires=["ee[fast]", "gone", "not a requirement ="])
    install("ee", "3.0", requires=["ff; extra == 'fast'", "gg; extra == 'slow'"])
    for name in ("dd", "ff", "gg"):
        install(name, "4.0", modules=[name])
    found = pins(requirements_lock(["aab", "json", "no_such_module"]))
    own = pins(requirements_lock([]))
    assert {name: v for name, v in found.items() if name not in own} == {
        "aa-bb": "1.0", "cc": "2.0", "ee": "3.0", "ff": "4.0",
    }  # fmt: skip


def test_requirements_in_a_circle_end(install):
    install("aa", "1.0", modules=["aa"], requires=["bb"])
    install("bb", "1.0", requires=["aa"])
    assert {"aa", "bb"} <= pins(requirements_lock(["aa"])).keys()


def test_what_was_really_imported_is_pinned_as_it_was(install):
    install("aa", "1.0", modules=["aa"], requires=["bb"])
    install("bb", "1.0")
    found = pins(requirements_lock([], imported={"Aa": "0.9", "elsewhere": "7"}))
    assert (found["aa"], found["bb"], found["elsewhere"]) == ("0.9", "1.0", "7")


def test_a_lock_has_all_that_nbpipe_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=]", text)[0] for text in project["dependencies"]}
    assert set(NEEDED_BY_NBPIPE) == names
    found = pins(requirements_lock([]))
    assert {name.replace("_", "-") for name in names} <= found.keys()
    assert "jupyterlab-nbpipe" not in found
    # And what these need in turn, such as the kernel's sockets.
    assert "pyzmq" in found
    assert list(found) == sorted(found)


def test_the_files_say_which_python_it_is_for():
    files = environment_files([])
    assert files["python-version"] == f"{sys.version_info.major}.{sys.version_info.minor}\n"
    assert files["requirements.lock"] == requirements_lock([])
