"""What happens in a run, and what is to be done about it: the words the scheduler speaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from nbpipe.model.names import StepName
from nbpipe.model.run import RunState, StepState


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run begins."""


@dataclass(frozen=True, slots=True)
class ResultFound:
    """The store has a result for the step's key: the step is reused."""

    step: StepName


@dataclass(frozen=True, slots=True)
class ResultMissing:
    """The store has no result for the step's key: the step must run."""

    step: StepName


@dataclass(frozen=True, slots=True)
class StepSucceeded:
    """A launched step is done and committed."""

    step: StepName


@dataclass(frozen=True, slots=True)
class StepFailed:
    """A look-up or an attempt at the step failed.

    Attributes:
        retry_may_help: False when the same attempt is bound to fail again.
        ends_run: nothing further can work (the store is gone): start nothing more, whatever
            was asked for.
    """

    step: StepName
    retry_may_help: bool = True
    ends_run: bool = False


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The wait before the step's next attempt is over."""

    step: StepName


@dataclass(frozen=True, slots=True)
class Hold:
    """The plan is out of date: start nothing more, and finish once nothing runs."""


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody wants the run to end now."""


Event: TypeAlias = (
    RunStarted
    | ResultFound
    | ResultMissing
    | StepSucceeded
    | StepFailed
    | TimerFired
    | Hold
    | CancelRequested
)


@dataclass(frozen=True, slots=True)
class LookUp:
    """Compute the step's key and ask the store: answer ResultFound, ResultMissing or StepFailed."""

    step: StepName


@dataclass(frozen=True, slots=True)
class Launch:
    """Make an attempt at the step: answer StepSucceeded or StepFailed. Attempts count from 1."""

    step: StepName
    attempt: int


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Answer TimerFired after so many seconds; until then the step takes no place."""

    step: StepName
    seconds: float


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the running attempt at the step; its answer is still expected."""

    step: StepName


@dataclass(frozen=True, slots=True)
class Settle:
    """The step ends in `state`, which is neither succeeded nor reused: note it.

    `because` is the step that failed first, for a skipped one.
    """

    step: StepName
    state: StepState
    because: StepName | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """The run cannot go on: the step would have to run, but was not asked for."""

    step: StepName


@dataclass(frozen=True, slots=True)
class Finish:
    """Every step has ended, or the plan is out of date and nothing runs: so ends the run."""

    state: RunState


Command: TypeAlias = LookUp | Launch | SetTimer | Cancel | Settle | Refuse | Finish
