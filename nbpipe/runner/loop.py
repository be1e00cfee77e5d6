"""The loop: scheduler + store + executor + listener. Start here.

The scheduler says what to do; this does it, and tells the scheduler what came of it. Everything
that can be answered from the store is answered first, synchronously: a run whose steps are all
reused never starts an event loop, and imports neither asyncio nor papermill. From the first step
that has to run, `waiting.py` waits for steps, timers and cancellation.
"""

from __future__ import annotations

import importlib
import secrets
import shutil
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_never

from nbpipe.errors import ConfigurationError, CorruptStoreError, StoreUnavailableError
from nbpipe.model.artifact import StoredValue
from nbpipe.model.effects import LearnedEffects
from nbpipe.model.names import StepName, Variable
from nbpipe.model.observed import Observed
from nbpipe.model.pipeline import Pipeline, Step
from nbpipe.model.run import (
    KeyParts,
    Run,
    RunState,
    StepFailure,
    StepResult,
    StepRun,
    StepState,
    UnstoredResult,
)
from nbpipe.model.trace import Trace
from nbpipe.runner.environment_of import EnvironmentProbe
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
)
from nbpipe.runner.executed_notebook import write_executed_notebook
from nbpipe.runner.executors.protocol import Executor, Outcome, StepRequest
from nbpipe.runner.files_before import put_back
from nbpipe.runner.keys import KeyMaker, missing_outputs
from nbpipe.runner.listening import (
    Nobody,
    PipelineRevised,
    RunBegan,
    RunFinished,
    RunListener,
    StepFinished,
    StepRetried,
    StepStarted,
)
from nbpipe.runner.meetings import Meeting, Meetings, Order
from nbpipe.runner.request import RunRequest
from nbpipe.runner.reuse import ResultFinder, is_unverified, named, notes_on
from nbpipe.runner.scheduler import Scheduler
from nbpipe.runner.selection import Selection, involved_steps
from nbpipe.runner.signals import signals_caught
from nbpipe.runner.surprises import (
    Surprises,
    news_of_order,
    shared_unseen,
    undeclared,
    why_revised,
)
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.store.index.results import StoredStep


def utc_now() -> datetime:
    """Give the time."""
    return datetime.now(UTC)


def run_pipeline(
    request: RunRequest,
    *,
    store: ArtifactStore,
    executor: Executor,
    listener: RunListener | None = None,
    now: Callable[[], datetime] = utc_now,
) -> Run:
    """Run a pipeline and give the record of it, however its steps ended.

    In the main thread, the first SIGINT or SIGTERM cancels the run: kernels end at once, finished
    steps stay recorded. A second one raises KeyboardInterrupt here.

    Raises:
        ConfigurationError: a step that was not asked for would have to run.
        StoreUnavailableError: the store was lost at a moment that is no step's.
        CorruptStoreError: the store's index is damaged.
    """
    loop = RunLoop(request, store=store, executor=executor, listener=listener or Nobody(), now=now)
    with signals_caught(loop.request_cancellation):
        try:
            loop.begin()
            while not loop.is_settled():
                # Not at the top: see the docstring of this module.
                waiting = importlib.import_module("nbpipe.runner.waiting")
                waiting.wait_for_the_rest(loop, executor)
            return loop.end()
        except BaseException as error:
            loop.abandon(interrupted=isinstance(error, KeyboardInterrupt))
            raise


class RunLoop:
    """One run on its way.

    Attributes:
        launches: attempts that the scheduler wants started, as requests.
        timers: steps and seconds that the scheduler wants to be reminded after.
        wake: called, from a signal handler, when cancellation was requested.
    """

    def __init__(
        self,
        request: RunRequest,
        *,
        store: ArtifactStore,
        executor: Executor,
        listener: RunListener,
        now: Callable[[], datetime],
    ) -> None:
        self._request = request
        self._store = store
        self._executor = executor
        self._listener = listener
        self._now = now
        self._surprises = Surprises(request.learned)
        self._meetings = Meetings()
        self._revision: tuple[Pipeline, Selection] | None = None
        self._came_too_late: dict[StepName, str] = {}
        self._done_before: dict[StepName, StepRun] = {}
        self._made_here: frozenset[StepName] = frozenset()
        self._ran_too_early: frozenset[StepName] = frozenset()
        self._compiled = (request.pipeline, request.full_selection)
        self._plan(*self._compiled)
        started = now()
        self._run = Run(
            id=request.make_run_id(started),
            pipeline=request.pipeline.name,
            state=RunState.RUNNING,
            parameters=request.all_parameters,
            started=started,
            source=request.pipeline.source,
            notebook=request.notebook_path,
        )
        # Other processes may run steps of the same run.
        self._copies = store.root / "runs" / self._run.id / f"before-{secrets.token_hex(4)}"
        self._events: deque[Event] = deque()
        self._store_is_lost = False
        self._cancel_requested = self._cancel_passed_on = False
        self.launches: list[StepRequest] = []
        self.timers: list[tuple[StepName, float]] = []
        self.wake: Callable[[], object] = lambda: None

    def _plan(self, pipeline: Pipeline, selection: Selection) -> None:
        """Make a pipeline, and what is selected of it, the matter of this run."""
        request = self._request
        self._pipeline = pipeline
        self._forced = selection.forced
        self._steps = pipeline.step_by_name
        self._involved = involved_steps(pipeline, selection)
        self._scheduler = Scheduler(
            pipeline,
            selection,
            parallelism=request.parallelism,
            keep_going=request.keep_going,
            latest_first=request.latest_first,
        )
        self._keys = KeyMaker(
            request.all_parameters,
            EnvironmentProbe(
                pipeline,
                directory=request.directory,
                store=self._store.root,
                python=request.python,
            ),
        )
        self._step_runs: dict[StepName, StepRun] = {}
        self._refused: StepName | None = None
        self._final_state: RunState | None = None

    # ------------------------------------------------------------------------ from start to end

    @property
    def is_over(self) -> bool:
        """True when every step has ended."""
        return self._final_state is not None

    def is_settled(self) -> bool:
        """Say whether the run is over for good.

        A step may have changed a variable although its code does not show it, and another may
        have read that variable as it was before. Then the pipeline is compiled anew with what is
        known now, and the run goes on with it: results that are right are found again by their
        keys, the others are made anew. A reused result tells what its step changed, too. The same
        goes for files that one step writes and another touches.
        """
        if not self.is_over or self._cancel_requested or self._store_is_lost:
            return self.is_over
        self._heed_news()
        again = dict(self._came_too_late)
        if not self._request.strict:
            again |= self._meetings.failed_beside_writers(self._pipeline, self._step_runs)
        if (self._revision is None and not again) or self._is_beyond_repair(again):
            return True
        compiled = self._revision or self._compiled
        order = news_of_order(self._steps, compiled[0])
        done = self._done_before | {n: r for n, r in self._step_runs.items() if r.state.is_good}
        if self._request.strict:
            failures = self._undeclared(done, self._surprises.pending, order)
        else:
            met = dict(self._meetings.overtaken(compiled[0], done, order, again=again))
            again |= {n: _why_again(n, each) for n, each in met.items() if each.is_repairable}
            failures = {n: each.failure for n, each in met.items() if not each.is_repairable}
        if failures or self._request.strict:
            for name, failure in failures.items():
                failed = replace(done[name], state=StepState.FAILED, failure=failure, key=None)
                self._finish_step(self._store.record_step(failed))
            self._final_state = RunState.FAILED
            return True
        because = why_revised(
            self._pipeline, compiled[0], self._surprises.pending, order, again.values()
        )
        self._listener.notice(PipelineRevised(because=because))
        self._done_before = done
        self._go_on_with(compiled, order, again)
        return self.is_settled()

    def _go_on_with(
        self, compiled: tuple[Pipeline, Selection], order: Order, again: Collection[StepName]
    ) -> None:
        """Go on with a pipeline that was compiled anew; steps in `again` are tried once more."""
        self._compiled, self._revision, self._came_too_late = compiled, None, {}
        pipeline, selection = compiled
        done = self._done_before
        self._keys.save()
        self._ran_too_early = self._meetings.ran_too_early(order)
        self._made_here |= frozenset(
            name
            for name, step in self._steps.items()
            if name in done and (name in self._forced or not step.cache)
        )
        # What ran in this run already counts as run: it is not forced, or uncached, twice.
        steps = tuple(
            replace(step, cache=step.cache or step.name in done) for step in pipeline.steps
        )
        gone = frozenset([*self._step_runs, *done]) - {step.name for step in steps}
        self._store.forget_steps(self._run.id, gone)
        self._surprises.accept(gone=gone)
        self._meetings.forget(gone)
        self._meetings.note_second_try(again)
        forced = (selection.forced - frozenset(done)) | self._ran_too_early
        self._plan(replace(pipeline, steps=steps), replace(selection, forced=forced))
        self.take(RunStarted())

    def _heed_news(self) -> bool:
        """Have the pipeline compiled anew as soon as something is found out about a step.

        What is about to start may be wrong by then. Gives whether it makes a difference.
        """
        news = self._surprises.take_news()
        revision = self._request.revise(news) if news else None
        self._revision = revision or self._revision
        return revision is not None

    def _is_beyond_repair(self, again: Collection[StepName]) -> bool:
        failures = {n: r.failure for n, r in self._step_runs.items() if n not in again}
        return any(failure and failure.kind == "undeclared" for failure in failures.values())

    def _hold_if_news(self) -> None:
        is_urgent = self._surprises.may_concern_others or self._came_too_late
        if is_urgent and not self._request.strict and self._heed_news():
            self._events.append(Hold())

    def _undeclared(
        self, done: Collection[StepName], found: LearnedEffects, order: Order
    ) -> dict[StepName, StepFailure]:
        failures = {name: undeclared(self._steps[name], found, order) for name in done}
        return {name: failure for name, failure in failures.items() if failure is not None}

    def begin(self) -> None:
        """Start the run, and go on as far as the store has the answers."""
        self._store.begin_run(self._run)
        self._listener.notice(RunBegan(run=self._run, steps=self._involved))
        self.take(RunStarted())

    def take(self, event: Event) -> None:
        """Take an event, and all that follows from it without waiting."""
        self._events.append(event)
        while self._events or (self._cancel_requested and not self._cancel_passed_on):
            if self._cancel_requested and not self._cancel_passed_on:
                self._cancel_passed_on = True
                self._events.appendleft(CancelRequested())
            commands = self._scheduler.handle(self._events.popleft())
            for command in commands:
                self._perform(command)
            self._look_up([command.step for command in commands if isinstance(command, LookUp)])

    def take_outcome(self, step: StepName, outcome: Outcome) -> None:
        """Take what came of an attempt: commit the result, or remember the failure."""
        event = (
            self._commit(self._steps[step], outcome)
            if isinstance(outcome, StepResult)
            else self._failed(step, outcome)
        )
        self._hold_if_news()
        self.take(event)

    def request_cancellation(self) -> None:
        """Ask the run to end; safe in a signal handler."""
        self._cancel_requested = True
        self.wake()

    def pass_on_cancellation(self) -> None:
        """Tell the scheduler about a request to cancel, once."""
        if self._cancel_requested and not self._cancel_passed_on:
            self._cancel_passed_on = True
            self.take(CancelRequested())

    def end(self) -> Run:
        """Stitch the outputs together, record the end, and give the record of the run."""
        state = self._final_state or RunState.FAILED
        self._keys.save()
        steps = tuple(self._step_runs[name] for name in self._involved if name in self._step_runs)
        self._run = replace(self._run, state=state, finished=self._now(), steps=steps)
        shutil.rmtree(self._copies, ignore_errors=True)
        try:
            executed = write_executed_notebook(
                self._store, self._run, self._steps, self._request.notebook
            )
            self._run = replace(self._run, executed_notebook=executed)
            self._record_end()
        except StoreUnavailableError:
            # A failed step already says that the store is lost; otherwise nobody would.
            if not self._store_is_lost:
                raise
        if self._refused is not None:
            raise self._refusal(self._refused)
        self._listener.notice(RunFinished(run=self._run))
        return self._run

    def abandon(self, *, interrupted: bool) -> None:
        """Leave a run that cannot go on, with as true a record as is possible."""
        shutil.rmtree(self._copies, ignore_errors=True)
        state = RunState.CANCELLED if interrupted else RunState.FAILED
        self._run = replace(self._run, state=state, finished=self._now())
        with suppress(StoreUnavailableError, CorruptStoreError, LookupError):
            self._record_end()

    def _record_end(self) -> None:
        self._store.finish_run(
            self._run.id,
            self._run.state,
            finished=self._run.finished or self._now(),
            executed_notebook=self._run.executed_notebook,
        )

    # --------------------------------------------------------------------------------- commands

    def _perform(self, command: Command) -> None:
        match command:
            case LookUp():
                pass  # Those of one event are looked up together, in one query.
            case Launch(step, attempt):
                self._prepare_launch(self._steps[step], attempt)
            case SetTimer(step, seconds):
                self._note_retry(step, seconds)
                self.timers.append((step, seconds))
            case Cancel(step):
                self._executor.cancel(step)
            case Settle(step, state, because):
                self._settle(step, state, because)
            case Refuse(step):
                self._refused = step
            case Finish(state):
                self._final_state = state
            case _ as unreachable:
                assert_never(unreachable)

    def _look_up(self, names: Sequence[StepName]) -> None:
        if not names:
            return
        answers: list[Event] = []
        kept = [name for name in names if self._stands(self._steps[name])]
        for name in kept:
            # It was made or found earlier in this very run, and everybody knows.
            self._step_runs[name] = self._done_before[name]
            self._keys.add_outcome(name, self._done_before[name].outputs)
            answers.append(ResultFound(name))
        finder = ResultFinder(
            store=self._store,
            pipeline=self._pipeline.name,
            keys=self._keys,
            now=self._now(),
            reuse_unverified=self._request.reuse_unverified,
            run=self._run.id,
            made_here=self._made_here,
        )
        for name, finding in finder.find([self._steps[n] for n in names if n not in kept]).items():
            if finding.stored is not None:
                self._reuse(name, finding.key, finding.stored)
                answers.append(ResultFound(name))
            else:
                reason = "; ".join(finding.reasons)
                self._step_runs[name] = self._new_step_run(name, key=finding.key, reason=reason)
                answers.append(ResultMissing(name))
        self._hold_if_news()
        self._events.extend(answers)

    def _stands(self, step: Step) -> bool:
        """Say whether what a step made or found earlier in this run is right for it now.

        What steps behind it have since done to files is no reason to run it again.
        """
        before = self._done_before.get(step.name)
        observed = self._meetings.observed.get(step.name)
        if before is None or before.key is None or observed is None or observed.moving:
            return False
        changes = self._keys.changes_since(before.key, observed, self._keys.key_of(step))
        if missing_outputs(step, before):
            return False
        names = [self._keys.file_of(change) for change in changes]
        return all(
            name is not None and self._meetings.is_left_behind(self._pipeline, step.name, name)
            for name in names
        )

    def _reuse(self, name: StepName, key: KeyParts, stored: StoredStep) -> None:
        step = self._steps[name]
        values = {variable: version.value for variable, version in stored.outputs.items()}
        self._note_effects(step, stored.changed, stored.observed, values)
        reason = f"reused from run {stored.run}"
        if is_unverified(step, stored.observed) and stored.run != self._run.id:
            reason += f", unverified: {named(stored.observed.unverified)}"
        step_run = replace(
            self._new_step_run(name, key=key, reason=reason),
            state=StepState.REUSED,
            outputs=stored.outputs,
            unbound=stored.unbound,
            observed=stored.observed.parts,
            cells=stored.cells,
            executed_notebook=stored.executed_notebook,
        )
        # Another process may have made it as its part of this run: then that is the record.
        if stored.run != self._run.id:
            step_run = self._store.record_step(step_run)
        self._finish_step(step_run, seconds_saved=stored.seconds)

    def _prepare_launch(self, step: Step, attempt: int) -> None:
        self._put_files_back(step)
        # While the step waited for its place, other steps may have changed files that it reads.
        key = self._keys.key_of(step)
        self._meetings.note_launch(step.name, self._now())
        if attempt == 1:
            self._step_runs[step.name] = replace(
                self._step_runs.get(step.name)
                or self._new_step_run(step.name, key=key, reason=self._why_unasked(step)),
                key=key,
                started=self._meetings.launched[step.name],
            )
        elif step.retry.delay_seconds <= 0:
            self._note_retry(step.name, 0.0)
        self._update(step.name, attempt=attempt)
        meeting = self._met_too_late(step.name)
        if meeting is not None:
            self._events.append(self._failed(step.name, meeting.failure))
            return
        self._listener.notice(
            StepStarted(step=step.name, attempt=attempt, reason=self._step_runs[step.name].reason)
        )
        self.launches.append(
            StepRequest(
                run=self._run.id,
                pipeline=self._pipeline,
                step=step,
                attempt=attempt,
                key=key.key,
                parameters=self._request.all_parameters,
                inputs=self._keys.inputs_of(step),
                directory=self._request.directory,
                store=self._store.root,
                trusted=self._store.trusted,
                watched_files=step.literal_paths,
                copies=self._copies,
                output_limit=self._request.output_limit,
                hash_seed=self._request.hash_seed,
                python=self._request.python,
                variables=self._request.variables,
            )
        )

    def _put_files_back(self, step: Step) -> None:
        """Make files what they were in the notebook when it came to this step."""
        for name, before in self._meetings.to_put_back(self._pipeline, step).items():
            is_there = Path(before.path).exists()
            if is_there and self._keys.changed_since(name, self._meetings.last_written(name)):
                continue  # Somebody else did that.
            with suppress(OSError):
                put_back(before)
                self._meetings.note_put_back(self._pipeline, step, name)

    def _why_unasked(self, step: Step) -> str:
        if step.name in self._ran_too_early:
            return "it ran before what it must run after"
        return "forced" if step.name in self._forced else "never reused (--no-cache)"

    def _note_retry(self, name: StepName, delay_seconds: float) -> None:
        known = self._step_runs[name]
        if known.failure is not None:
            self._listener.notice(
                StepRetried(
                    step=name,
                    attempt=known.attempt,
                    failure=known.failure,
                    delay_seconds=delay_seconds,
                )
            )

    # --------------------------------------------------------------------------------- outcomes

    def _commit(self, step: Step, result: StepResult) -> Event:
        known = self._step_runs[step.name]
        key = self._keys.key_after(step, known.key, result) if known.key else None
        observed = self._observed(step, result.trace)
        self._note_effects(step, result.changed, observed, result.outputs)
        meeting = self._met_too_late(step.name)
        if meeting is not None:
            # What it wrote meanwhile is put back, too.
            self._note_end(step.name, result.trace)
            if meeting.is_repairable and not self._request.strict:
                self._came_too_late[step.name] = _why_again(step.name, meeting)
            return self._failed(step.name, meeting.failure)
        try:
            step_run = self._store.commit_step(
                replace(
                    known,
                    state=StepState.SUCCEEDED,
                    key=key,
                    seconds=result.seconds,
                    unbound=result.unbound,
                    observed=observed.parts,
                    failure=None,
                    cells=result.cells,
                    executed_notebook=result.executed_notebook,
                    notes=(*_fused(step), *result.notes, *notes_on(step, result.trace, observed)),
                ),
                result.outputs,
                # What the pipeline knows already, the step does not report as found.
                changed={*result.changed, *self._surprises.learned.changes.get(step.own, ())},
                observed=observed,
            )
        except (StoreUnavailableError, CorruptStoreError) as error:
            return self._failed(
                step.name,
                StepFailure(
                    kind="store",
                    message=error.message,
                    hint=error.hint,
                    executed_notebook=result.executed_notebook,
                    seconds=result.seconds,
                ),
            )
        self._note_end(step.name, result.trace)
        self._finish_step(step_run)
        self._forget_muddled(step.name)
        return StepSucceeded(step.name)

    def _note_effects(
        self,
        step: Step,
        changed: Collection[Variable],
        observed: Observed,
        values: Mapping[Variable, StoredValue],
    ) -> None:
        self._meetings.observed[step.name] = observed
        shared = shared_unseen(self._steps, step, values)
        self._surprises.note_effects(self._steps, step.name, {*changed, *shared}, observed)

    def _met_too_late(self, name: StepName) -> Meeting | None:
        return self._meetings.came_too_late(self._pipeline, name, is_there=self._keys.is_there)

    def _observed(self, step: Step, trace: Trace) -> Observed:
        return self._keys.observed(
            step,
            trace,
            self._meetings.launched[step.name],
            ran_alone=self._ran_alone(step.name, trace),
        )

    def _note_end(self, name: StepName, trace: Trace) -> None:
        before = self._keys.files_before(trace, ran_alone=self._ran_alone(name, trace))
        self._meetings.note_end(name, self._now(), before)

    def _ran_alone(self, name: StepName, trace: Trace) -> bool:
        # It only matters where not all is seen, and takes a look at every step.
        return bool(trace.unverified) and self._meetings.ran_alone(name)

    def _forget_muddled(self, name: StepName) -> None:
        """Let nobody reuse results of steps that wrote one file beside each other.

        Nobody knows whose content was taken for whose product.
        """
        beside = self._meetings.beside_writers(name)
        for each in [*beside, name] if beside else []:
            step_run = self._step_runs.get(each)
            if step_run is not None and step_run.key is not None:
                self._store.forget_result(step_run.key.key, self._meetings.observed[each])

    def _failed(self, name: StepName, failure: StepFailure) -> Event:
        if isinstance(failure, UnstoredResult):
            failure = self._note_unstored(self._steps[name], failure)
        self._update(
            name,
            failure=failure,
            seconds=failure.seconds,
            cells=failure.cells,
            executed_notebook=failure.executed_notebook,
        )
        self._store_is_lost = self._store_is_lost or failure.kind == "store"
        return StepFailed(
            name, retry_may_help=failure.retry_may_help, ends_run=failure.kind == "store"
        )

    def _note_unstored(self, step: Step, result: UnstoredResult) -> StepFailure:
        observed = self._observed(step, result.trace)
        self._note_effects(step, (), observed, {})
        self._surprises.note_unstorable(step, result.unstorable)
        self._note_end(step.name, result.trace)
        return result.as_failure()

    def _settle(self, name: StepName, state: StepState, because: StepName | None) -> None:
        known = self._step_runs.get(name) or self._new_step_run(name)
        reason = known.reason
        if state is StepState.SKIPPED:
            reason = f"'{because}' failed" if because else f"'{self._refused}' has no result"
        elif state is StepState.CANCELLED:
            reason = "cancelled"
        step_run = replace(known, state=state, reason=reason)
        try:
            step_run = self._store.record_step(step_run)
        except StoreUnavailableError:
            if not self._store_is_lost:
                raise
        self._finish_step(step_run)

    def _finish_step(self, step_run: StepRun, *, seconds_saved: float = 0.0) -> None:
        self._step_runs[step_run.step] = step_run
        if step_run.state.is_good:
            self._keys.add_outcome(step_run.step, step_run.outputs)
        self._listener.notice(StepFinished(step_run=step_run, seconds_saved=seconds_saved))

    def _new_step_run(
        self, name: StepName, *, key: KeyParts | None = None, reason: str = ""
    ) -> StepRun:
        return StepRun(
            run=self._run.id,
            step=name,
            state=StepState.RUNNING,
            key=key,
            reason=reason,
            cell_numbers=self._steps[name].cell_numbers,
        )

    def _update(self, name: StepName, **changes: Any) -> None:  # noqa: ANN401 - fields of StepRun.
        self._step_runs[name] = replace(self._step_runs[name], **changes)

    def _refusal(self, step: StepName) -> ConfigurationError:
        wanted = " ".join(sorted(self._request.full_selection.selected))
        return ConfigurationError(
            f"Step '{step}' has no stored result, and only {wanted} may run.",
            hint=f"Run it first, with the same parameters. (nbpipe run: --until {wanted})",
        )


def _why_again(name: StepName, meeting: Meeting) -> str:
    return (
        f"step '{name}' comes before '{meeting.writer}', which had written {meeting.place}: "
        "both run again"
    )


def _fused(step: Step) -> Iterator[str]:
    if step.fused:
        yield f"ran as one with {', '.join(step.fused)}"
