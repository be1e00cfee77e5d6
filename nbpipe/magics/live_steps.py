"""A step whose cells run in a live kernel: watches them, and stores what came of them."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from nbpipe.kernel.exchange import KernelReport
from nbpipe.kernel.imports import WATCH
from nbpipe.kernel.live_exchange import Advice, Offer, left_by, shown_by
from nbpipe.kernel.random_streams import STREAMS
from nbpipe.kernel.step_io import StepIo, StepSide, identity_of
from nbpipe.kernel.tracing import StepTracer
from nbpipe.magics.displays import DisplayRecorder, Output
from nbpipe.magics.live_values import LiveValues
from nbpipe.model.artifact import StoredValue
from nbpipe.model.names import Variable, is_state, spoken
from nbpipe.model.trace import Trace
from nbpipe.store.alias_groups import find_alias_groups
from nbpipe.store.blobs.local import LocalBlobs
from nbpipe.store.values import load_values, store_values

_ASKED = "@shown"


class RunningStep:
    """One run of a step, from its first cell to its last.

    Attributes:
        lost: why its result cannot be kept; empty when it can.
    """

    def __init__(
        self, shell: InteractiveShell, values: LiveValues, advice: Advice, directory: Path
    ) -> None:
        self.lost = ""
        self._shell = shell
        self._values = values
        self._advice = replace(advice, place=0, ready=None, defines=())
        self._next_place = 0
        self._started = self._cell_began = datetime.now(UTC)
        self._seconds = 0.0
        self._recorder: DisplayRecorder | None = None
        self._displays: list[list[Output]] = []
        self._left: dict[Variable, StoredValue] = {}
        self._shown: tuple[int, object] | None = None
        self._reports: list[KernelReport] = []
        self._blobs = LocalBlobs(Path(advice.store) / "objects")
        self._tracer = StepTracer(directory / "trace.log", [advice.store, str(directory)])
        self._is_tracing = False
        side = StepSide(
            blobs=self._blobs,
            trusted=advice.trusted,
            inputs=lambda _upstream: {},
            deliver=self._reports.append,
            trace=self._finish_tracing,
            watched_files=advice.watched_files,
        )
        self._io = StepIo(
            side,
            shell.user_ns,
            definitions=advice.definitions,
            names_indexes=advice.names_indexes,
        )
        self._io.take(
            [name for name, value in advice.inputs.items() if value and not is_state(name)],
            self._states_from_before(),
        )
        self._io.watch(advice.constants)
        self._older = {
            name: identity_of(shell.user_ns[name])
            for name in advice.left_over
            if name in shell.user_ns
        }

    @property
    def is_done(self) -> bool:
        """Say whether its last cell has run."""
        return self._next_place == self._advice.cells

    def goes_on(self, advice: Advice) -> bool:
        """Say whether the cell that is about to run is the next one of this run."""
        return (
            not advice.objection
            and advice.place == self._next_place > 0
            and replace(advice, place=0, ready=None, defines=()) == self._advice
        )

    def begin_cell(self, python: str) -> None:
        """Watch a cell."""
        self._recorder = DisplayRecorder(self._shell)
        with suppress(SyntaxError):  # The author's error, a moment later.
            self._tracer.note_source(python)
        if not self._is_tracing:
            self._is_tracing = True
            WATCH.quietly = self._tracer.paused
            self._tracer.start()
        self._recorder.start()
        self._cell_began = datetime.now(UTC)

    def end_cell(self) -> None:
        """Take note of what the cell showed and left."""
        recorder = self._recorder
        assert recorder is not None
        recorder.stop()
        self._seconds += (datetime.now(UTC) - self._cell_began).total_seconds()
        self.lost = self.lost or recorder.lost or _work_left_behind()
        self._displays.append(recorder.outputs)
        place = self._next_place
        self._next_place += 1
        shows = any(output["output_type"] == "execute_result" for output in recorder.outputs)
        hook = self._shell.displayhook
        results = self._shell.user_ns.get("_oh", {})
        is_there = shows and hook.prompt_count in results
        self._shown = (place, results[hook.prompt_count]) if is_there else None
        if not self.lost and not self.is_done:
            self._note_left(place, {})

    def changed_states(self) -> tuple[str, ...]:
        """Name the states of the process that it has changed so far."""
        return self._io.changed()

    def finish(self, states: Iterable[str], earlier: Trace) -> Offer | None:
        """Store what it made; None, and `lost` says why, where that must not be.

        `earlier` is what came to pass before, as far as it counts for this step.
        """
        advice, namespace = self._advice, self._shell.user_ns
        foreign = [name for name in states if name in STREAMS and name not in advice.streams]
        if foreign:
            self.lost = self.lost or (
                f"it draws from the {spoken(Variable(foreign[0]))}, which does not stand where "
                "the pipeline has it"
            )
        older = set(self._names_from_before())
        for name in advice.required:
            if name in older:
                self.lost = self.lost or f"'{name}' may be left from before"
        if self.lost:
            return None
        optional = [name for name in advice.optional if name not in older]
        self._io.save(advice.required, optional)
        report = self._reports[-1]
        self._note_left(advice.cells - 1, report.outputs)
        unbound = {name for name in advice.computes[-1] if name not in namespace}
        return Offer(
            report=replace(
                report,
                outputs={**report.outputs, **self._left},
                unbound=tuple(sorted({*report.unbound, *map(Variable, unbound)})),
                trace=joined_traces(report.trace, earlier),
            ),
            displays=json.dumps(self._displays),
            started=self._started.isoformat(),
            seconds=self._seconds,
        )

    def stop(self) -> None:
        """Watch nothing any more."""
        if self._recorder is not None:
            self._recorder.stop()
        if self._is_tracing:
            self._finish_tracing()

    def _finish_tracing(self) -> Trace:
        self._is_tracing = False
        WATCH.quietly = nullcontext
        return self._tracer.finish(self._values.names_of_author())

    def _states_from_before(self) -> Mapping[str, Any]:
        states = [
            value
            for name, value in self._advice.inputs.items()
            if value and is_state(name) and name not in STREAMS
        ]
        if not states:
            return {}
        trusted = self._advice.trusted
        return load_values(self._blobs, states, self._shell.user_ns, trusted=trusted)

    def _names_from_before(self) -> Iterator[str]:
        """Name the variables that the step may have bound, and did not."""
        namespace = self._shell.user_ns
        for name, is_same in self._older.items():
            if name in namespace and is_same(namespace[name]):
                yield name

    def _note_left(self, place: int, outputs: Mapping[Variable, StoredValue]) -> None:
        """Store the step's variables as a cell left them; `outputs` are stored already.

        They are stored beside what the pipeline asks for, not with it: what shares state is one
        value to the store, and the pipeline must find the same one after every run.
        """
        namespace = self._shell.user_ns
        names = {*self._advice.computes[place], *self._io.changed_inputs()}
        names -= {*self._names_from_before()}
        wanted = sorted(name for name in names if name in namespace)
        definitions = frozenset(self._advice.definitions)
        groups = find_alias_groups(namespace, wanted, definitions=definitions).groups
        known = {
            name: outputs[Variable(name)]
            for name, *others in groups
            if not others and name in outputs and not outputs[Variable(name)].member
        }
        others = [name for name in wanted if name not in known]
        stored = store_values(self._blobs, namespace, others, definitions=definitions)
        left = known | {str(name): value for name, value in stored.values.items()}
        self._left |= {left_by(place, name): value for name, value in left.items()}
        if self._shown is not None:
            self._note_shown(*self._shown, left)

    def _note_shown(self, place: int, value: object, left: Mapping[str, StoredValue]) -> None:
        namespace = self._shell.user_ns
        inputs = {str(n): each for n, each in self._advice.inputs.items() if each is not None}
        for name, stored in (inputs | dict(left)).items():
            if name in namespace and namespace[name] is value:
                self._left[shown_by(place, name)] = stored
                return
        around = {*inputs, *left, *self._advice.setup}
        together = {name: namespace[name] for name in around if name in namespace}
        together[_ASKED] = value
        definitions = frozenset(self._advice.definitions)
        groups = find_alias_groups(together, sorted(together), definitions=definitions).groups
        if (_ASKED,) in groups:
            found = store_values(
                self._blobs,
                {**namespace, _ASKED: value},
                [_ASKED],
                definitions=definitions,
            )
            for each in found.values.values():
                self._left[shown_by(place)] = each


def joined_traces(trace: Trace, earlier: Trace) -> Trace:
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


def _work_left_behind() -> str:
    """Say that code of the author's goes on although the cell has ended."""
    for thread in threading.enumerate():
        target = getattr(thread, "_target", None) or type(thread)
        if thread is not threading.current_thread() and _is_of_author(
            getattr(target, "__module__", None)
        ):
            return f"thread '{thread.name}' goes on after it"
    with suppress(RuntimeError):  # No event loop runs.
        for task in asyncio.all_tasks():
            frame = getattr(task.get_coro(), "cr_frame", None)
            if frame is not None and _is_of_author(frame.f_globals.get("__name__")):
                return "a task goes on after it"
    return ""


def _is_of_author(module: str | None) -> bool:
    if module is None or module.partition(".")[0] == "nbpipe":
        return False
    path = getattr(sys.modules.get(module), "__file__", None)
    return module == "__main__" or (isinstance(path, str) and WATCH.is_of_project(path))
