"""The papermill engine `nbpipe`: papermill runs the notebook, we own the kernel.

What differs from papermill's own engine: the kernel starts in a directory of its own (papermill's
`cwd` moves the whole process, threads and all); nothing is waited for by the clock; a kernel that
dies is noticed at once, one that overstays is ended, and none leaves processes behind; printed
text is kept in bounded memory; the notebook is written when there is something to lose.

This is the only file that imports papermill and nbclient.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import nbformat

# A module, not its function: papermill loads its engines, this one among them, while it is itself
# half imported.
import papermill.execute
from jupyter_client.kernelspec import KernelSpec
from nbclient.exceptions import CellExecutionError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import (
    NBClientEngine,
    NotebookExecutionManager,
    papermill_engines,
)
from papermill.exceptions import PapermillExecutionError

from nbpipe.errors import KernelDiedError
from nbpipe.runner.cell_outputs import Json
from nbpipe.runner.event_loops import run_apart
from nbpipe.runner.kernels.handle import Ending, KernelHandle
from nbpipe.runner.kernels.jupyter import StepKernelManager, StepProvisioner
from nbpipe.runner.kernels.specifications import current_kernel, find_kernel
from nbpipe.runner.streams import DEFAULT_LIMIT, StreamCollector

ENGINE: Final = "nbpipe"
LIMIT_VARIABLE: Final = "NBPIPE_OUTPUT_LIMIT"

_SAVE_SECONDS: Final = 2.0
_INTERRUPT_GRACE_SECONDS: Final = 3.0
_LAST_WORDS_SECONDS: Final = 0.15
_MOST_STARTS: Final = 3
_OUTPUT_MESSAGES: Final = frozenset({"stream", "display_data", "execute_result", "error"})

# papermill, nbclient and traitlets each log what the caller is told anyway.
_quiet = logging.getLogger(__name__)
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False
logging.getLogger("papermill").setLevel(logging.ERROR)


@dataclass(slots=True, kw_only=True)
class Execution:
    """One execution of a step notebook: what is asked for, and, as it goes on, what came of it.

    Attributes:
        directory: where the kernel starts.
        variables: of the kernel's environment.
        python: the Python of the kernel, whatever the notebook names; none for that of its kernel.
        private: an empty, short, private directory for sockets, which the caller removes.
        notebook: the notebook with what was executed so far.
        cell: place of the cell that ran last.
        error: the kernel's reply to that cell, when it failed.
        exit_status: of the kernel, once it has ended.
        last_words: what the kernel process wrote past Jupyter, such as a crash report.
    """

    directory: Path
    variables: Mapping[str, str]
    private: Path
    python: str = ""
    handle: KernelHandle = field(default_factory=KernelHandle)
    timeout_seconds: float | None = None
    output_limit: int = DEFAULT_LIMIT
    notebook: Json | None = None
    cell: int | None = None
    error: Mapping[str, Any] | None = None
    exit_status: int | None = None
    last_words: str = ""
    bytes_left_out: int = 0
    notes: list[str] = field(default_factory=list)


def execute(
    notebook: Json, output: Path, parameters: Mapping[str, object], execution: Execution
) -> None:
    """Execute a notebook through papermill; `execution` holds what came of it, whatever happens.

    A cell that raises ends the execution, and is no exception here.

    Raises:
        KernelDiedError: when the kernel does not start, or ends before its time (also when it
            was ended through `execution.handle`).
    """
    try:
        papermill.execute.execute_notebook(
            nbformat.from_dict(notebook),
            str(output),
            parameters=dict(parameters),
            engine_name=ENGINE,
            progress_bar=False,
            execution=execution,
        )
    except PapermillExecutionError:
        return
    except DeadKernelError as error:
        raise KernelDiedError("The kernel died.") from error


class NbpipeEngine(NBClientEngine):  # type: ignore[misc]  # papermill ships no types.
    """papermill's engine `nbpipe`: also `papermill --engine nbpipe in.ipynb out.ipynb`."""

    @classmethod
    def execute_notebook(  # noqa: PLR0913 - papermill's signature, and one more.
        cls,
        nb: Any,  # noqa: ANN401 - a NotebookNode; nbformat ships no types.
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool = True,  # noqa: FBT001, FBT002 - papermill's signature.
        log_output: bool = False,  # noqa: FBT001, FBT002
        autosave_cell_every: int = 5,
        execution: Execution | None = None,
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Execute `nb` in a new kernel and return it with its outputs."""
        with _some_execution(execution) as asked:
            progress = _Progress(
                nb,
                output_path=output_path,
                progress_bar=progress_bar,
                log_output=log_output,
                autosave_cell_every=autosave_cell_every,
            )
            asked.notebook = nb
            progress.notebook_start()
            client = StepNotebookClient(
                progress,
                asked,
                kernel_name=kernel_name,
                startup_timeout=options.get("start_timeout") or 60,
                timeout=options.get("execution_timeout"),
                log=_quiet,
                log_output=log_output,
                stdout_file=options.get("stdout_file"),
                stderr_file=options.get("stderr_file"),
            )
            try:
                client.execute()
            except BaseException:
                # papermill writes the notebook in the end, but not when the kernel dies.
                progress.notebook_complete()
                progress.write()
                raise
            progress.notebook_complete()
            return progress.nb


papermill_engines.register(ENGINE, NbpipeEngine)


@contextmanager
def _some_execution(execution: Execution | None) -> Iterator[Execution]:
    """Give what was asked for, or, to somebody who runs papermill by hand, the defaults."""
    if execution is not None:
        yield execution
        return
    with tempfile.TemporaryDirectory(prefix="nbp-") as private:
        yield Execution(directory=Path.cwd(), variables={}, private=Path(private))


class _Progress(NotebookExecutionManager):  # type: ignore[misc]
    """papermill's bookkeeping, which writes the notebook only when seconds would be lost."""

    def __init__(self, nb: Any, **options: Any) -> None:  # noqa: ANN401
        super().__init__(nb, **options)
        self.streams: StreamCollector | None = None
        self._written = 0.0

    def save(self, **_: object) -> None:
        """Write the notebook, unless that was done a moment ago."""
        if time.monotonic() - self._written >= _SAVE_SECONDS:
            self.write()

    def write(self) -> None:
        """Write the notebook as it is now; never half of it."""
        if self.streams is not None:
            self.streams.settle()
        if self.output_path:
            path = Path(self.output_path)
            unfinished = path.with_name(path.name + ".writing")
            unfinished.write_text(nbformat.writes(self.nb), "utf-8")
            unfinished.replace(path)
        self.last_save_time = self.now()
        self._written = time.monotonic()


class StepNotebookClient(PapermillNotebookClient):  # type: ignore[misc]
    """nbclient, with a kernel that is watched, a deadline for all cells, and bounded text."""

    # nbclient's attributes; `km` and `kc` are None while there is no kernel.
    km: Any
    kc: Any
    clear_before_next_output: bool

    def __init__(self, progress: _Progress, execution: Execution, **options: Any) -> None:  # noqa: ANN401
        super().__init__(progress, iopub_timeout=60, **options)
        self._progress = progress
        self._execution = execution
        self._streams = StreamCollector(execution.output_limit, new_output=nbformat.NotebookNode)

    def execute(self) -> Any:  # noqa: ANN401
        """Execute all cells, in an event loop of this thread's own."""
        return run_apart(self._execute())

    async def _execute(self) -> Any:  # noqa: ANN401
        self.reset_execution_trackers()
        try:
            await self._start()
            watch = asyncio.create_task(self._end_when_time_is_up())
            try:
                await self._execute_cells()
            finally:
                watch.cancel()
            self.set_widgets_metadata()
        finally:
            await self._end()
        return self.nb

    # ------------------------------------------------------------------------------- the kernel

    async def _start(self) -> None:
        python = self._execution.python
        specification = current_kernel(python) if python else find_kernel(self.kernel_name)
        if specification is None:
            specification = current_kernel()
            self._execution.notes.append(
                f"kernel '{self.kernel_name}' is not installed; ran with the Python of nbpipe"
            )
        for start in range(1, _MOST_STARTS + 1):
            try:
                await self._start_once(specification)
            except KernelDiedError:
                # Another process may have taken a TCP port between choice and use.
                clash = self.km.transport == "tcp" and "in use" in self._last_words()
                ended = self._execution.handle.ending is not None
                await self._end()
                if ended or not clash or start == _MOST_STARTS:
                    raise
            else:
                return

    async def _start_once(self, specification: KernelSpec) -> None:
        execution = self._execution
        self.km = StepKernelManager.of(specification, execution.private)
        self.km.log = _quiet
        is_ipykernel = any("ipykernel" in argument for argument in specification.argv)
        try:
            with self._log_path.open("wb") as log:
                await self.km.start_kernel(
                    extra_arguments=["--HistoryManager.enabled=False"] if is_ipykernel else [],
                    cwd=str(execution.directory),
                    env={"PYTHONHASHSEED": "0", **os.environ, **execution.variables},
                    stdout=log,
                    stderr=log,
                )
        except OSError as error:
            raise KernelDiedError(
                f"The kernel '{self.kernel_name}' cannot be started: {error}."
            ) from error
        if isinstance(self.km.provisioner, StepProvisioner):
            execution.handle.attach(self.km.provisioner.kill_now)
        self.kc = self.km.client(context=self.km.context)
        self.kc.start_channels()
        ready = asyncio.create_task(self.kc.wait_for_ready(timeout=self.startup_timeout))
        ended = asyncio.create_task(self.km.provisioner.wait())
        try:
            await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                raise KernelDiedError("The kernel ended before it was ready.")
            ready.result()
        finally:
            ready.cancel()
            ended.cancel()
        self.kc.allow_stdin = False
        self.nb.metadata["language_info"] = self.kc.kernel_facts["language_info"]

    @property
    def _log_path(self) -> Path:
        return self._execution.private / "kernel.log"

    def _last_words(self) -> str:
        with suppress(OSError):
            return self._log_path.read_text("utf-8", "replace")
        return ""

    async def _end(self) -> None:
        if self.kc is not None:
            self.kc.stop_channels()
            self.kc = None
        if self.km is not None:
            await self.km.shutdown_kernel(now=self._execution.handle.ending is not None)
            self._execution.handle.detach()
            self._execution.exit_status = getattr(self.km.provisioner, "exit_status", None)
            self._execution.last_words = self._last_words()
            self.km = None

    async def _async_poll_kernel_alive(self) -> None:
        """Wait for the kernel's end while a cell runs; then let the last outputs come in."""
        await self.km.provisioner.wait()
        await asyncio.sleep(_LAST_WORDS_SECONDS)
        if self.task_poll_for_reply is not None:
            self.task_poll_for_reply.cancel()

    async def _end_when_time_is_up(self) -> None:
        execution = self._execution
        if execution.timeout_seconds is None:
            return
        await asyncio.sleep(execution.timeout_seconds)
        execution.handle.expect(Ending.TIMEOUT)
        with suppress(RuntimeError):
            await self.km.interrupt_kernel()
        await asyncio.sleep(_INTERRUPT_GRACE_SECONDS)
        execution.handle.kill(Ending.TIMEOUT)

    # -------------------------------------------------------------------------------- the cells

    async def _execute_cells(self) -> None:
        for index, cell in enumerate(self.nb.cells):
            if self._execution.handle.ending is not None:
                raise DeadKernelError("The kernel was ended.")
            self._execution.cell = index
            self._streams.forget()
            self._progress.streams = self._streams
            try:
                self._progress.cell_start(cell, index)
                await self.async_execute_cell(cell, index, store_history=not _is_unseen(cell))
            except CellExecutionError as error:
                self._progress.cell_exception(cell, cell_index=index, exception=error)
                break
            finally:
                self._streams.settle()
                self._execution.bytes_left_out += self._streams.bytes_left_out
                self._progress.cell_complete(cell, cell_index=index)

    async def _check_raise_for_error(
        self,
        cell: Any,  # noqa: ANN401 - nbclient's signature.
        cell_index: int,
        exec_reply: Mapping[str, Any] | None,
    ) -> None:
        try:
            await super()._check_raise_for_error(cell, cell_index, exec_reply)
        except CellExecutionError:
            self._execution.error = exec_reply["content"] if exec_reply else {}
            raise

    def output(
        self,
        outs: list[Any],
        msg: Any,  # noqa: ANN401 - nbclient's signature.
        display_id: str | None,
        cell_index: int,
    ) -> Any:  # noqa: ANN401
        """Take one output of the running cell; text is collected, the rest is nbclient's."""
        hooked = self.output_hook_stack[msg["parent_header"].get("msg_id")]
        if msg["msg_type"] != "stream" or hooked:
            return super().output(outs, msg, display_id, cell_index)
        name, text = msg["content"]["name"], msg["content"]["text"]
        self._streams.add(name, text, outs)
        return nbformat.NotebookNode({"output_type": "stream", "name": name, "text": text})

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:  # noqa: ANN401
        """Take one message about the running cell."""
        if self.clear_before_next_output and msg["msg_type"] in _OUTPUT_MESSAGES:
            cell.outputs[:] = []
            self.clear_display_id_mapping(cell_index)
            self.clear_before_next_output = False
        if not cell.outputs:
            self._streams.forget()
        return super().process_message(msg, cell, cell_index)


def _is_unseen(cell: Any) -> bool:  # noqa: ANN401 - a NotebookNode
    """Say whether a cell of ours leaves no trace in the author's `In`, `Out` and numbers."""
    return bool(cell.metadata.get("nbpipe", {}).get("unseen", False))
