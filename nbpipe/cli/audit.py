"""`nbpipe audit`."""

from __future__ import annotations

from pathlib import Path

import click

from nbpipe.cli.artifacts import json_option, open_store, store_option
from nbpipe.cli.console import put, put_json, say, table
from nbpipe.model.audit import AuditRecord, AuditReport
from nbpipe.wire.codec import encode

EXIT_NOT_WHOLE = 3
_MOST_SHOWN = 20


@click.command("audit")
@click.option("--blobs", is_flag=True, help="Read all blobs, too, and compare their digests.")
@click.option(
    "--expect",
    metavar="DIGEST",
    help="The digest of the last record, as an earlier audit printed it: it must still be there.",
)
@click.option(
    "--log",
    "records",
    type=click.IntRange(1),
    metavar="N",
    help="Print the last N records instead of checking them.",
)
@store_option
@json_option
def audit_command(
    blobs: bool, expect: str | None, records: int | None, store: Path | None, as_json: bool
) -> None:
    """Check the audit log of a store, and that runs, results, versions and tags are as it says.

    Each record of the log holds the digest of the one before it, so that nothing can be changed,
    taken out or put in unnoticed. The exit code is 0 for a store that is whole, and 3 for one that
    is not. Write the digest of the last record down elsewhere, and give it to --expect later: that
    shows whether the log was cut off or written anew.
    """
    opened = open_store(store)
    if records is not None:
        _print_log(opened.audit_log(records), as_json=as_json)
        return
    report = opened.audit(with_blobs=blobs, expected=expect)
    if as_json:
        put_json(
            {
                "whole": report.is_whole,
                "records": report.records,
                "head": report.head,
                "facts": report.facts,
                "blobs": report.blobs,
                "findings": encode(report.findings),
            }
        )
    else:
        _print(report)
    click.get_current_context().exit(0 if report.is_whole else EXIT_NOT_WHOLE)


def _print(report: AuditReport) -> None:
    for finding in report.findings[:_MOST_SHOWN]:
        place = f"record {finding.record}: " if finding.record is not None else ""
        put(f"{click.style('changed', fg='red', bold=True)}  {place}{finding.message}")
    if len(report.findings) > _MOST_SHOWN:
        put(f"… and {len(report.findings) - _MOST_SHOWN:,} more: see --json")
    blobs = f", {report.blobs:,} blobs" if report.blobs is not None else ""
    seen = f"{report.records:,} records, {report.facts:,} facts{blobs}"
    if report.is_whole:
        put(f"{click.style('whole', fg='green', bold=True)}  {seen}")
        put(f"last record: {report.head}")
        return
    say()
    say(f"The store is not what its log says ({seen}).")
    first = next((f.record for f in report.findings if f.record is not None), None)
    if first is not None:
        say(f"The first record that does not hold is number {first}.")
    say(
        f"{click.style('help:', fg='cyan')} Results that are in doubt are made anew by "
        "`nbpipe run --force`; or move the store away and run again."
    )


def _print_log(records: tuple[AuditRecord, ...], *, as_json: bool) -> None:
    if as_json:
        put_json([encode(record) for record in records])
        return
    rows = [
        (
            str(record.number),
            record.time.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            record.who,
            record.event,
            _what(record),
            record.digest[:12],
        )
        for record in records
    ]
    for line in table(("record", "time", "who", "event", "what", "digest"), rows, right="record"):
        put(line)


def _what(record: AuditRecord) -> str:
    match record.event, record.facts:
        case "run-began" | "run-finished", {"run": run, "pipeline": pipeline, "state": state}:
            return f"run {run} of {pipeline}: {state}"
        case "step-recorded", {"step": step, "state": state, "run": run, "outputs": dict(outputs)}:
            made = ", ".join(f"{name}@{version[0]}" for name, version in sorted(outputs.items()))
            return f"step {step} {state}, run {run}{made and ': ' + made}"
        case "tagged" | "untagged", {"version": [pipeline, variable, number], "tag": tag}:
            return f"{variable}@{number} of {pipeline}: {tag}"
        case "garbage-collected" | "log-began", facts:
            counted = [(n, facts.get(n)) for n in ("runs", "results", "versions")]
            return ", ".join(f"{len(v)} {n}" for n, v in counted if isinstance(v, list))
        case _:
            return ""
