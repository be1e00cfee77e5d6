"""The loop with an executor that starts no kernels."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter

import pytest

from nbpipe.model.pipeline import Retry
from nbpipe.model.run import RunState, StepFailure, StepResult
from nbpipe.runner.listening import RunBegan, RunFinished, StepFinished, StepRetried, StepStarted
from nbpipe.runner.selection import select_steps
from nbpipe.store.values import store_values
from nbpipe.wire.codec import encode

BOOM = StepFailure(kind="error", message="boom")


class FakeExecutor:
    """Answers each attempt from a script: step → outcomes, each a failure, or outputs by name."""

    def __init__(self, store, **outcomes):
        self.store = store
        self.outcomes = {name: list(each) for name, each in outcomes.items()}
        self.attempts: Counter[str] = Counter()
        self.cancelled: list[str] = []
        self.waiting: dict[str, asyncio.Future[None]] = {}

    async def execute(self, request):
        name = request.step.name
        self.attempts[name] += 1
        await asyncio.sleep(0)
        outcome = self.outcomes.get(name, [{}])
        outcome = outcome.pop(0) if len(outcome) > 1 else outcome[0]
        if callable(outcome):
            outcome = await outcome(self, request)
        if isinstance(outcome, StepFailure):
            return outcome
        return StepResult(outputs=store_values(self.store.blobs, outcome, list(outcome)).values)

    def cancel(self, step):
        self.cancelled.append(step)
        if step in self.waiting:
            self.waiting.pop(step).set_result(None)

    def close(self):
        pass


async def until_cancelled(executor, request):
    executor.waiting[request.step.name] = asyncio.get_running_loop().create_future()
    await executor.waiting[request.step.name]
    return StepFailure(kind="cancelled", message="cancelled")


def states(run):
    return {step_run.step: step_run.state.value for step_run in run.steps}


@pytest.fixture
def chain(book):
    book.step("a", "x = 1", makes=("x",))
    book.step("b", "y = x", takes={"x": "a"}, makes=("y",))
    book.step("c", "y", takes={"y": "b"})
    return book


def test_outputs_become_versions_and_inputs(chain, listener):
    store = chain.store
    executor = FakeExecutor(store, a=[{"x": 1}], b=[{"y": 2}])
    run = chain.run(executor=executor, listener=listener)
    assert run.state is RunState.SUCCEEDED
    assert [step_run.outputs.keys() for step_run in run.steps] == [{"x"}, {"y"}, set()]
    assert store.run("latest") == run
    assert [type(event) for event in listener.events] == [
        RunBegan,
        *[StepStarted, StepFinished] * 3,
        RunFinished,
    ]
    store.close()


def test_equal_outputs_cut_off_what_follows(chain):
    store = chain.store
    chain.run(executor=FakeExecutor(store, a=[{"x": 1}], b=[{"y": 2}]))
    chain.steps[0] = chain.step("a", "x = 1  # anew", makes=("x",))
    chain.steps.pop()
    run = chain.run(executor=FakeExecutor(store, a=[{"x": 1}]))
    assert states(run) == {"a": "succeeded", "b": "reused", "c": "reused"}
    store.close()


def test_an_output_that_nobody_needed_before_is_made_now(book):
    book.step("a", "x = 1; y = 2", makes=("x",))
    store = book.store
    book.run(executor=FakeExecutor(store, a=[{"x": 1}]))
    book.cells.clear()
    book.steps.clear()
    book.step("a", "x = 1; y = 2", makes=("x", "y"))
    run = book.run(executor=FakeExecutor(store, a=[{"x": 1, "y": 2}]))
    assert (states(run), run.steps[0].reason) == ({"a": "succeeded"}, "y is needed now")
    store.close()


def test_retries_are_told_and_the_last_failure_is_kept(book, listener):
    book.step("a", "1", retry=Retry(retries=1))
    store = book.store
    last = StepFailure(kind="error", message="boom again")
    executor = FakeExecutor(store, a=[BOOM, last])
    run = book.run(executor=executor, listener=listener)
    assert (run.steps[0].failure, run.steps[0].attempt) == (last, 2)
    assert [
        (event.attempt, event.failure)
        for event in listener.events
        if isinstance(event, StepRetried)
    ] == [(1, BOOM)]
    assert store.run("latest").steps[0].failure == last
    store.close()


def test_keeping_going_runs_what_does_not_depend_on_the_failure(book):
    book.step("a", "1")
    book.step("b", "2", after=("a",))
    book.step("c", "3")
    store = book.store
    run = book.run(executor=FakeExecutor(store, a=[BOOM]), keep_going=True)
    assert states(run) == {"a": "failed", "b": "skipped", "c": "succeeded"}
    run = book.run(
        executor=FakeExecutor(store, a=[BOOM]), selection=select_steps(book.pipeline, forced=None)
    )
    assert states(run) == {"a": "failed", "b": "skipped", "c": "skipped"}
    store.close()


def test_what_a_listener_raises_ends_the_run_and_its_kernels(book):
    book.step("a", "1")
    book.step("b", "2")
    store = book.store

    class Broken:
        def notice(self, event):
            if isinstance(event, StepFinished):
                raise BrokenPipeError

    executor = FakeExecutor(store, a=[until_cancelled])
    with pytest.raises(BrokenPipeError):
        book.run(executor=executor, listener=Broken(), parallelism=2)
    assert executor.cancelled == ["a"]
    assert store.run("latest").state is RunState.FAILED
    store.close()


def test_an_exception_of_the_executor_is_a_defect_and_not_hidden(book):
    book.step("a", "1")
    store = book.store

    async def raise_it(executor, request):
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        book.run(executor=FakeExecutor(store, a=[raise_it]))
    assert store.run("latest").state is RunState.FAILED
    store.close()


def test_a_hundred_steps_wait_together(book):
    names = [f"s{n}" for n in range(100)]
    for name in names:
        book.step(name, name)

    async def wait(executor, request):
        await asyncio.sleep(0.2)
        return {}

    store = book.store
    executor = FakeExecutor(store, **{name: [wait] for name in names})
    run = book.run(executor=executor, parallelism=50)
    assert set(states(run).values()) == {"succeeded"}
    assert (run.finished - run.started).total_seconds() < 10
    store.close()


def test_a_notebook_may_run_a_pipeline_in_a_cell(chain):
    store = chain.store

    async def cell():
        return chain.run(executor=FakeExecutor(store, a=[{"x": 1}], b=[{"y": 2}]))

    assert asyncio.run(cell()).state is RunState.SUCCEEDED
    store.close()


def test_a_run_with_nothing_to_do_imports_neither_asyncio_nor_papermill(chain):
    store = chain.store
    chain.run(executor=FakeExecutor(store, a=[{"x": 1}], b=[{"y": 2}]))
    store.close()
    (chain.directory / "pipeline.json").write_text(json.dumps(encode(chain.pipeline)))
    script = """
import json, pathlib, sys
from nbpipe.model.pipeline import Pipeline
from nbpipe.runner.executors.local import LocalExecutor
from nbpipe.runner.loop import run_pipeline
from nbpipe.runner.request import RunRequest
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.wire.codec import decode

directory = pathlib.Path(sys.argv[1])
request = RunRequest(
    pipeline=decode(Pipeline, json.loads((directory / "pipeline.json").read_text())),
    directory=directory,
    notebook={"cells": [], "metadata": {}},
    notebook_path="book.ipynb",
)
store = ArtifactStore.open(directory / ".nbpipe")
executor = LocalExecutor(2)
run = run_pipeline(request, store=store, executor=executor)
executor.close()
assert {step_run.state.value for step_run in run.steps} == {"reused"}
heavy = "asyncio papermill nbclient nbformat IPython jupyter_client numpy cloudpickle".split()
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(chain.directory)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
