"""What a run tells those who watch it, as it happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from nbpipe.model.names import StepName
from nbpipe.model.run import Run, StepFailure, StepRun


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentBuilding:
    """Before the run, an environment with so many distributions is built for its kernels."""

    distributions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBegan:
    """The run exists; these steps take part, in this order."""

    run: Run
    steps: tuple[StepName, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """An attempt at a step starts; `reason` says why the step runs at all."""

    step: StepName
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRetried:
    """An attempt failed, and there will be another after `delay_seconds`."""

    step: StepName
    attempt: int
    failure: StepFailure
    delay_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished:
    """A step ended, in whatever way; `seconds_saved` is what reusing it saved."""

    step_run: StepRun
    seconds_saved: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineRevised:
    """Steps changed more than their code shows; those that started from stale values run again."""

    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """The run ended."""

    run: Run


RunEvent: TypeAlias = (
    EnvironmentBuilding
    | RunBegan
    | StepStarted
    | StepRetried
    | StepFinished
    | PipelineRevised
    | RunFinished
)


class RunListener(Protocol):
    """Somebody who follows a run: a progress display, JSON lines, another service."""

    def notice(self, event: RunEvent) -> None:
        """Take the next event. What this raises ends the run."""
        ...


class Nobody:
    """A listener that does not listen."""

    def notice(self, event: RunEvent) -> None:
        """Do nothing."""
