"""docs/images/flights.svg, from what `nbpipe compile --json` says of the demo notebook."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from nbpipe.cli.main import cli
from nbpipe.report.layered_drawing import drawing


def flights_picture(root: Path) -> str:
    """Draw the steps of the demo notebook, and the variables that go from step to step."""
    notebook = root / "demo_notebooks" / "flights.ipynb"
    answer = CliRunner().invoke(cli, ["compile", str(notebook), "--check", "--json"])
    compiled = json.loads(answer.stdout)
    variables: dict[tuple[str, str], list[str]] = {}
    for edge in compiled["edges"]:
        ends = (edge["upstream"], edge["downstream"])
        variables.setdefault(ends, []).append(edge["variable"])
    steps = [step["name"] for step in compiled["steps"]]
    labels = {ends: _lines([n for n in names if n]) for ends, names in variables.items()}
    return drawing(steps, labels, title="The steps of flights.ipynb and what they hand on")


def _lines(names: list[str]) -> list[str]:
    """Two names a line."""
    shown = [f"{name[1:]} stream" if name.startswith("@") else name for name in names]
    lines = [", ".join(shown[i : i + 2]) for i in range(0, len(shown), 2)]
    return [f"{line}," for line in lines[:-1]] + lines[-1:]
