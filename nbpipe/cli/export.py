"""`nbpipe export`."""

from __future__ import annotations

from pathlib import Path

import click

from nbpipe.api.exports import export, targets
from nbpipe.api.notebooks import write_tree
from nbpipe.cli.console import print_diagnostics, put, say, table
from nbpipe.errors import ConfigurationError
from nbpipe.workspace import open_workspace


@click.command("export")
@click.argument("path", type=click.Path(path_type=Path), metavar="NOTEBOOK|BUNDLE", required=False)
@click.option("--to", "target", metavar="TARGET", help="What to export to; see --list.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Directory [default: NAME-TARGET]."
)
@click.option("--list", "wants_list", is_flag=True, help="List the targets.")
def export_command(
    path: Path | None, target: str | None, output: Path | None, wants_list: bool
) -> None:
    """Write the pipeline of NOTEBOOK or BUNDLE for another engine."""
    if wants_list:
        for line in table(("target", "what"), list(targets().items())):
            put(line)
        return
    if path is None or target is None:
        raise ConfigurationError(
            "Say what to export, and to what.", hint="nbpipe export NOTEBOOK --to script"
        )
    workspace = open_workspace(path)
    exported = export(workspace, target)
    print_diagnostics(exported.diagnostics)
    directory = output or workspace.directory / f"{workspace.pipeline.name}-{target}"
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigurationError(
            f"{directory} exists and is not an empty directory; it is left alone.",
            hint="Choose another place with -o.",
        )
    write_tree(exported.files, directory)
    for name in sorted(exported.files):
        put(name)
    say(f"\nWrote {len(exported.files)} files to {directory}")
