"""Results by step key: what makes a step reusable."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from nbpipe.model.artifact import ArtifactVersion
from nbpipe.model.digest import Digest
from nbpipe.model.names import PipelineName, RunId, StepName, Variable
from nbpipe.model.run import KeyParts, StepKey, StepRun
from nbpipe.store.index.database import Database
from nbpipe.store.index.rows import (
    key_parts_from_row,
    text_from_json,
    text_from_time,
    time_from_text,
)
from nbpipe.store.index.versions import outputs_by


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStep:
    """A step's result, found by its key.

    `pipeline` and `step` say who made it: another pipeline may reuse it. `seconds` is how long
    that took. `changed` is what the step was seen to change although its code does not show it:
    a pipeline that does not know it yet learns it from the result.
    """

    key: KeyParts
    pipeline: PipelineName
    step: StepName
    run: RunId
    created: datetime
    used: datetime
    seconds: float
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
) -> None:
    """Make a result reusable, in place of an earlier one with the same key."""
    database.write("DELETE FROM step_keys WHERE key = ?", (key.key,))
    database.write(
        """INSERT INTO step_keys (key, pipeline, step, run, created, used, seconds, unbound,
               changed, cells, executed_notebook) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            key.key,
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
        "INSERT INTO key_outputs (key, variable, version) VALUES (?, ?, ?)",
        [(key.key, variable, version) for variable, version in outputs.items()],
    )


def results_by_key(database: Database, keys: Sequence[StepKey]) -> dict[StepKey, StoredStep]:
    """Give the results of those keys that have one."""
    asked = json.dumps(list(keys))
    rows = database.read(
        """SELECT step_keys.*, key_parts.parts FROM step_keys JOIN key_parts USING (key)
           WHERE key IN (SELECT value FROM json_each(?))""",
        (asked,),
    )
    outputs = outputs_by(database, "key_outputs", "key", [row["key"] for row in rows])
    return {
        StepKey(Digest(row["key"])): StoredStep(
            key=key_parts_from_row(row),
            pipeline=PipelineName(row["pipeline"]),
            step=StepName(row["step"]),
            run=RunId(row["run"]),
            created=time_from_text(row["created"]),
            used=time_from_text(row["used"]),
            seconds=row["seconds"],
            outputs=outputs.get(row["key"], {}),
            unbound=tuple(json.loads(row["unbound"])),
            changed=tuple(json.loads(row["changed"])),
            cells=Digest(row["cells"]) if row["cells"] else None,
            executed_notebook=row["executed_notebook"],
        )
        for row in rows
    }


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
        "UPDATE step_keys SET used = ? WHERE key IN (SELECT value FROM json_each(?))",
        (text_from_time(time), json.dumps(list(keys))),
    )
