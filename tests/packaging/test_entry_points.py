"""What other programs find nbpipe by must load, whoever imports whom first."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
ENTRY_POINTS = {
    f"{group}: {name}": target
    for group, entries in {
        "console_scripts": PROJECT["project"]["scripts"],
        **PROJECT["project"]["entry-points"],
    }.items()
    for name, target in entries.items()
}


def run_python(code: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("target", ENTRY_POINTS.values(), ids=ENTRY_POINTS.keys())
def test_an_entry_point_loads(target: str):
    module, _, name = target.partition(":")
    run_python(f"from {module} import {name}")


# papermill loads its engines in the middle of its own import, and a broken one breaks papermill.
def test_papermill_knows_the_engine():
    run_python("from papermill.engines import papermill_engines as e; e.get_engine('nbpipe')")
