"""Waiting for what takes time: running steps, timers, and the wish to end it all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from nbpipe.model.names import StepName
from nbpipe.runner.event_loops import run_apart
from nbpipe.runner.events import TimerFired
from nbpipe.runner.executors.protocol import Executor
from nbpipe.runner.loop import RunLoop


def wait_for_the_rest(loop: RunLoop, executor: Executor) -> None:
    """Run what `loop` wants run, until every step has ended."""
    run_apart(_wait_for_the_rest(loop, executor))


async def _wait_for_the_rest(loop: RunLoop, executor: Executor) -> None:
    cancelled = asyncio.Event()
    event_loop = asyncio.get_running_loop()
    loop.wake = lambda: event_loop.call_soon_threadsafe(cancelled.set)
    steps: dict[asyncio.Task[Any], StepName] = {}
    timers: dict[asyncio.Task[Any], StepName] = {}
    cancellation = asyncio.create_task(cancelled.wait())
    try:
        # The request may have come between the last look at it and `wake`.
        loop.pass_on_cancellation()
        while not loop.is_over:
            for request in _taken(loop.launches):
                _add(steps, request.step.name, executor.execute(request))
            for name, seconds in _taken(loop.timers):
                _add(timers, name, asyncio.sleep(seconds))
            done, _ = await asyncio.wait(
                {cancellation, *steps, *timers}, return_when=asyncio.FIRST_COMPLETED
            )
            if cancellation in done:
                cancelled.clear()
                cancellation = asyncio.create_task(cancelled.wait())
                loop.pass_on_cancellation()
            # In the order they were started, so that a run can be replayed.
            for task in [task for task in steps if task in done]:
                loop.take_outcome(steps.pop(task), task.result())
            for task in [task for task in timers if task in done]:
                loop.take(TimerFired(timers.pop(task)))
    finally:
        for name in steps.values():
            executor.cancel(name)
        for task in (cancellation, *timers):
            task.cancel()
        await asyncio.gather(cancellation, *steps, *timers, return_exceptions=True)


def _add(
    tasks: dict[asyncio.Task[Any], StepName], name: StepName, work: Coroutine[Any, Any, Any]
) -> None:
    tasks[asyncio.create_task(work)] = name


def _taken(wanted: list[Any]) -> list[Any]:
    """Give what is wanted, and empty the list."""
    taken = list(wanted)
    wanted.clear()
    return taken
