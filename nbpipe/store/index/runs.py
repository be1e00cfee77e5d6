"""Runs and step runs: what was executed, when, and what came out."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from nbpipe.model.names import PipelineName, RunId, StepName, Variable
from nbpipe.model.run import KeyParts, Run, RunState, StepRun, StepState
from nbpipe.store.index.database import Database, Row
from nbpipe.store.index.rows import (
    key_parts_from_row,
    run_from_row,
    step_run_from_row,
    step_run_values,
    text_from_json,
    text_from_time,
)
from nbpipe.store.index.versions import outputs_by

_DONE = (StepState.SUCCEEDED.value, StepState.REUSED.value)


def add_run(database: Database, run: Run) -> None:
    """Add a run, or replace the facts of one with the same id."""
    database.write(
        """INSERT INTO runs (id, pipeline, state, parameters, started, finished, source, notebook,
               executed_notebook) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET state = excluded.state, finished = excluded.finished,
               executed_notebook = excluded.executed_notebook""",
        (
            run.id,
            run.pipeline,
            run.state.value,
            text_from_json(run.parameters),
            text_from_time(run.started),
            text_from_time(run.finished) if run.finished else None,
            run.source,
            run.notebook,
            run.executed_notebook,
        ),
    )


def finish_run(
    database: Database, run: RunId, state: RunState, finished: datetime, executed_notebook: str
) -> None:
    """Say how a run ended."""
    database.write(
        "UPDATE runs SET state = ?, finished = ?, executed_notebook = ? WHERE id = ?",
        (state.value, text_from_time(finished), executed_notebook, run),
    )


def pipeline_of_run(database: Database, run: RunId) -> PipelineName | None:
    """Give the pipeline that a run executes, or None when there is no such run."""
    rows = database.read("SELECT pipeline FROM runs WHERE id = ?", (run,))
    return PipelineName(rows[0]["pipeline"]) if rows else None


def add_step_run(database: Database, step_run: StepRun, outputs: Mapping[Variable, int]) -> None:
    """Add a step run, or replace the same step's earlier attempt in the run.

    `outputs` are row ids of versions.
    """
    if step_run.key is not None:
        add_key_parts(database, step_run.key)
    columns = step_run_values(step_run)
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns)
    database.write(
        f"""INSERT INTO step_runs ({", ".join(columns)})
            VALUES ({", ".join("?" * len(columns))}) ON CONFLICT DO UPDATE SET {changes}""",
        tuple(columns.values()),
    )
    row_id = database.read(
        "SELECT id FROM step_runs WHERE run = ? AND step = ?", (step_run.run, step_run.step)
    )[0]["id"]
    database.write("DELETE FROM step_outputs WHERE step_run = ?", (row_id,))
    database.write_many(
        "INSERT INTO step_outputs (step_run, variable, version) VALUES (?, ?, ?)",
        [(row_id, variable, version) for variable, version in outputs.items()],
    )


def delete_step_runs(database: Database, run: RunId, steps: Collection[StepName]) -> None:
    """Delete what became of some steps in a run."""
    database.write(
        "DELETE FROM step_runs WHERE run = ? AND step IN (SELECT value FROM json_each(?))",
        (run, json.dumps(sorted(steps))),
    )


def add_key_parts(database: Database, key: KeyParts) -> None:
    """Keep what a key was made of. A key that is known keeps the parts it has."""
    database.write(
        "INSERT OR IGNORE INTO key_parts (key, parts) VALUES (?, ?)",
        (key.key, text_from_json(key.parts)),
    )


def runs_where(
    database: Database, condition: str, parameters: Iterable[str | int], *, limit: int
) -> tuple[Run, ...]:
    """Give the newest runs that meet an SQL condition, newest first, with their steps."""
    rows = database.read(
        f"SELECT * FROM runs WHERE {condition} ORDER BY started DESC, rowid DESC LIMIT ?",
        (*parameters, limit),
    )
    steps: dict[str, list[StepRun]] = {row["id"]: [] for row in rows}
    step_rows = database.read(
        """SELECT step_runs.*, key_parts.parts FROM step_runs LEFT JOIN key_parts USING (key)
           WHERE run IN (SELECT value FROM json_each(?)) ORDER BY step_runs.id""",
        (json.dumps(list(steps)),),
    )
    for step_run in _with_outputs(database, step_rows):
        steps[step_run.run].append(step_run)
    return tuple(run_from_row(row, steps[row["id"]]) for row in rows)


def run_ids(database: Database) -> list[RunId]:
    """Give the ids of all runs, newest first."""
    rows = database.read("SELECT id FROM runs ORDER BY started DESC, rowid DESC")
    return [RunId(row["id"]) for row in rows]


def latest_step_runs(
    database: Database, pipeline: PipelineName, steps: Collection[StepName]
) -> tuple[StepRun, ...]:
    """Give the newest run of each step that has a result, made or reused; the newest one last."""
    rows = database.read(
        """SELECT step_runs.*, key_parts.parts FROM step_runs LEFT JOIN key_parts USING (key)
           WHERE step_runs.id IN (
               SELECT MAX(step_runs.id) FROM step_runs JOIN runs ON runs.id = step_runs.run
               WHERE pipeline = ? AND step IN (SELECT value FROM json_each(?))
                   AND step_runs.state IN (?, ?) GROUP BY step)
           ORDER BY step_runs.id""",
        (pipeline, json.dumps(sorted(steps)), *_DONE),
    )
    return tuple(_with_outputs(database, rows))


def latest_key(database: Database, pipeline: PipelineName, step: StepName) -> KeyParts | None:
    """Give the key of the newest result that a step of this name made or reused."""
    rows = database.read(
        """SELECT key_parts.* FROM step_runs JOIN key_parts USING (key)
           JOIN runs ON runs.id = step_runs.run
           WHERE pipeline = ? AND step = ? AND step_runs.state IN (?, ?)
           ORDER BY step_runs.id DESC LIMIT 1""",
        (pipeline, step, *_DONE),
    )
    return key_parts_from_row(rows[0]) if rows else None


def _with_outputs(database: Database, rows: list[Row]) -> Iterable[StepRun]:
    outputs = outputs_by(database, "step_outputs", "step_run", [row["id"] for row in rows])
    return [step_run_from_row(row, outputs.get(row["id"], {})) for row in rows]
