"""`nbpipe tag` and `nbpipe compile`."""

from __future__ import annotations

from pathlib import Path

import click

from nbpipe.api.notebooks import bundle_path, tag_notebook, write_bundle
from nbpipe.cli.console import print_diagnostics, print_pipeline, put, put_json, say, table
from nbpipe.errors import CompilationError, ConfigurationError
from nbpipe.model.notebook import Spelling
from nbpipe.wire.codec import encode
from nbpipe.workspace import open_workspace, replace_text


@click.command("tag")
@click.argument("notebook", type=click.Path(path_type=Path))
@click.option(
    "--by",
    default="heading",
    show_default=True,
    metavar="heading|cell|N",
    help="A step for each Markdown heading, for each cell, or N steps of about equal size.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write the tagged notebook here, - for stdout [default: the notebook itself].",
)
@click.option(
    "--spelling",
    type=click.Choice([spelling.value for spelling in Spelling]),
    help="How tags are written [default: magic].",
)
def tag_command(notebook: Path, by: str, output: Path | None, spelling: str | None) -> None:
    """Tag the cells of an untagged NOTEBOOK as steps.

    Cells that hold only imports, definitions, constants and settings stay untagged: every step
    gets what it needs of them. Nothing but the tags is changed in the file.
    """
    tagging = tag_notebook(notebook, by=by, spelling=Spelling(spelling) if spelling else None)
    if str(output) == "-":
        click.echo(tagging.text.encode("utf-8", "surrogatepass"), nl=False)
        return
    target = output or notebook
    replace_text(target, tagging.text)
    rows = [(name, ", ".join(map(str, cells))) for name, cells in tagging.steps.items()]
    for line in table(("step", "cells"), rows):
        put(line)
    say(f"\nTagged {target}. Next: nbpipe run {target}")


@click.command("compile")
@click.argument("notebook", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The bundle [default: NAME.nbpipe]."
)
@click.option("--check", is_flag=True, help="Only say what the compiler finds; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compile_command(notebook: Path, output: Path | None, check: bool, as_json: bool) -> None:
    """Compile NOTEBOOK into a bundle, and print its steps."""
    if (notebook / "pipeline.json").is_file():
        raise ConfigurationError(
            f"{notebook} is a bundle: it is compiled already.", hint=f"nbpipe run {notebook}"
        )
    try:
        workspace = open_workspace(notebook)
    except CompilationError as error:
        if as_json:
            put_json(_facts(error.diagnostics, None, None))
        raise
    diagnostics = workspace.compilation.diagnostics
    target = None
    if workspace.compilation.pipeline is not None and not check:
        target = write_bundle(workspace, output or bundle_path(workspace))
    if as_json:
        put_json(_facts(diagnostics, workspace.compilation.pipeline, target))
    pipeline = workspace.pipeline
    if not as_json:
        print_diagnostics(diagnostics)
        print_pipeline(pipeline)
        if target is not None:
            say(f"\nWrote {target}. Next: nbpipe run {target}")


def _facts(diagnostics: object, pipeline: object, target: Path | None) -> dict[str, object]:
    from nbpipe.model.pipeline import Pipeline

    steps: list[object] = []
    edges: list[object] = []
    if isinstance(pipeline, Pipeline):
        steps = [
            {
                "name": step.name,
                "cells": list(step.cells),
                "inputs": [encode(i) for i in step.inputs],
                "outputs": [encode(o) for o in step.outputs],
                "parameters": list(step.parameters),
            }
            for step in pipeline.steps
        ]
        edges = [encode(edge) for edge in pipeline.edges]
    return {
        "event": "compiled",
        "state": "refused" if pipeline is None else "succeeded",
        "bundle": str(target) if target else None,
        "steps": steps,
        "edges": edges,
        "diagnostics": encode(diagnostics),
    }
