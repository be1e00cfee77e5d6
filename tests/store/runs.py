"""Stores and runs for tests, as small as their point."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbpipe.model.digest import digest_structure
from nbpipe.model.names import PipelineName, RunId, StepName, Variable
from nbpipe.model.observed import Observed
from nbpipe.model.run import KeyParts, Run, RunState, StepKey, StepRun, StepState
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.store.values import store_values

STARTED = datetime(2020, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def open_store(path: Path) -> ArtifactStore:
    return ArtifactStore.open(path / ".nbpipe")


def a_run(name: str = "r1", pipeline: str = "p", started: datetime = STARTED) -> Run:
    return Run(
        id=RunId(name),
        pipeline=PipelineName(pipeline),
        state=RunState.RUNNING,
        parameters={Variable("alpha"): 0.5, Variable("paths"): ["a", None]},
        started=started,
    )


def a_key(text: str) -> KeyParts:
    return KeyParts(key=StepKey(digest_structure(text)), parts={"code": text, "input df": "…"})


def a_step(
    step: str = "train",
    *,
    run: str = "r1",
    key: str | None = None,
    state: StepState = StepState.SUCCEEDED,
    **facts: Any,
) -> StepRun:
    return StepRun(
        run=RunId(run),
        step=StepName(step),
        state=state,
        key=a_key(key) if key else None,
        started=STARTED,
        **facts,
    )


def commit(
    store: ArtifactStore,
    step: str,
    values: dict[str, Any],
    *,
    run: str = "r1",
    observed: Observed | None = None,
    **facts: Any,
) -> StepRun:
    """Store values and commit them as the outputs of a step."""
    stored = store_values(store.blobs, values, list(values))
    assert not stored.failures
    return store.commit_step(a_step(step, run=run, **facts), stored.values, observed=observed)
