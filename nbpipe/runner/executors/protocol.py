"""What an executor must do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from nbpipe.model.artifact import StoredValue
from nbpipe.model.names import RunId, StepName, Variable
from nbpipe.model.pipeline import ParameterValue, Pipeline, Step
from nbpipe.model.run import StepFailure, StepKey, StepResult

Outcome: TypeAlias = StepResult | StepFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRequest:
    """One attempt at a step, complete in itself: it may be made in another process.

    Attributes:
        parameters: values by name; those that the step does not read do no harm.
        inputs: None for one that the upstream step left unbound.
        directory: of the notebook; the kernel starts there.
        store: the root of the store.
        trusted: the stored inputs may be unpickled.
        watched_files: paths, relative to `directory`, to be told which the step only writes.
        copies: a directory for copies of files that the step is going to change; it need not exist.
        output_limit: bytes of printed text that are kept of a cell.
        hash_seed: of the kernel; None for that of the environment, or 0.
        python: the Python of the kernel, whatever the notebook names; none for that of its kernel.
        variables: of the environment, for the kernel.
    """

    run: RunId
    pipeline: Pipeline
    step: Step
    attempt: int
    key: StepKey
    parameters: Mapping[Variable, ParameterValue]
    inputs: Mapping[Variable, StoredValue | None]
    directory: Path
    store: Path
    trusted: bool
    watched_files: tuple[str, ...]
    copies: Path
    output_limit: int
    hash_seed: int | None = None
    python: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)


class Executor(Protocol):
    """A place where steps run. How many at once is the scheduler's business."""

    async def execute(self, request: StepRequest) -> Outcome:
        """Make one attempt; what goes wrong with the step is a failure, not an exception."""
        ...

    def cancel(self, step: StepName) -> None:
        """End the running attempt at a step at once; `execute` then returns. Never blocks."""
        ...

    def close(self) -> None:
        """Let go of everything, once no attempt is running."""
        ...
