"""A step notebook that nobody asked to run but a person: inputs and outputs by way of the store.

Under plain papermill, or in JupyterLab, there is no driver. Then the newest version that the
upstream step made is the input, and what the step makes is committed as a run of its own, without
a step key: it can be looked at and loaded, and no pipeline run takes it for its own result.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from nbpipe.errors import NotFoundError
from nbpipe.kernel.exchange import KernelProblem, KernelReport
from nbpipe.kernel.problems import StepNotebookError
from nbpipe.model.artifact import StoredValue
from nbpipe.model.digest import digest_structure
from nbpipe.model.names import PipelineName, RunId, StepName, Variable
from nbpipe.model.run import Run, RunState, StepRun, StepState
from nbpipe.store.artifacts import ArtifactStore

STORE_VARIABLE: Final = "NBPIPE_STORE"
_STORE_NAME: Final = ".nbpipe"


def find_store(directory: Path) -> Path:
    """Give `$NBPIPE_STORE`, or the nearest `.nbpipe` from `directory` up, or one there."""
    chosen = os.environ.get(STORE_VARIABLE)
    if chosen:
        return Path(chosen)
    for place in (directory, *directory.parents):
        if (place / _STORE_NAME / "index.db").exists():
            return place / _STORE_NAME
    return directory / _STORE_NAME


def standalone_seed(pipeline: str, step: str) -> int:
    """Give a seed that is the same at every run of a step notebook by hand."""
    return int(digest_structure(["standalone", pipeline, step])[:8], 16)


def newest_inputs(
    store: ArtifactStore, pipeline: PipelineName, upstream: Mapping[str, str]
) -> dict[Variable, StoredValue | None]:
    """Give what the upstream steps made last; None for what they left unbound.

    Raises:
        StepNotebookError: when an upstream step has not run yet.
    """
    found: dict[Variable, StoredValue | None] = {}
    for variable, step in upstream.items():
        try:
            outputs = store.latest_outputs(pipeline, StepName(step))
        except NotFoundError as error:
            raise StepNotebookError(
                KernelProblem(
                    kind="input",
                    message=f"'{variable}' comes from step '{step}', which has no result yet.",
                    hint=f"Run steps/{step}.ipynb first.",
                )
            ) from error
        version = outputs.get(Variable(variable))
        found[Variable(variable)] = None if version is None else version.value
    return found


def commit(
    store: ArtifactStore,
    pipeline: PipelineName,
    step: StepName,
    report: KernelReport,
    *,
    started: datetime,
) -> None:
    """Record what the step made, as a run of its own."""
    finished = datetime.now(UTC)
    run = RunId(f"{started:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}")
    store.begin_run(
        Run(id=run, pipeline=pipeline, state=RunState.RUNNING, parameters={}, started=started)
    )
    store.commit_step(
        StepRun(
            run=run,
            step=step,
            state=StepState.SUCCEEDED,
            started=started,
            seconds=(finished - started).total_seconds(),
            reason="run by hand",
            unbound=report.unbound,
            notes=report.notes,
        ),
        report.outputs,
    )
    store.finish_run(run, RunState.SUCCEEDED, finished=finished)
