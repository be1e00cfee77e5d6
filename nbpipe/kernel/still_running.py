"""Threads and tasks of the author's that go on when a step ends.

In a notebook they would go on, and change values, print and write files beside later cells. Nobody
can carry that to another process: it is state that cannot be stored, so the step runs as one with
those after it. Threads of libraries that only wait for work (pools, progress bars, the kernel's
own) do not count; while they run code of the author's, they do.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pickle import PicklingError
from types import CoroutineType, FrameType
from typing import Any

from nbpipe.environment.distributions import INSTALLED


class StillRunning:
    """What was still running, as a value: one that cannot be stored, and says why."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Refuse."""
        raise PicklingError(f"still running when the step ended: {', '.join(self._names)}")


class Watch:
    """The threads and tasks that come from now on, which is before the step's code begins."""

    def __init__(
        self, namespace: Mapping[str, Any], *, is_of_project: Callable[[str], bool]
    ) -> None:
        self._namespace = namespace
        self._is_of_project = is_of_project
        self._before = frozenset(threading.enumerate())

    def running(self) -> tuple[str, ...]:
        """Name what runs now for the author."""
        return (*self._threads(), *self._tasks())

    def _threads(self) -> Iterator[str]:
        frames = sys._current_frames()  # noqa: SLF001 - documented
        for thread in threading.enumerate():
            if thread in self._before or thread is threading.current_thread():
                continue
            if self._is_started_here(thread) or self._runs_code_here(frames.get(thread.ident or 0)):
                yield f"thread {thread.name}"

    def _is_started_here(self, thread: threading.Thread) -> bool:
        if isinstance(thread, threading.Timer):
            return True
        target = getattr(thread, "_target", None)
        if target is None:
            return self._is_here(vars(type(thread)).get("run"))
        # Pools of Python's own give their threads private functions; what is left is a call of
        # something public, and only the author asks a plain thread for that.
        name = getattr(target, "__name__", "")
        return self._is_here(target) or not (name.startswith("_") or _is_installed(target))

    def _runs_code_here(self, frame: FrameType | None) -> bool:
        while frame is not None:
            if self._is_code_here(frame.f_globals, frame.f_code.co_filename):
                return True
            frame = frame.f_back
        return False

    def _is_here(self, function: object) -> bool:
        function = getattr(function, "__func__", function)
        code = getattr(function, "__code__", None)
        return code is not None and self._is_code_here(
            getattr(function, "__globals__", {}), code.co_filename
        )

    def _is_code_here(self, names: Mapping[str, Any], path: str) -> bool:
        module = str(names.get("__name__"))
        if names is self._namespace or module == "__main__":
            return True
        if module.partition(".")[0] == "nbpipe":
            return False
        return "__file__" in names and path.endswith(".py") and self._is_of_project(path)

    def _tasks(self) -> Iterator[str]:
        asyncio = sys.modules.get("asyncio")
        try:
            loop = asyncio.get_running_loop() if asyncio else None
        except RuntimeError:
            return
        if asyncio is None or loop is None:
            return
        for task in sorted(asyncio.all_tasks(loop), key=lambda task: str(task.get_name())):
            if task is not asyncio.current_task() and self._is_coroutine_here(task.get_coro()):
                yield f"task {task.get_name()}"
        for handle in getattr(loop, "_scheduled", ()):
            if not handle.cancelled() and self._is_here(getattr(handle, "_callback", None)):
                yield "a call that waits for its time"

    def _is_coroutine_here(self, coroutine: object) -> bool:
        while isinstance(coroutine, CoroutineType):
            frame = coroutine.cr_frame
            if frame and self._is_code_here(frame.f_globals, frame.f_code.co_filename):
                return True
            coroutine = coroutine.cr_await
        return False


def _is_installed(function: object) -> bool:
    module = sys.modules.get(str(getattr(function, "__module__", "")))
    path = getattr(module, "__file__", None) or ""
    return any(name in path for name in INSTALLED)
