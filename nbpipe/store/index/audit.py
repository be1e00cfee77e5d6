"""The audit log: a record for each event, in the transaction of the facts that it is about.

A record holds the digest of the record before it, so that none can be changed, taken out or put in
without changing all that follow. It also holds digests of the rows that it is about, so that a row
which was changed behind the log's back no longer fits it. Digests are made of named columns:
columns that are added later do not count.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, Protocol, TypeAlias

from nbpipe.model.audit import AuditRecord
from nbpipe.model.digest import Digest, digest_structure
from nbpipe.model.names import RunId, StepName
from nbpipe.model.run import StepKey

FORMAT: Final = "nbpipe audit record 1"

# A row's column, or a fact of a record: whatever JSON holds.
Facts: TypeAlias = dict[str, Any]

_RUN: Final = "id pipeline state parameters started finished source notebook executed_notebook"
_STEP: Final = (
    "run step state key attempt started seconds reason unbound failure cells executed_notebook "
    "notes cell_numbers observed"
)
_VERSION: Final = (
    "pipeline variable number step run created bundle member content format revision size summary "
    "definitions"
)
_RESULT: Final = (
    "key observed observed_parts pipeline step run created seconds unbound changed cells "
    "executed_notebook"
)
_PAGE: Final = 500


class Statements(Protocol):
    """What reads and writes the index: a `Database`, or a connection that migrates one."""

    def read(self, statement: str, parameters: Sequence[Any] = (), /) -> list[Any]:
        """Give the rows that a SELECT finds."""
        ...

    def write(self, statement: str, parameters: Sequence[Any] = (), /) -> object:
        """Run one statement inside a transaction."""
        ...


# ---- writing: all inside the transaction of what is recorded ------------------------------------


def begin_log(database: Statements) -> None:
    """Write the first record: what the index holds already, made before there was a log."""
    facts = {
        "store": [row["id"] for row in database.read("SELECT id FROM store")],
        "runs": list(runs_in_index(database)),
        "steps": list(steps_in_index(database)),
        "results": list(results_in_index(database)),
        "versions": list(versions_in_index(database)),
        "tags": list(tags_in_index(database)),
    }
    _append(database, "log-began", facts)


def note_run(database: Statements, event: str, run: RunId) -> None:
    """Record that a run began or finished, after it was written."""
    [facts] = runs_in_index(database, "id = ?", (run,))
    _append(database, event, facts)


def note_step(database: Statements, run: RunId, step: StepName) -> None:
    """Record what became of a step, after it was written: its key, its outputs, its result."""
    [facts] = steps_in_index(database, "run = ? AND step = ?", (run, step))
    # Versions never change, so those that this run did not make are recorded already.
    where = """run = ? AND id IN (SELECT version FROM step_outputs WHERE step_run =
        (SELECT id FROM step_runs WHERE run = ? AND step = ?))"""
    facts["versions"] = list(versions_in_index(database, where, (run, run, step)))
    if facts["state"] == "succeeded":
        facts["results"] = list(results_in_index(database, "key = ?", (facts["key"],)))
    _append(database, "step-recorded", facts)


def note_steps_forgotten(database: Statements, run: RunId, steps: Iterable[StepName]) -> None:
    """Record that steps are in the record of a run no longer."""
    _append(database, "steps-forgotten", {"run": run, "steps": sorted(steps)})


def note_results(database: Statements, key: StepKey) -> None:
    """Record which results a key has left, after one was taken away."""
    results = list(results_in_index(database, "key = ?", (key,)))
    _append(database, "results-of-key", {"key": key, "results": results})


def note_garbage(
    database: Statements,
    *,
    runs: Iterable[str],
    results: Iterable[str],
    versions: Iterable[tuple[str, str, int]],
) -> None:
    """Record what garbage collection took."""
    facts = {
        "runs": sorted(runs),
        "results": sorted(results),
        "versions": [list(version) for version in sorted(versions)],
    }
    _append(database, "garbage-collected", facts)


def note_tag(database: Statements, event: str, version: int, tag: str) -> None:
    """Record that a version, by its row id, was given a tag or lost it."""
    [row] = database.read(
        "SELECT pipeline, variable, number FROM versions WHERE id = ?", (version,)
    )
    _append(database, event, {"version": list(row), "tag": tag})


def note_trust(database: Statements) -> None:
    """Record that somebody trusts the store."""
    _append(database, "trusted", {})


def _append(database: Statements, event: str, facts: Facts) -> None:
    last = database.read("SELECT number, digest FROM audit_log ORDER BY number DESC LIMIT 1")
    number, previous = (last[0]["number"] + 1, last[0]["digest"]) if last else (1, "")
    time = datetime.now(UTC).isoformat(timespec="microseconds")
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    who = _user()
    database.write(
        """INSERT INTO audit_log (number, time, who, event, facts, previous, digest)
           VALUES (?, ?, ?, ?, ?, ?, ?)""",
        (
            number, time, who, event, text, previous,
            _digest(number, time, who, event, text, previous),
        ),
    )  # fmt: skip


@cache
def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # In a container, a user may have a number and no name.
        return ""


def _digest(*parts: int | str) -> Digest:
    return digest_structure([FORMAT, *parts])


# ---- reading -----------------------------------------------------------------------------------


def log_pages(database: Statements) -> Iterator[list[AuditRecord]]:
    """Give all records in order, some hundreds at a time."""
    last = -1
    while True:
        rows = database.read(
            "SELECT * FROM audit_log WHERE number > ? ORDER BY number LIMIT ?", (last, _PAGE)
        )
        if not rows:
            return
        last = rows[-1]["number"]
        yield [_record(row) for row in rows]


def last_records(database: Statements, count: int) -> tuple[AuditRecord, ...]:
    """Give the newest records, in order."""
    rows = database.read("SELECT * FROM audit_log ORDER BY number DESC LIMIT ?", (count,))
    return tuple(_record(row) for row in reversed(rows))


def true_digest(record: AuditRecord) -> Digest:
    """Give the digest that a record must have, if it is as it was written."""
    text = json.dumps(record.facts, sort_keys=True, separators=(",", ":"))
    time = record.time.isoformat(timespec="microseconds")
    return _digest(record.number, time, record.who, record.event, text, record.previous)


def last_number_given(database: Statements) -> int:
    """Give the highest number that any record ever had, as SQLite remembers it."""
    rows = database.read("SELECT seq FROM sqlite_sequence WHERE name = 'audit_log'")
    return int(rows[0]["seq"]) if rows else 0


def store_ids(database: Statements) -> list[str]:
    """Give the random id of the store."""
    return [row["id"] for row in database.read("SELECT id FROM store")]


def _record(row: Any) -> AuditRecord:  # noqa: ANN401 - a row of SQLite.
    try:
        facts, time = json.loads(row["facts"]), datetime.fromisoformat(row["time"])
    except ValueError:
        # Somebody wrote into it; its digest will not fit.
        facts, time = {}, datetime.min.replace(tzinfo=UTC)
    return AuditRecord(
        number=row["number"],
        time=time,
        who=row["who"],
        event=row["event"],
        facts=facts if isinstance(facts, dict) else {},
        previous=row["previous"],
        digest=Digest(row["digest"]),
    )


# ---- facts of the index, as records have them --------------------------------------------------


def runs_in_index(
    database: Statements, where: str = "TRUE", parameters: Sequence[Any] = ()
) -> Iterator[Facts]:
    """Give runs: what they are called, and a digest of the row."""
    for row in database.read(f"SELECT * FROM runs WHERE {where} ORDER BY rowid", parameters):
        facts = {"run": row["id"], "pipeline": row["pipeline"], "state": row["state"]}
        yield facts | {"row": _row_digest(row, _RUN)}


def steps_in_index(
    database: Statements, where: str = "TRUE", parameters: Sequence[Any] = ()
) -> Iterator[Facts]:
    """Give step runs with their key and outputs: variable → number and content of the version."""
    rows = database.read(
        f"""SELECT step_runs.*, parts, (
                SELECT json_group_object(step_outputs.variable, json_array(number, content))
                FROM step_outputs JOIN versions ON versions.id = version
                WHERE step_run = step_runs.id) AS outputs
            FROM step_runs LEFT JOIN key_parts USING (key) WHERE {where} ORDER BY step_runs.id""",
        parameters,
    )
    for row in rows:
        yield {
            "run": row["run"],
            "step": row["step"],
            "state": row["state"],
            "key": row["key"],
            "parts": digest_structure(row["parts"]) if row["parts"] else None,
            "outputs": json.loads(row["outputs"]),
            "row": _row_digest(row, _STEP),
        }


def versions_in_index(
    database: Statements, where: str = "TRUE", parameters: Sequence[Any] = ()
) -> Iterator[Facts]:
    """Give versions: what they are called, and a digest of the row, which holds the content's."""
    for row in database.read(f"SELECT * FROM versions WHERE {where} ORDER BY id", parameters):
        name = [row["pipeline"], row["variable"], row["number"]]
        yield {"version": name, "row": _row_digest(row, _VERSION)}


def results_in_index(
    database: Statements, where: str = "TRUE", parameters: Sequence[Any] = ()
) -> Iterator[Facts]:
    """Give results by key and observed parts, with a digest of the row and of what it gives."""
    rows = database.read(
        f"""SELECT results.*, (
                SELECT json_group_array(json_array(
                    result_outputs.variable, versions.pipeline, versions.variable, number))
                FROM result_outputs JOIN versions ON versions.id = version
                WHERE result_outputs.result = results.id) AS outputs
            FROM results WHERE {where} ORDER BY key, observed""",
        parameters,
    )
    for row in rows:
        outputs = sorted(json.loads(row["outputs"]))
        digest = digest_structure([_row_digest(row, _RESULT), outputs])
        yield {"key": row["key"], "observed": row["observed"], "row": digest}


def tags_in_index(database: Statements) -> Iterator[Facts]:
    """Give tags, with the version that each belongs to."""
    rows = database.read(
        """SELECT pipeline, variable, number, name FROM tags JOIN versions ON versions.id = version
           ORDER BY 1, 2, 3, 4"""
    )
    for row in rows:
        yield {"version": list(row)[:3], "tag": row["name"]}


def blobs_in_index(database: Statements) -> dict[Digest, str]:
    """Give every blob that the index needs, with what needs it; bundles of versions are first."""
    rows = database.read(
        """SELECT bundle AS blob, 'version ' || variable || '@' || number || ' of ' || pipeline
               AS owner FROM versions
           UNION ALL SELECT blob, 'a version' FROM bundle_blobs
           UNION ALL SELECT cells, 'outputs of cells of step ' || step || ', run ' || run
               FROM step_runs WHERE cells IS NOT NULL
           UNION ALL SELECT cells, 'outputs of cells of step ' || step
               FROM results WHERE cells IS NOT NULL"""
    )
    found: dict[Digest, str] = {}
    for row in rows:
        found.setdefault(Digest(row["blob"]), row["owner"])
    return found


def _row_digest(row: Any, columns: str) -> Digest:  # noqa: ANN401 - a row of SQLite.
    return digest_structure([row[name] for name in columns.split()])
