"""One cache for this kernel and for runs: results of steps are stored, and reused, as cells run.

Around each cell: `before` asks the process beside the kernel what the cell is to the pipeline, and
looks at the values that the step depends on; `after` stores what came of it. A cell whose result
is reused runs no more than its imports and definitions. When in doubt, the cell runs as any other
and nothing is kept, and a line says why.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path

from IPython.core.interactiveshell import InteractiveShell

from nbpipe.errors import NbpipeError
from nbpipe.kernel.imports import WATCH
from nbpipe.kernel.live_exchange import Advice, Executed, Kept, Question
from nbpipe.kernel.problems import StepNotebookError
from nbpipe.kernel.process_state import ProcessState
from nbpipe.kernel.tracing import StepTracer
from nbpipe.kernel.tracing.environment import EnvironmentReads
from nbpipe.magics.displays import DisplayRecorder
from nbpipe.magics.live_modules import LiveModules
from nbpipe.magics.live_process import LiveProcess
from nbpipe.magics.live_restoring import Restoring
from nbpipe.magics.live_steps import RunningStep, joined_traces
from nbpipe.magics.live_values import LiveValues
from nbpipe.magics.showing import show_line
from nbpipe.model.names import is_state
from nbpipe.model.trace import Trace
from nbpipe.settings import read_settings

_LATE = "code ran in this kernel before %load_ext nbpipe: put that into the first cell, and restart"
_INCOMPLETE = "its first cell did not run just before"


def start(
    shell: InteractiveShell, notebook: Path, environ: Mapping[str, str], *, is_late: bool
) -> LiveCells | None:
    """Begin with what runs in a shell from now on; None where that is switched off, or no kernel.

    Raises:
        NbpipeError: the settings cannot be read.
    """
    if not DisplayRecorder.fits(shell) or not read_settings(notebook.parent, environ).live_cache:
        return None
    return LiveCells(shell, notebook, LiveProcess(notebook, environ), is_late=is_late)


class LiveCells:
    """What is known of the cells that ran in this kernel.

    Attributes:
        is_restored: the stored result of the present cell is in place, so that nothing is to run.
    """

    def __init__(
        self, shell: InteractiveShell, notebook: Path, process: LiveProcess, *, is_late: bool
    ) -> None:
        self.is_restored = False
        self._shell = shell
        self._notebook = notebook
        self._process = process
        self._late = _LATE if is_late else ""
        self._told: set[str] = set()
        self._directory = tempfile.TemporaryDirectory(prefix="nbp-", ignore_cleanup_errors=True)
        self._executed: list[Executed] = []
        self._reported = 0
        self._values = LiveValues(shell)
        self._modules = LiveModules()
        self._restoring = Restoring(shell, self._values)
        self._running: RunningStep | None = None
        # Of a step of several cells that is being restored: the advice on its next cell.
        self._next_to_restore: tuple[str, int] | None = None
        self._advice: Advice | None = None
        self._cell = self._source = ""
        self._restored_states: tuple[str, ...] = ()
        # What cells that are no steps' touched, as far as it counts for steps behind them: what
        # replayed code did, and which variables of the environment were looked at.
        self._trace = Trace()
        self._environment: EnvironmentReads | None = None
        self._tracer: StepTracer | None = None
        self._state = self._marked_state()

    # --------------------------------------------------------------------------- the cell

    def before(self, cell: str, source: str, python: str) -> None:
        """Get ready for a cell that is about to run; `python` is what IPython makes of its source.

        Raises:
            LostError: the process beside the kernel is gone.
        """
        self.is_restored, self._advice, self._restored_states = False, None, ()
        self._cell, self._source = cell, source
        self._note_between()
        advice = self._advice = self._ask(cell, source)
        if advice.objection and not advice.step:
            self._tell(f"no result of a step is kept: {advice.objection}", once=True)
        WATCH.start()
        if self._running is None or not self._running.goes_on(advice):
            self._drop()
            if advice.step:
                self._begin_step(advice, python)
        if self._running is not None:
            self._running.begin_cell(python)
            return
        self._next_to_restore = self._next_to_restore if self.is_restored else None
        # Anew after what restoring did to the process.
        self._state = self._marked_state()
        self._watch(replayed=advice.replayed)

    def after(self, *, succeeded: bool) -> None:
        """Take note of how the cell ended, and keep the result of a step that is done.

        Raises:
            LostError: the process beside the kernel is gone.
        """
        with suppress(ValueError):
            sys.meta_path.remove(WATCH)
        self._note_trace()
        running, advice = self._running, self._advice
        states = self._restored_states
        try:
            if running is None:
                states = (*states, *self._state.changed())
            else:
                states = running.changed_states()
                self._end_cell(running, states, succeeded=succeeded)
            if succeeded and advice is not None:
                self._values.note_setup(advice.defines, self._source)
        finally:
            # Also when somebody interrupts the storing.
            if running is not None and (running.is_done or not succeeded):
                self._drop()
            self._executed.append(
                Executed(
                    cell=self._cell,
                    source=self._source,
                    succeeded=succeeded and advice is not None,
                    states=states,
                    is_reused=self.is_restored,
                )
            )
            self._state = self._marked_state()

    def abandon(self) -> None:
        """Keep nothing of the present cell, whose preparation was interrupted."""
        self._drop()
        self._note_trace()
        with suppress(ValueError):
            sys.meta_path.remove(WATCH)

    def close(self) -> None:
        """Let go of everything."""
        self.abandon()
        self._process.close()
        self._directory.cleanup()

    def _ask(self, cell: str, source: str) -> Advice:
        if not self._process.is_running:
            # It was ended in the middle of an answer.
            self._process.start()
            self._reported = 0
        executed = tuple(self._executed[self._reported :])
        question = Question(executed=executed, cell=cell, source=source)
        advice = self._process.ask(question, Advice)
        self._reported = len(self._executed)
        return advice

    def _note_between(self) -> None:
        """Take note of what happened to the process since the last cell, such as in a callback."""
        states = self._state.changed()
        if states:
            self._executed.append(Executed(cell="", source="", succeeded=True, states=states))

    def _marked_state(self) -> ProcessState:
        state = ProcessState(self._shell.user_ns)
        state.mark()
        return state

    def _watch(self, *, replayed: bool) -> None:
        if replayed:
            self._tracer = StepTracer(Path(self._directory.name) / "trace.log", [])
            WATCH.quietly = self._tracer.paused
            self._tracer.start()
        else:
            self._environment = EnvironmentReads()
            self._environment.start()

    def _note_trace(self) -> None:
        if self._tracer is not None:
            found = self._tracer.finish(self._values.names_of_author())
            self._trace = joined_traces(found, self._trace)
            WATCH.quietly = nullcontext
        if self._environment is not None:
            self._environment.stop()
            found = Trace(environment_read=self._environment.digests)
            self._trace = joined_traces(found, self._trace)
        self._tracer = self._environment = None

    # --------------------------------------------------------------------------- the step

    def _begin_step(self, advice: Advice, python: str) -> None:
        objection = self._late or advice.objection
        goes_on = self._next_to_restore == (advice.key, advice.place)
        if not objection and advice.place > 0 and not goes_on:
            objection = _INCOMPLETE
        objection = objection or self._objection(advice, is_first=advice.place == 0)
        if not objection and self._restore(advice, python):
            return
        if not objection and advice.place > 0:
            objection = "its first cell was not run, but reused"
        if objection:
            # That of a step which has no result is said once, not for all that follow.
            if not advice.is_consequence or objection not in self._told:
                self._tell(f"the result of step '{advice.step}' is not kept: {objection}")
            self._told.add(objection)
        else:
            directory = Path(self._directory.name)
            self._running = RunningStep(self._shell, self._values, advice, directory)

    def _objection(self, advice: Advice, *, is_first: bool) -> str:
        """Say what of this process is not as the step would find it in a run."""
        if Path.cwd().resolve() != self._notebook.parent:
            return "the working directory is not that of the notebook"
        objection = self._modules.objection()
        if objection or not is_first:
            return objection
        return self._values.objection(advice, self._state)

    def _restore(self, advice: Advice, python: str) -> bool:
        if advice.ready is None:
            return False
        if not self._restoring.restore(advice, advice.ready, self._source, python):
            return False
        self.is_restored = True
        self._restored_states = tuple(name for name in advice.ready.outputs if is_state(name))
        self._next_to_restore = (advice.key, advice.place + 1)
        return True

    def _end_cell(self, running: RunningStep, states: tuple[str, ...], *, succeeded: bool) -> None:
        """Take note of a cell of a step, and store the step's result with its last one."""
        assert self._advice is not None
        is_stored = False
        try:
            running.end_cell()
            if not succeeded:
                return
            running.lost = running.lost or self._modules.objection()
            if running.is_done:
                is_stored = self._keep(running, states)
        except NbpipeError as error:
            running.lost = str(error)
        except KeyboardInterrupt:
            running.lost = running.lost or "storing it was interrupted"
        if running.is_done and not is_stored:
            self._tell(f"the result of step '{self._advice.step}' is not kept: {running.lost}")

    def _keep(self, running: RunningStep, states: tuple[str, ...]) -> bool:
        """Store and offer the result."""
        try:
            offer = running.finish(states, self._trace)
        except StepNotebookError as error:
            running.lost = error.message
            return False
        if offer is None:
            return False
        running.lost = self._process.ask(offer, Kept).objection
        if running.lost:
            return False
        self._values.note_stored(offer.report.outputs, self._state)
        return True

    def _drop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.stop()

    def _tell(self, text: str, *, once: bool = False) -> None:
        if not once or text not in self._told:
            self._told.add(text)
            show_line(self._shell, f"nbpipe: {text}")
