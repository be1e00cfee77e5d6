"""`nbpipe step`: one step, as other engines call it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from nbpipe.api.parameters import read_parameters
from nbpipe.api.runs import run_step
from nbpipe.cli.console import put_json
from nbpipe.cli.progress import print_step_failure, step_summary
from nbpipe.cli.run import notebook_store_option, parameter_option, parameters_file_option
from nbpipe.model.names import RunId, StepName
from nbpipe.model.run import StepRun, StepState
from nbpipe.workspace import open_workspace

# No retry can help: the same code on the same inputs gives the same failure.
EXIT_RETRY_IS_USELESS: Final = 5


@click.command("step")
@click.argument("name")
@click.option(
    "--bundle",
    required=True,
    type=click.Path(path_type=Path),
    help="The bundle, or the notebook.",
)
@click.option("--run-id", required=True, help="The run that this step is a part of.")
@notebook_store_option
@parameter_option
@parameters_file_option
def step_command(
    name: str,
    bundle: Path,
    run_id: str,
    store: Path | None,
    parameters: tuple[str, ...],
    params_file: Path | None,
) -> None:
    """Run the step NAME of a bundle, with inputs from the store and outputs into it.

    The last line on stdout is a JSON object about the step. The exit code is that of `nbpipe
    run`, or 5 when trying again is useless.
    """
    workspace = open_workspace(bundle, store=store)
    values = read_parameters(workspace.pipeline, parameters, params_file)
    opened = workspace.open_store()
    click.get_current_context().call_on_close(opened.close)
    done = run_step(workspace, opened, StepName(name), run_id=RunId(run_id), parameters=values)
    if done.failure is not None:
        executed = opened.root / done.executed_notebook if done.executed_notebook else ""
        print_step_failure(done.step, done.failure, str(executed))
    put_json({"event": "step", "run": run_id, **step_summary(done)})
    raise click.exceptions.Exit(_exit_code(done))


def _exit_code(done: StepRun) -> int:
    if done.state.is_good:
        return 0
    if done.state is StepState.CANCELLED:
        return 130
    failure = done.failure
    if failure is None or failure.kind in {"kernel-died", "store"}:
        return 4
    return 1 if failure.retry_may_help else EXIT_RETRY_IS_USELESS
