from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbpipe.model.digest import Digest
from nbpipe.model.names import PipelineName, StepName, Variable
from nbpipe.model.pipeline import Input, Pipeline, Retry, Step
from nbpipe.model.run import RunState, StepState
from nbpipe.runner.events import (
    Cancel,
    CancelRequested,
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
from nbpipe.runner.scheduler import Scheduler
from nbpipe.runner.selection import Selection, involved_steps, select_steps


def pipeline(upstream: dict[str, list[str]], **changes: dict[str, object]) -> Pipeline:
    """Build a pipeline out of step → steps before it; `changes` are by step."""
    return Pipeline(
        name=PipelineName("p"),
        steps=tuple(
            Step(
                **{
                    "name": StepName(name),
                    "cells": (),
                    "setup": (),
                    "body": (),
                    "inputs": tuple(
                        Input(variable=Variable(f"from_{b}"), upstream=StepName(b)) for b in before
                    ),
                    "outputs": (),
                    "parameters": (),
                    "after": (),
                    "code": Digest(name),
                    "own": Digest(name),
                    **changes.get(name, {}),
                }
            )
            for name, before in upstream.items()
        ),
        parameters=(),
        kernel="python3",
        source=Digest("source"),
    )


CHAIN = pipeline({"a": [], "b": ["a"], "c": ["b"]})
DIAMOND = pipeline({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]})


def scheduler(of: Pipeline, *, parallelism: int = 1, keep_going: bool = False, **selection):
    return Scheduler(
        of, select_steps(of, **selection), parallelism=parallelism, keep_going=keep_going
    )


def test_a_missing_result_is_launched_and_a_found_one_is_not():
    run = scheduler(CHAIN)
    assert run.handle(RunStarted()) == (LookUp("a"),)
    assert run.handle(ResultFound("a")) == (LookUp("b"),)
    assert run.handle(ResultMissing("b")) == (Launch("b", 1),)
    assert run.handle(StepSucceeded("b")) == (LookUp("c"),)
    assert run.handle(ResultFound("c")) == (Finish(RunState.SUCCEEDED),)


def test_no_more_steps_run_at_once_than_allowed_and_they_start_in_notebook_order():
    run = scheduler(pipeline({n: [] for n in "abc"}), parallelism=2)
    assert run.handle(RunStarted()) == (LookUp("a"), LookUp("b"), LookUp("c"))
    assert run.handle(ResultMissing("c")) == ()
    assert run.handle(ResultMissing("b")) == ()
    assert run.handle(ResultMissing("a")) == (Launch("a", 1), Launch("b", 1))
    assert run.handle(StepSucceeded("b")) == (Launch("c", 1),)


def test_what_comes_first_in_the_notebook_is_looked_up_before_anything_starts():
    run = scheduler(pipeline({"a": [], "b": ["a"], "c": []}))
    run.handle(RunStarted())
    run.handle(ResultMissing("a"))
    assert run.handle(ResultMissing("c")) == (Launch("a", 1),)
    assert run.handle(StepSucceeded("a")) == (LookUp("b"),)
    assert run.handle(ResultMissing("b")) == (Launch("b", 1),)


def test_when_the_plan_is_out_of_date_nothing_more_starts():
    run = scheduler(pipeline({"a": [], "b": [], "c": ["a"], "d": []}), parallelism=2)
    run.handle(RunStarted())
    for step in "abd":
        run.handle(ResultMissing(step))
    assert run.handle(Hold()) == ()
    assert run.handle(StepSucceeded("a")) == ()
    assert run.handle(StepSucceeded("b")) == (Finish(RunState.SUCCEEDED),)


def test_when_the_plan_is_out_of_date_a_failure_skips_nobody_and_is_tried_again():
    run = scheduler(
        pipeline({"a": [], "b": ["a"], "c": []}, a={"retry": Retry(retries=1)}),
    )
    run.handle(RunStarted())
    run.handle(ResultMissing("a"))
    run.handle(ResultMissing("c"))
    assert run.handle(Hold()) == ()
    assert run.handle(StepFailed("a")) == (Launch("a", 2),)
    assert run.handle(StepFailed("a")) == (
        Settle("a", StepState.FAILED),
        Finish(RunState.FAILED),
    )


def test_a_run_whose_plan_is_out_of_date_at_once_is_over_at_once():
    run = scheduler(CHAIN)
    assert run.handle(RunStarted()) == (LookUp("a"),)
    assert run.handle(Hold()) == (Finish(RunState.SUCCEEDED),)


def test_a_failure_stops_what_has_not_started_and_lets_the_rest_finish():
    run = scheduler(pipeline({"a": [], "b": [], "c": [], "d": ["a"]}), parallelism=2)
    run.handle(RunStarted())
    for step in "abc":
        run.handle(ResultMissing(step))
    assert run.handle(StepFailed("a")) == (
        Settle("a", StepState.FAILED),
        Settle("c", StepState.SKIPPED, "a"),
        Settle("d", StepState.SKIPPED, "a"),
    )
    assert run.handle(StepSucceeded("b")) == (Finish(RunState.FAILED),)


def test_a_failure_skips_only_its_descendants_when_keeping_going():
    run = scheduler(DIAMOND, keep_going=True)
    run.handle(RunStarted())
    run.handle(ResultFound("a"))
    run.handle(ResultMissing("b"))
    run.handle(ResultMissing("c"))
    assert run.handle(StepFailed("b")) == (
        Settle("b", StepState.FAILED),
        Settle("d", StepState.SKIPPED, "b"),
        Launch("c", 1),
    )
    assert run.handle(StepSucceeded("c")) == (Finish(RunState.FAILED),)


def test_a_lost_store_ends_the_run_even_when_keeping_going():
    run = scheduler(DIAMOND, keep_going=True)
    run.handle(RunStarted())
    assert run.handle(StepFailed("a", ends_run=True)) == (
        Settle("a", StepState.FAILED),
        Settle("b", StepState.SKIPPED, "a"),
        Settle("c", StepState.SKIPPED, "a"),
        Settle("d", StepState.SKIPPED, "a"),
        Finish(RunState.FAILED),
    )


def test_a_failed_step_is_tried_again_after_its_delay_as_often_as_allowed():
    run = scheduler(
        pipeline({"a": []}, a={"retry": Retry(retries=1, delay_seconds=5.0)}),
    )
    run.handle(RunStarted())
    run.handle(ResultMissing("a"))
    assert run.handle(StepFailed("a")) == (SetTimer("a", 5.0),)
    assert run.handle(TimerFired("a")) == (Launch("a", 2),)
    assert run.handle(StepFailed("a")) == (
        Settle("a", StepState.FAILED),
        Finish(RunState.FAILED),
    )


def test_a_retry_without_delay_starts_at_once():
    run = scheduler(pipeline({"a": []}, a={"retry": Retry(retries=1)}))
    run.handle(RunStarted())
    run.handle(ResultMissing("a"))
    assert run.handle(StepFailed("a")) == (Launch("a", 2),)


def test_a_step_that_is_bound_to_fail_again_is_not_retried():
    run = scheduler(pipeline({"a": []}, a={"retry": Retry(retries=3)}))
    run.handle(RunStarted())
    run.handle(ResultMissing("a"))
    assert run.handle(StepFailed("a", retry_may_help=False))[0] == Settle("a", StepState.FAILED)


def test_cancelling_ends_running_steps_and_starts_none():
    run = scheduler(DIAMOND)
    run.handle(RunStarted())
    run.handle(ResultMissing("a"))
    assert run.handle(CancelRequested()) == (
        Cancel("a"),
        Settle("b", StepState.CANCELLED),
        Settle("c", StepState.CANCELLED),
        Settle("d", StepState.CANCELLED),
    )
    assert run.handle(StepFailed("a")) == (
        Settle("a", StepState.CANCELLED),
        Finish(RunState.CANCELLED),
    )
    assert run.handle(CancelRequested()) == ()


def test_a_step_that_finishes_while_it_is_cancelled_has_succeeded():
    run = scheduler(pipeline({"a": []}))
    run.handle(RunStarted())
    run.handle(ResultMissing("a"))
    run.handle(CancelRequested())
    assert run.handle(StepSucceeded("a")) == (Finish(RunState.SUCCEEDED),)


def test_forced_steps_and_those_without_cache_run_unasked():
    run = scheduler(pipeline({"a": [], "b": ["a"]}, b={"cache": False}), forced=["a"])
    assert run.handle(RunStarted()) == (Launch("a", 1),)
    assert run.handle(StepSucceeded("a")) == (Launch("b", 1),)


def test_steps_before_the_first_wanted_one_run_when_they_are_missing():
    run = scheduler(CHAIN, first="c")
    assert run.handle(RunStarted()) == (LookUp("a"),)
    assert run.handle(ResultMissing("a")) == (Launch("a", 1),)


def test_a_missing_input_of_the_only_wanted_step_is_refused():
    run = scheduler(CHAIN, only="c")
    run.handle(RunStarted())
    assert run.handle(ResultFound("a")) == (LookUp("b"),)
    assert run.handle(ResultMissing("b")) == (
        Refuse("b"),
        Settle("b", StepState.SKIPPED),
        Settle("c", StepState.SKIPPED),
        Finish(RunState.FAILED),
    )


def test_steps_nobody_needs_take_no_part():
    assert involved_steps(DIAMOND, select_steps(DIAMOND, last="b")) == ("a", "b")
    assert involved_steps(DIAMOND, select_steps(DIAMOND, only="b")) == ("a", "b")
    assert involved_steps(DIAMOND, select_steps(DIAMOND, first="b")) == ("a", "b", "c", "d")


def test_an_impossible_event_is_a_defect():
    run = scheduler(CHAIN)
    run.handle(RunStarted())
    with pytest.raises(ValueError, match="step a is looking"):
        run.handle(StepSucceeded("a"))


def test_a_run_of_no_steps_is_over_at_once():
    nothing = Selection(selected=frozenset())
    run = Scheduler(CHAIN, nothing, parallelism=1, keep_going=False)
    assert run.handle(RunStarted()) == (Finish(RunState.SUCCEEDED),)


def drive(of: Pipeline, selection: Selection, choose: random.Random, *, parallelism, keep_going):
    """Play a whole run with random outcomes in random order; check what must hold at each step."""
    run = Scheduler(of, selection, parallelism=parallelism, keep_going=keep_going)
    involved = involved_steps(of, selection)
    done: set[str] = set()
    ended: Counter[str] = Counter()
    running: set[str] = set()
    pending: list[object] = [RunStarted()]
    finished: RunState | None = None
    cancelled = held = False
    while pending:
        event = pending.pop(choose.randrange(len(pending)) if not cancelled else 0)
        match event:
            case StepSucceeded(step) | ResultFound(step):
                running.discard(step)
                if not ended[step]:
                    done.add(step)
                    ended[step] += 1
            case StepFailed(step):
                running.discard(step)
            case Hold():
                held = True
        for command in run.handle(event):
            assert finished is None
            match command:
                case LookUp(step):
                    assert set(of.step_by_name[step].upstream) <= done
                    pending.append(choose.choice([ResultFound(step), ResultMissing(step)]))
                case Launch(step, attempt):
                    assert attempt > 1 or not held
                    assert set(of.step_by_name[step].upstream) <= done
                    running.add(step)
                    assert len(running) <= parallelism
                    pending.append(
                        choose.choice(
                            [
                                StepSucceeded(step),
                                StepSucceeded(step),
                                StepFailed(step),
                                StepFailed(step, retry_may_help=False),
                            ]
                        )
                    )
                case SetTimer(step, _):
                    pending.append(TimerFired(step))
                case Settle(step, state):
                    assert state in {StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED}
                    ended[step] += 1
                case Cancel(step):
                    assert step in running
                case Refuse(step):
                    assert step not in selection.selected
                case Finish(state):
                    finished = state
        if choose.random() < 0.02:
            pending.append(choose.choice([CancelRequested(), Hold()]))
    assert finished is not None
    assert not running
    assert ended == Counter(involved) if not held else max(ended.values(), default=1) == 1


@st.composite
def graphs(draw):
    size = draw(st.integers(0, 12))
    names = [f"s{n}" for n in range(size)]
    return {
        name: draw(st.lists(st.sampled_from(names[:rank]), unique=True, max_size=4)) if rank else []
        for rank, name in enumerate(names)
    }


@given(
    graphs(),
    st.integers(0, 2**32),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
)
def test_any_interleaving_ends_and_runs_no_step_before_its_inputs(
    upstream, seed, parallelism, keep_going, run_missing
):
    choose = random.Random(seed)
    of = pipeline(
        upstream,
        **{
            name: {
                "retry": Retry(retries=choose.randrange(3), delay_seconds=choose.choice([0, 1])),
                "cache": choose.random() < 0.8,
            }
            for name in upstream
        },
    )
    names = [step.name for step in of.steps]
    selected = frozenset(n for n in names if choose.random() < 0.7)
    forced = frozenset(n for n in selected if choose.random() < 0.2)
    drive(
        of,
        Selection(selected=selected, forced=forced, run_missing=run_missing),
        choose,
        parallelism=parallelism,
        keep_going=keep_going,
    )


@pytest.mark.timeout(20)  # A quadratic scheduler takes minutes.
@pytest.mark.parametrize("shape", ["chain", "fan", "layers"])
def test_a_run_of_ten_thousand_steps_ends_soon(shape):
    size = 10_000
    upstream = {
        f"s{n}": {
            "chain": [f"s{n - 1}"] if n else [],
            "fan": ["s0"] if n else [],
            "layers": [f"s{n - 10 + k}" for k in range(3)] if n >= 10 else [],
        }[shape]
        for n in range(size)
    }
    run = scheduler(pipeline(upstream), parallelism=4)
    pending = list(run.handle(RunStarted()))
    launched = 0
    while pending:
        match pending.pop():
            case LookUp(step):
                pending += run.handle(ResultMissing(step))
            case Launch(step, _):
                launched += 1
                pending += run.handle(StepSucceeded(step))
    assert launched == size


def test_the_descendants_of_many_failures_are_each_skipped_once():
    size = 2_000
    upstream = {f"a{n}": [] for n in range(size)} | {"join": [f"a{n}" for n in range(size)]}
    run = scheduler(pipeline(upstream), parallelism=size, keep_going=True)
    run.handle(RunStarted())
    for n in range(size):
        run.handle(ResultMissing(f"a{n}"))
    settled = [c for n in range(size) for c in run.handle(StepFailed(f"a{n}"))]
    assert Counter(type(c) for c in settled) == {Settle: size + 1, Finish: 1}


def launched(latest_first: bool) -> list[StepName]:
    """The order in which steps start, one at a time."""
    diamond = pipeline({"a": [], "b": [], "c": ["a"], "d": ["a"], "e": ["c", "d"]})
    selection = select_steps(diamond, forced=None)
    scheduler = Scheduler(
        diamond, selection, parallelism=1, keep_going=False, latest_first=latest_first
    )
    order: list[StepName] = []
    commands = scheduler.handle(RunStarted())
    while not isinstance(commands[-1], Finish):
        [launch] = [command for command in commands if isinstance(command, Launch)]
        order.append(launch.step)
        commands = scheduler.handle(StepSucceeded(launch.step))
    return order


def test_of_the_steps_that_are_ready_the_first_starts_first_or_the_latest():
    assert launched(latest_first=False) == ["a", "b", "c", "d", "e"]
    assert launched(latest_first=True) == ["b", "a", "d", "c", "e"]
