"""What a report says, as values: all that `page.py` needs, and nothing that it must look up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from nbpipe.lineage.tree import TreeLine
from nbpipe.model.artifact import ArtifactVersion
from nbpipe.model.digest import Digest
from nbpipe.model.names import StepName, Variable
from nbpipe.model.run import Run, StepRun


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeCell:
    """A cell of a step, as it ran."""

    number: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """An image that a cell showed. `content` is base64; empty for one that was left out."""

    cell_number: int
    media_type: str
    content: str
    alt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """A step of the run.

    Attributes:
        run: the record; a step that the run never came to is pending in it.
        code: its own cells; none where no notebook of the run is left.
        metrics: outputs that hold figures of merit.
        changed: variables that it changed although its code does not show it.
        missing: what the report should have shown and could not find, in words.
    """

    run: StepRun
    code: tuple[CodeCell, ...] = ()
    plots: tuple[Plot, ...] = ()
    metrics: tuple[Variable, ...] = ()
    changed: tuple[Variable, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def parts(self) -> Mapping[str, str]:
        """The parts of its step key."""
        return self.run.key.parts if self.run.key is not None else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageReport:
    """What something was made from."""

    title: str
    lines: tuple[TreeLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A run.

    Attributes:
        steps: in topological order as far as it is known.
        edges: upstream and downstream step → the variables between them.
        lineage: of what was asked for, or of the last step.
        executed_notebook: where it lies, empty when it is gone or was never written.
        log_head: number and digest of the newest record of the audit log.
        remarks: what about the run itself could not be found.
    """

    run: Run
    steps: tuple[StepReport, ...]
    edges: Mapping[tuple[StepName, StepName], tuple[Variable, ...]]
    versions: tuple[ArtifactVersion, ...]
    lineage: LineageReport | None
    executed_notebook: str
    store: str
    made: datetime
    nbpipe_version: str
    log_head: tuple[int, Digest] | None
    remarks: tuple[str, ...] = ()
