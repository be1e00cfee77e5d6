"""What `nbpipe verify` finds: comparisons of values and cells, and verdicts on steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from nbpipe.model.names import PipelineName, StepName, Variable
from nbpipe.model.run import StepFailure


class Likeness(StrEnum):
    """How alike two values are, or what two cells show.

    `NOISE` is for numbers alone: they differ as the same sum in another order does.
    `INCOMPARABLE` says that nobody can tell.
    """

    EQUAL = "equal"
    NOISE = "noise"
    INCOMPARABLE = "incomparable"
    DIFFERENT = "different"


_GRAVITY: Final = tuple(Likeness)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What came of comparing two things.

    Attributes:
        relative: the largest relative difference of two numbers.
        detail: where and how they differ, or why they cannot be compared; one line.
        apart_from: what was left out of the comparison and does differ, such as `memory addresses`.
    """

    likeness: Likeness = Likeness.EQUAL
    relative: float = 0.0
    detail: str = ""
    apart_from: tuple[str, ...] = ()

    def passes(self, tolerance: float) -> bool:
        """Say whether it is equality, or noise up to a relative difference of `tolerance`."""
        if self.likeness is Likeness.NOISE:
            return self.relative <= tolerance
        return self.likeness is Likeness.EQUAL


class Counterpart(StrEnum):
    """What a run of the pipeline is compared with: another run of it, or the notebook."""

    RUN = "run"
    NOTEBOOK = "notebook"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One comparison: of a variable that a step exports, or of what a cell of it shows.

    `notebook_varies` says that two runs of the notebook itself differ there, too.
    """

    variable: Variable | None = None
    cell_number: int | None = None
    comparison: Comparison
    notebook_varies: bool = False

    @property
    def subject(self) -> str:
        """What people call it."""
        if self.variable is None:
            return f"cell {self.cell_number}"
        return f"the {self.variable[1:]} stream" if self.variable.startswith("@") else self.variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """An input of a step that differed before the step began, and who made it."""

    step: StepName
    variable: Variable


@dataclass(frozen=True, slots=True, kw_only=True)
class StepVerdict:
    """What is true of one step, compared with one counterpart.

    Attributes:
        findings: every comparison that was made.
        because: inputs that differed already, first culprit first.
        failure: the step failed in one of the two and not in the other.
    """

    counterpart: Counterpart
    step: StepName
    findings: tuple[Finding, ...] = ()
    because: tuple[Cause, ...] = ()
    failure: str = ""

    @property
    def likeness(self) -> Likeness:
        """The gravest of the findings."""
        if self.failure:
            return Likeness.DIFFERENT
        return max(
            (f.comparison.likeness for f in self.findings), key=_GRAVITY.index, default=_SAME
        )

    @property
    def relative(self) -> float:
        """The largest relative difference."""
        return max((finding.comparison.relative for finding in self.findings), default=0.0)

    def passes(self, tolerance: float) -> bool:
        """Say whether every finding passes."""
        return not self.failure and all(f.comparison.passes(tolerance) for f in self.findings)


_SAME: Final = Likeness.EQUAL


class VerificationState(StrEnum):
    """How a verification ended."""

    PROVEN = "proven"
    DIFFERENT = "different"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What became of verifying a pipeline.

    Attributes:
        verdicts: on each step, compared with the other run, then with the notebook.
        failures: of steps, where the first run did not succeed, so that nothing was compared.
        notes: what a reader should know, such as files that a run left behind.
    """

    pipeline: PipelineName
    state: VerificationState
    tolerance: float = 0.0
    verdicts: tuple[StepVerdict, ...] = ()
    failures: tuple[tuple[StepName, StepFailure], ...] = ()
    notes: tuple[str, ...] = field(default=())
