"""A random notebook, before it is a file: cells, and which of them are steps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.builders import notebook_json


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell; `tag` is its first line in the notebook: a step, parameters, or nothing."""

    source: str
    tag: str = ""

    @property
    def step(self) -> str:
        """The name of the step, or nothing."""
        return self.tag.split()[-1] if "step" in self.tag else ""

    @property
    def text(self) -> str:
        return f"{self.tag}\n{self.source}" if self.tag else self.source


@dataclass(frozen=True, kw_only=True)
class Case:
    """A notebook and the files beside it."""

    cells: tuple[Cell, ...]
    files: dict[str, str] = field(default_factory=dict)

    @property
    def sources(self) -> list[str]:
        return [cell.source for cell in self.cells]

    def with_cells(self, cells: Sequence[Cell]) -> Case:
        return replace(self, cells=tuple(cells))

    def write(self, directory: Path) -> Path:
        """Write notebook and files; gives the path of the notebook."""
        for name, text in self.files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        path = directory / "book.ipynb"
        path.write_text(json.dumps(notebook_json(*(cell.text for cell in self.cells))))
        return path

    def __str__(self) -> str:
        files = "".join(f"---- {name}\n{text}\n" for name, text in self.files.items())
        return files + "\n\n".join(cell.text for cell in self.cells)


def case_of(*cells: str, files: dict[str, str] | None = None) -> Case:
    """A case of cells as texts; a first line that is a tag is taken for one."""
    tags = ("%%step ", "#| step: ", "%%params", "%%prelude", "%%skip")
    parts = [text.partition("\n") if text.startswith(tags) else ("", "", text) for text in cells]
    return Case(
        cells=tuple(Cell(tag=tag, source=source) for tag, _, source in parts), files=files or {}
    )


def steps_of(setup: str, *bodies: str, files: dict[str, str] | None = None) -> Case:
    """A case of an untagged setup cell, or none, and steps of a cell each."""
    tagged = [f"#| step: s{number}\n{body}" for number, body in enumerate(bodies, start=1)]
    return case_of(*([setup] if setup else []), *tagged, files=files)
