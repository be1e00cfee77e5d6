"""Why did an attempt fail? In the author's terms: the cell, the line, and what to do."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Final

from nbpipe.errors import KernelDiedError
from nbpipe.kernel.exchange import KernelProblem, KernelReport
from nbpipe.model.names import CellId
from nbpipe.model.pipeline import Step
from nbpipe.model.run import StepFailure, UnstoredResult
from nbpipe.model.trace import Trace
from nbpipe.runner.cell_outputs import Json, cell_places, place_of
from nbpipe.runner.executors.protocol import StepRequest
from nbpipe.runner.kernels.handle import Ending
from nbpipe.runner.papermill_engine import Execution
from nbpipe.runner.tracebacks import author_traceback, traceback_text

# The file, among the private ones of an attempt, where Python notes a crash of native code.
CRASH_REPORT: Final = "crash.txt"


def cell_failed(request: StepRequest, execution: Execution, report: KernelReport) -> StepFailure:
    """Say why a cell that raised did: the author's exception, or a problem with its values."""
    if report.problem is not None:
        return _problem_failure(request.step, report.problem, report.trace)
    cell = _current_cell(execution)
    reply = execution.error or {}
    name, message = str(reply.get("ename", "")), str(reply.get("evalue", ""))
    traceback = reply.get("traceback") or []
    places = cell_places(execution.notebook or {"cells": []})
    failure = StepFailure(
        kind="error",
        message=f"{name}: {message}" if message else name,
        hint=_advice(request, cell, name, message),
        traceback=traceback_text(
            author_traceback([str(frame) for frame in traceback], places)
            if isinstance(traceback, list)
            else []
        ),
    )
    return _placed(failure, cell, report)


def _placed(failure: StepFailure, cell: Json, report: KernelReport) -> StepFailure:
    place = place_of(cell)
    if place is None:
        return failure
    line = None
    if report.error is not None and report.error.line is not None:
        # `%%capture` and its like run their body as a cell of its own, further down in this one.
        start = max(place.source.find(report.error.source), 0)
        line = place.line(place.source.count("\n", 0, start) + report.error.line)
    return replace(
        failure,
        cell=CellId(cell["metadata"]["nbpipe"]["cell"]),
        cell_number=place.number,
        line=line,
    )


def _advice(request: StepRequest, cell: Json, name: str, message: str) -> str:
    kind = cell["metadata"].get("nbpipe", {}).get("kind")
    if kind == "begin" and name == "ModuleNotFoundError":
        return (
            f"The kernel '{request.pipeline.kernel}' has no nbpipe ({message}): "
            "install jupyterlab-nbpipe into its environment."
        )
    if kind in {"begin", "load", "watch", "save"}:
        return "This is a defect of nbpipe; please report it with the executed step notebook."
    if name == "SystemExit":
        return "The cell called sys.exit(), which ends the step before its outputs are stored."
    return ""


def _problem_failure(step: Step, problem: KernelProblem, trace: Trace) -> StepFailure:
    readers = {output.variable: output.readers for output in step.outputs}
    needed = [
        f"'{each.variable}' is needed by {', '.join(readers[each.variable])}"
        for each in problem.unstorable
        if readers.get(each.variable)
    ]
    message = "; ".join([problem.message, *needed])
    unstorable = tuple(e.variable for e in problem.unstorable if readers.get(e.variable))
    if not unstorable:
        return StepFailure(kind=problem.kind, message=message, hint=problem.hint)
    return UnstoredResult(
        kind=problem.kind, message=message, hint=problem.hint, unstorable=unstorable, trace=trace
    )


def ended_early(
    request: StepRequest,
    execution: Execution,
    report: KernelReport,
    death: KernelDiedError | None,
) -> StepFailure:
    """Say why the kernel ended before the step did: cancelled, out of time, or dead."""
    ending = execution.handle.ending
    if ending is Ending.CANCELLED:
        return StepFailure(kind="cancelled", message="The run was cancelled.")
    if ending is Ending.TIMEOUT:
        failure = StepFailure(
            kind="timeout",
            message=f"Still running after {_duration(request.step.timeout_seconds or 0)}.",
            hint="Give the step more time with --timeout.",
        )
    else:
        failure = _death(execution, death)
    if execution.error is None:
        return _placed(failure, _current_cell(execution), KernelReport())
    interrupted = cell_failed(request, execution, report)
    return replace(interrupted, kind=failure.kind, message=failure.message, hint=failure.hint)


def _death(execution: Execution, death: KernelDiedError | None) -> StepFailure:
    status = execution.exit_status
    crash_path = execution.private / CRASH_REPORT
    crash = crash_path.read_text("utf-8", "replace") if crash_path.exists() else ""
    traceback = _author_frames(crash) or execution.last_words[-4_000:].strip()
    if execution.cell is None:
        message = death.message if death else "The kernel did not start."
        hint = "Does `python -m ipykernel --version` work in the environment of the kernel?"
    elif status is None:
        message, hint = "The kernel died.", ""
    elif status >= 0:
        message = f"The kernel ended with exit status {status} while a cell was running."
        hint = "A cell that calls os._exit() ends the whole kernel."
    else:
        name = _signal_name(-status)
        message = f"The kernel was killed by {name}."
        hint = {
            "SIGKILL": "The usual reason is memory: the system ends whoever takes the most.",
            "SIGSEGV": "A native library crashed.",
            "SIGABRT": "A native library gave up.",
            "SIGBUS": "A native library crashed, or a mapped file shrank.",
        }.get(name, "")
    return StepFailure(kind="kernel-died", message=message, hint=hint, traceback=traceback)


def _author_frames(crash: str) -> str:
    """Keep of Python's crash report what is not Jupyter's own machinery."""
    machinery = ("/IPython/", "/ipykernel/", "/tornado/", "/asyncio/", "/zmq/", "<frozen runpy>")
    lines = [line for line in crash.splitlines() if not any(part in line for part in machinery)]
    return "\n".join(lines).strip()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _duration(seconds: float) -> str:
    if seconds < 120:  # noqa: PLR2004 - two minutes.
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min"


def _current_cell(execution: Execution) -> Json:
    if execution.notebook is None or execution.cell is None:
        return {"metadata": {}}
    # papermill puts a marker cell above one that raised; ours are the ones that know their place.
    ours = [c for c in execution.notebook["cells"] if c["cell_type"] == "code"]
    cell: Json = ours[execution.cell]
    return cell
