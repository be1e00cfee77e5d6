"""One attempt at a step: request → papermill → result or failure."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from nbpipe.compiler.step_notebook import step_notebook
from nbpipe.errors import KernelDiedError, StoreUnavailableError
from nbpipe.kernel.exchange import (
    REQUEST_VARIABLE,
    KernelReport,
    KernelRequest,
    read_report,
    write_request,
)
from nbpipe.kernel.tracing.native import preload_variables
from nbpipe.model.digest import Digest
from nbpipe.model.names import Variable
from nbpipe.model.pipeline import ParameterValue, Pipeline, Step
from nbpipe.model.run import StepFailure, StepResult
from nbpipe.runner.cell_outputs import Json, cell_outputs_of, encode_cell_outputs
from nbpipe.runner.executors.protocol import Outcome, StepRequest
from nbpipe.runner.failures import CRASH_REPORT, cell_failed, ended_early
from nbpipe.runner.kernels.handle import KernelHandle
from nbpipe.runner.papermill_engine import Execution, execute
from nbpipe.runner.step_key import seed_from
from nbpipe.store.blobs.local import LocalBlobs
from nbpipe.store.unavailable import store_unavailable

_LONGEST_TEMPORARY_PATH: Final = 40


def attempt_step(request: StepRequest, handle: KernelHandle) -> Outcome:
    """Run the step in a kernel of its own; `handle` lets others end it.

    The executed step notebook lies in the store afterwards, `runs/RUN/STEP.ipynb`, also when the
    kernel died. The outputs of its cells are stored for stitching.
    """
    started = time.perf_counter()
    relative = f"runs/{request.run}/{request.step.name}.ipynb"
    try:
        with private_directory() as private:
            execution = Execution(
                directory=request.directory,
                variables={
                    **request.variables,
                    **kernel_variables(private / "request.json", request.hash_seed),
                },
                private=private,
                python=request.python,
                handle=handle,
                timeout_seconds=request.step.timeout_seconds,
                output_limit=request.output_limit,
            )
            outcome = _outcome(request, execution, request.store / relative)
        cells = _store_cells(request.store, execution.notebook)
    except StoreUnavailableError as error:
        outcome, cells = StepFailure(kind="store", message=error.message, hint=error.hint), None
    return replace(
        outcome,
        cells=cells,
        executed_notebook=relative if (request.store / relative).exists() else "",
        seconds=time.perf_counter() - started,
    )


def _outcome(request: StepRequest, execution: Execution, output: Path) -> Outcome:
    report_path = execution.private / "report.json"
    death: KernelDiedError | None = None
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_request(
            KernelRequest(
                store=str(request.store),
                run=request.run,
                pipeline=request.pipeline.name,
                step=request.step.name,
                inputs=request.inputs,
                seed=seed_from(request.key),
                trusted=request.trusted,
                watched_files=tuple(
                    os.path.join(request.directory, path)  # noqa: PTH118 - kept as written.
                    for path in request.watched_files
                ),
                copies=str(request.copies),
                report=str(report_path),
                crash_report=str(execution.private / CRASH_REPORT),
            ),
            execution.private / "request.json",
        )
        execute(
            step_notebook(request.pipeline, request.step),
            output,
            _given_parameters(request.pipeline, request.step, request.parameters),
            execution,
        )
    except KernelDiedError as error:
        death = error
    except OSError as error:
        raise store_unavailable("write", output, error) from error
    report = read_report(report_path)
    if execution.handle.ending is not None or death is not None:
        return ended_early(request, execution, report, death)
    if execution.error is not None:
        return cell_failed(request, execution, report)
    if not report.saved:
        return StepFailure(kind="error", message="The step notebook ended without saving.")
    return _result(request, execution, report)


def _given_parameters(
    pipeline: Pipeline, step: Step, values: Mapping[Variable, ParameterValue]
) -> dict[str, object]:
    """Give the parameters that the step reads and that differ from their defaults, in any way."""
    defaults = {parameter.name: parameter.default for parameter in pipeline.parameters}
    return {
        name: values[name]
        for name in step.parameters
        if name in values and repr(values[name]) != repr(defaults[name])
    }


def _result(request: StepRequest, execution: Execution, report: KernelReport) -> StepResult:
    notes = [*execution.notes, *report.notes]
    if execution.bytes_left_out:
        notes.append(
            f"{execution.bytes_left_out:,} bytes of printed text left out (NBPIPE_OUTPUT_LIMIT)"
        )
    written = {
        os.path.join(request.directory, path): path  # noqa: PTH118 - as in the request.
        for path in request.watched_files
    }
    return StepResult(
        outputs=report.outputs,
        unbound=report.unbound,
        notes=tuple(notes),
        changed=report.changed,
        trace=report.trace,
        files_written=tuple(
            path for absolute, path in written.items() if absolute in report.files_written
        ),
    )


def _store_cells(store: Path, notebook: Json | None) -> Digest | None:
    if notebook is None:
        return None
    return LocalBlobs(store / "objects").put([encode_cell_outputs(cell_outputs_of(notebook))])


def kernel_variables(request: Path, hash_seed: int | None) -> dict[str, str]:
    """Give what a kernel must find in its environment, besides what the engine puts there."""
    seed = {} if hash_seed is None else {"PYTHONHASHSEED": str(hash_seed)}
    return {
        REQUEST_VARIABLE: str(request),
        **seed,
        **preload_variables(os.environ, request.parent),
    }


@contextmanager
def private_directory() -> Iterator[Path]:
    """Give a directory only this user can read, with a name short enough for a socket in it."""
    chosen = Path(tempfile.gettempdir())
    place = chosen if len(str(chosen)) <= _LONGEST_TEMPORARY_PATH else Path("/tmp")  # noqa: S108
    with tempfile.TemporaryDirectory(
        prefix="nbp-", dir=place if place.is_dir() else chosen, ignore_cleanup_errors=True
    ) as name:
        yield Path(name)
