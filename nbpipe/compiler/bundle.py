"""Pipeline → the files of its bundle. Pure: somebody else writes them."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Final

from nbpipe.compiler.step_notebook import notebook_text, step_notebook
from nbpipe.model.effects import LearnedEffects
from nbpipe.model.pipeline import Pipeline
from nbpipe.wire.codec import encode
from nbpipe.wire.manifest import manifest_text

EFFECTS_FORMAT: Final = 2


def bundle_files(
    pipeline: Pipeline,
    notebook: Mapping[str, object],
    *,
    compiler: str,
    learned: LearnedEffects | None = None,
) -> dict[str, str]:
    """Give the texts of a bundle by relative path; the same notebook gives the same bytes."""
    files = {
        "pipeline.json": manifest_text(pipeline, compiler=compiler),
        "effects.json": effects_text(learned or LearnedEffects()),
        "notebook.ipynb": notebook_text(stripped(notebook)),
    }
    for step in pipeline.steps:
        files[f"steps/{step.name}.ipynb"] = notebook_text(step_notebook(pipeline, step))
    return files


def effects_text(learned: LearnedEffects) -> str:
    """Give `effects.json`: what runs found out about a step's source, one line each."""
    content = encode(learned)
    assert isinstance(content, dict)
    return json.dumps({"format": EFFECTS_FORMAT, **content}, indent=1, sort_keys=True) + "\n"


def stripped(notebook: Mapping[str, object]) -> dict[str, object]:
    """Give a notebook without outputs, execution counts and widget state."""
    result = copy.deepcopy(dict(notebook))
    metadata = result.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("widgets", None)
    cells = result.get("cells")
    for cell in cells if isinstance(cells, list) else []:
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            cell["outputs"] = []
            cell["execution_count"] = None
            if isinstance(cell.get("metadata"), dict):
                cell["metadata"].pop("execution", None)
    return result
