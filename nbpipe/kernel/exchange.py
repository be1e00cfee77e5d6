"""What the driver and a step's kernel tell each other: two JSON files, one each way.

The driver writes the request and names it in the environment variable `NBPIPE_REQUEST`; the
kernel writes the report where the request says, anew whenever there is more to say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from nbpipe.model.artifact import Format, StoredValue, Summary
from nbpipe.model.digest import Digest
from nbpipe.model.names import PipelineName, RunId, StepName, Variable

REQUEST_VARIABLE: Final = "NBPIPE_REQUEST"


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRequest:
    """What a kernel needs to run one step.

    Attributes:
        inputs: by variable; None for one that the upstream step left unbound.
        seed: for the global random generators.
        trusted: the stored inputs may be unpickled.
        watched_files: absolute paths, to be told which of them the step only writes.
        report: where the kernel's report goes.
    """

    store: Path
    run: RunId
    pipeline: PipelineName
    step: StepName
    inputs: Mapping[Variable, StoredValue | None]
    seed: int
    trusted: bool
    watched_files: tuple[str, ...]
    report: Path


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
    error: CellError | None = None
    problem: KernelProblem | None = None


def write_request(request: KernelRequest, path: Path) -> None:
    """Write the request file."""
    _write(
        path,
        {
            **asdict(request),
            "store": str(request.store),
            "report": str(request.report),
            "inputs": {
                name: None if value is None else asdict(value)
                for name, value in request.inputs.items()
            },
        },
    )


def read_request(path: Path) -> KernelRequest:
    """Read the request file that `write_request` wrote."""
    content = json.loads(path.read_text("utf-8"))
    return KernelRequest(
        store=Path(content["store"]),
        run=RunId(content["run"]),
        pipeline=PipelineName(content["pipeline"]),
        step=StepName(content["step"]),
        inputs={
            Variable(name): None if value is None else _stored_value(value)
            for name, value in content["inputs"].items()
        },
        seed=content["seed"],
        trusted=content["trusted"],
        watched_files=tuple(content["watched_files"]),
        report=Path(content["report"]),
    )


def write_report(report: KernelReport, path: Path) -> None:
    """Write the report file, at once as a whole."""
    _write(path, asdict(report))


def read_report(path: Path) -> KernelReport:
    """Read the report file; a kernel that never wrote one has nothing to report."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return KernelReport()
    error, problem = content["error"], content["problem"]
    return KernelReport(
        saved=content["saved"],
        outputs={Variable(n): _stored_value(v) for n, v in content["outputs"].items()},
        unbound=tuple(map(Variable, content["unbound"])),
        changed=tuple(map(Variable, content["changed"])),
        notes=tuple(content["notes"]),
        files_written=tuple(content["files_written"]),
        error=None if error is None else CellError(**error),
        problem=None if problem is None else _problem(problem),
    )


# The two files come from this module on the other side, so their fields are not checked again.
def _stored_value(content: Mapping[str, Any]) -> StoredValue:
    return StoredValue(
        variable=Variable(content["variable"]),
        bundle=Digest(content["bundle"]),
        member=content["member"],
        content=Digest(content["content"]),
        format=Format(**content["format"]),
        size=content["size"],
        summary=Summary(**content["summary"]),
        definitions=tuple(content["definitions"]),
    )


def _problem(content: Mapping[str, Any]) -> KernelProblem:
    unstorable = tuple(Unstorable(**each) for each in content["unstorable"])
    return KernelProblem(**{**content, "unstorable": unstorable})


def _write(path: Path, content: Mapping[str, object]) -> None:
    unfinished = path.with_suffix(".writing")
    unfinished.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    unfinished.replace(path)
