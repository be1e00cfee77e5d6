"""Runs → the graph of what was made from what.

A run says exactly how its versions came about: every step in it, made or reused, has a step key;
the key's parts name the code, the parameters, the files, the packages and, by the digests of their
content, the inputs; and another step of the same run has that content among its outputs. So each
run is followed within itself, and no guess about time or names is needed. Steps with the same key
are one node, in whatever run: same key, same causes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from nbpipe.model.artifact import ArtifactVersion
from nbpipe.model.digest import Digest
from nbpipe.model.graph import reachable
from nbpipe.model.lineage import Direction, Lineage, LineageEdge, LineageNode, Maker, NodeKind
from nbpipe.model.names import PipelineName, StepName, Variable, spoken
from nbpipe.model.run import Run, StepKey, StepRun

# Parts of a key that are facts about the step rather than things that other steps have, too.
_OF_THE_STEP: Final = frozenset({"format", "seed policy"})
_KINDS: Final = {
    "definition": NodeKind.DEFINITION,
    "parameter": NodeKind.PARAMETER,
    "file": NodeKind.FILE,
    "package": NodeKind.PACKAGE,
}
# As `runner.step_key` writes them, which lies above this package.
_UNBOUND: Final = "unbound"
_ABSENT: Final = "absent"


class LineageGraph:
    """The graph of some runs, to be asked in both directions."""

    def __init__(self, runs: Iterable[Run], makers: Mapping[StepKey, Maker]) -> None:
        """Take runs, the earliest first, and who first made the results of their step keys."""
        self.nodes: dict[str, LineageNode] = {}
        self._edges: dict[tuple[str, str, str], LineageEdge] = {}
        self._makers = makers
        for run in runs:
            self._add_run(run)

    def trace(self, start: Iterable[str], direction: Direction) -> Lineage:
        """Give what can be reached from the nodes with these ids, which must be there."""
        asked = tuple(dict.fromkeys(start))
        following: dict[str, list[str]] = {name: [] for name in self.nodes}
        for edge in self._edges.values():
            source, target = edge.source, edge.target
            if direction is Direction.UP:
                source, target = target, source
            following[source].append(target)
        found = reachable(asked, following)
        return Lineage(
            start=asked,
            direction=direction,
            nodes=tuple(node for name, node in self.nodes.items() if name in found),
            edges=tuple(
                edge
                for edge in self._edges.values()
                if edge.source in found and edge.target in found
            ),
        )

    def handed_on(self) -> Iterator[tuple[StepName, StepName, Variable]]:
        """Give which step made what which other step read: upstream, downstream, variable."""
        makers: dict[str, list[str]] = {}
        for edge in self._edges.values():
            if self.nodes[edge.source].kind is NodeKind.STEP:
                makers.setdefault(edge.target, []).append(edge.source)
        for edge in self._edges.values():
            kind, _, variable = edge.role.partition(" ")
            if kind == "input":
                for maker in makers.get(edge.source, ()):
                    yield (
                        StepName(self.nodes[maker].name),
                        StepName(self.nodes[edge.target].name),
                        Variable(variable),
                    )

    def _add_run(self, run: Run) -> None:
        made: dict[tuple[Variable, Digest], list[tuple[int, ArtifactVersion]]] = {}
        for place, step_run in enumerate(run.steps):
            for variable, version in step_run.outputs.items():
                known = made.setdefault((variable, version.value.content), [])
                known.append((place, version))
        for place, step_run in enumerate(run.steps):
            if not step_run.state.is_good:
                continue
            step = self._add(self._step_node(run, step_run))
            for node, role in _causes(step_run):
                self._join(self._add(node), step, role)
            for variable, content in _inputs(step_run):
                read = _input_version(made.get((variable, content), ()), place)
                gone = _gone_node(run.pipeline, variable, content)
                source = self._add(version_node(read) if read else gone)
                self._join(source, step, f"input {variable}")
            for variable, version in step_run.outputs.items():
                self._join(step, self._add(version_node(version)), f"output {variable}")

    def _add(self, node: LineageNode) -> str:
        self.nodes.setdefault(node.id, node)
        return node.id

    def _join(self, source: str, target: str, role: str) -> None:
        edge = LineageEdge(source=source, target=target, role=role)
        self._edges.setdefault((source, target, role), edge)

    def _step_node(self, run: Run, step_run: StepRun) -> LineageNode:
        key = step_run.key
        facts: dict[str, object] = {
            "pipeline": run.pipeline,
            "run": run.id,
            "notebook": run.notebook,
            "cells": list(step_run.cell_numbers),
            "seconds": step_run.seconds,
        }
        if step_run.started is not None:
            facts["started"] = step_run.started.isoformat()
        if key is None:
            # Nobody keeps the key of a step that was run by hand.
            facts["without key"] = step_run.reason or "no step key was kept"
            return LineageNode(
                id=f"step:{run.pipeline}/{step_run.step}@{run.id}",
                kind=NodeKind.STEP,
                name=step_run.step,
                facts=facts,
            )
        maker = self._makers.get(key.key)
        if maker is not None and maker.run != run.id:
            facts["made in run"] = maker.run
            if maker.pipeline != run.pipeline:
                facts["made in pipeline"] = maker.pipeline
        facts |= {name: text for name, text in key.parts.items() if name in _OF_THE_STEP}
        return LineageNode(
            id=f"step:{run.pipeline}/{step_run.step}@{key.key}",
            kind=NodeKind.STEP,
            name=step_run.step,
            digest=key.key,
            facts=facts,
        )


def version_node(version: ArtifactVersion) -> LineageNode:
    """Give the node of a version."""
    return LineageNode(
        id=f"version:{version.key.pipeline}/{version.reference}",
        kind=NodeKind.VERSION,
        name=version_name(version.key.variable, version.number),
        digest=version.value.content,
        facts={
            "pipeline": version.key.pipeline,
            "variable": version.key.variable,
            "number": version.number,
            "type": version.value.summary.type,
            "text": version.value.summary.text,
            "size": version.value.size,
            "created": version.created.isoformat(),
            "tags": list(version.tags),
        },
    )


def version_name(variable: Variable, number: int) -> str:
    """Give a version as people know it."""
    return f"{spoken(variable)}@{number}"


def _gone_node(pipeline: PipelineName, variable: Variable, content: Digest) -> LineageNode:
    name = spoken(variable)
    return LineageNode(
        id=f"gone:{pipeline}/{variable}#{content}",
        kind=NodeKind.VERSION,
        name=name,
        digest=content,
        facts={"pipeline": pipeline, "variable": variable, "gone": True},
    )


def _causes(step_run: StepRun) -> Iterator[tuple[LineageNode, str]]:
    """Give what went into a step besides its inputs."""
    parts = {**step_run.key.parts, **step_run.observed} if step_run.key else {}
    for name, text in sorted(parts.items()):
        kind, _, rest = name.partition(" ")
        if kind == "code" and not rest:
            yield _node(NodeKind.CODE, text[:12], Digest(text), text), "code"
        elif name == "python":
            yield _package("python", text), "python"
        elif kind == "package":
            yield _package(rest, text), name
        elif kind in _KINDS:
            yield _part_node(_KINDS[kind], rest, text), name
        elif kind != "input" and name not in _OF_THE_STEP:
            yield _node(NodeKind.OTHER, name, None, f"{name}={text}", value=text), name


def _part_node(kind: NodeKind, name: str, text: str) -> LineageNode:
    if kind is NodeKind.PARAMETER:
        return _node(kind, name, None, f"{name}={text}", value=text)
    if text == _ABSENT:
        return _node(kind, name, None, f"{name}#{text}", absent=True)
    return _node(kind, name, Digest(text), f"{name}#{text}")


def _package(name: str, version: str) -> LineageNode:
    return _node(NodeKind.PACKAGE, name, None, f"{name}=={version}", version=version)


def _node(
    kind: NodeKind, name: str, digest: Digest | None, key: str, **facts: object
) -> LineageNode:
    return LineageNode(id=f"{kind}:{key}", kind=kind, name=name, digest=digest, facts=facts)


def _inputs(step_run: StepRun) -> Iterator[tuple[Variable, Digest]]:
    for name, text in sorted(step_run.key.parts.items()) if step_run.key else ():
        kind, _, variable = name.partition(" ")
        if kind == "input" and text != _UNBOUND:
            yield Variable(variable), Digest(text.split(" ", 1)[0])


def _input_version(
    made: Iterable[tuple[int, ArtifactVersion]], place: int
) -> ArtifactVersion | None:
    """Give the version that a step read: the last one of this content that another step made.

    Steps stand in the order in which they ended, and a step starts when those before it have.
    """
    before = [version for at, version in made if at < place]
    after = [version for at, version in made if at > place]
    return next(reversed(before or after), None)
