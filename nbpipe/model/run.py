"""Runs: what was executed, when, why, and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import NewType

from nbpipe.model.artifact import ArtifactVersion, StoredValue
from nbpipe.model.digest import Digest
from nbpipe.model.names import CellId, PipelineName, RunId, StepName, Variable
from nbpipe.model.pipeline import ParameterValue
from nbpipe.model.trace import Trace

StepKey = NewType("StepKey", Digest)


class StepState(StrEnum):
    """Where a step stands in a run."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    REUSED = "reused"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def is_good(self) -> bool:
        """True when the step has a result, made or reused."""
        return self in {StepState.SUCCEEDED, StepState.REUSED}


class RunState(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyParts:
    """The step key, taken apart so that two can be compared: component name → its digest or text.

    Names are paths such as `code`, `parameter alpha`, `input df`, `package pandas`, `file a.csv`.
    """

    key: StepKey
    parts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailure:
    """Why a step failed.

    `kind` is `error` (the author's code raised), `timeout`, `kernel-died`, `undeclared` (a change
    that its code does not show, with --strict), `output` (a value cannot be stored), `input` (one
    cannot be loaded), `store` or `cancelled`.

    `traceback` is the author's own, in plain text, with cells numbered as in the notebook. What
    was executed up to then is kept as for a `StepResult`: `cells`, `executed_notebook`, `seconds`.
    `unstorable` are the variables that later steps need and nobody can store.
    """

    kind: str
    message: str
    hint: str = ""
    cell: CellId | None = None
    cell_number: int | None = None
    line: int | None = None
    traceback: str = ""
    cells: Digest | None = None
    executed_notebook: str = ""
    seconds: float = 0.0
    unstorable: tuple[Variable, ...] = ()

    @property
    def retry_may_help(self) -> bool:
        """False when the same code on the same inputs is bound to fail again."""
        return self.kind not in {"output", "input", "cancelled", "undeclared"}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnstoredResult(StepFailure):
    """The failure of a step that ran to its end, and made what nobody can store.

    Attributes:
        trace: what it touched besides its variables.
    """

    trace: Trace

    def as_failure(self) -> StepFailure:
        """Give what is kept of it."""
        return StepFailure(**{each.name: getattr(self, each.name) for each in fields(StepFailure)})


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What an executed step left behind, before it is committed.

    Attributes:
        outputs: what was stored, by variable.
        unbound: outputs that the step's code did not assign this time.
        cells: digest of the blob with the outputs of the step's cells, for stitching.
        executed_notebook: the executed step notebook, relative to the store.
        notes: things worth a line in the summary.
        changed: inputs that the step changed in place although the analysis did not see it; they
            are among `outputs`.
        files_written: literal paths of the step that it wrote without having read them.
        trace: what it touched besides its variables.
    """

    outputs: Mapping[Variable, StoredValue]
    unbound: tuple[Variable, ...] = ()
    cells: Digest | None = None
    executed_notebook: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    changed: tuple[Variable, ...] = ()
    files_written: tuple[str, ...] = ()
    trace: Trace = field(default_factory=Trace)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRun:
    """One execution, or reuse, of a step in a run.

    `cell_numbers` are those of its own cells; `observed` is what it was seen to depend on besides
    its key: name → digest or text, as in `Observed.parts`.
    """

    run: RunId
    step: StepName
    state: StepState
    key: KeyParts | None = None
    attempt: int = 1
    started: datetime | None = None
    seconds: float = 0.0
    reason: str = ""
    outputs: Mapping[Variable, ArtifactVersion] = field(default_factory=dict)
    unbound: tuple[Variable, ...] = ()
    failure: StepFailure | None = None
    cells: Digest | None = None
    executed_notebook: str = ""
    notes: tuple[str, ...] = ()
    cell_numbers: tuple[int, ...] = ()
    observed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution of a pipeline."""

    id: RunId
    pipeline: PipelineName
    state: RunState
    parameters: Mapping[Variable, ParameterValue]
    started: datetime
    finished: datetime | None = None
    source: Digest | None = None
    notebook: str = ""
    executed_notebook: str = ""
    steps: tuple[StepRun, ...] = ()
