"""Lineage: what a version was made from, and what was made from a version, file or parameter."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nbpipe.errors import ConfigurationError, NotFoundError
from nbpipe.lineage.tracing import LineageGraph, version_node
from nbpipe.model.lineage import Direction, Lineage, LineageNode, NodeKind
from nbpipe.model.names import PipelineName, StepName
from nbpipe.model.run import Run
from nbpipe.store.artifacts import ArtifactStore

_KINDS: Final = "artifact|file|parameter|package|code|definition|step"
_PREFIXED: Final = re.compile(rf"({_KINDS}):(.+)\Z", re.DOTALL)
_FEWEST_DIGITS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """Something that lineage can be asked of: the runs that tell of it, and its nodes there."""

    kind: str
    runs: Callable[[Direction], tuple[Run, ...]]
    is_meant: Callable[[LineageNode], bool]


def trace(
    store: ArtifactStore,
    reference: str,
    *,
    pipeline: PipelineName | None = None,
    direction: Direction | None = None,
) -> Lineage:
    """Say where something came from, or what came from it, from the facts in the store alone.

    `reference` is `model`, `model@7` or `model@production`; a file, as steps name it or as a path
    from here; a parameter, `alpha` or `alpha=0.5`; a step; a distribution, `pandas` or
    `pandas==2.2.3`; or six digits or more of the digest of code. Where it could be several of
    these, `file:…`, `parameter:…` and so on say which. Files, parameters, packages and code are
    traced down, to what was made from them; the rest up. With `direction` it is as said.

    Raises:
        NotFoundError: the store knows nothing of that name.
        ConfigurationError: the name means several things.
    """
    found = _subjects(store, reference, pipeline)
    kinds = list(dict.fromkeys(subject.kind for subject in found))
    if len(kinds) > 1:
        raise ConfigurationError(
            f"{reference!r} is the name of {' and of '.join(_with_article(k) for k in kinds)}.",
            hint=f"Say which: {' or '.join(f'{kind}:{reference}' for kind in kinds)}.",
        )
    [subject] = found
    return _trace(store, subject, direction, pipeline)


def _trace(
    store: ArtifactStore,
    subject: _Subject,
    direction: Direction | None,
    pipeline: PipelineName | None,
) -> Lineage:
    usual = Direction.UP if subject.kind in {"artifact", "step"} else Direction.DOWN
    towards = direction or usual
    runs = subject.runs(towards)
    if pipeline is not None:
        runs = tuple(run for run in runs if run.pipeline == pipeline)
    keys = {step.key.key for run in runs for step in run.steps if step.key is not None}
    graph = LineageGraph(runs, store.makers_of(sorted(keys)))
    start = [node.id for node in graph.nodes.values() if subject.is_meant(node)]
    return graph.trace(start, towards)


def _subjects(
    store: ArtifactStore, reference: str, pipeline: PipelineName | None
) -> list[_Subject]:
    prefixed = _PREFIXED.match(reference)
    if prefixed is not None and prefixed[1] == "artifact":
        return [_artifact(store, prefixed[2], pipeline)]
    parts = store.parts_of_keys()
    kind, name = (prefixed[1], prefixed[2]) if prefixed else (None, reference)
    found = [*_matching_parts(store, parts, name), *_steps(store, name, pipeline)]
    found = [subject for subject in found if kind in (None, subject.kind)]
    if prefixed:
        if not found:
            known = _known_names(store, parts, prefixed[1])
            raise NotFoundError.among(prefixed[1], name, known, where=f"in {store.root}")
        return found
    try:
        return [_artifact(store, reference, pipeline), *found]
    except NotFoundError as error:
        if found:
            return found
        variable = reference.split("@", 1)[0]
        names = {v.key.variable for v in store.versions(pipeline)}
        if variable in names:
            raise
        known = {n for k in ("file", "parameter", "package") for n in _known_names(store, parts, k)}
        raise NotFoundError.among(
            "artifact, file, parameter, step or package",
            reference,
            [*(n for n in names if not n.startswith("@")), *known],
            where=f"in {store.root}",
        ) from error


def _artifact(store: ArtifactStore, reference: str, pipeline: PipelineName | None) -> _Subject:
    version = store.find_version(reference, pipeline)
    wanted = version_node(version).id

    def runs(direction: Direction) -> tuple[Run, ...]:
        if direction is Direction.DOWN:
            return store.runs_with_version(version)
        # The run that made it says how; later ones may have made the same in another way.
        return (store.run(version.run),)

    return _Subject(
        kind="artifact",
        runs=runs,
        is_meant=lambda node: node.id == wanted,
    )


def _steps(store: ArtifactStore, name: str, pipeline: PipelineName | None) -> list[_Subject]:
    runs = store.runs_with_step(StepName(name))
    if not [run for run in runs if pipeline in (None, run.pipeline)]:
        return []
    return [
        _Subject(
            kind="step",
            runs=lambda _: runs,
            is_meant=lambda node: node.kind is NodeKind.STEP and node.name == name,
        )
    ]


def _matching_parts(
    store: ArtifactStore, parts: Iterable[tuple[str, str]], wanted: str
) -> list[_Subject]:
    by_kind: dict[str, list[tuple[str, str]]] = {}
    for part in parts:
        kind, _, name = part[0].partition(" ")
        if part[0] == "python":
            kind, name = "package", "python"
        if _is_part(store, kind, name, part[1], wanted):
            by_kind.setdefault(kind, []).append(part)
    return [_part_subject(store, kind, tuple(found)) for kind, found in by_kind.items()]


def _part_subject(store: ArtifactStore, kind: str, parts: tuple[tuple[str, str], ...]) -> _Subject:
    wanted = {(name.partition(" ")[2] or name, value) for name, value in parts}

    def is_meant(node: LineageNode) -> bool:
        if node.kind.value != kind:
            return False
        if node.kind is NodeKind.CODE:
            return ("code", str(node.digest)) in wanted
        value = node.facts.get("value") or node.facts.get("version") or node.digest or "absent"
        return (node.name, str(value)) in wanted

    return _Subject(
        kind=kind, runs=lambda _direction: store.runs_with_part(parts), is_meant=is_meant
    )


def _is_part(store: ArtifactStore, kind: str, name: str, value: str, wanted: str) -> bool:
    match kind:
        case "parameter":
            return wanted in {name, f"{name}={value}"}
        case "package":
            return wanted in {name, f"{name}=={value}"}
        case "definition":
            return wanted == name
        case "code" if not name:
            return len(wanted) >= _FEWEST_DIGITS and value.startswith(wanted.lower())
        case "file":
            path, _, digest = wanted.rpartition("@")
            return _is_file(store, name, wanted) or (
                len(digest) >= _FEWEST_DIGITS
                and value.startswith(digest)
                and _is_file(store, name, path)
            )
        case _:
            return False


def _is_file(store: ArtifactStore, name: str, wanted: str) -> bool:
    """Say whether a name in a key means a file: as written, or as a path from here."""
    if not wanted:
        return False
    # A store lies beside its notebook, unless somebody has put it elsewhere.
    there = os.path.normpath(store.root.parent / os.path.expanduser(name))  # noqa: PTH111
    here = os.path.normpath(Path.cwd() / os.path.expanduser(wanted))  # noqa: PTH111
    return name == wanted or Path(name).as_posix() == Path(wanted).as_posix() or there == here


def _known_names(store: ArtifactStore, parts: Iterable[tuple[str, str]], kind: str) -> set[str]:
    if kind == "step":
        return {step.step for run in store.runs(limit=100) for step in run.steps}
    if kind == "code":
        return {value[:12] for name, value in parts if name == "code"}
    split = (name.partition(" ") for name, _ in parts)
    return {name for found, _, name in split if found == kind and name}


def _with_article(kind: str) -> str:
    return f"{'an' if kind == 'artifact' else 'a'} {kind}"
