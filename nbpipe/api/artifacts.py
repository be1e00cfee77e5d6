"""Look at artifacts: series, versions, and how two versions differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nbpipe.errors import NotFoundError
from nbpipe.model.artifact import ArtifactVersion
from nbpipe.model.names import PipelineName, Variable, is_state
from nbpipe.store.artifacts import ArtifactStore


def series(
    store: ArtifactStore, variable: Variable | None = None, pipeline: PipelineName | None = None
) -> tuple[ArtifactVersion, ...]:
    """Give versions by pipeline, variable and number; state of the process is left out.

    Raises:
        NotFoundError: there is no artifact called `variable`.
    """
    versions = tuple(
        version
        for version in store.versions(pipeline, variable)
        if not is_state(version.key.variable)
    )
    if variable is not None and not versions:
        known = {v.key.variable for v in store.versions(pipeline)}
        raise NotFoundError.among("artifact", variable, known)
    return versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One fact that differs between two versions; None where one has no such fact."""

    what: str
    before: str | None
    after: str | None


def compare(before: ArtifactVersion, after: ArtifactVersion) -> tuple[Difference, ...]:
    """Say how two versions differ, from their summaries; the values are not loaded."""
    facts = [_facts(version) for version in (before, after)]
    names = list(dict.fromkeys([*facts[0], *facts[1]]))
    return tuple(
        Difference(what=name, before=facts[0].get(name), after=facts[1].get(name))
        for name in names
        if facts[0].get(name) != facts[1].get(name)
    )


def _facts(version: ArtifactVersion) -> dict[str, str]:
    value = version.value
    facts = {"type": value.summary.type, "size": f"{value.size:,} bytes", "step": version.step}
    for name, fact in value.summary.fields.items():
        if isinstance(fact, Mapping):
            facts |= {f"{name} {key}": str(item) for key, item in fact.items()}
        else:
            facts[name] = str(fact)
    return facts
