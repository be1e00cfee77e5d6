"""One cache for this kernel and for runs: results of steps are stored, and reused, as cells run.

Around each cell: `before` asks the process beside the kernel what the cell is to the pipeline, and
looks at the values that the step depends on; `after` stores what came of it. A cell whose result
is reused runs no more than its imports and definitions. When in doubt, the cell runs as any other
and nothing is kept, and a line says why.
"""

from __future__ import annotations

import ast
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final

from IPython.core.interactiveshell import InteractiveShell

from nbpipe.errors import NbpipeError
from nbpipe.kernel.exchange import KernelReport
from nbpipe.kernel.imports import WATCH
from nbpipe.kernel.live_exchange import Advice, Executed, Kept, Offer, Question, ReadyResult
from nbpipe.kernel.module_state import project_modules
from nbpipe.kernel.problems import StepNotebookError
from nbpipe.kernel.process_state import ProcessState
from nbpipe.kernel.random_streams import STREAMS, restore_stream, stream_state
from nbpipe.kernel.step_io import StepIo, StepSide, identity_of
from nbpipe.kernel.tracing import StepTracer
from nbpipe.kernel.tracing.environment import EnvironmentReads
from nbpipe.magics.displays import DisplayRecorder, Output, show_again, show_line
from nbpipe.magics.live_process import LiveProcess
from nbpipe.model.artifact import StoredValue
from nbpipe.model.names import Variable, is_state, spoken
from nbpipe.model.trace import Trace
from nbpipe.settings import read_settings
from nbpipe.store.alias_groups import find_alias_groups
from nbpipe.store.blobs.local import LocalBlobs
from nbpipe.store.values import companions_of, fingerprints, load_values

_LATE: Final = (
    "code ran in this kernel before %load_ext nbpipe: put that into the first cell, and restart"
)
_MINUTE: Final = 60
_REPLAYED: Final = (
    ast.Import,
    ast.ImportFrom,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
)
_DEFINED: Final = (ModuleType, FunctionType, type)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Imprint:
    """How a variable was left: by its object, its content, and what shares state with it.

    `origin` is the source of the cell that replayed code is taken from, or the content digest of
    a stored value.
    """

    origin: str
    is_same: Callable[[object], bool]
    content: str | None
    shared_with: frozenset[str] = frozenset()


@dataclass(slots=True, kw_only=True)
class _StepRun:
    """A step whose cells are running, and whose result will be kept."""

    advice: Advice
    io: StepIo
    started: datetime
    tracer: StepTracer
    next_place: int = 0
    seconds: float = 0.0
    displays: list[list[Output]] = field(default_factory=list)
    reports: list[KernelReport] = field(default_factory=list)
    lost: str = ""
    older: Mapping[str, Callable[[object], bool]] = field(default_factory=dict)


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
    """What is known of the cells that ran in this kernel, and of the values they left."""

    def __init__(
        self, shell: InteractiveShell, notebook: Path, process: LiveProcess, *, is_late: bool
    ) -> None:
        self._shell = shell
        self._notebook = notebook
        self._process = process
        self._unreported: list[Executed] = []
        self._setup: dict[str, _Imprint] = {}
        self._stored: dict[str, _Imprint] = {}
        self._running: _StepRun | None = None
        self._advice = Advice()
        self._state: ProcessState | None = None
        self._displays: DisplayRecorder | None = None
        self._restored: ReadyResult | None = None
        self._cell = self._source = ""
        self._began = datetime.now(UTC)
        # What cells that are no steps' touched, as far as it counts for steps behind them: what
        # replayed code did, and which variables of the environment were looked at.
        self._trace = Trace()
        self._environment: EnvironmentReads | None = None
        self._tracer: StepTracer | None = None
        self._directory = tempfile.TemporaryDirectory(prefix="nbp-", ignore_cleanup_errors=True)
        self._told: set[str] = set()
        self._late = _LATE if is_late else ""

    @property
    def statements_to_run(self) -> tuple[int, ...] | None:
        """Lines of the statements that run of the present cell; None for all."""
        return self._restored.lines if self._restored is not None else None

    # --------------------------------------------------------------------------- the cell

    def before(self, cell: str, source: str) -> None:
        """Get ready for a cell that is about to run.

        Raises:
            LostError: the process beside the kernel is gone.
        """
        self._restored = self._displays = self._state = None
        self._cell, self._source = cell, source
        question = Question(executed=tuple(self._unreported), cell=cell, source=source)
        self._unreported.clear()
        advice = self._advice = self._process.ask(question, Advice)
        if advice.objection and not advice.step:
            self._tell(f"no result of a step is kept: {advice.objection}", once=True)
        going_on = self._running is not None and self._goes_on(self._running, advice)
        if not going_on:
            self._drop()
            if advice.step:
                self._begin_step(advice)
        if self._running is not None:
            self._displays = DisplayRecorder(self._shell)
            with suppress(SyntaxError):  # The author's error, a moment later.
                self._running.tracer.note_source(self._as_python(source))
        WATCH.start()
        if self._running is None:
            self._state = ProcessState(self._shell.user_ns)
            self._state.mark()
            self._watch(replayed=advice.replayed)
        elif not going_on:
            self._running.tracer.start()
        if self._displays is not None:
            self._displays.start()
        self._began = datetime.now(UTC)

    def after(self, *, succeeded: bool) -> None:
        """Take note of how the cell ended, and keep the result of a step that is done.

        Raises:
            LostError: the process beside the kernel is gone.
        """
        if self._displays is not None:
            self._displays.stop()
        with suppress(ValueError):
            sys.meta_path.remove(WATCH)
        seconds = (datetime.now(UTC) - self._began).total_seconds()
        self._note_trace()
        running = self._running
        state = self._state if running is None else running.io
        states = () if state is None else state.changed()
        if running is not None and self._displays is not None:
            running.seconds += seconds
            running.displays.append(self._displays.outputs)
            running.lost = running.lost or self._displays.lost
            running.next_place += 1
            if not succeeded:
                self._drop()
            elif running.next_place == running.advice.cells:
                self._end_step(running, states)
        if self._restored is not None and succeeded:
            states = (*states, *(n for n in self._restored.outputs if is_state(n)))
        self._unreported.append(
            Executed(cell=self._cell, source=self._source, succeeded=succeeded, states=states)
        )
        if succeeded:
            self._note_setup(self._advice.defines)

    def close(self) -> None:
        """Let go of everything."""
        self._drop()
        self._note_trace()
        self._process.close()
        self._directory.cleanup()

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
            found = self._tracer.finish(self._names_of_author())
            self._trace = _joined(found, self._trace)
            WATCH.quietly = nullcontext
        if self._environment is not None:
            self._environment.stop()
            found = Trace(environment_read=self._environment.digests)
            self._trace = _joined(found, self._trace)
        self._tracer = self._environment = None

    def _goes_on(self, running: _StepRun, advice: Advice) -> bool:
        before = running.advice
        return (
            not advice.objection
            and advice.place == running.next_place > 0
            and replace(advice, place=0, ready=None, defines=()) == before
        )

    # --------------------------------------------------------------------------- the step

    def _begin_step(self, advice: Advice) -> None:
        objection = self._late or advice.objection or self._objection(advice)
        if not objection and advice.place > 0:
            objection = "its first cell did not run just before"
        if not objection and advice.ready is not None and self._restore(advice, advice.ready):
            return
        if objection:
            self._tell(f"the result of step '{advice.step}' is not kept: {objection}")
            return
        own = [advice.store, self._directory.name]
        tracer = StepTracer(Path(self._directory.name) / "trace.log", own)
        reports: list[KernelReport] = []
        side = StepSide(
            blobs=LocalBlobs(Path(advice.store) / "objects"),
            trusted=advice.trusted,
            inputs=lambda _upstream: {},
            deliver=reports.append,
            trace=lambda: tracer.finish(self._names_of_author()),
            watched_files=advice.watched_files,
        )
        io = StepIo(side, self._shell.user_ns, definitions=advice.definitions)
        io.take([name for name, value in advice.inputs.items() if value and not is_state(name)])
        WATCH.quietly = tracer.paused
        self._running = _StepRun(
            advice=replace(advice, place=0, ready=None, defines=()),
            io=io,
            started=datetime.now(UTC),
            tracer=tracer,
            reports=reports,
            older={
                name: identity_of(self._shell.user_ns[name])
                for name in advice.left_over
                if name in self._shell.user_ns
            },
        )

    def _objection(self, advice: Advice) -> str:
        """Say which of the values that the step depends on is not what the pipeline gives."""
        if Path.cwd().resolve() != self._notebook.parent:
            return "the working directory is not that of the notebook"
        modules = project_modules()
        if modules:
            return f"module '{modules[0].__name__}' may have changed since it was imported"
        namespace = self._namespace()
        authors = self._names_of_author()
        for name in advice.absent:
            if name in authors and name not in advice.setup:
                return f"'{name}' has a value here, and none in the pipeline"
        for name, source in advice.setup.items():
            imprint = self._setup.get(name)
            if imprint is None or imprint.origin.rstrip() != source.rstrip():
                return f"'{name}' does not come from the cell that the pipeline takes it from"
            if not self._is_as_left(name, imprint, namespace):
                return f"'{name}' is not what its cell made"
        wanted = {name: value for name, value in advice.inputs.items() if value is not None}
        for name in advice.inputs.keys() - wanted.keys():
            if name in namespace:
                return f"'{name}' has a value, and the pipeline leaves it unbound"
        shared = self._groups([name for name in wanted if name in namespace], namespace)
        for name, value in wanted.items():
            called = f"the {spoken(name)}" if is_state(name) else f"'{name}'"
            imprint = self._stored.get(name)
            if (
                imprint is None
                or imprint.origin != value.content
                or not self._is_as_left(name, imprint, namespace)
                or imprint.shared_with & {*wanted} != shared[name]
            ):
                return f"{called} is not what the pipeline gives"
            for other in companions_of(value):
                if other.variable.split()[0] not in wanted:
                    return f"{called} shares state with '{other.variable.split()[0]}'"
        return ""

    def _end_step(self, running: _StepRun, states: tuple[str, ...]) -> None:
        """Store the result of a step whose last cell has run."""
        advice, self._running = running.advice, None
        objection = running.lost
        try:
            foreign = [n for n in states if n in STREAMS and n not in advice.streams]
            if foreign:
                objection = objection or (
                    f"it draws from the {spoken(Variable(foreign[0]))}, which does not stand where "
                    "the pipeline has it"
                )
            modules = project_modules()
            if modules:
                objection = objection or (
                    f"module '{modules[0].__name__}' may have changed since it was imported"
                )
            if not objection:
                objection = self._keep(running)
        except StepNotebookError as error:
            objection = str(error)
        finally:
            WATCH.quietly = nullcontext
        if objection:
            self._tell(f"the result of step '{advice.step}' is not kept: {objection}")

    def _keep(self, running: _StepRun) -> str:
        """Store and offer the result; give why nothing is kept, or nothing."""
        advice = running.advice
        namespace = self._shell.user_ns
        older = {
            name
            for name, is_same in running.older.items()
            if name in namespace and is_same(namespace[name])
        }
        for name in advice.required:
            if name in older:
                return f"'{name}' may be left from before"
        running.io.save(advice.required, [name for name in advice.optional if name not in older])
        report = running.reports[-1]
        report = replace(report, trace=_joined(report.trace, self._trace))
        offer = Offer(
            report=report,
            displays=json.dumps(running.displays),
            started=running.started.isoformat(),
            seconds=running.seconds,
        )
        kept = self._process.ask(offer, Kept)
        if not kept.objection:
            self._note_stored(report.outputs)
        return kept.objection

    def _restore(self, advice: Advice, ready: ReadyResult) -> bool:
        """Put a stored result in the place of running the cell, if that can be done."""
        namespace = self._shell.user_ns
        changed = {*advice.inputs} & {*ready.outputs}
        if self._share_state_outside(changed, {*ready.outputs}):
            return False  # Those would keep what the step changed as it was.
        tree = ast.parse(self._as_python(self._source))
        if len(kept_statements(tree, ready.lines).body) != len(ready.lines):
            return False
        try:
            loaded = load_values(
                LocalBlobs(Path(advice.store) / "objects"),
                list(ready.outputs.values()),
                namespace,
                trusted=advice.trusted,
            )
        except NbpipeError:
            return False
        for name, value in loaded.items():
            if is_state(name):
                restore_stream(name, value)
            else:
                namespace[name] = value
        for name in ready.unbound:
            namespace.pop(name, None)
        self._restored = ready
        show_again(self._shell, json.loads(ready.displays))
        made = datetime.fromisoformat(ready.made).astimezone()
        today = made.date() == datetime.now().astimezone().date()
        show_line(
            self._shell,
            f"reused from {made:%H:%M}{'' if today else f' on {made:%Y-%m-%d}'}, "
            f"saved {_duration(ready.seconds)}; %%step {advice.step} --force to run",
        )
        self._note_stored(ready.outputs)
        return True

    def _drop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.tracer.finish({})
            WATCH.quietly = nullcontext

    # -------------------------------------------------------------------------- imprints

    def _note_setup(self, names: Iterable[str]) -> None:
        namespace = self._shell.user_ns
        for name in names:
            self._setup.pop(name, None)
            if name in namespace:
                self._setup[name] = _Imprint(
                    origin=self._source,
                    is_same=identity_of(namespace[name]),
                    content=self._content(name, namespace),
                )

    def _note_stored(self, outputs: Mapping[Variable, StoredValue]) -> None:
        namespace = self._namespace()
        names = [name for name in outputs if name in namespace]
        shared = self._groups(names, namespace)
        for name in names:
            first, second = (self._content(name, namespace) for _ in range(2))
            self._stored.pop(name, None)
            if first is not None and first == second:
                self._stored[name] = _Imprint(
                    origin=outputs[name].content,
                    is_same=_anything if is_state(name) else identity_of(namespace[name]),
                    content=first,
                    shared_with=shared[name],
                )

    def _is_as_left(self, name: str, imprint: _Imprint, namespace: dict[str, Any]) -> bool:
        return (
            name in namespace
            and imprint.is_same(namespace[name])
            and imprint.content is not None
            and self._content(name, namespace) == imprint.content
        )

    def _content(self, name: str, namespace: dict[str, Any]) -> str | None:
        value = namespace[name]
        if isinstance(value, type):
            # A class of the notebook's own: what its attributes are.
            return repr(sorted((key, id(each)) for key, each in vars(value).items()))
        if isinstance(value, _DEFINED):
            return f"{type(value).__name__} {id(value)}"
        (content,) = fingerprints(
            namespace, [name], definitions=self._definitions(namespace)
        ).values()
        return content

    def _groups(self, names: Iterable[str], namespace: dict[str, Any]) -> dict[str, frozenset[str]]:
        ordered = sorted(names)
        groups = fingerprints(namespace, ordered, definitions=self._definitions(namespace))
        return {name: group for group in groups for name in group}

    def _share_state_outside(self, names: set[Variable], known: set[Variable]) -> bool:
        """Say whether other variables share state with some."""
        values = {
            name: value
            for name, value in self._names_of_author().items()
            if not isinstance(value, _DEFINED) and not name.startswith("_")
        }
        if not names & values.keys():
            return False
        groups = find_alias_groups(
            values, sorted(values), definitions=self._definitions(self._shell.user_ns)
        ).groups
        return any(names & {*group} and {*group} - known for group in groups)

    def _definitions(self, namespace: Mapping[str, Any]) -> frozenset[str]:
        return frozenset(
            name
            for name, value in namespace.items()
            if isinstance(value, FunctionType | type) and value.__module__ == "__main__"
        )

    def _namespace(self) -> dict[str, Any]:
        """Give the variables, with the states of the random streams among them."""
        states = {name: stream_state(name) for name in STREAMS}
        return {**self._shell.user_ns, **{n: s for n, s in states.items() if s is not None}}

    def _as_python(self, source: str) -> str:
        shell: Any = self._shell
        python: str = shell.transform_cell(source)
        return python

    def _names_of_author(self) -> dict[str, object]:
        hidden = self._shell.user_ns_hidden
        return {
            name: value
            for name, value in self._shell.user_ns.items()
            if name not in hidden or hidden[name] is not value
        }

    def _tell(self, text: str, *, once: bool = False) -> None:
        if not once or text not in self._told:
            self._told.add(text)
            show_line(self._shell, f"nbpipe: {text}")


def _joined(trace: Trace, earlier: Trace) -> Trace:
    """Give a trace with what came to pass earlier, but for what was written."""

    def both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({*one, *other}))

    return replace(
        trace,
        files_read=both(trace.files_read, earlier.files_read),
        files_absent=both(trace.files_absent, earlier.files_absent),
        paths_found=both(trace.paths_found, earlier.paths_found),
        directories_listed=both(trace.directories_listed, earlier.directories_listed),
        packages={**earlier.packages, **trace.packages},
        environment_read={**earlier.environment_read, **trace.environment_read},
        uses_network=trace.uses_network or earlier.uses_network,
        uses_clock=trace.uses_clock or earlier.uses_clock,
        unverified=both(trace.unverified, earlier.unverified),
    )


def kept_statements(tree: ast.Module, lines: Iterable[int]) -> ast.Module:
    """Give the statements of a cell that begin at some lines."""
    first = {*lines}
    kept: list[ast.stmt] = [
        node for node in tree.body if isinstance(node, _REPLAYED) and _first_line(node) in first
    ]
    return ast.Module(body=kept, type_ignores=tree.type_ignores)


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])


def _anything(_value: object) -> bool:
    return True


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
