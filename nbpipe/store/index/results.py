"""Results by step key: what makes a step reusable."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from nbpipe.model.artifact import ArtifactVersion
from nbpipe.model.digest import Digest
from nbpipe.model.names import PipelineName, RunId, StepName, Variable
from nbpipe.model.observed import Observed
from nbpipe.model.run import KeyParts, StepKey, StepRun
from nbpipe.store.index.database import Database
from nbpipe.store.index.rows import (
    key_parts_from_row,
    observed_from_text,
    text_from_json,
    text_from_observed,
    text_from_time,
    time_from_text,
)
from nbpipe.store.index.versions import outputs_by

ALTERNATIVES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStep:
    """A step's result, found by its key.

    `pipeline` and `step` say who made it: another pipeline may reuse it. `seconds` is how long
    that took. `observed` is what must be as it was for a reuse. `changed` is what the step was
    seen to change although its code does not show it: a pipeline that does not know it yet learns
    it from the result.
    """

    key: KeyParts
    pipeline: PipelineName
    step: StepName
    run: RunId
    created: datetime
    used: datetime
    seconds: float
    observed: Observed
    outputs: Mapping[Variable, ArtifactVersion]
    unbound: tuple[Variable, ...]
    changed: tuple[Variable, ...]
    cells: Digest | None
    executed_notebook: str


def add_result(  # noqa: PLR0913 - the parts of a result
    database: Database,
    step_run: StepRun,
    key: KeyParts,
    *,
    pipeline: PipelineName,
    created: datetime,
    outputs: Mapping[Variable, int],
    changed: Collection[Variable],
    observed: Observed,
) -> None:
    """Make a result reusable, in place of an earlier one with the same key and observed parts.

    Of results that differ in observed parts only, the newest few are kept.
    """
    delete_result(database, key.key, observed)
    row_id = database.write(
        """INSERT INTO results (key, observed, observed_parts, pipeline, step, run, created, used,
               seconds, unbound, changed, cells, executed_notebook)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            key.key,
            observed.digest,
            text_from_observed(observed),
            pipeline,
            step_run.step,
            step_run.run,
            text_from_time(created),
            text_from_time(created),
            step_run.seconds,
            text_from_json(list(step_run.unbound)),
            text_from_json(sorted(changed)),
            step_run.cells,
            step_run.executed_notebook,
        ),
    )
    database.write_many(
        "INSERT INTO result_outputs (result, variable, version) VALUES (?, ?, ?)",
        [(row_id, variable, version) for variable, version in outputs.items()],
    )
    database.write(
        """DELETE FROM results WHERE key = ? AND id NOT IN
           (SELECT id FROM results WHERE key = ? ORDER BY created DESC, id DESC LIMIT ?)""",
        (key.key, key.key, ALTERNATIVES),
    )


def delete_result(database: Database, key: StepKey, observed: Observed) -> None:
    """Delete the result with this key and these observed parts, if there is one."""
    database.write("DELETE FROM results WHERE key = ? AND observed = ?", (key, observed.digest))


def results_by_key(
    database: Database, keys: Sequence[StepKey]
) -> dict[StepKey, tuple[StoredStep, ...]]:
    """Give the results of those keys that have any, the newest of each key first."""
    found: dict[StepKey, list[StoredStep]] = {}
    condition = "results.key IN (SELECT value FROM json_each(?))"
    for stored in _results_where(database, condition, (json.dumps(list(keys)),)):
        found.setdefault(stored.key.key, []).append(stored)
    return {key: tuple(found[key]) for key in sorted(found)}


def results_to_compare(
    database: Database, pipeline: PipelineName, step: StepName, key: StepKey, *, limit: int
) -> tuple[StoredStep, ...]:
    """Give the newest results that a step made or reused, or has the key of, newest first."""
    condition = """results.key = ? OR results.key IN (
        SELECT key FROM step_runs JOIN runs ON runs.id = step_runs.run
        WHERE pipeline = ? AND step = ? AND key IS NOT NULL)"""
    return _results_where(database, condition, (key, pipeline, step), limit=limit)


def _results_where(
    database: Database, condition: str, parameters: Iterable[str | int], *, limit: int = -1
) -> tuple[StoredStep, ...]:
    rows = database.read(
        f"""SELECT results.*, key_parts.parts FROM results JOIN key_parts USING (key)
            WHERE {condition} ORDER BY results.created DESC, results.id DESC LIMIT ?""",
        (*parameters, limit),
    )
    outputs = outputs_by(database, "result_outputs", "result", [row["id"] for row in rows])
    return tuple(
        StoredStep(
            key=key_parts_from_row(row),
            pipeline=PipelineName(row["pipeline"]),
            step=StepName(row["step"]),
            run=RunId(row["run"]),
            created=time_from_text(row["created"]),
            used=time_from_text(row["used"]),
            seconds=row["seconds"],
            observed=observed_from_text(row["observed_parts"]),
            outputs=outputs.get(row["id"], {}),
            unbound=tuple(json.loads(row["unbound"])),
            changed=tuple(json.loads(row["changed"])),
            cells=Digest(row["cells"]) if row["cells"] else None,
            executed_notebook=row["executed_notebook"],
        )
        for row in rows
    )


def blobs_by_bundle(
    database: Database, bundles: Sequence[Digest]
) -> dict[Digest, dict[Digest, int]]:
    """Give for each bundle the blobs it is made of, its descriptor included, with their sizes."""
    rows = database.read(
        "SELECT * FROM bundle_blobs WHERE bundle IN (SELECT value FROM json_each(?))",
        (json.dumps(list(bundles)),),
    )
    found: dict[Digest, dict[Digest, int]] = {}
    for row in rows:
        found.setdefault(Digest(row["bundle"]), {})[Digest(row["blob"])] = row["size"]
    return found


def mark_used(database: Database, keys: Sequence[StepKey], time: datetime) -> None:
    """Note that results were found, so that garbage collection lets them be for a while."""
    database.write(
        "UPDATE results SET used = ? WHERE key IN (SELECT value FROM json_each(?))",
        (text_from_time(time), json.dumps(list(keys))),
    )
