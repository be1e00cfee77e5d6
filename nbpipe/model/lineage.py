"""Lineage: which versions came from which, by which steps, code, parameters and files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from nbpipe.model.digest import Digest
from nbpipe.model.names import PipelineName, RunId, StepName


class NodeKind(StrEnum):
    """What a node of a lineage stands for."""

    VERSION = "version"
    STEP = "step"
    CODE = "code"
    DEFINITION = "definition"
    PARAMETER = "parameter"
    FILE = "file"
    PACKAGE = "package"
    OTHER = "other"


class Direction(StrEnum):
    """Towards what something was made from, or towards what was made from it."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageNode:
    """A version, a step as it ran under one step key, or something that went into a step.

    Attributes:
        id: unique in its lineage, and the same for the same thing in any other.
        name: how people name it, such as `model@3` or `train`.
        digest: of its content, code, file or step key, where it has one.
        facts: what else is known of it.
    """

    id: str
    kind: NodeKind
    name: str
    digest: Digest | None = None
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageEdge:
    """`source` went into, or made, `target`; `role` says as what, such as `input df`."""

    source: str
    target: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What something was made from, or what was made from it, as a graph.

    Attributes:
        start: ids of the nodes that were asked about.
        nodes: these, and all that can be reached from them.
    """

    start: tuple[str, ...]
    direction: Direction
    nodes: tuple[LineageNode, ...]
    edges: tuple[LineageEdge, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Which step run first made the result of a step key, and when."""

    pipeline: PipelineName
    run: RunId
    step: StepName
