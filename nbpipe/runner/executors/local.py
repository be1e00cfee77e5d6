"""Steps on this machine: a thread each, in it papermill, and behind that a kernel process."""

from __future__ import annotations

import importlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Final

from nbpipe.model.names import StepName
from nbpipe.model.run import StepFailure
from nbpipe.runner.executors.protocol import Outcome, StepRequest
from nbpipe.runner.kernels.handle import Ending, KernelHandle

# jsonschema builds a grammar of a second's work when this is there, for a check nobody asks for.
_SLOW_AND_UNUSED: Final = "rfc3987_syntax"


class LocalExecutor:
    """Run up to `parallelism` steps at once in kernels of their own."""

    def __init__(self, parallelism: int = 1) -> None:
        self._threads = ThreadPoolExecutor(parallelism, thread_name_prefix="nbpipe-step")
        self._handles: dict[StepName, KernelHandle] = {}

    async def execute(self, request: StepRequest) -> Outcome:
        """Make one attempt at a step."""
        # Not at the top: an executor is made for every run, also for one with nothing to run.
        import asyncio  # noqa: PLC0415

        name = request.step.name
        handle = self._handles[name] = KernelHandle()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, _attempt, request, handle)
        except asyncio.CancelledError:
            # The thread goes on until its kernel has ended.
            handle.kill(Ending.CANCELLED)
            raise
        finally:
            del self._handles[name]

    def cancel(self, step: StepName) -> None:
        """Kill the kernel of a running step and all it started."""
        handle = self._handles.get(step)
        if handle is not None:
            handle.kill(Ending.CANCELLED)

    def close(self) -> None:
        """End the threads, and with them any attempt that still runs."""
        for step in list(self._handles):
            self.cancel(step)
        self._threads.shutdown(wait=True)


def _attempt(request: StepRequest, handle: KernelHandle) -> Outcome:
    if handle.ending is not None:
        return StepFailure(kind="cancelled", message="The run was cancelled.")
    outcome: Outcome = _attempts().attempt_step(request, handle)
    return outcome


_importing: Final = threading.Lock()


def _attempts() -> ModuleType:
    """Import papermill, once, and not before the first step really runs.

    A pipeline whose steps are all reused is answered in less time than this import takes.
    """
    with _importing:
        blocked = _SLOW_AND_UNUSED not in sys.modules
        if blocked:
            sys.modules[_SLOW_AND_UNUSED] = None  # type: ignore[assignment]
        try:
            return importlib.import_module("nbpipe.runner.attempt")
        finally:
            if blocked:
                del sys.modules[_SLOW_AND_UNUSED]
