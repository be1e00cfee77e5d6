"""`nbpipe lineage`."""

from __future__ import annotations

from pathlib import Path

import click

from nbpipe.api.lineage import trace
from nbpipe.cli.artifacts import json_option, open_store, pipeline_option, store_option
from nbpipe.cli.console import put, put_json, say
from nbpipe.lineage.tree import tree_lines
from nbpipe.model.lineage import Direction, Lineage, NodeKind
from nbpipe.model.names import PipelineName
from nbpipe.wire.codec import encode

_BOLD = frozenset({NodeKind.VERSION, NodeKind.STEP})


@click.command("lineage")
@click.argument("reference", metavar="NAME[@VERSION]|FILE|PARAMETER")
@click.option("--up", "direction", flag_value="up", help="What it was made from.")
@click.option("--down", "direction", flag_value="down", help="What was made from it.")
@pipeline_option
@store_option
@json_option
def lineage_command(
    reference: str, direction: str | None, pipeline: str | None, store: Path | None, as_json: bool
) -> None:
    """Say which steps, code, parameters, files and packages made a version, or what it went into.

    Besides an artifact, ask about a file, a parameter (alpha, or alpha=0.5), a step, a package
    (pandas, or pandas==2.2.3) or the digest of code. Where a name means several things, write
    file:NAME, parameter:NAME, and so on. Artifacts and steps are traced up, all else down.
    """
    lineage = trace(
        open_store(store),
        reference,
        pipeline=PipelineName(pipeline) if pipeline else None,
        direction=Direction(direction) if direction else None,
    )
    if as_json:
        put_json(encode(lineage))
    else:
        _print(lineage)


def _print(lineage: Lineage) -> None:
    for line in tree_lines(lineage):
        text = click.style(line.text, bold=line.kind in _BOLD)
        remark = f"  {click.style(line.remark, dim=True)}" if line.remark else ""
        put(f"{click.style(line.guides, dim=True)}{text}{remark}")
    if not lineage.edges:
        nothing = "was made from it" if lineage.direction is Direction.DOWN else "says what made it"
        say(f"Nothing in the store {nothing}.")
