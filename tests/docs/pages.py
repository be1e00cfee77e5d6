"""The documentation as values: pages, their fenced blocks, and the notebooks in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Block:
    """A fenced block: `info` is the text behind the fence, `section` the heading above it."""

    page: str
    line: int
    section: str
    info: str
    text: str

    @property
    def language(self) -> str:
        return self.info.split(" ", 1)[0]

    @property
    def rest(self) -> str:
        return self.info.partition(" ")[2].strip()

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every page of the documentation, README and ARCHITECTURE included."""
    return [
        *(ROOT / name for name in ("README.md", "ARCHITECTURE.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
    ]


def blocks(path: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    section, info, opened = "", None, 0
    lines: list[str] = []
    name = path.relative_to(ROOT).as_posix()
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if info is None and line.startswith("```"):
            info, opened, lines = line[3:].strip(), number, []
        elif info is not None and line == "```":
            yield Block(name, opened, section, info, "\n".join(lines))
            info = None
        elif info is not None:
            lines.append(line)
        elif line.startswith("#"):
            section = line.lstrip("#").strip()
    assert info is None, f"{name}: a block that begins in line {opened} does not end"


def all_blocks() -> list[Block]:
    return [block for path in pages() for block in blocks(path)]


def commands(block: Block) -> list[str]:
    """The commands of a shell block, one a line; lines that go on are joined."""
    text = re.sub(r"\\\n\s*", " ", block.text)
    return [line.strip() for line in text.split("\n") if line.strip() and line[0] != "#"]


def notebook_name(path: Path) -> str | None:
    """The file that the numbered cells of a page are cells of."""
    found = re.search(r"<!-- cells: (\S+\.ipynb) -->", path.read_text(encoding="utf-8"))
    return found[1] if found else None


def notebook_text(cells: list[str]) -> str:
    """A notebook of code cells."""
    content: dict[str, Any] = {
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{number}",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
                "source": source,
            }
            for number, source in enumerate(cells, start=1)
        ],
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1)
