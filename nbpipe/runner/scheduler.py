"""The scheduler: a state machine that says what to do next. No clock, no I/O.

Each step moves through these standings; an arrow is an event, or a place becoming free::

    waiting ──inputs ready──► looking ──missing──► ready ──a place──► running ──► done
       │                         └─found──► done     ▲                   │
       └──inputs ready, no look-up wanted────────────┤                fails, retries left
                                                     └──timer── delayed ◄┘

Every event is handled once, and every step and edge is visited a bounded number of times, so a
run of n steps costs O(n log n) in all (the log is the queue that keeps notebook order).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from enum import Enum, auto
from heapq import heapify, heappop, heappush
from typing import assert_never

from nbpipe.model.names import StepName
from nbpipe.model.pipeline import Pipeline
from nbpipe.model.run import RunState, StepState
from nbpipe.runner.events import (
    Cancel,
    CancelRequested,
    Command,
    Event,
    Finish,
    Hold,
    Launch,
    LookUp,
    Refuse,
    ResultFound,
    ResultMissing,
    RunStarted,
    SetTimer,
    Settle,
    StepFailed,
    StepSucceeded,
    TimerFired,
)
from nbpipe.runner.selection import Selection, involved_steps


class _Standing(Enum):
    WAITING = auto()
    LOOKING = auto()
    READY = auto()
    RUNNING = auto()
    DELAYED = auto()
    DONE = auto()


class Scheduler:
    """Decide, event by event, what a run does next.

    `handle` takes the events of one run in the order they happen and answers each with commands.
    The last command of a run is `Finish`. A late answer about a step that has ended (a look-up
    that came back after a cancellation) is ignored.

    Of the steps that are ready, the first in the notebook starts first; with `latest_first`, the
    last one does. After `Hold`, steps that have not started are left as they are: what becomes of
    them is for the next plan to say.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        selection: Selection,
        *,
        parallelism: int,
        keep_going: bool,
        latest_first: bool = False,
    ) -> None:
        if parallelism < 1:
            raise ValueError("parallelism is at least 1")
        self._order = involved_steps(pipeline, selection)
        self._rank = {name: rank for rank, name in enumerate(self._order)}
        self._step_by_name = {n: s for n, s in pipeline.step_by_name.items() if n in self._rank}
        self._downstream = pipeline.downstream_by_step
        self._unmet = {name: len(step.upstream) for name, step in self._step_by_name.items()}
        self._selection = selection
        self._parallelism = parallelism
        self._keep_going = keep_going
        self._latest_first = latest_first
        self._standing = dict.fromkeys(self._order, _Standing.WAITING)
        self._attempts: Counter[StepName] = Counter()
        self._ready: list[int] = []
        self._running = 0
        self._underway = 0
        self._looking = 0
        self._open = len(self._order)
        self._outcomes: Counter[StepState] = Counter()
        self._started = self._stopping = self._cancelled = self._refused = self._finished = False
        self._holding = False

    def handle(self, event: Event) -> tuple[Command, ...]:
        """Take the next event; give the commands that follow from it, in order.

        Raises:
            ValueError: for an event that cannot happen now, such as success of a step that was
                never launched.
        """
        return tuple(self._consequences(event))

    def _consequences(self, event: Event) -> Iterator[Command]:
        if self._finished:
            return
        match event:
            case RunStarted():
                self._started = True
                for name in self._order:
                    if self._unmet[name] == 0 and self._standing[name] is _Standing.WAITING:
                        yield from self._admit(name)
            case Hold():
                self._hold()
            case CancelRequested():
                yield from self._cancel()
            case _ if self._standing[event.step] is _Standing.DONE:
                return
            case ResultFound(step):
                self._expect(step, _Standing.LOOKING)
                yield from self._complete(step, StepState.REUSED)
            case ResultMissing(step):
                self._expect(step, _Standing.LOOKING)
                yield from self._miss(step)
            case StepSucceeded(step):
                self._expect(step, _Standing.RUNNING)
                yield from self._complete(step, StepState.SUCCEEDED)
            case StepFailed(step):
                self._expect(step, _Standing.RUNNING, _Standing.LOOKING)
                yield from self._fail(event)
            case TimerFired(step):
                self._expect(step, _Standing.DELAYED)
                self._enqueue(step)
            case _ as unreachable:
                assert_never(unreachable)
        yield from self._launch_ready()
        if self._started and (self._open == 0 or (self._holding and self._underway == 0)):
            self._finished = True
            yield Finish(self._final_state())

    def _expect(self, step: StepName, *standings: _Standing) -> None:
        if self._standing[step] not in standings:
            raise ValueError(f"step {step} is {self._standing[step].name.lower()}")

    def _admit(self, name: StepName) -> Iterator[Command]:
        """Start on a step whose inputs are there."""
        if self._holding:
            return
        if self._wants_look_up(name):
            self._move(name, _Standing.LOOKING)
            yield LookUp(name)
        else:
            self._enqueue(name)

    def _wants_look_up(self, name: StepName) -> bool:
        if not self._may_run(name):
            return True
        return self._step_by_name[name].cache and name not in self._selection.forced

    def _may_run(self, name: StepName) -> bool:
        return self._selection.run_missing or name in self._selection.selected

    def _enqueue(self, name: StepName) -> None:
        self._move(name, _Standing.READY)
        if self._holding and not self._attempts[name]:
            return
        heappush(self._ready, -self._rank[name] if self._latest_first else self._rank[name])

    def _launch_ready(self) -> Iterator[Command]:
        if self._looking:
            return  # One that comes first in the notebook may be ready in a moment.
        while self._ready and self._running < self._parallelism:
            name = self._order[abs(heappop(self._ready))]
            # A step that was settled while it stood in the queue is still in the heap.
            if self._standing[name] is _Standing.READY:
                self._move(name, _Standing.RUNNING)
                self._underway += not self._attempts[name]
                self._attempts[name] += 1
                yield Launch(name, self._attempts[name])

    def _miss(self, step: StepName) -> Iterator[Command]:
        if self._may_run(step):
            self._enqueue(step)
            return
        if self._holding:
            self._move(step, _Standing.WAITING)
            return
        self._refused = True
        yield Refuse(step)
        yield from self._stop(because=None)

    def _complete(self, step: StepName, state: StepState) -> Iterator[Command]:
        self._close(step, state)
        for follower in self._downstream[step]:
            if follower in self._rank:
                self._unmet[follower] -= 1
                if self._unmet[follower] == 0 and self._standing[follower] is _Standing.WAITING:
                    yield from self._admit(follower)

    def _fail(self, event: StepFailed) -> Iterator[Command]:
        step = event.step
        retry = self._step_by_name[step].retry
        if self._cancelled:
            yield self._settle(step, StepState.CANCELLED)
        elif (
            event.retry_may_help
            and not event.ends_run
            and not self._stopping
            and self._standing[step] is _Standing.RUNNING
            and self._attempts[step] <= retry.retries
        ):
            if retry.delay_seconds > 0:
                self._move(step, _Standing.DELAYED)
                yield SetTimer(step, retry.delay_seconds)
            else:
                self._enqueue(step)
        else:
            yield self._settle(step, StepState.FAILED)
            if event.ends_run or not (self._holding or self._keep_going):
                yield from self._stop(because=step)
            elif not self._holding:
                yield from self._skip_behind(step)

    def _skip_behind(self, failed: StepName) -> Iterator[Command]:
        # A skipped step is done, so no step is visited twice, whatever fails later.
        open_steps = deque([failed])
        while open_steps:
            for follower in self._downstream[open_steps.popleft()]:
                if self._standing.get(follower) is _Standing.WAITING:
                    yield self._settle(follower, StepState.SKIPPED, because=failed)
                    open_steps.append(follower)

    def _stop(self, *, because: StepName | None) -> Iterator[Command]:
        """Start nothing more; what runs may finish."""
        self._stopping = True
        for name in self._order:
            match self._standing[name]:
                case _Standing.WAITING | _Standing.LOOKING | _Standing.READY:
                    yield self._settle(name, StepState.SKIPPED, because=because)
                case _Standing.DELAYED:
                    yield self._settle(name, StepState.FAILED)

    def _hold(self) -> None:
        """Start no other step; those that are underway may be tried again."""
        self._holding = True
        self._ready = [rank for rank in self._ready if self._attempts[self._order[abs(rank)]]]
        heapify(self._ready)

    def _cancel(self) -> Iterator[Command]:
        if self._cancelled:
            return
        self._cancelled = True
        for name in self._order:
            match self._standing[name]:
                case _Standing.RUNNING:
                    yield Cancel(name)
                case _Standing.DONE:
                    pass
                case _:
                    yield self._settle(name, StepState.CANCELLED)

    def _settle(self, step: StepName, state: StepState, because: StepName | None = None) -> Settle:
        self._close(step, state)
        return Settle(step, state, because)

    def _close(self, step: StepName, state: StepState) -> None:
        self._underway -= bool(self._attempts[step])
        self._move(step, _Standing.DONE)
        self._outcomes[state] += 1
        self._open -= 1

    def _move(self, step: StepName, standing: _Standing) -> None:
        before, self._standing[step] = self._standing[step], standing
        self._running += (standing is _Standing.RUNNING) - (before is _Standing.RUNNING)
        self._looking += (standing is _Standing.LOOKING) - (before is _Standing.LOOKING)

    def _final_state(self) -> RunState:
        if self._outcomes[StepState.CANCELLED]:
            return RunState.CANCELLED
        if self._refused or self._outcomes[StepState.FAILED]:
            return RunState.FAILED
        return RunState.SUCCEEDED
