"""The tutorials are followed, command by command, with real kernels."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks, notebook_name, notebook_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Variables for a shell in which `nbpipe` and `python` are those under test."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, module in {"nbpipe": "-m nbpipe", "python": ""}.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        program.chmod(0o755)
    kept = {name: text for name, text in os.environ.items() if not name.startswith("NBPIPE_")}
    return kept | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "NBPIPE_DATA_DIR": str(tmp_path / "data"),
    }


def run(script: str, directory: Path, environment: dict[str, str], *, exit_code: int = 0) -> str:
    answer = subprocess.run(
        ["bash", "-eu", "-c", script],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    said = answer.stdout + answer.stderr
    assert answer.returncode == exit_code, f"{script}\n{said}"
    return said


@pytest.mark.skipif(sys.platform == "win32", reason="the tutorials speak bash")
def test_the_tutorial_of_the_readme(tmp_path: Path, environment: dict[str, str]) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(
        ROOT / "demo_notebooks",
        checkout / "demo_notebooks",
        ignore=shutil.ignore_patterns(".nbpipe", "out", "*.nbpipe", ".ipynb_checkpoints"),
    )
    script = "\n".join(
        block.text
        for block in blocks(ROOT / "README.md")
        if block.section == "Five minutes" and block.language == "shell"
    )
    said = run(script, checkout, environment)
    assert "8 succeeded" in said
    assert "models would run:\n  code changed" in said
    assert "= reused     worst_routes" in said
    assert "= reused     features" in said
    assert "parameters n_estimators  60" in said
    assert list((checkout / "tutorial" / "mine-script").glob("*.py"))


@pytest.mark.skipif(sys.platform == "win32", reason="the tutorials speak bash")
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem) for path in sorted((ROOT / "docs/tutorials").glob("*.md"))],
)
def test_a_tutorial(path: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    """Its cells become a notebook; a cell whose number comes again takes the old one's place.

    A shell block must succeed, or, as `shell fails N`, end with exit code N.
    """
    name = notebook_name(path)
    assert name is not None
    directory = tmp_path / "empty"
    directory.mkdir()
    cells: dict[int, str] = {}
    for block in blocks(path):
        if block.language == "python" and block.rest.startswith("cell "):
            cells[int(block.rest.removeprefix("cell "))] = block.text
            sources = [cells[number] for number in sorted(cells)]
            (directory / name).write_text(notebook_text(sources))
        elif block.language == "shell":
            wanted = int(block.rest.removeprefix("fails ")) if block.rest else 0
            run(block.text, directory, environment, exit_code=wanted)
        elif block.language == "python" and not block.rest.startswith("no-run: "):
            (directory / "block.py").write_text(block.text)
            run("python block.py", directory, environment)
