"""`nbpipe artifacts`, `show`, `diff`, `pin`, `gc` and `trust`."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import click

from nbpipe.api.artifacts import Difference, compare, series
from nbpipe.cli.console import put, put_json, say, table
from nbpipe.errors import ConfigurationError
from nbpipe.model.artifact import ArtifactVersion
from nbpipe.model.names import PipelineName, Variable
from nbpipe.report.quantities import size_text
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.store.trust import trust
from nbpipe.wire.codec import encode
from nbpipe.workspace import open_store as open_any_store

store_option = click.option(
    "--store", type=click.Path(path_type=Path), help="The store [default: the nearest .nbpipe]."
)
pipeline_option = click.option("--pipeline", help="The pipeline, where several have the name.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def open_store(path: Path | None) -> ArtifactStore:
    """Open the store that a command works on, until the command ends."""
    store = open_any_store(path)
    click.get_current_context().call_on_close(store.close)
    return store


@click.command("artifacts")
@click.argument("name", required=False)
@pipeline_option
@store_option
@json_option
def artifacts_command(
    name: str | None, pipeline: str | None, store: Path | None, as_json: bool
) -> None:
    """List all artifacts, or the versions of the one called NAME."""
    opened = open_store(store)
    wanted = PipelineName(pipeline) if pipeline else None
    versions = series(opened, Variable(name) if name else None, wanted)
    if as_json:
        put_json([encode(version) for version in versions])
    elif name:
        _print_versions(versions)
    else:
        _print_series(versions)


def _print_versions(versions: tuple[ArtifactVersion, ...]) -> None:
    rows = [
        (
            v.reference,
            v.value.summary.text,
            size_text(v.value.size),
            v.step,
            v.run[:19],
            when(v.created),
            " ".join(v.tags),
        )
        for v in reversed(versions)
    ]
    head = ("version", "what", "size", "step", "run", "made", "tags")
    for line in table(head, rows, right="size"):
        put(line)


def _print_series(versions: tuple[ArtifactVersion, ...]) -> None:
    newest: dict[tuple[str, str], ArtifactVersion] = {}
    counts: dict[tuple[str, str], int] = {}
    for version in versions:
        key = (version.key.pipeline, version.key.variable)
        newest[key] = version
        counts[key] = counts.get(key, 0) + 1
    if not newest:
        say("No artifacts yet. Run a pipeline: nbpipe run NOTEBOOK")
        return
    rows = [
        (name, pipeline, str(counts[pipeline, name]), v.value.summary.text, v.step, when(v.created))
        for (pipeline, name), v in newest.items()
    ]
    head = ("artifact", "pipeline", "versions", "newest", "step", "made")
    for line in table(head, rows, right="versions"):
        put(line)


def when(moment: datetime) -> str:
    """Write a moment in local time, to the minute."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


@click.command("show")
@click.argument("reference", metavar="NAME[@VERSION]")
@pipeline_option
@store_option
@json_option
def show_command(reference: str, pipeline: str | None, store: Path | None, as_json: bool) -> None:
    """Show one version of an artifact: what it is, who made it, and a glimpse of it.

    Nothing is loaded: the glimpse was taken when the value was stored.
    """
    version = _find(open_store(store), reference, pipeline)
    if as_json:
        put_json(encode(version))
        return
    summary = version.value.summary
    said = summary.text if summary.type in summary.text else f"{summary.type}, {summary.text}"
    put(f"{click.style(version.reference, bold=True)}  {said}")
    facts = {
        "made by": f"step {version.step} of {version.key.pipeline}, run {version.run}",
        "on": when(version.created),
        "size": size_text(version.value.size),
        "format": version.value.format.name,
        "digest": version.value.content[:16],
        "shares state with": version.value.member and "other variables of its step",
        "tags": " ".join(version.tags),
    }
    for name, text in facts.items():
        if text:
            put(f"  {click.style(name.ljust(17), dim=True)} {text}")
    if summary.preview:
        put()
        put(summary.preview)


def _find(store: ArtifactStore, reference: str, pipeline: str | None) -> ArtifactVersion:
    return store.find_version(reference, PipelineName(pipeline) if pipeline else None)


@click.command("diff")
@click.argument("older", metavar="NAME@A")
@click.argument("newer", metavar="NAME@B")
@pipeline_option
@store_option
@json_option
def diff_command(
    older: str, newer: str, pipeline: str | None, store: Path | None, as_json: bool
) -> None:
    """Compare two versions of an artifact by what is known of them."""
    opened = open_store(store)
    before, after = _find(opened, older, pipeline), _find(opened, newer, pipeline)
    differences = compare(before, after)
    if as_json:
        put_json([encode(difference) for difference in differences])
        return
    if before.value.content == after.value.content:
        put(f"{before.reference} and {after.reference} have the same content.")
        return
    put(click.style(f"{before.reference} → {after.reference}", bold=True))
    _print_differences(differences)


def _print_differences(differences: tuple[Difference, ...]) -> None:
    rows = [(d.what, d.before or "–", d.after or "–") for d in differences]
    if not rows:
        put("  The content differs; nothing in the summaries does.")
        return
    for line in table(("", "before", "after"), rows):
        put("  " + line)


@click.command("pin")
@click.argument("reference", metavar="NAME[@VERSION]")
@click.option("--tag", help="Give the version this name instead, such as production.")
@click.option("--remove", is_flag=True, help="Take the pin, or the tag, away.")
@pipeline_option
@store_option
def pin_command(
    reference: str, tag: str | None, remove: bool, pipeline: str | None, store: Path | None
) -> None:
    """Keep a version for good; with --tag, name it: NAME@TAG then means this version."""
    opened = open_store(store)
    version = _find(opened, reference, pipeline)
    if tag:
        (opened.untag if remove else opened.tag)(version, tag)
    else:
        (opened.unpin if remove else opened.pin)(version)
    done = ("no longer " if remove else "") + (f"tagged {tag}" if tag else "pinned")
    say(f"{version.reference} is {done}.")


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option(
    "--keep-runs",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    help="Keep what the last N runs of each need.",
)
@click.option(
    "--older-than", default="1d", show_default=True, help="Keep what is younger, such as 12h or 7d."
)
@store_option
@json_option
def gc_command(
    dry_run: bool, keep_runs: int, older_than: str, store: Path | None, as_json: bool
) -> None:
    """Delete versions and files that no recent run, pin or tag needs."""
    from nbpipe.notebook.tags import STEP_OPTIONS

    try:
        seconds = STEP_OPTIONS["timeout"].read([older_than])
    except ValueError as error:
        raise ConfigurationError(f"--older-than: {error}.") from None
    assert isinstance(seconds, float)
    report = open_store(store).collect_garbage(
        dry_run=dry_run, keep_runs=keep_runs, older_than=timedelta(seconds=seconds)
    )
    if as_json:
        put_json(encode(report))
        return
    rows = [(s.pipeline, s.variable, str(s.versions), size_text(s.bytes)) for s in report.series]
    if rows:
        head = ("pipeline", "artifact", "versions", "size")
        for line in table(head, rows, right="versions size"):
            put(line)
    verb = "would be freed" if dry_run else "freed"
    put(f"{size_text(report.bytes)} {verb}: {report.blobs} files, {report.runs} runs.")
    if not dry_run and older_than != "0s" and not report.blobs:
        say(f"Everything is needed, or younger than {older_than}.")


@click.command("trust")
@click.argument("path", type=click.Path(path_type=Path), metavar="STORE")
def trust_command(path: Path) -> None:
    """Trust a STORE that came from elsewhere.

    Most values are pickles, and loading a pickle can run any code: trust only what you would run.
    """
    trust(path)
    say(f"Values of {path} can be loaded now.")
