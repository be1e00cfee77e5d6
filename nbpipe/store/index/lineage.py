"""Facts for lineage: which runs have to do with something, and who first made a result."""

from __future__ import annotations

import json
from collections.abc import Iterable

from nbpipe.model.digest import Digest
from nbpipe.model.lineage import Maker
from nbpipe.model.names import PipelineName, RunId, StepName
from nbpipe.model.run import Run, StepKey
from nbpipe.store.index.database import Database
from nbpipe.store.index.runs import runs_where

_GOOD = "('succeeded', 'reused')"
_ALL = 1_000_000_000


def runs_with_version(database: Database, version: int) -> tuple[Run, ...]:
    """Give runs that made or reused a version (by its row id), oldest first; see `_telling`."""
    return _telling(
        database,
        """SELECT DISTINCT run FROM step_runs JOIN step_outputs ON step_run = step_runs.id
           WHERE version = ?""",
        (version,),
    )


def runs_with_part(database: Database, parts: Iterable[tuple[str, str]]) -> tuple[Run, ...]:
    """Give runs in which one of these parts, by name and value, is known of a good step."""
    return _telling(
        database,
        f"""WITH wanted AS (SELECT value ->> 0 AS name, value ->> 1 AS value FROM json_each(?))
            SELECT DISTINCT run FROM step_runs WHERE state IN {_GOOD} AND (key IN (
                SELECT key_parts.key FROM key_parts, json_each(key_parts.parts) AS part
                JOIN wanted ON part.key = wanted.name AND part.value = wanted.value)
            OR EXISTS (SELECT 1 FROM json_each(step_runs.observed) AS part
                JOIN wanted ON part.key = wanted.name AND part.value = wanted.value))""",
        (json.dumps([list(part) for part in parts]),),
    )


def runs_with_step(database: Database, step: StepName) -> tuple[Run, ...]:
    """Give runs in which a step of this name is good."""
    return _telling(
        database, f"SELECT run FROM step_runs WHERE step = ? AND state IN {_GOOD}", (step,)
    )


def parts_of_keys(database: Database) -> tuple[tuple[str, str], ...]:
    """Give every part of keys, and what was observed, by name, each once, without inputs."""
    rows = database.read(
        """SELECT DISTINCT part.key AS name, part.value AS value
           FROM key_parts, json_each(parts) AS part WHERE part.key NOT LIKE 'input %'
           UNION SELECT part.key, part.value FROM step_runs, json_each(observed) AS part
           ORDER BY 1, 2"""
    )
    return tuple((row["name"], row["value"]) for row in rows)


def makers_of(database: Database, keys: Iterable[StepKey]) -> dict[StepKey, Maker]:
    """Give for each key the first step run that really ran under it; none where that is gone."""
    rows = database.read(
        """SELECT key, pipeline, run, step, min(step_runs.id) FROM step_runs
           JOIN runs ON runs.id = run
           WHERE step_runs.state = 'succeeded' AND key IN (SELECT value FROM json_each(?))
           GROUP BY key""",
        (json.dumps(list(keys)),),
    )
    return {
        StepKey(Digest(row["key"])): Maker(
            pipeline=PipelineName(row["pipeline"]),
            run=RunId(row["run"]),
            step=StepName(row["step"]),
        )
        for row in rows
    }


def _telling(database: Database, ids: str, parameters: Iterable[str | int]) -> tuple[Run, ...]:
    """Give of the runs with these ids, oldest first, one for each set of steps and step keys.

    Runs that reused everything tell nothing that the first of their kind does not. A step without
    a key, run by hand, is like no other.
    """
    rows = database.read(
        f"""SELECT runs.rowid AS place, pipeline,
                step || ' ' || coalesce(key, runs.id) || observed AS line
            FROM runs JOIN step_runs ON run = runs.id
            WHERE step_runs.state IN {_GOOD} AND runs.id IN ({ids})
            ORDER BY runs.rowid, step""",
        tuple(parameters),
    )
    steps: dict[int, list[str]] = {}
    for row in rows:
        steps.setdefault(row["place"], [row["pipeline"]]).append(row["line"])
    first = {tuple(lines): place for place, lines in reversed(steps.items())}
    found = runs_where(
        database,
        "runs.rowid IN (SELECT value FROM json_each(?))",
        (json.dumps(list(first.values())),),
        limit=_ALL,
    )
    return tuple(reversed(found))
