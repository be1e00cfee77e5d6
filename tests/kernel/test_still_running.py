import asyncio
import pickle
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import pytest

from nbpipe.kernel.still_running import StillRunning, Watch


@pytest.fixture
def namespace():
    return types.ModuleType("notebook").__dict__


@pytest.fixture
def watch(namespace):
    return Watch(namespace, is_of_project=lambda _path: False)


@pytest.fixture
def gate():
    """An event that threads wait for; it is set at the end."""
    event = threading.Event()
    yield event
    event.set()


def defined(namespace, source):
    exec(source, namespace)
    return namespace["f"]


def named(thread):
    thread.name = "mine"
    thread.daemon = True
    thread.start()


def test_threads_that_the_author_started_count(watch, namespace, gate):
    function = defined(namespace, "def f(gate): gate.wait()")
    named(threading.Thread(target=function, args=(gate,)))
    assert watch.running() == ("thread mine",)


@pytest.mark.parametrize(
    "make",
    [lambda gate: threading.Timer(9, gate.set), lambda gate: threading.Thread(target=gate.wait)],
)
def test_timers_and_calls_of_libraries_count(watch, gate, make):
    thread = make(gate)
    named(thread)
    assert watch.running() == ("thread mine",)
    getattr(thread, "cancel", lambda: None)()


def test_threads_that_were_there_before_do_not_count(namespace, gate):
    named(threading.Thread(target=gate.wait))
    assert Watch(namespace, is_of_project=lambda _path: False).running() == ()


def test_threads_of_a_pool_count_only_while_they_run_code_of_the_author(watch, namespace, gate):
    function = defined(namespace, "def f(begun, gate):\n    begun.set()\n    gate.wait()")
    begun = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="pool") as pool:
        pool.submit(abs, -1).result()
        assert watch.running() == ()
        waiting = pool.submit(function, begun, gate)
        begun.wait()
        assert watch.running() == ("thread pool_0",)
        gate.set()
        waiting.result()


def test_tasks_and_calls_to_come_of_the_author_count(watch, namespace):
    coroutine = defined(namespace, "async def f(gate): await gate.wait()")
    call = defined(dict(namespace, __name__="__main__"), "def f(): pass")

    async def cell():
        gate = asyncio.Event()
        library = asyncio.create_task(gate.wait(), name="library")
        mine = asyncio.create_task(coroutine(gate), name="mine")
        timer = asyncio.get_running_loop().call_later(9, call)
        await asyncio.sleep(0)
        found = watch.running()
        gate.set()
        await asyncio.gather(mine, library)
        timer.cancel()
        return found, watch.running()

    assert asyncio.run(cell()) == (("task mine", "a call that waits for its time"), ())


def test_what_runs_cannot_be_stored():
    with pytest.raises(pickle.PicklingError, match="still running when the step ended: thread x"):
        pickle.dumps(StillRunning(("thread x",)))
