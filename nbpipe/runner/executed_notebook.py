"""The executed notebook of a run, in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from nbpipe.errors import CorruptStoreError
from nbpipe.model.digest import Digest
from nbpipe.model.names import StepName
from nbpipe.model.pipeline import Step
from nbpipe.model.run import Run
from nbpipe.runner.cell_outputs import CellOutputs, decode_cell_outputs
from nbpipe.runner.stitch import stitch
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.store.unavailable import store_unavailable


def write_executed_notebook(
    store: ArtifactStore,
    run: Run,
    steps: Mapping[StepName, Step],
    notebook: Mapping[str, Any],
) -> str:
    """Write the author's notebook with the outputs of `run`; give its path within the store.

    Raises:
        StoreUnavailableError: it cannot be written.
    """
    shown = [
        (steps[step_run.step], _cell_outputs(store, step_run.cells))
        for step_run in run.steps
        if step_run.cells is not None
    ]
    executed = stitch(dict(notebook), shown)
    # A step's name holds no dot, so this is never the name of a step notebook.
    relative = f"runs/{run.id}/{PurePath(run.notebook).stem}.run.ipynb"
    path = store.root / relative
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(executed, indent=1, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise store_unavailable("write", path, error) from error
    return relative


def _cell_outputs(store: ArtifactStore, digest: Digest) -> CellOutputs:
    try:
        return decode_cell_outputs(store.blobs.read(digest))
    except CorruptStoreError:
        # What cells showed is no reason to fail a run whose values are all there.
        return CellOutputs()
