"""What the driver and a step's kernel tell each other: two JSON files, one each way.

The driver writes the request and names it in the environment variable `NBPIPE_REQUEST`; the
kernel writes the report where the request says, anew whenever there is more to say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nbpipe.model.artifact import StoredValue
from nbpipe.model.names import PipelineName, RunId, StepName, Variable
from nbpipe.model.trace import Trace
from nbpipe.wire.codec import decode, encode

REQUEST_VARIABLE: Final = "NBPIPE_REQUEST"


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRequest:
    """What a kernel needs to run one step.

    Attributes:
        inputs: by variable; None for one that the upstream step left unbound.
        seed: for the global random generators.
        trusted: the stored inputs may be unpickled.
        watched_files: absolute paths, to be told which of them the step only writes.
        copies: a directory for copies of files that the step is going to change.
        report: the file where the kernel's report goes.
        crash_report: the file where Python notes where it was when native code crashed.
    """

    store: str
    run: RunId
    pipeline: PipelineName
    step: StepName
    inputs: Mapping[Variable, StoredValue | None]
    seed: int
    trusted: bool
    watched_files: tuple[str, ...]
    copies: str
    report: str
    crash_report: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellError:
    """An exception in a cell: its line, counted in `source`, the text that was running."""

    name: str
    message: str
    line: int | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unstorable:
    """A variable that the step must store and cannot."""

    variable: Variable
    type: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelProblem:
    """Why nbpipe's own part of a step notebook failed; `kind` is that of a `StepFailure`."""

    kind: str
    message: str
    hint: str = ""
    unstorable: tuple[Unstorable, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelReport:
    """What a kernel has to say about its step. `saved` marks the last word of a good one."""

    saved: bool = False
    outputs: Mapping[Variable, StoredValue] = field(default_factory=dict)
    unbound: tuple[Variable, ...] = ()
    changed: tuple[Variable, ...] = ()
    notes: tuple[str, ...] = ()
    files_written: tuple[str, ...] = ()
    trace: Trace = field(default_factory=Trace)
    error: CellError | None = None
    problem: KernelProblem | None = None


def write_request(request: KernelRequest, path: Path) -> None:
    """Write the request file."""
    _write(path, request)


def read_request(path: Path) -> KernelRequest:
    """Read the request file that `write_request` wrote."""
    return decode(KernelRequest, json.loads(path.read_text("utf-8")))


def write_report(report: KernelReport, path: Path) -> None:
    """Write the report file, at once as a whole."""
    _write(path, report)


def read_report(path: Path) -> KernelReport:
    """Read the report file; a kernel that never wrote one has nothing to report."""
    try:
        return decode(KernelReport, json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return KernelReport()


def _write(path: Path, content: KernelRequest | KernelReport) -> None:
    unfinished = path.with_suffix(".writing")
    unfinished.write_text(json.dumps(encode(content)), "utf-8")
    unfinished.replace(path)
