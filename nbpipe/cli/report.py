"""`nbpipe report`."""

from __future__ import annotations

from pathlib import Path

import click

from nbpipe.api.report import report_page, write_report
from nbpipe.cli.artifacts import open_store, store_option
from nbpipe.cli.console import put


@click.command("report")
@click.argument("run", default="latest", metavar="[RUN]")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Where it goes; - for stdout [default: beside the notebooks of the run in the store].",
)
@click.option(
    "--lineage",
    "lineage_of",
    metavar="NAME[@VERSION]",
    help="What the section about lineage is about [default: the last step].",
)
@store_option
def report_command(run: str, out: Path | None, lineage_of: str | None, store: Path | None) -> None:
    """Write a page about RUN (an id, its start, or `latest`): what ran, why, and what came of it.

    One HTML file without scripts, which needs nothing but itself: to look at, print or attach.
    Its path goes to stdout.
    """
    opened = open_store(store)
    if out == Path("-"):
        put(report_page(opened, run, lineage_of=lineage_of))
    else:
        put(str(write_report(opened, run, out, lineage_of=lineage_of)))
