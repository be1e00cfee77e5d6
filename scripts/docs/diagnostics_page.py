"""docs/reference/diagnostics.md, from the table of rules and the examples in tests/specs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from markdown_text import anchor, block, page, table

from nbpipe.compiler.compile import compile_notebook
from nbpipe.compiler.findings import RULES, Rule
from nbpipe.exporters.findings import EXPORT_RULES
from nbpipe.model.diagnostic import Diagnostic
from nbpipe.notebook.parse import parse_notebook

_INTRODUCTION: Final = """
What the compiler has to say about a notebook. Every finding has a stable code, the cell and line it
is about, what is wrong, and what to do. Cells are numbered as Jupyter numbers them in a clean run
from top to bottom: code cells only, from 1.

- An **error** stops compilation: there is no pipeline.
- A **warning** says what may surprise you. The pipeline is built.
- An **info** explains a choice. `nbpipe compile` prints it, `nbpipe run` does not.

`nbpipe compile --check NOTEBOOK` prints the findings and writes nothing; `nbpipe explain CODE`
prints the sentence that stands here.
"""

_EXPORTERS: Final = """
Exporters have findings of their own, which only `nbpipe export` prints:
"""

# For rules that no file in tests/specs shows.
_FURTHER: Final[dict[str, tuple[str, ...]]] = {
    "NBP212": ("%%step a\nfrom math import *\nprint(sqrt(2))",),
    "NBP214": ("def area(r):\n    return tau * r", "%%step a\nprint(area)"),
    "NBP216": ("%pip install pandas", "%%step a\nx = 1"),
    "NBP217": ('%%step a\nrows = open("/home/ada/rows.csv").readlines()',),
    "NBP218": (
        'import pandas as pd\npd.set_option("display.max_rows", 5)\nprint(len("abc"))',
        "%%step a\nx = 1",
    ),
}


def diagnostics_page(root: Path) -> str:
    """Make the page."""
    examples = _examples(root)
    parts = [_INTRODUCTION, _listed(RULES), _EXPORTERS, _listed(EXPORT_RULES)]
    for name, rule in (*RULES.items(), *EXPORT_RULES.items()):
        parts.append(f"## {name}")
        parts.append(f"**{rule.severity.value.capitalize()}: {rule.title}.** {rule.explanation}")
        if name in examples:
            cells, findings = examples[name]
            parts += [
                block(cell, "python no-run: it is refused, or warned about") for cell in cells
            ]
            said = [str(finding) for finding in findings if finding.code == name]
            parts.append(block("\n".join(said)))
    return page("Diagnostics", *parts)


def _listed(rules: Mapping[str, Rule]) -> str:
    rows = [
        (f"[{name}](#{anchor(name)})", rule.severity.value, rule.title)
        for name, rule in rules.items()
    ]
    return table(("code", "severity", "what"), rows)


def _examples(root: Path) -> dict[str, tuple[tuple[str, ...], tuple[Diagnostic, ...]]]:
    """Give for each rule the first notebook that shows it, with what is said of it."""
    found: dict[str, tuple[tuple[str, ...], tuple[Diagnostic, ...]]] = {}
    for cells in (*_specified(root), *_FURTHER.values()):
        diagnostics = _compiled(cells)
        for finding in diagnostics:
            found.setdefault(finding.code, (cells, diagnostics))
    return found


def _specified(root: Path) -> Iterator[tuple[str, ...]]:
    """Give the cells of every specification that expects a finding, the rules' own first."""
    for folder in ("rules", "dataflow"):
        for path in sorted((root / "tests" / "specs" / folder).glob("*.md")):
            text = path.read_text(encoding="utf-8")
            for body in re.findall(r"^## .+?\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL):
                blocks = re.findall(r"^```(\w+)\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)
                if any(kind == "diagnostics" for kind, _ in blocks):
                    yield _tagged([text.rstrip("\n") for kind, text in blocks if kind == "python"])


def _tagged(cells: list[str]) -> tuple[str, ...]:
    """Tag cells as tests/specs does: untagged ones become steps called by letters."""
    names = iter("abcdefghijklmnopqrstuvwxyz")
    tagged = []
    for cell in cells:
        if cell.startswith("# untagged\n"):
            tagged.append(cell.partition("\n")[2])
        elif re.match(r"%%(step|params|prelude|skip)\b|#\|", cell):
            tagged.append(cell)
        else:
            tagged.append(f"%%step {next(names)}\n{cell}")
    return tuple(tagged)


def _compiled(cells: tuple[str, ...]) -> tuple[Diagnostic, ...]:
    content: dict[str, object] = {
        "cells": [
            {
                "cell_type": "code",
                "id": f"c{number}",
                "metadata": {},
                "outputs": [],
                "execution_count": None,
                "source": cell,
            }
            for number, cell in enumerate(cells)
        ],
        "metadata": {
            "kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    notebook, earlier = parse_notebook(content, name="example")
    return compile_notebook(notebook, earlier=earlier).diagnostics
