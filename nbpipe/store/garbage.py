"""Which facts and blobs nobody needs any more, and deleting them.

Kept is: every tagged or pinned version; the last few runs of each pipeline, and those that have not
ended, with every result they made or reused; everything made or used a short while ago; and
whatever blobs these need. Facts go
first, in one transaction, and blobs after, so a crash in between leaves blobs that the next
collection finds.

A step that runs meanwhile has put blobs that no fact mentions yet. Such blobs are young, or were
renewed when they were put again (`BlobStore.put`), and young blobs are never deleted.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from nbpipe.model.digest import Digest
from nbpipe.model.names import PipelineName, Variable
from nbpipe.model.run import RunState
from nbpipe.store.blobs.protocol import BlobFacts, BlobStore
from nbpipe.store.index.audit import note_garbage
from nbpipe.store.index.database import Database
from nbpipe.store.index.rows import text_from_time

KEPT_RUNS: Final = 5
KEPT_YOUNGER_THAN: Final = timedelta(days=1)
# A run that has not ended by then was killed before it could say so.
_RUNS_END_WITHIN: Final = timedelta(days=30)
# However little age is asked for: between putting its first blob and committing, a step may take
# this long.
_UNCOMMITTED_FOR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesGarbage:
    """What a series loses: the number of versions, and the bytes that only they needed."""

    pipeline: PipelineName
    variable: Variable
    versions: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GarbageReport:
    """What was deleted, or would be.

    `bytes` is all that the disk gains: blobs of `series`, other blobs (outputs of cells, values
    that were never committed), and what interrupted writers left.
    """

    dry_run: bool
    series: tuple[SeriesGarbage, ...]
    runs: int
    results: int
    blobs: int
    bytes: int


def collect_garbage(  # noqa: PLR0913 - what is swept, and what is kept
    database: Database,
    blobs: BlobStore,
    run_directories: Path,
    *,
    dry_run: bool,
    keep_runs: int,
    older_than: timedelta,
    now: datetime,
) -> GarbageReport:
    """Delete what nobody needs and what is `older_than` that; with `dry_run` only say so."""
    with database.transaction(keep=not dry_run):
        _mark(
            database,
            keep_runs=keep_runs,
            cutoff=text_from_time(now - older_than),
            still_running=text_from_time(now - _RUNS_END_WITHIN),
        )
        doomed_versions = database.read(
            "SELECT * FROM versions WHERE id NOT IN (SELECT id FROM kept_versions)"
        )
        blobs_of_doomed = _blobs_of_doomed(database)
        results = _delete_results_and_versions(database)
        doomed_runs = _delete_runs(database)
        note_garbage(
            database,
            runs=doomed_runs,
            results=results,
            versions=[(row["pipeline"], row["variable"], row["number"]) for row in doomed_versions],
        )
        needed = _needed_blobs(database)
        database.write("DROP TABLE kept_runs")
        database.write("DROP TABLE kept_keys")
        database.write("DROP TABLE kept_versions")
    written_before = (now - max(older_than, _UNCOMMITTED_FOR)).timestamp()
    freed: dict[Digest, int] = {}
    for blob in list(blobs):
        if blob.digest not in needed and _is_deleted(blobs, blob, written_before, dry_run=dry_run):
            freed[blob.digest] = blob.size
    leftovers = 0
    if not dry_run:
        leftovers = blobs.delete_leftovers(written_before=written_before)
        for run in doomed_runs:
            _delete_directory(run_directories, run)
    versions: dict[tuple[str, str], int] = {}
    sizes: dict[tuple[str, str], int] = {}
    counted: set[Digest] = set()
    for row in doomed_versions:
        series = (row["pipeline"], row["variable"])
        own = blobs_of_doomed.get(row["bundle"], frozenset()) - counted
        counted |= own
        versions[series] = versions.get(series, 0) + 1
        sizes[series] = sizes.get(series, 0) + sum(freed.get(blob, 0) for blob in own)
    return GarbageReport(
        dry_run=dry_run,
        series=tuple(
            SeriesGarbage(
                pipeline=PipelineName(pipeline),
                variable=Variable(variable),
                versions=count,
                bytes=sizes[pipeline, variable],
            )
            for (pipeline, variable), count in sorted(versions.items())
        ),
        runs=len(doomed_runs),
        results=len(results),
        blobs=len(freed),
        bytes=sum(freed.values()) + leftovers,
    )


def _mark(database: Database, *, keep_runs: int, cutoff: str, still_running: str) -> None:
    database.write(
        """CREATE TEMP TABLE kept_runs AS SELECT id FROM (
               SELECT id, state, started, row_number() OVER
                   (PARTITION BY pipeline ORDER BY started DESC, rowid DESC) AS age FROM runs)
           WHERE age <= ? OR started >= ? OR (state = ? AND started >= ?)""",
        (keep_runs, cutoff, RunState.RUNNING.value, still_running),
    )
    database.write(
        """CREATE TEMP TABLE kept_keys AS
           SELECT key FROM results WHERE used >= ?
           UNION SELECT key FROM step_runs WHERE run IN kept_runs AND key IS NOT NULL""",
        (cutoff,),
    )
    database.write(
        """CREATE TEMP TABLE kept_versions AS
           SELECT id FROM versions WHERE created >= ?
           UNION SELECT version FROM tags
           UNION SELECT version FROM result_outputs JOIN results ON id = result
               WHERE key IN kept_keys
           UNION SELECT version FROM step_outputs JOIN step_runs ON id = step_run
               WHERE run IN kept_runs""",
        (cutoff,),
    )


def _blobs_of_doomed(database: Database) -> dict[str, frozenset[Digest]]:
    rows = database.read(
        """SELECT DISTINCT bundle_blobs.bundle, blob FROM bundle_blobs JOIN versions USING (bundle)
           WHERE versions.id NOT IN kept_versions"""
    )
    found: dict[str, frozenset[Digest]] = {}
    for row in rows:
        found[row["bundle"]] = found.get(row["bundle"], frozenset()) | {Digest(row["blob"])}
    return found


def _delete_results_and_versions(database: Database) -> list[str]:
    rows = database.read("SELECT key FROM results WHERE key NOT IN kept_keys")
    database.write("DELETE FROM results WHERE key NOT IN kept_keys")
    database.write("DELETE FROM versions WHERE id NOT IN kept_versions")
    database.write("DELETE FROM bundle_blobs WHERE bundle NOT IN (SELECT bundle FROM versions)")
    return [row["key"] for row in rows]


def _delete_runs(database: Database) -> list[str]:
    # The run that made a version is kept as long as the version: it says where it came from.
    database.write(
        """CREATE TEMP TABLE doomed_runs AS SELECT id FROM runs
           WHERE id NOT IN kept_runs AND id NOT IN (SELECT run FROM versions)"""
    )
    rows = database.read("SELECT id FROM doomed_runs")
    database.write("DELETE FROM runs WHERE id IN doomed_runs")
    database.write("DROP TABLE doomed_runs")
    database.write(
        """DELETE FROM key_parts WHERE key NOT IN (SELECT key FROM results)
           AND key NOT IN (SELECT key FROM step_runs WHERE key IS NOT NULL)"""
    )
    return [row["id"] for row in rows]


def _needed_blobs(database: Database) -> frozenset[str]:
    rows = database.read(
        """SELECT blob FROM bundle_blobs
           UNION SELECT cells FROM step_runs WHERE cells IS NOT NULL
           UNION SELECT cells FROM results WHERE cells IS NOT NULL"""
    )
    return frozenset(row[0] for row in rows)


def _is_deleted(blobs: BlobStore, blob: BlobFacts, written_before: float, *, dry_run: bool) -> bool:
    if dry_run:
        return blob.written < written_before
    return blobs.delete(blob.digest, written_before=written_before)


def _delete_directory(parent: Path, name: str) -> None:
    # An id is one path component of ours; anything else is not a directory to delete.
    if name and name not in {".", ".."} and Path(name).name == name:
        shutil.rmtree(parent / name, ignore_errors=True)
