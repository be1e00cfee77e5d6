from __future__ import annotations

from nbpipe.kernel.exchange import (
    CellError,
    KernelProblem,
    KernelReport,
    KernelRequest,
    Unstorable,
    read_report,
    read_request,
    write_report,
    write_request,
)
from nbpipe.model.artifact import Format, StoredValue, Summary
from nbpipe.model.digest import Digest
from nbpipe.model.names import PipelineName, RunId, StepName, Variable

VALUE = StoredValue(
    variable=Variable("df"),
    bundle=Digest("b"),
    member="0",
    content=Digest("c"),
    format=Format(name="pickle", revision=1),
    size=3,
    summary=Summary(type="int", text="ü", preview="\ud800", fields={"rows": 2, "columns": ["a"]}),
    definitions=("f",),
)


def test_a_request_arrives_as_it_was_sent(tmp_path):
    request = KernelRequest(
        store=str(tmp_path),
        run=RunId("r"),
        pipeline=PipelineName("p"),
        step=StepName("s"),
        inputs={Variable("df"): VALUE, Variable("gone"): None},
        seed=2**32 - 1,
        trusted=True,
        watched_files=("a", "b"),
        copies=str(tmp_path / "copies"),
        report=str(tmp_path / "report.json"),
        crash_report=str(tmp_path / "crash.txt"),
    )
    write_request(request, tmp_path / "request.json")
    assert read_request(tmp_path / "request.json") == request


def test_a_report_arrives_as_it_was_sent(tmp_path):
    report = KernelReport(
        saved=True,
        outputs={Variable("df"): VALUE},
        unbound=(Variable("x"),),
        changed=(Variable("y"),),
        notes=("n",),
        files_written=("f",),
        error=CellError(name="E", message="m", line=None, source="1"),
        problem=KernelProblem(
            kind="output",
            message="m",
            unstorable=(Unstorable(variable=Variable("g"), type="t", reason="r"),),
        ),
    )
    write_report(report, tmp_path / "report.json")
    assert read_report(tmp_path / "report.json") == report


def test_a_kernel_that_wrote_nothing_has_nothing_to_report(tmp_path):
    assert read_report(tmp_path / "report.json") == KernelReport()
