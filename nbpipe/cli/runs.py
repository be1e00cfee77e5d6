"""`nbpipe runs`."""

from __future__ import annotations

from pathlib import Path

import click

from nbpipe.cli.artifacts import json_option, open_store, pipeline_option, store_option, when
from nbpipe.cli.console import put, put_json, say, table
from nbpipe.cli.progress import print_step_failure
from nbpipe.model.names import PipelineName, is_state
from nbpipe.model.run import Run
from nbpipe.report.quantities import duration_text
from nbpipe.wire.codec import encode


@click.command("runs")
@click.argument("run", required=False)
@click.option(
    "-n", "--limit", type=click.IntRange(1), default=20, show_default=True, help="Show the last N."
)
@pipeline_option
@store_option
@json_option
def runs_command(
    run: str | None, limit: int, pipeline: str | None, store: Path | None, as_json: bool
) -> None:
    """List past runs, newest first; or show the steps of RUN (an id, its start, or `latest`).

    `nbpipe report RUN` puts all that is known of a run on a page.
    """
    opened = open_store(store)
    if run is not None:
        found = opened.run(run)
        if as_json:
            put_json(encode(found))
        else:
            _print_run(found, opened.root)
        return
    runs = opened.runs(PipelineName(pipeline) if pipeline else None, limit=limit)
    if as_json:
        put_json([encode(each) for each in runs])
        return
    if not runs:
        say("No runs yet. Start one: nbpipe run NOTEBOOK")
        return
    rows = [
        (
            each.id,
            each.pipeline,
            each.state.value,
            when(each.started),
            _took(each),
            " ".join(f"{name}={value}" for name, value in each.parameters.items()),
        )
        for each in runs
    ]
    for line in table(("run", "pipeline", "state", "started", "took", "parameters"), rows):
        put(line)


def _took(run: Run) -> str:
    return duration_text((run.finished - run.started).total_seconds()) if run.finished else "–"


def _print_run(run: Run, root: Path) -> None:
    put(f"{click.style(run.id, bold=True)}  {run.pipeline}, {run.state.value}, {when(run.started)}")
    for name, value in run.parameters.items():
        put(f"  {name} = {value!r}")
    rows = [
        (
            step.step,
            step.state.value,
            duration_text(step.seconds) if step.seconds else "",
            ", ".join(v.reference for v in step.outputs.values() if not is_state(v.key.variable)),
            step.reason,
        )
        for step in run.steps
    ]
    for line in table(("step", "state", "took", "made", "why"), rows):
        put("  " + line)
    for step in run.steps:
        if step.failure is not None:
            print_step_failure(step.step, step.failure, str(root / step.executed_notebook))
    say()
    if run.executed_notebook:
        say(f"executed notebook: {root / run.executed_notebook}")
    say(f"all of it on a page: nbpipe report {run.id}")
