"""The loop: scheduler + store + executor + listener. Start here.

The scheduler says what to do; this does it, and tells the scheduler what came of it. Everything
that can be answered from the store is answered first, synchronously: a run whose steps are all
reused never starts an event loop, and imports neither asyncio nor papermill. From the first step
that has to run, `waiting.py` waits for steps, timers and cancellation.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, assert_never

from nbpipe.errors import ConfigurationError, CorruptStoreError, StoreUnavailableError
from nbpipe.model.digest import Digest
from nbpipe.model.names import StepName, Variable
from nbpipe.model.pipeline import Pipeline, Step
from nbpipe.model.run import (
    KeyParts,
    Run,
    RunState,
    StepFailure,
    StepResult,
    StepRun,
    StepState,
)
from nbpipe.runner.environment_of import EnvironmentProbe
from nbpipe.runner.events import (
    Cancel,
    CancelRequested,
    Command,
    Event,
    Finish,
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
from nbpipe.runner.request import Changes, RunRequest
from nbpipe.runner.scheduler import Scheduler
from nbpipe.runner.selection import Selection, involved_steps
from nbpipe.runner.signals import signals_caught
from nbpipe.runner.step_key import why
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
        self._learned = {source: set(names) for source, names in request.learned.items()}
        self._found_changes: dict[Digest, set[Variable]] = {}
        self._done_before: dict[StepName, StepRun] = {}
        self._plan(request.pipeline, request.full_selection)
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
            pipeline, selection, parallelism=request.parallelism, keep_going=request.keep_going
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
        keys, the others are made anew. A reused result tells what its step changed, too.
        """
        if not self.is_over or not self._found_changes or self._cancel_requested:
            return self.is_over
        found, self._found_changes = self._found_changes, {}
        revision = self._request.revise(found)
        if revision is None:
            return True
        if self._request.strict:
            self._fail_undeclared(found)
            return True
        done = {n: step_run for n, step_run in self._step_runs.items() if step_run.state.is_good}
        self._listener.notice(PipelineRevised(because=self._because(found)))
        self._keys.save()
        for source, variables in found.items():
            self._learned.setdefault(source, set()).update(variables)
        self._done_before |= done
        pipeline, selection = revision
        # What ran in this run already counts as run: it is not forced, or uncached, twice.
        steps = tuple(
            replace(step, cache=step.cache or step.name in done) for step in pipeline.steps
        )
        self._plan(
            replace(pipeline, steps=steps),
            replace(selection, forced=selection.forced - frozenset(done)),
        )
        self.take(RunStarted())
        return self.is_settled()

    def _fail_undeclared(self, found: Changes) -> None:
        for name, step_run in self._step_runs.items():
            names = " ".join(sorted(found.get(self._steps[name].own, ())))
            if names and step_run.state.is_good:
                failure = StepFailure(
                    kind="undeclared",
                    message=f"it changed {names} in place, which its code does not show",
                    hint=f"Declare it: %%step {name} --out {names}. Or run without --strict.",
                )
                failed = replace(step_run, state=StepState.FAILED, failure=failure, key=None)
                self._finish_step(self._store.record_step(failed))
        self._final_state = RunState.FAILED

    def _because(self, found: Changes) -> str:
        changers = [
            f"step '{step.name}' changed {', '.join(map(_called, sorted(found[step.own])))}"
            for step in self._pipeline.steps
            if step.own in found
        ]
        return f"{'; '.join(changers)}, which its code does not show: what read it runs again"

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
        if isinstance(outcome, StepResult):
            self.take(self._commit(self._steps[step], outcome))
        else:
            self.take(self._failed(step, outcome))

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
        key_by_name = {name: self._keys.key_of(self._steps[name]) for name in names}
        found = self._store.find_results([parts.key for parts in key_by_name.values()])
        for name, parts in key_by_name.items():
            stored = found.get(parts.key)
            missing = missing_outputs(self._steps[name], stored) if stored else ()
            if stored is not None and not missing:
                self._reuse(name, parts, stored)
                self._events.append(ResultFound(name))
            else:
                reason = (
                    f"{', '.join(missing)} is needed now"
                    if missing
                    else self._why_missing(name, parts)
                )
                self._step_runs[name] = self._new_step_run(name, key=parts, reason=reason)
                self._events.append(ResultMissing(name))

    def _reuse(self, name: StepName, key: KeyParts, stored: StoredStep) -> None:
        before = self._done_before.get(name)
        if before is not None and before.key is not None and before.key.key == key.key:
            # It was made or found earlier in this very run, and everybody knows.
            self._step_runs[name] = before
            self._keys.add_outcome(name, before.outputs)
            return
        self._note_changes(self._steps[name], stored.changed)
        step_run = replace(
            self._new_step_run(name, key=key, reason=f"reused from run {stored.run}"),
            state=StepState.REUSED,
            outputs=stored.outputs,
            unbound=stored.unbound,
            cells=stored.cells,
            executed_notebook=stored.executed_notebook,
        )
        # Another process may have made it as its part of this run: then that is the record.
        if stored.run != self._run.id:
            step_run = self._store.record_step(step_run)
        self._finish_step(step_run, seconds_saved=stored.seconds)

    def _why_missing(self, name: StepName, key: KeyParts) -> str:
        last = self._store.last_key(self._pipeline.name, name)
        return "; ".join(why(last, key)) or "its result is gone"

    def _prepare_launch(self, step: Step, attempt: int) -> None:
        # While the step waited for its place, other steps may have changed files that it reads.
        key = self._keys.key_of(step)
        if attempt == 1:
            self._step_runs[step.name] = replace(
                self._step_runs.get(step.name)
                or self._new_step_run(step.name, key=key, reason=self._why_unasked(step)),
                key=key,
                started=self._now(),
            )
        elif step.retry.delay_seconds <= 0:
            self._note_retry(step.name, 0.0)
        self._update(step.name, attempt=attempt)
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
                output_limit=self._request.output_limit,
                python=self._request.python,
                variables=self._request.variables,
            )
        )

    def _why_unasked(self, step: Step) -> str:
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
        self._note_changes(step, result.changed)
        try:
            step_run = self._store.commit_step(
                replace(
                    known,
                    state=StepState.SUCCEEDED,
                    key=self._keys.key_after(step, known.key, result) if known.key else None,
                    seconds=result.seconds,
                    unbound=result.unbound,
                    failure=None,
                    cells=result.cells,
                    executed_notebook=result.executed_notebook,
                    notes=result.notes,
                ),
                result.outputs,
                # What the pipeline knows already, the step does not report as found.
                changed={*result.changed, *self._learned.get(step.own, ())},
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
        self._finish_step(step_run)
        return StepSucceeded(step.name)

    def _note_changes(self, step: Step, changed: Collection[Variable]) -> None:
        news = {*changed} - self._learned.get(step.own, set())
        if news:
            self._found_changes.setdefault(step.own, set()).update(news)

    def _failed(self, name: StepName, failure: StepFailure) -> Event:
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


def _called(variable: Variable) -> str:
    """Give a variable as people know it: a random stream has no name of theirs."""
    return f"the {variable[1:]} stream" if variable.startswith("@") else f"'{variable}'"
