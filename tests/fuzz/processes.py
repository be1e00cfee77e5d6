"""Cells in processes of their own, each forked from one that has everything imported.

This stands in for papermill and ipykernel, and for nothing else: what a fork runs are the cells of
a step notebook, in IPython, with nbpipe's own kernel code; who asks for it is nbpipe's own runner.
A process ends with its step, so whatever lives in a process (modules, settings, environment,
working directory, random streams) is gone then, as it is when a kernel ends.
"""

from __future__ import annotations

import gc
import importlib
import io
import multiprocessing
import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

from nbpipe.errors import KernelDiedError
from nbpipe.runner import attempt
from nbpipe.runner.executors.protocol import Outcome, StepRequest
from nbpipe.runner.kernels.handle import KernelHandle
from nbpipe.runner.papermill_engine import Execution

Json = dict[str, Any]

# A cell of ours takes milliseconds; one that takes this long never ends.
_SECONDS = 30


@dataclass(kw_only=True)
class Ran:
    """What came of some cells: outputs of those that ran, and the exception of the last."""

    outputs: list[list[Json]] = field(default_factory=list)
    error: Json | None = None
    error_at: int | None = None
    seen: list[Any] = field(default_factory=list)


class EndedError(Exception):
    """A forked process ended without an answer; `status` is its exit status, or minus a signal."""

    def __init__(self, status: int, last_words: str) -> None:
        super().__init__(f"ended with status {status}\n{last_words}")
        self.status = status


def in_fork(work: Callable[[], Any]) -> Any:
    """Do work in a fork of this process, and give what it returns."""
    asker = multiprocessing.parent_process()
    if asker is not None and not asker.is_alive():
        os._exit(1)  # A worker whose campaign was killed.
    answer, asked = os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_child(work, answer, asked)
    os.close(asked)
    with os.fdopen(answer, "rb") as pipe:
        content = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != 0 or not content:
        raise EndedError(status, content.decode("utf-8", "replace"))
    return pickle.loads(content)


def _be_the_child(work: Callable[[], Any], answer: int, asked: int) -> None:
    status = 1
    try:
        os.close(answer)
        signal.alarm(_SECONDS)
        content = pickle.dumps(work())
        status = 0
    except BaseException as error:
        content = f"{type(error).__name__}: {error}".encode()
    finally:
        with os.fdopen(asked, "wb") as pipe:
            pipe.write(content)
        os._exit(status)


def run_cells(
    sources: Sequence[str],
    *,
    directory: Path,
    variables: Mapping[str, str] | None = None,
    may_raise: Sequence[bool] = (),
    look: Callable[[dict[str, Any]], Any] | None = None,
    looks_often: bool = True,
) -> Ran:
    """Run cells in this process as a kernel would, up to the first that raises.

    `look` is called with the namespace after every cell, or the last; what it gives is kept.
    """
    os.chdir(directory)
    os.environ.update({"PYTHONHASHSEED": "0", **(variables or {})})
    sys.path.insert(0, "")
    shell = _shell()
    ran = Ran()
    for number, source in enumerate(sources):
        outputs: list[Json] = []
        ran.outputs.append(outputs)
        shell.take_outputs(outputs)
        result = shell.run_cell(source, store_history=False, cell_id=f"cell-{number}")
        shell.flush()
        if look is not None and (looks_often or number == len(sources) - 1):
            ran.seen.append(look(shell.user_ns))
        if not result.success:
            ran.error, ran.error_at = outputs[-1] if outputs else {}, number
            if not (may_raise and may_raise[number]):
                break
            ran.error = ran.error_at = None
    return ran


class ForkingExecutor:
    """Runs steps as nbpipe's local executor does, with forks for kernels.

    `seen` has for each step what `look` gave of its namespace when it had saved; `fused` the
    author's steps that ran as part of it.
    """

    def __init__(self, look: Callable[[dict[str, Any]], Any] | None = None) -> None:
        self.seen: dict[str, Any] = {}
        self.fused: dict[str, tuple[str, ...]] = {}
        self._look = look

    async def execute(self, request: StepRequest) -> Outcome:
        def execute(*arguments: Any) -> None:
            ran = _execute_in_fork(*arguments, self._look)
            self.fused[request.step.name] = request.step.fused
            self.seen[request.step.name] = ran.seen[-1] if ran.seen else None

        with mock.patch.object(attempt, "execute", execute):
            return attempt.attempt_step(request, KernelHandle())

    def cancel(self, step: str) -> None:
        """Nothing runs beside the caller."""

    def close(self) -> None:
        """Nothing is open."""


def _execute_in_fork(
    notebook: Json,
    output: Path,
    parameters: Mapping[str, object],
    execution: Execution,
    look: Callable[[dict[str, Any]], Any] | None,
) -> Ran:
    cells = notebook["cells"]
    assert not parameters, "papermill's cell of given parameters is not imitated"
    execution.notebook = notebook
    execution.cell = 0
    try:
        ran = in_fork(
            lambda: run_cells(
                [cell["source"] for cell in cells],
                directory=execution.directory,
                variables=execution.variables,
                may_raise=["raises-exception" in cell["metadata"]["tags"] for cell in cells],
                look=look,
                looks_often=False,
            )
        )
    except EndedError as error:
        execution.exit_status = error.status
        execution.last_words = str(error)
        raise KernelDiedError(str(error)) from error
    for number, outputs in enumerate(ran.outputs):
        cells[number]["outputs"] = outputs
        cells[number]["execution_count"] = number + 1
    execution.cell = len(ran.outputs) - 1
    execution.error = ran.error
    return ran


# ---- IPython ----------------------------------------------------------------------------------


class _Shell(InteractiveShell):
    """IPython, whose outputs become those of a notebook's cell."""

    def take_outputs(self, outputs: list[Json]) -> None:
        """Let all outputs go there from now on."""
        self._outputs = outputs
        self.display_trap.hook = self._show_result
        self.display_pub.take_outputs(outputs)
        sys.stdout, sys.stderr = _Text("stdout", outputs), _Text("stderr", outputs)

    def flush(self) -> None:
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__

    def _show_result(self, value: object) -> None:
        if value is not None:
            shown, metadata = self.display_formatter.format(value)
            self._outputs.append(
                {
                    "output_type": "execute_result",
                    "execution_count": None,
                    "data": shown,
                    "metadata": metadata,
                }
            )

    def _showtraceback(self, etype: type, evalue: object, stb: list[str]) -> None:
        self._outputs.append(
            {
                "output_type": "error",
                "ename": etype.__name__,
                "evalue": str(evalue),
                "traceback": stb,
            }
        )


class _Publisher(DisplayPublisher):
    def take_outputs(self, outputs: list[Json]) -> None:
        self._outputs = outputs

    def publish(self, data: Json, metadata: Json | None = None, **_: object) -> None:
        self._outputs.append(
            {"output_type": "display_data", "data": data, "metadata": metadata or {}}
        )


class _Text(io.TextIOBase):
    """A stream whose text lands among the outputs, where it was written."""

    def __init__(self, name: str, outputs: list[Json]) -> None:
        self._name = name
        self._outputs = outputs

    def write(self, text: str) -> int:
        last = self._outputs[-1] if self._outputs else {}
        if last.get("output_type") == "stream" and last["name"] == self._name:
            last["text"] += text
        else:
            self._outputs.append({"output_type": "stream", "name": self._name, "text": text})
        return len(text)

    def writable(self) -> bool:
        return True


# What notebooks import here, and what only IPython or nbpipe do, late.
_MODULES = """numpy pandas pandas.io.formats.html matplotlib.pyplot sklearn.linear_model
sklearn.model_selection sklearn.utils nbpipe.kernel""".split()

_warm: list[_Shell] = []


def warm_up() -> None:
    """Import what notebooks of ours import, and make the shell, so that forks need not."""
    if _warm:
        return
    os.environ["MPLBACKEND"] = "Agg"
    for name in _MODULES:
        importlib.import_module(name)
    main, stdout, hook = sys.modules["__main__"], sys.stdout, sys.excepthook
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shell = _Shell.instance()
    shell.history_manager.enabled = False
    shell.display_pub = _Publisher(parent=shell)
    sys.stdout, sys.excepthook = stdout, hook
    sys.modules["__main__"] = main
    _warm.append(shell)
    gc.collect()
    gc.freeze()


def _shell() -> _Shell:
    warm_up()
    # The notebook is the main module of its kernel: its classes live there.
    sys.modules["__main__"] = _warm[0].user_module
    return _warm[0]
