"""Model values ↔ what SQLite holds: text, numbers, and JSON for what is never searched."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from nbpipe.model.artifact import ArtifactKey, ArtifactVersion, Format, StoredValue, Summary
from nbpipe.model.digest import Digest
from nbpipe.model.effects import FileEffects
from nbpipe.model.names import PipelineName, RunId, StepName, Variable
from nbpipe.model.observed import Observed
from nbpipe.model.run import (
    KeyParts,
    Run,
    RunState,
    StepFailure,
    StepKey,
    StepRun,
    StepState,
)
from nbpipe.store.index.database import Row, SqlValue


def text_from_time(time: datetime) -> str:
    """Give a text in UTC that sorts like the times do."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def time_from_text(text: str) -> datetime:
    """Give the time, in UTC."""
    return datetime.fromisoformat(text)


def text_from_json(value: object) -> str:
    """Give compact JSON. What JSON does not know (a tuple in a summary) becomes what is nearest."""
    return json.dumps(value, separators=(",", ":"), default=str)


def run_from_row(row: Row, steps: Iterable[StepRun]) -> Run:
    """Give the run with its steps."""
    return Run(
        id=RunId(row["id"]),
        pipeline=PipelineName(row["pipeline"]),
        state=RunState(row["state"]),
        parameters=json.loads(row["parameters"]),
        started=time_from_text(row["started"]),
        finished=time_from_text(row["finished"]) if row["finished"] else None,
        source=Digest(row["source"]) if row["source"] else None,
        notebook=row["notebook"],
        executed_notebook=row["executed_notebook"],
        steps=tuple(steps),
    )


def step_run_from_row(row: Row, outputs: Mapping[Variable, ArtifactVersion]) -> StepRun:
    """Give the step run; the row carries the `parts` of its key."""
    return StepRun(
        run=RunId(row["run"]),
        step=StepName(row["step"]),
        state=StepState(row["state"]),
        key=key_parts_from_row(row) if row["key"] else None,
        attempt=row["attempt"],
        started=time_from_text(row["started"]) if row["started"] else None,
        seconds=row["seconds"],
        reason=row["reason"],
        outputs=outputs,
        unbound=tuple(json.loads(row["unbound"])),
        failure=_failure(json.loads(row["failure"])) if row["failure"] else None,
        cells=Digest(row["cells"]) if row["cells"] else None,
        executed_notebook=row["executed_notebook"],
        notes=tuple(json.loads(row["notes"])),
        cell_numbers=tuple(json.loads(row["cell_numbers"])),
        observed=json.loads(row["observed"]),
    )


def _failure(content: dict[str, Any]) -> StepFailure:
    return StepFailure(**{**content, "unstorable": tuple(content.get("unstorable", ()))})


def step_run_values(step_run: StepRun) -> dict[str, SqlValue]:
    """Give the columns of a step run; its outputs lie in a table of their own."""
    return {
        "run": step_run.run,
        "step": step_run.step,
        "state": step_run.state.value,
        "key": step_run.key.key if step_run.key else None,
        "attempt": step_run.attempt,
        "started": text_from_time(step_run.started) if step_run.started else None,
        "seconds": step_run.seconds,
        "reason": step_run.reason,
        "unbound": text_from_json(list(step_run.unbound)),
        "failure": text_from_json(asdict(step_run.failure)) if step_run.failure else None,
        "cells": step_run.cells,
        "executed_notebook": step_run.executed_notebook,
        "notes": text_from_json(list(step_run.notes)),
        "cell_numbers": text_from_json(list(step_run.cell_numbers)),
        "observed": text_from_json(step_run.observed),
    }


def key_parts_from_row(row: Row) -> KeyParts:
    """Give the key, taken apart."""
    return KeyParts(key=StepKey(Digest(row["key"])), parts=json.loads(row["parts"]))


def text_from_observed(observed: Observed) -> str:
    """Give the JSON of what a step was seen to depend on."""
    return text_from_json(asdict(observed))


def observed_from_text(text: str) -> Observed:
    """Give what `text_from_observed` wrote."""
    content = json.loads(text)
    return Observed(
        parts=content["parts"],
        files=FileEffects(**{kind: tuple(names) for kind, names in content["files"].items()}),
        # Not in results of before; to have read a file says more than to have found it.
        found=tuple(content.get("found", ())),
        unverified=tuple(content["unverified"]),
        moving=tuple(content["moving"]),
        rewritten=tuple(content["rewritten"]),
    )


def version_from_row(row: Row) -> ArtifactVersion:
    """Give the version; the row carries its `tags`, separated by spaces."""
    summary = json.loads(row["summary"])
    return ArtifactVersion(
        key=ArtifactKey(pipeline=PipelineName(row["pipeline"]), variable=Variable(row["variable"])),
        number=row["number"],
        step=StepName(row["step"]),
        run=RunId(row["run"]),
        created=time_from_text(row["created"]),
        value=StoredValue(
            variable=Variable(row["variable"]),
            bundle=Digest(row["bundle"]),
            member=row["member"],
            content=Digest(row["content"]),
            format=Format(name=row["format"], revision=row["revision"]),
            size=row["size"],
            summary=Summary(**summary),
            definitions=tuple(json.loads(row["definitions"])),
        ),
        tags=tuple(sorted((row["tags"] or "").split())),
    )


def version_values(version: ArtifactVersion) -> dict[str, SqlValue]:
    """Give the columns of a version; its tags lie in a table of their own."""
    value = version.value
    return {
        "pipeline": version.key.pipeline,
        "variable": version.key.variable,
        "number": version.number,
        "step": version.step,
        "run": version.run,
        "created": text_from_time(version.created),
        "bundle": value.bundle,
        "member": value.member,
        "content": value.content,
        "format": value.format.name,
        "revision": value.format.revision,
        "size": value.size,
        "summary": text_from_json(asdict(value.summary)),
        "definitions": text_from_json(list(value.definitions)),
    }
