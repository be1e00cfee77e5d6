"""The specifications in Markdown, each heading a test.

A ``python`` block is a cell; it is a step named a, b, c … unless it carries a tag of its own or
begins with ``# untagged``. An ``edges`` block lists every edge, a ``diagnostics`` block every
finding but infos, an ``inputs`` block steps whose inputs are compared alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.builders import compile_cells

HERE = Path(__file__).parent


@dataclass
class Spec:
    title: str
    cells: list[str] = field(default_factory=list)
    expected: dict[str, str] = field(default_factory=dict)


def specs() -> list[object]:
    found: list[object] = []
    for path in sorted(HERE.rglob("*.md")):
        for title, body in re.findall(
            r"^## (.+?)\n(.*?)(?=^## |\Z)", path.read_text(), re.MULTILINE | re.DOTALL
        ):
            spec = Spec(title)
            for kind, text in re.findall(r"^```(\w+)\n(.*?)^```$", body, re.MULTILINE | re.DOTALL):
                if kind == "python":
                    spec.cells.append(text.rstrip("\n"))
                else:
                    spec.expected[kind] = text
            found.append(pytest.param(spec, id=f"{path.stem}: {title}"))
    return found


def tagged(cells: list[str]) -> list[str]:
    names = iter("abcdefghijklmnopqrstuvwxyz")
    sources = []
    for cell in cells:
        if cell.startswith("# untagged\n"):
            sources.append(cell.partition("\n")[2])
        elif re.match(r"%%(step|params|prelude|skip)\b|#\|", cell):
            sources.append(cell)
        else:
            sources.append(f"%%step {next(names)}\n{cell}")
    return sources


@pytest.mark.parametrize("spec", specs())
def test_spec(spec: Spec) -> None:
    compilation = compile_cells(*tagged(spec.cells))
    found = [
        f"{d.code} cell {d.span.cell_number}, line {d.span.line}" if d.span else d.code
        for d in compilation.diagnostics
        if d.severity != "info"
    ]
    wanted = spec.expected.get("diagnostics", "").split("\n")
    assert found == [line.partition(":")[0] for line in wanted if line], compilation.diagnostics
    for line in filter(None, wanted):
        _, _, text = line.partition(": ")
        assert any(text in str(d) for d in compilation.diagnostics), (text, compilation.diagnostics)
    if "edges" in spec.expected:
        assert compilation.pipeline is not None, compilation.diagnostics
        grouped: dict[tuple[str, str], list[str]] = {}
        for edge in compilation.pipeline.edges:
            grouped.setdefault((edge.upstream, edge.downstream), []).append(edge.variable or "")
        lines = [
            f"{a} -> {b}: {', '.join(sorted(v))}".rstrip(": ") for (a, b), v in grouped.items()
        ]
        assert sorted(lines) == sorted(spec.expected["edges"].split("\n")[:-1])
