"""Versions: numbered facts about what a variable was, and the tags people give them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from nbpipe.model.artifact import ArtifactKey, ArtifactVersion
from nbpipe.model.digest import Digest
from nbpipe.model.names import PipelineName, StepName, Variable
from nbpipe.store.index.database import Database
from nbpipe.store.index.rows import version_from_row, version_values

_COLUMNS = """versions.*, (SELECT group_concat(name, ' ') FROM tags WHERE version = versions.id)
    AS tags"""


def versions_where(
    database: Database, condition: str, parameters: Iterable[str | int]
) -> dict[int, ArtifactVersion]:
    """Give the versions that meet an SQL condition by row id, in order of series and number."""
    rows = database.read(
        f"SELECT {_COLUMNS} FROM versions WHERE {condition} ORDER BY pipeline, variable, number",
        tuple(parameters),
    )
    return {row["id"]: version_from_row(row) for row in rows}


def outputs_by(
    database: Database, table: str, column: str, owners: Iterable[str | int]
) -> dict[str | int, dict[Variable, ArtifactVersion]]:
    """Give the outputs of many step runs (`step_outputs`) or results (`result_outputs`) at once."""
    rows = database.read(
        f"""SELECT {_COLUMNS}, {table}.{column} AS owner, {table}.variable AS output
            FROM {table} JOIN versions ON versions.id = {table}.version
            WHERE {table}.{column} IN (SELECT value FROM json_each(?)) ORDER BY owner, output""",
        (json.dumps(list(owners)),),
    )
    found: dict[str | int, dict[Variable, ArtifactVersion]] = {}
    for row in rows:
        found.setdefault(row["owner"], {})[Variable(row["output"])] = version_from_row(row)
    return found


def add_version(
    database: Database, version: ArtifactVersion, blobs: Mapping[Digest, int]
) -> tuple[int, ArtifactVersion]:
    """Add a version under the next number of its series, inside a transaction.

    When the newest version that the same step made in this series has the same content, that one
    is given instead. `blobs` are those of the version's bundle, with their sizes.
    """
    same = database.read(
        f"""SELECT {_COLUMNS} FROM versions WHERE pipeline = ? AND variable = ? AND step = ?
            ORDER BY number DESC LIMIT 1""",
        (version.key.pipeline, version.key.variable, version.step),
    )
    if same and same[0]["content"] == version.value.content:
        return same[0]["id"], version_from_row(same[0])
    # Numbers are never given out twice, even when garbage collection deleted the newest.
    database.write(
        """INSERT INTO series (pipeline, variable, last_number) VALUES (?, ?, 1)
           ON CONFLICT DO UPDATE SET last_number = last_number + 1""",
        (version.key.pipeline, version.key.variable),
    )
    number = database.read(
        "SELECT last_number FROM series WHERE pipeline = ? AND variable = ?",
        (version.key.pipeline, version.key.variable),
    )[0][0]
    numbered = replace(version, number=number, tags=())
    columns = version_values(numbered)
    row_id = database.write(
        f"INSERT INTO versions ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
        tuple(columns.values()),
    )
    database.write_many(
        "INSERT OR IGNORE INTO bundle_blobs (bundle, blob, size) VALUES (?, ?, ?)",
        [(version.value.bundle, blob, size) for blob, size in blobs.items()],
    )
    return row_id, numbered


def version_id(database: Database, key: ArtifactKey, number: int) -> int | None:
    """Give the row id of a version, or None when it does not exist (any more)."""
    rows = database.read(
        "SELECT id FROM versions WHERE pipeline = ? AND variable = ? AND number = ?",
        (key.pipeline, key.variable, number),
    )
    return rows[0]["id"] if rows else None


def versions_with_tag(database: Database, version: int, tag: str) -> list[int]:
    """Give the row ids of the versions of the same series, this one included, with a tag."""
    rows = database.read(
        """SELECT other.id FROM versions AS this
           JOIN versions AS other USING (pipeline, variable)
           JOIN tags ON tags.version = other.id AND name = ? WHERE this.id = ?""",
        (tag, version),
    )
    return [row["id"] for row in rows]


def add_tag(database: Database, version: int, tag: str) -> None:
    """Give a tag to a version, whatever the others of its series have."""
    database.write("INSERT OR IGNORE INTO tags (version, name) VALUES (?, ?)", (version, tag))


def remove_tag(database: Database, version: int, tag: str) -> None:
    """Take a tag from a version."""
    database.write("DELETE FROM tags WHERE version = ? AND name = ?", (version, tag))


def series(database: Database) -> list[tuple[PipelineName, Variable]]:
    """Give every series that has a version."""
    rows = database.read("SELECT DISTINCT pipeline, variable FROM versions ORDER BY 1, 2")
    return [(PipelineName(row["pipeline"]), Variable(row["variable"])) for row in rows]


def step_names(database: Database, pipeline: PipelineName) -> list[StepName]:
    """Give every step of a pipeline that was ever run."""
    rows = database.read(
        """SELECT DISTINCT step FROM step_runs JOIN runs ON runs.id = step_runs.run
           WHERE pipeline = ?""",
        (pipeline,),
    )
    return [StepName(row["step"]) for row in rows]
