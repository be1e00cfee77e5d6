"""The Python blocks of the documentation run. Those of tutorials do so in `test_tutorials.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, all_blocks, notebook_text

BLOCKS = [
    block
    for block in all_blocks()
    if block.info == "python" and not block.page.startswith("docs/tutorials/")
]


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_python_block_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each finds a notebook `report.ipynb`, with a parameter `rows` and an artifact `total`."""
    cells = ["%%params\nrows = 10", "%%step load\ntotal = rows * 2", "%%step show\nprint(total)"]
    (tmp_path / "report.ipynb").write_text(notebook_text(cells))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("NBPIPE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("NBPIPE_STORE", raising=False)
    done = subprocess.run(
        [sys.executable, "-c", block.text],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
