"""`nbpipe run`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import click

from nbpipe.api.parameters import read_parameters, read_sweep
from nbpipe.api.runs import RunOptions, run, save_executed_notebook
from nbpipe.cli.artifacts import json_option
from nbpipe.cli.console import print_diagnostics, print_error, put_json, say
from nbpipe.cli.progress import follower, print_step_failure, run_summary
from nbpipe.errors import ConfigurationError, StoreUnavailableError
from nbpipe.model.diagnostic import Severity
from nbpipe.model.digest import digest_structure
from nbpipe.model.names import StepName, Variable
from nbpipe.model.pipeline import ParameterValue, Pipeline
from nbpipe.model.run import Run, RunState, StepState
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.workspace import Workspace, open_workspace

EXIT_INTERRUPTED: Final = 130
_LONGEST_LABEL: Final = 100

notebook_store_option = click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="The store [default: .nbpipe beside the notebook].",
)
parameter_option = click.option(
    "-p", "parameters", multiple=True, metavar="NAME=VALUE", help="Set a parameter."
)
parameters_file_option = click.option(
    "--params-file",
    type=click.Path(path_type=Path),
    help="Read parameters from a JSON or TOML file; -p goes over it.",
)


@click.command("run")
@click.argument("path", type=click.Path(path_type=Path), metavar="NOTEBOOK|BUNDLE")
@parameter_option
@parameters_file_option
@click.option("--sweep", is_flag=True, help="Run every combination of -p NAME=A,B,C values.")
@click.option("-j", "--jobs", type=click.IntRange(1), help="Steps at once [default: processors].")
@click.option("--executor", default="local", show_default=True, help="Where steps run.")
@notebook_store_option
@click.option("--out", type=click.Path(path_type=Path), help="Write the executed notebook here.")
@click.option("--from", "first", metavar="STEP", help="Only STEP and what depends on it.")
@click.option("--until", "last", metavar="STEP", help="Only STEP and what it needs.")
@click.option("--only", metavar="STEP", help="Only STEP; what it needs must be stored already.")
@click.option(
    "--force",
    "forced",
    multiple=True,
    is_flag=False,
    flag_value="",
    metavar="[STEP]",
    help="Run STEP, or all, even where a result could be reused.",
)
@click.option("--strict", is_flag=True, help="Fail where a step does what its code does not show.")
@click.option(
    "--reuse-unverified",
    is_flag=True,
    help="Reuse results of steps that may have read files unseen.",
)
@click.option(
    "--isolated",
    is_flag=True,
    help="Run kernels in an environment of their own, built once from the lock.",
)
@click.option("--keep-going", is_flag=True, help="After a failure, run all that does not need it.")
@json_option
def run_command(
    path: Path,
    parameters: tuple[str, ...],
    params_file: Path | None,
    sweep: bool,
    jobs: int | None,
    executor: str,
    store: Path | None,
    out: Path | None,
    first: str | None,
    last: str | None,
    only: str | None,
    forced: tuple[str, ...],
    strict: bool,
    reuse_unverified: bool,
    isolated: bool,
    keep_going: bool,
    as_json: bool,
) -> None:
    """Run NOTEBOOK or BUNDLE as a pipeline; steps with an unchanged key are reused.

    The notebook itself is never written: the executed one goes into the store, and to --out.
    """
    if executor != "local":
        raise ConfigurationError(
            f"There is no executor {executor!r}.", hint="Known: local (steps on this machine)."
        )
    options = RunOptions(
        first=StepName(first) if first else None,
        last=StepName(last) if last else None,
        only=StepName(only) if only else None,
        forced=None if "" in forced else tuple(StepName(name) for name in forced),
        jobs=jobs or 0,
        keep_going=keep_going,
        strict=strict,
        reuse_unverified=reuse_unverified,
        isolated=isolated,
    )
    workspace = open_workspace(path, store=store)
    reading = read_sweep if sweep else _one
    combinations = reading(workspace.pipeline, parameters, params_file)
    if out is not None:
        _check_target(out, workspace)
    opened = workspace.open_store()
    click.get_current_context().call_on_close(opened.close)
    worst = 0
    for values in combinations:
        if sweep and not as_json:
            say(" ".join(f"{name}={value}" for name, value in values.items()))
        again = _command(values if sweep else parameters)
        code = _run_one(
            workspace,
            opened,
            values,
            options,
            out=_numbered(out, values) if out and sweep else out,
            as_json=as_json,
            again=again,
        )
        worst = max(worst, code)
        if code == EXIT_INTERRUPTED:
            break
    raise click.exceptions.Exit(worst)


def _check_target(out: Path, workspace: Workspace) -> None:
    """Refuse at once what would be refused, or be regretted, after hours of work."""
    if out.is_dir():
        raise ConfigurationError(f"{out} is a directory.", hint="--out takes a file to write.")
    if out.exists() and out.samefile(workspace.path):
        raise ConfigurationError(
            f"{out} is the notebook itself, which nbpipe never writes.",
            hint="Choose another file for the executed notebook.",
        )


def _one(
    pipeline: Pipeline, words: tuple[str, ...], file: Path | None
) -> tuple[dict[Variable, ParameterValue], ...]:
    return (read_parameters(pipeline, words, file),)


def _run_one(
    workspace: Workspace,
    store: ArtifactStore,
    values: dict[Variable, ParameterValue],
    options: RunOptions,
    *,
    out: Path | None,
    as_json: bool,
    again: str,
) -> int:
    diagnostics = workspace.compilation.diagnostics
    if not as_json:
        print_diagnostics(d for d in diagnostics if d.severity is not Severity.INFO)
    following = follower(as_json=as_json)
    try:
        finished = run(workspace, store, parameters=values, options=options, listener=following)
    finally:
        following.close()
    code = exit_code(finished)
    executed = store.root / finished.executed_notebook if finished.executed_notebook else None
    if out is not None and executed is not None:
        try:
            executed = save_executed_notebook(store, finished, out)
        except StoreUnavailableError as error:
            # The run is done and recorded; it lies where it always does.
            print_error(error)
            code = max(code, error.exit_code)
    if as_json:
        put_json(run_summary(finished, diagnostics, executed))
    else:
        _print_failures(finished, store, again)
        if executed is not None:
            say(f"executed notebook: {executed}")
    return code


def _command(parameters: Iterable[str] | Mapping[Variable, ParameterValue]) -> str:
    """Give the command that does the same again: what was forced and done need not be."""
    if isinstance(parameters, Mapping):
        parameters = [
            f"{name}={value if isinstance(value, str) else json.dumps(value)}"
            for name, value in parameters.items()
        ]
    given = click.get_current_context().params
    words = ["nbpipe", "run", str(given["path"])]
    for word in parameters:
        words += ["-p", word]
    options = {
        "--params-file": "params_file",
        "-j": "jobs",
        "--store": "store",
        "--from": "first",
        "--until": "last",
        "--only": "only",
        "--strict": "strict",
        "--reuse-unverified": "reuse_unverified",
        "--isolated": "isolated",
        "--keep-going": "keep_going",
    }
    for option, name in options.items():
        value = given[name]
        if value is True:
            words.append(option)
        elif value not in (None, False):
            words += [option, str(value)]
    return shlex.join(words)


def _numbered(out: Path, values: dict[Variable, ParameterValue]) -> Path:
    label = "-".join(f"{name}={value}" for name, value in values.items())
    safe = "".join(c if c.isalnum() or c in "=.-_+" else "_" for c in label)
    if len(safe) > _LONGEST_LABEL:
        safe = f"{safe[:_LONGEST_LABEL]}-{digest_structure(label)[:8]}"
    return out.with_name(f"{out.stem}-{safe}{out.suffix}")


def _print_failures(run: Run, store: ArtifactStore, again: str) -> None:
    failed = [step for step in run.steps if step.state is StepState.FAILED and step.failure]
    for step in failed:
        assert step.failure is not None
        notebook = store.root / step.executed_notebook if step.executed_notebook else ""
        print_step_failure(step.step, step.failure, str(notebook))
    if run.state is not RunState.SUCCEEDED:
        say(f"To resume from here: {again}")


def exit_code(run: Run) -> int:
    """Give the exit code of a run: see the reference."""
    if run.state is RunState.SUCCEEDED:
        return 0
    if run.state is RunState.CANCELLED:
        return EXIT_INTERRUPTED
    kinds = {step.failure.kind for step in run.steps if step.failure is not None}
    return 4 if kinds & {"kernel-died", "store"} else 1
