"""Notebooks for tests, as small as their point."""

from __future__ import annotations

from typing import Any

from nbpipe.compiler.compile import compile_notebook
from nbpipe.model.diagnostic import Compilation
from nbpipe.model.notebook import Notebook
from nbpipe.model.pipeline import Pipeline
from nbpipe.notebook.parse import parse_notebook


def notebook_json(*sources: str, metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    """A notebook of code cells; a source that begins with `# markdown` becomes a Markdown cell."""
    cells: list[dict[str, Any]] = []
    for number, source in enumerate(sources, start=1):
        if source.startswith("# markdown\n"):
            text = source.partition("\n")[2]
            cells.append(
                {"cell_type": "markdown", "id": f"c{number}", "metadata": {}, "source": text}
            )
            continue
        cells.append(
            {
                "cell_type": "code",
                "id": f"c{number}",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
                "source": source,
            }
        )
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return {
        "cells": cells,
        "metadata": spec | (metadata or {}),
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def parsed(*sources: str, name: str = "demo") -> Notebook:
    """The notebook as values; fails when parsing finds fault."""
    notebook, diagnostics = parse_notebook(notebook_json(*sources), name=name)
    assert not diagnostics, diagnostics
    return notebook


def compile_cells(*sources: str, name: str = "demo", **options: Any) -> Compilation:
    """Parse and compile cells."""
    notebook, diagnostics = parse_notebook(notebook_json(*sources), name=name)
    return compile_notebook(notebook, earlier=diagnostics, **options)


def pipeline_of(*sources: str, name: str = "demo", **options: Any) -> Pipeline:
    """The pipeline of cells that compile."""
    compilation = compile_cells(*sources, name=name, **options)
    assert compilation.pipeline is not None, compilation.diagnostics
    return compilation.pipeline
