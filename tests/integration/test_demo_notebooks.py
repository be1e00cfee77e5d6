"""The demos show what they show in one kernel."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.plain_runs import plainly, shown

pytestmark = pytest.mark.slow

DEMOS = Path(__file__).parents[2] / "demo_notebooks"


@pytest.mark.parametrize("name", ["flights", "messy"])
def test_a_demo_shows_what_its_notebook_shows(shell, tmp_path, monkeypatch, name):
    """Both demos, one with a part of its data; `messy` is tagged by its headings first."""
    part = {"flights": 10, "messy": 1}[name]
    pd = pytest.importorskip("pandas")
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    for directory in (shell.directory, tmp_path / "plain"):
        (directory / "data").mkdir(parents=True)
        for table in (DEMOS / "data").glob("*.parquet"):
            pd.read_parquet(table).iloc[::part].to_parquet(directory / "data" / table.name)
    before = (DEMOS / f"{name}.ipynb").read_bytes()
    path = shell.directory / f"{name}.ipynb"
    path.write_bytes(before)
    if name == "messy":
        assert shell("tag", path.name).code == 0
        before = path.read_bytes()
    process = shell.start("run", path.name, "--json")
    expected = plainly(tmp_path / "plain", json.loads(before))
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err + out
    executed = json.loads(Path(json.loads(out.splitlines()[-1])["executed_notebook"]).read_text())
    found = shown(executed["cells"])
    assert sum(map(len, found)) > 20
    for number, (parts, wanted) in enumerate(zip(found, expected, strict=True), start=1):
        assert parts == wanted, f"cell {number}"
    assert path.read_bytes() == before
