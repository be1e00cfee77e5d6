"""The four calls of a step notebook: `begin`, `load`, `watch`, `save`."""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

from nbpipe.errors import NbpipeError
from nbpipe.kernel.cell_errors import CellErrorWatch
from nbpipe.kernel.driver_watch import end_with_driver
from nbpipe.kernel.exchange import (
    REQUEST_VARIABLE,
    KernelProblem,
    KernelReport,
    KernelRequest,
    read_request,
    write_report,
)
from nbpipe.kernel.imports import WATCH
from nbpipe.kernel.problems import StepNotebookError
from nbpipe.kernel.seeding import seed_generators
from nbpipe.kernel.standalone import commit, find_store, newest_inputs, standalone_seed
from nbpipe.kernel.step_io import StepIo, StepSide
from nbpipe.kernel.tracing import StepTracer
from nbpipe.model.names import PipelineName, StepName, Variable
from nbpipe.model.trace import Trace
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.store.blobs.local import LocalBlobs

_FLUSH_SECONDS: Final = 0.1

# A kernel runs one step at a time; in an interactive one, the latest that began.
_current: StepIo | None = None

# Python writes here when native code crashes, so it stays open as long as the process lives.
_crash_report: TextIO | None = None


def begin(
    pipeline: str, step: str, definitions: Iterable[str] = (), *, names_indexes: bool = False
) -> None:
    """Say which step this kernel runs, seed the random generators, and watch for exceptions.

    `definitions` are the notebook's functions and classes that stored values may refer to;
    `names_indexes` says that it may name indexes of pandas in place. With `$NBPIPE_REQUEST` the
    driver's request counts; without it the step works on its own, with the store that
    `find_store` finds.
    """
    global _current  # noqa: PLW0603 - the state of this process, which is the step's.
    shell = _shell()
    request_path = os.environ.get(REQUEST_VARIABLE)
    tracer: StepTracer | None = None
    if request_path:
        request = read_request(Path(request_path))
        tracer = _tracer(request, Path(request_path))
        side, seed = _asked_side(request, tracer, shell), request.seed
    else:
        side = _standalone_side(PipelineName(pipeline), StepName(step))
        seed = standalone_seed(pipeline, step)
    WATCH.start()
    _current = StepIo(side, shell.user_ns, definitions=definitions, names_indexes=names_indexes)
    if request_path:
        CellErrorWatch(shell, _current.note_error)
    seed_generators(seed)
    if tracer is not None:
        tracer.start()


def load(upstream: Mapping[str, str]) -> None:
    """Put inputs into the namespace: variable → step that makes it."""
    _begun().load(upstream)


def watch(constants: Sequence[str], *, apart: Sequence[str] = ()) -> None:
    """Take the values of variables that replayed code bound for what the step begins with.

    What becomes of those in `apart` is nothing to the steps behind it.
    """
    _begun().watch(constants, apart=apart)


def save(required: Sequence[str], optional: Sequence[str] = ()) -> None:
    """Store outputs: `required` ones must be storable, `optional` ones are stored if they are."""
    _begun().save(required, optional)


def _begun() -> StepIo:
    if _current is None:
        raise _refusal("This step notebook has not begun.", "Run its cells from the top.")
    return _current


def _shell() -> Any:  # noqa: ANN401 - IPython's shell; importing its type would import IPython.
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive is not None else None
    if shell is None:
        raise _refusal("A step notebook runs in a Jupyter kernel.", "Run it with papermill.")
    return shell


def _tracer(request: KernelRequest, request_path: Path) -> StepTracer:
    own = [request.store, str(request_path.parent), str(Path(request.report).parent)]
    log = Path(request.report).with_name("trace.log")
    return StepTracer(log, own, copies=Path(request.copies))


def _asked_side(request: KernelRequest, tracer: StepTracer, shell: Any) -> StepSide:  # noqa: ANN401 - as above.
    global _crash_report  # noqa: PLW0603 - as above.
    _crash_report = Path(request.crash_report).open("w", encoding="utf-8")  # noqa: SIM115
    faulthandler.enable(_crash_report)
    end_with_driver()
    WATCH.quietly = tracer.paused
    shell.events.register("pre_run_cell", lambda info: _note_source(tracer, shell, info))

    def deliver(report: KernelReport) -> None:
        write_report(report, Path(request.report))
        _hasten_exit()

    return StepSide(
        blobs=LocalBlobs(Path(request.store) / "objects"),
        trusted=request.trusted,
        inputs=lambda upstream: {
            Variable(name): request.inputs[Variable(name)] for name in upstream
        },
        deliver=deliver,
        trace=lambda: tracer.finish(_names_of_author(shell)),
        watched_files=request.watched_files,
    )


def _note_source(tracer: StepTracer, shell: Any, info: Any) -> None:  # noqa: ANN401 - as above.
    # A cell that is no Python raises the author's error a moment later.
    with suppress(SyntaxError):
        tracer.note_source(shell.transform_cell(info.raw_cell or ""))


def _names_of_author(shell: Any) -> dict[str, object]:  # noqa: ANN401 - as above.
    hidden = shell.user_ns_hidden
    return {
        name: value
        for name, value in shell.user_ns.items()
        if name not in hidden or hidden[name] is not value
    }


def _hasten_exit() -> None:
    """Shorten a wait in ipykernel's shutdown.

    Its control thread flushes the streams once more, by way of a thread that may already have
    ended, and then waits ten seconds in vain (seen once in a dozen exits on a busy machine).
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "flush_timeout"):
            stream.flush_timeout = _FLUSH_SECONDS


def _standalone_side(pipeline: PipelineName, step: StepName) -> StepSide:
    started = datetime.now(UTC)
    try:
        store = ArtifactStore.open(find_store(Path.cwd()))
    except NbpipeError as error:
        raise _refusal(error.message, error.hint) from error

    def deliver(report: KernelReport) -> None:
        if report.saved:
            commit(store, pipeline, step, report, started=started)

    return StepSide(
        blobs=store.blobs,
        trusted=store.trusted,
        inputs=lambda upstream: newest_inputs(store, pipeline, upstream),
        deliver=deliver,
        trace=Trace,
    )


def _refusal(message: str, hint: str) -> StepNotebookError:
    return StepNotebookError(KernelProblem(kind="store", message=message, hint=hint))
