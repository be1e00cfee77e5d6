"""Questions about a directed graph whose nodes have an order of their own."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)


def topological_order(
    nodes: Sequence[Node], upstream: Mapping[Node, Iterable[Node]]
) -> tuple[Node, ...]:
    """Order `nodes` so that each comes after its `upstream`; ties keep the order of `nodes`.

    Nodes on a cycle, and those behind one, are left out: compare lengths to detect it.
    """
    rank = {node: number for number, node in enumerate(nodes)}
    waiting = {node: len(set(upstream.get(node, ()))) for node in nodes}
    downstream = invert(nodes, upstream)
    ready = [rank[node] for node in nodes if waiting[node] == 0]
    heapify(ready)
    order: list[Node] = []
    while ready:
        node = nodes[heappop(ready)]
        order.append(node)
        for follower in downstream[node]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                heappush(ready, rank[follower])
    return tuple(order)


def invert(
    nodes: Sequence[Node], upstream: Mapping[Node, Iterable[Node]]
) -> dict[Node, tuple[Node, ...]]:
    """Give for each node the nodes that name it as upstream, in the order of `nodes`."""
    downstream: dict[Node, list[Node]] = {node: [] for node in nodes}
    for node in nodes:
        for before in dict.fromkeys(upstream.get(node, ())):
            downstream[before].append(node)
    return {node: tuple(followers) for node, followers in downstream.items()}


def reachable(start: Iterable[Node], neighbours: Mapping[Node, Iterable[Node]]) -> frozenset[Node]:
    """Give `start` and every node that can be reached from it along `neighbours`."""
    seen: set[Node] = set()
    open_nodes = list(start)
    while open_nodes:
        node = open_nodes.pop()
        if node not in seen:
            seen.add(node)
            open_nodes.extend(neighbours.get(node, ()))
    return frozenset(seen)


def find_cycle(nodes: Sequence[Node], upstream: Mapping[Node, Iterable[Node]]) -> tuple[Node, ...]:
    """Give one cycle as a path that ends where it began, or an empty tuple."""
    ordered = set(topological_order(nodes, upstream))
    stuck = [node for node in nodes if node not in ordered]
    if not stuck:
        return ()
    path: list[Node] = [stuck[0]]
    while True:
        # Every stuck node waits for a stuck node, so this walk must come back to itself.
        before = next(node for node in upstream.get(path[-1], ()) if node not in ordered)
        if before in path:
            return (*reversed(path[path.index(before) :]), path[-1])
        path.append(before)
