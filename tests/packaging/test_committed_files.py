"""What is committed must work, and say nothing, on any machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def committed_files() -> list[Path]:
    answer = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if answer.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in answer.stdout.split("\0") if name]
    return [file for file in files if file.is_file()]


def addresses(value: object) -> list[str]:
    """The web addresses in a piece of JSON, links for funding left out."""
    match value:
        case str() if "://" in value:
            return [value]
        case list():
            return [found for item in value for found in addresses(item)]
        case dict():
            return [
                found
                for key, item in value.items()
                if key != "funding"
                for found in addresses(item)
            ]
    return []


def test_the_lock_file_names_no_registry():
    lock = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []
    assert addresses(lock) == []


def test_every_locked_package_has_a_digest():
    lock = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))
    ours = {""}
    assert {
        name for name, package in lock["packages"].items() if "integrity" not in package
    } == ours


def test_no_committed_file_names_a_folder_of_this_machine():
    folders = {ROOT, ROOT.parent, Path.home(), Path(sys.prefix), Path(sys.base_prefix)}
    shared = {
        Path("/"),
        Path("/usr"),
        Path("/usr/local"),
        Path("/tmp"),
        Path("/home"),
        Path("/opt"),
    }
    needles = [f"{folder}/".encode() for folder in folders - shared]
    found = {
        (str(file.relative_to(ROOT)), needle.decode())
        for file in committed_files()
        for needle in needles
        if needle in file.read_bytes()
    }
    assert found == set()
