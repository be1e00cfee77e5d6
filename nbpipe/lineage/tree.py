"""A lineage as lines of text, drawn as a tree: what is reached twice is shown once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from nbpipe.model.lineage import Direction, Lineage, LineageEdge, LineageNode, NodeKind

# In this order they stand below a step; what led there, which may be long, comes last.
_ORDER: Final = (
    NodeKind.CODE, NodeKind.DEFINITION, NodeKind.PARAMETER, NodeKind.FILE, NodeKind.OTHER,
    NodeKind.PACKAGE, NodeKind.VERSION, NodeKind.STEP,
)  # fmt: skip
_SHORT: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeLine:
    """A line: the guides that lead to it, what it is, and more to say in a quieter voice."""

    guides: str
    text: str
    remark: str
    kind: NodeKind


def tree_lines(lineage: Lineage) -> tuple[TreeLine, ...]:
    """Draw a lineage; each thing that was asked about is a tree."""
    return tuple(_Tree(lineage).lines())


@dataclass(frozen=True, slots=True)
class _Twig:
    """What hangs below a node: another node, or several that lead no further, on one line."""

    nodes: tuple[LineageNode, ...]
    edge: LineageEdge


class _Tree:
    def __init__(self, lineage: Lineage) -> None:
        self._lineage = lineage
        self._nodes = {node.id: node for node in lineage.nodes}
        self._below: dict[str, list[LineageEdge]] = {}
        self._shown: set[str] = set()
        self._up = lineage.direction is Direction.UP
        self._origin = ""
        for edge in lineage.edges:
            self._below.setdefault(edge.target if self._up else edge.source, []).append(edge)

    def lines(self) -> Iterator[TreeLine]:
        for root in self._lineage.start:
            if root not in self._shown:
                yield from self._tree(self._nodes[root])

    def _tree(self, root: LineageNode) -> Iterator[TreeLine]:
        """Give the lines of a node and all below it. With a stack, since chains may be long."""
        waiting = [(_Twig((root,), LineageEdge(source="", target="", role="")), "", "")]
        while waiting:
            twig, lead, guides = waiting.pop()
            node = twig.nodes[0]
            if len(twig.nodes) > 1:
                yield TreeLine(guides=lead, text=_together(twig.nodes), remark="", kind=node.kind)
                continue
            twigs = self._twigs(node)
            again = node.id in self._shown and bool(twigs)
            self._shown.add(node.id)
            remark = "(see above)" if again else self._remark(node)
            text = self._text(node, twig.edge)
            yield TreeLine(guides=lead, text=text, remark=remark, kind=node.kind)
            if again:
                continue
            for place, below in reversed(list(enumerate(twigs))):
                is_last = place == len(twigs) - 1
                waiting.append(
                    (
                        below,
                        guides + ("└─ " if is_last else "├─ "),
                        guides + ("   " if is_last else "│  "),
                    )
                )

    def _twigs(self, node: LineageNode) -> list[_Twig]:
        by_kind: dict[NodeKind, list[_Twig]] = {}
        for edge in sorted(self._below.get(node.id, ()), key=lambda edge: edge.role):
            other = self._nodes[edge.source if self._up else edge.target]
            by_kind.setdefault(other.kind, []).append(_Twig((other,), edge))
        for kind in (NodeKind.PACKAGE, NodeKind.VERSION):
            by_kind[kind] = self._joined(by_kind.get(kind, []))
        return [twig for kind in _ORDER for twig in by_kind.get(kind, ())]

    def _joined(self, twigs: list[_Twig]) -> list[_Twig]:
        """Put packages, and outputs that went nowhere, on one line."""
        ends = [twig for twig in twigs if not self._up or twig.nodes[0].kind is NodeKind.PACKAGE]
        ends = [twig for twig in ends if not self._below.get(twig.nodes[0].id)]
        if len(ends) <= 1:
            return twigs
        nodes = tuple(node for twig in ends for node in twig.nodes)
        return [*(twig for twig in twigs if twig not in ends), _Twig(nodes, ends[0].edge)]

    def _text(self, node: LineageNode, edge: LineageEdge) -> str:
        match node.kind:
            case NodeKind.STEP:
                return f"{self._relation(edge)}step {node.name}"
            case NodeKind.VERSION:
                variable = str(node.facts["variable"])
                role, _, name = edge.role.partition(" ")
                known = f" as {name}" if role == "input" and name != variable else ""
                return f"{node.name}{known}"
            case NodeKind.PARAMETER:
                return f"parameter {node.name} = {node.facts['value']}"
            case NodeKind.PACKAGE:
                return f"package {_package(node)}"
            case NodeKind.OTHER:
                return f"{node.name}: {node.facts['value']}"
            case NodeKind.CODE | NodeKind.DEFINITION | NodeKind.FILE:
                return f"{node.kind.value} {node.name}"

    def _remark(self, node: LineageNode) -> str:
        if node.kind is not NodeKind.STEP:
            return _remark(node)
        facts = node.facts
        cells = [str(number) for number in _list(facts["cells"])]
        origin = f"of {facts['pipeline']}, run {facts.get('made in run', facts['run'])}"
        if "made in pipeline" in facts:
            origin += f" of {facts['made in pipeline']}"
        said = [f"cell{'s' * (len(cells) > 1)} {', '.join(cells)}"] if cells else []
        if origin != self._origin:
            # Most steps of a tree are of one run: it is named where it changes.
            said.append(origin)
            self._origin = origin
        if "without key" in facts:
            said.append(str(facts["without key"]))
        return ", ".join(said)

    def _relation(self, edge: LineageEdge) -> str:
        if not edge.role:
            return ""
        return "made by " if self._up else "went into "


def _together(nodes: Sequence[LineageNode]) -> str:
    if nodes[0].kind is NodeKind.PACKAGE:
        return f"packages {', '.join(_package(node) for node in nodes)}"
    return ", ".join(node.name for node in nodes)


def _package(node: LineageNode) -> str:
    return f"{node.name} {node.facts['version']}"


def _remark(node: LineageNode) -> str:
    facts = node.facts
    match node.kind:
        case NodeKind.VERSION if facts.get("gone"):
            return f"deleted since; its content had digest {str(node.digest)[:_SHORT]}"
        case NodeKind.VERSION:
            tags = f", {' '.join(map(str, _list(facts['tags'])))}" if facts["tags"] else ""
            return f"{facts['text']}, {_when(str(facts['created']))}{tags}"
        case NodeKind.FILE if facts.get("absent"):
            return "was not there"
        case NodeKind.FILE | NodeKind.DEFINITION:
            return f"digest {str(node.digest)[:_SHORT]}"
        case _:
            return ""


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _when(moment: str) -> str:
    return datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M UTC")
