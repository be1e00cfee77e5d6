"""The notebooks that `nbpipe verify` runs besides a pipeline: the plain one, the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nbpipe.errors import KernelDiedError
from nbpipe.kernel.verifying import (
    ComparisonRequest,
    Request,
    Snapshot,
    SnapshotRequest,
    read_comparisons,
    read_snapshots,
    write_request,
)
from nbpipe.model.names import StepName
from nbpipe.model.verification import Comparison
from nbpipe.runner.attempt import kernel_variables, private_directory
from nbpipe.runner.cell_outputs import Json
from nbpipe.runner.kernels.handle import KernelHandle
from nbpipe.runner.papermill_engine import Execution, execute
from nbpipe.runner.request import output_limit_from_environment


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRun:
    """What came of running the plain notebook.

    Attributes:
        outputs: what each of the author's cells that ran showed, by its number.
        failed_cell: the number of the cell that raised, or that the kernel died in.
        failure: what it raised.
    """

    outputs: Mapping[int, list[Json]]
    snapshots: Mapping[StepName, Snapshot]
    failed_cell: int | None = None
    failure: str = ""


def run_plain_notebook(
    notebook: Json,
    request: SnapshotRequest,
    *,
    directory: Path,
    hash_seed: int,
    handle: KernelHandle,
) -> PlainRun:
    """Run the plain notebook in one kernel, in the author's directory."""
    execution, death = _execute(notebook, request, directory, hash_seed, handle)
    cells = execution.notebook["cells"] if execution.notebook else []
    ran = [
        (_facts(cell), cell)
        for cell in cells
        if cell["cell_type"] == "code" and cell.get("execution_count") is not None
    ]
    outputs = {f["cell_number"]: cell["outputs"] for f, cell in ran if "cell_number" in f}
    failed = None
    if execution.error is not None or death is not None:
        failed = max(outputs, default=None)
    error = execution.error or {}
    raised = f"{error.get('ename')}: {error.get('evalue')}" if error else ""
    return PlainRun(
        outputs=outputs,
        snapshots=read_snapshots(Path(request.report)),
        failed_cell=failed,
        failure=raised or (death.message if death else ""),
    )


def run_comparison(
    notebook: Json, request: ComparisonRequest, *, directory: Path, handle: KernelHandle
) -> dict[int, Comparison]:
    """Compare values in a kernel of the author's; pairs that it never came to are left out."""
    _execute(notebook, request, directory, 0, handle)
    return read_comparisons(Path(request.report))


def _execute(
    notebook: Json, request: Request, directory: Path, hash_seed: int, handle: KernelHandle
) -> tuple[Execution, KernelDiedError | None]:
    with private_directory() as private:
        write_request(request, private / "request.json")
        execution = Execution(
            directory=directory,
            variables=kernel_variables(private / "request.json", hash_seed),
            private=private,
            handle=handle,
            output_limit=output_limit_from_environment(),
        )
        try:
            execute(notebook, private / "executed.ipynb", {}, execution)
        except KernelDiedError as error:
            return execution, error
        return execution, None


def _facts(cell: Json) -> Json:
    facts: Json = cell["metadata"].get("nbpipe", {})
    return facts
