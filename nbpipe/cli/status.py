"""`nbpipe status` and `nbpipe why`: what a run would do. They start no kernel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import click

from nbpipe.api.parameters import read_parameters
from nbpipe.api.runs import StepStatus, status
from nbpipe.cli.artifacts import json_option, when
from nbpipe.cli.console import put, put_json
from nbpipe.cli.run import notebook_store_option, parameter_option, parameters_file_option
from nbpipe.errors import ConfigurationError, NotFoundError
from nbpipe.model.names import StepName
from nbpipe.runner.step_key import KeyChange
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.workspace import Workspace, open_workspace

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_SHOWN: Final = 8
_COLOURS = {"fresh": "green", "stale": "yellow", "unknown": "cyan"}


@click.command("status")
@click.argument("path", type=click.Path(path_type=Path), metavar="NOTEBOOK|BUNDLE")
@parameter_option
@parameters_file_option
@notebook_store_option
@json_option
def status_command(
    path: Path,
    parameters: tuple[str, ...],
    params_file: Path | None,
    store: Path | None,
    as_json: bool,
) -> None:
    """Say of each step whether its result would be reused, and if not, why."""
    workspace = open_workspace(path, store=store)
    found = _status(workspace, parameters, params_file)
    if as_json:
        put_json([_facts(each) for each in found])
        return
    width = max(len(each.step) for each in found)
    for each in found:
        state = click.style(each.state.ljust(8), fg=_COLOURS[each.state])
        detail = "; ".join(each.reasons)
        if each.stored is not None:
            detail = f"from run {each.stored.run}, {when(each.stored.created)}{_doubts(each)}"
        put(f"{state} {each.step.ljust(width)}  {click.style(detail, dim=True)}".rstrip())


def _status(
    workspace: Workspace, words: tuple[str, ...], file: Path | None
) -> tuple[StepStatus, ...]:
    values = read_parameters(workspace.pipeline, words, file)
    store = _store_if_any(workspace)
    if store is not None:
        click.get_current_context().call_on_close(store.close)
    return status(workspace, store, parameters=values)


def _store_if_any(workspace: Workspace) -> ArtifactStore | None:
    try:
        return workspace.open_store(create=False)
    except NotFoundError:
        return None


def _doubts(each: StepStatus) -> str:
    modules = each.stored.observed.unverified if each.stored else ()
    return f"; {', '.join(modules)} may have read files unseen" if modules else ""


def _facts(each: StepStatus) -> dict[str, object]:
    return {
        "step": each.step,
        "state": each.state,
        "reasons": list(each.reasons),
        "run": each.stored.run if each.stored else None,
    }


def _why_facts(each: StepStatus) -> dict[str, object]:
    changes = [
        {
            "kind": change.kind,
            "name": change.name,
            # Not even the digest of what a variable holds: a short text could be guessed from it.
            "old": None if change.kind == "variable" else change.old,
            "new": None if change.kind == "variable" else change.new,
        }
        for change in each.changes
    ]
    return {**_facts(each), "changes": changes, "compared_with": each.compared}


@click.command("why")
@click.argument("step")
@click.argument(
    "path", type=click.Path(path_type=Path), metavar="[NOTEBOOK|BUNDLE]", required=False
)
@parameter_option
@parameters_file_option
@notebook_store_option
@json_option
def why_command(
    step: str,
    path: Path | None,
    parameters: tuple[str, ...],
    params_file: Path | None,
    store: Path | None,
    as_json: bool,
) -> None:
    """Say why STEP would run: what differs from the closest result there is.

    Nothing is run to find out. What environment variables hold is never shown.

    Without a notebook, the only one in this directory is meant.
    """
    workspace = open_workspace(path or _only_notebook(), store=store)
    found = {each.step: each for each in _status(workspace, parameters, params_file)}
    step = workspace.pipeline.whole_of(StepName(step))
    if step not in found:
        raise NotFoundError.among("step", step, found, where=f"in {workspace.path.name}")
    each = next(status for name, status in found.items() if name == step)
    if as_json:
        put_json(_why_facts(each))
    elif each.state == "fresh" and each.stored is not None:
        put(f"{step} would be reused: nothing changed since run {each.stored.run}.")
    else:
        put(f"{step} would run:" if each.state == "stale" else f"{step} may run:")
        changes = [f"{change}{_digests(change)}" for change in each.changes]
        for line in changes or each.reasons:
            put(f"  {line}")
        if changes and each.compared:
            put(f"Compared with what run {each.compared} found.")


def _digests(change: KeyChange) -> str:
    """Give the beginnings of digests, where these are what is compared."""
    both = (change.old or "", change.new or "")
    if change.kind == "variable" or not all(_DIGEST.match(text) for text in both):
        return ""
    return f" ({both[0][:_SHOWN]} → {both[1][:_SHOWN]})"


def _only_notebook() -> Path:
    notebooks = sorted(Path.cwd().glob("*.ipynb"))
    if len(notebooks) != 1:
        raise ConfigurationError(
            f"There are {len(notebooks)} notebooks here.",
            hint="Say which one: nbpipe why STEP NOTEBOOK",
        )
    return notebooks[0]
