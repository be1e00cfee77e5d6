"""A directed graph → SVG in layers, from top to bottom; readable on light and on dark pages.

After Sugiyama: nodes are put into layers, edges that cross layers become chains of waypoints, each
layer is ordered so that few edges cross, then everything moves sideways towards its neighbours.
The label of an edge is a waypoint too, so that nothing runs through it.

Own code: other layout engines are programs to install, or far larger than this.
"""

from __future__ import annotations

import random
from bisect import bisect, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Final

_CHARACTER: Final = 6.9  # of the sans-serif faces that browsers take, at 13 px
_NODE_HEIGHT: Final = 34.0
_LINE_HEIGHT: Final = 16.0
_GAP: Final = 26.0
_LAYER_GAP: Final = 22.0
_MARGIN: Final = 8.0
_ROUNDS: Final = 12
_STARTS: Final = 60
_MOVES: Final = 300
# Large graphs get less of both, so that a drawing takes a second or two at most.
_WORK: Final = 6_000

# Greys in the middle have contrast on white and on black.
_STYLE: Final = """
  .step rect { fill: #dbeafe; stroke: #3b82f6; }
  .step text { fill: #1e293b; font-weight: 600; }
  .edge { fill: none; stroke: #7d8590; stroke-width: 1.4; }
  .tip { fill: #7d8590; }
  .label { fill: #6e7781; }
  text { font: 13px ui-sans-serif, system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
         text-anchor: middle; }
  @media (prefers-color-scheme: dark) {
    .step rect { fill: #1e3a5f; stroke: #60a5fa; }
    .step text { fill: #f1f5f9; }
    .label { fill: #9aa4af; }
  }
"""
_STATES: Final = """
  .succeeded .shape { fill: #dcfce7; stroke: #16a34a; }
  .reused .shape { fill: #e0f2fe; stroke: #0284c7; stroke-dasharray: 5 3; }
  .failed .shape { fill: #fee2e2; stroke: #dc2626; stroke-width: 2.4; }
  .skipped .shape, .cancelled .shape { fill: #fef3c7; stroke: #b45309; }
  .running .shape, .pending .shape { fill: #f1f5f9; stroke: #64748b; stroke-dasharray: 2 3; }
  @media (prefers-color-scheme: dark) {
    .succeeded .shape { fill: #14321f; stroke: #4ade80; }
    .reused .shape { fill: #0c2d42; stroke: #38bdf8; }
    .failed .shape { fill: #450a0a; stroke: #f87171; }
    .skipped .shape, .cancelled .shape { fill: #3a2a06; stroke: #fbbf24; }
    .running .shape, .pending .shape { fill: #1e293b; stroke: #94a3b8; }
  }
"""
_TIP: Final = (
    '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker>'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnStep:
    """How a step is drawn: `state` chooses its shape and colour, none is the plain one.

    Attributes:
        href: where it leads when it is clicked.
        title: said of it when it is pointed at, and read aloud.
    """

    state: str = ""
    href: str = ""
    title: str = ""


_PLAIN: Final = DrawnStep()
_MARKS: Final = {
    "succeeded": "✓ ", "reused": "= ", "failed": "✗ ", "skipped": "– ", "cancelled": "– ",
    "running": "… ", "pending": "… ",
}  # fmt: skip


@dataclass(eq=False)
class _Spot:
    """A step, the label of an edge, or a bend in one."""

    layer: int
    width: float
    height: float
    lines: tuple[str, ...] = ()
    step: DrawnStep | None = None
    x: float = 0.0
    y: float = 0.0
    above: list[_Spot] = field(default_factory=list)
    below: list[_Spot] = field(default_factory=list)


def drawing(
    steps: Sequence[str],
    labels: Mapping[tuple[str, str], Sequence[str]],
    *,
    title: str,
    drawn: Mapping[str, DrawnStep] | None = None,
) -> str:
    """Draw steps, one at least, in topological order; `labels` has each edge's lines of text."""
    looks = drawn or {}
    layer = layers_of(steps, labels)
    spots = {}
    for name in steps:
        look = looks.get(name, _PLAIN)
        text = _MARKS.get(look.state, "") + name
        width = _width([text]) + (34 if look.state else 22)
        spots[name] = _Spot(2 * layer[name], width, _NODE_HEIGHT, (text,), step=look)
    chains = [_chain(spots[a], spots[b], tuple(lines)) for (a, b), lines in sorted(labels.items())]
    layers: list[list[_Spot]] = [[] for _ in range(2 * max(layer.values(), default=0) + 1)]
    for spot in dict.fromkeys([*spots.values(), *(spot for chain in chains for spot in chain)]):
        layers[spot.layer].append(spot)
    _order(layers)
    _place(layers)
    return _svg(layers, chains, title)


def layers_of(steps: Sequence[str], edges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Give for each step, in topological order, how many steps must come before it in a row."""
    upstream: dict[str, list[str]] = {step: [] for step in steps}
    for above, below in edges:
        upstream[below].append(above)
    layer: dict[str, int] = {}
    for step in steps:
        layer[step] = max((layer[above] for above in upstream[step]), default=-1) + 1
    return layer


def _width(lines: Iterable[str]) -> float:
    return max(len(line) for line in lines) * _CHARACTER


def _chain(start: _Spot, end: _Spot, lines: tuple[str, ...]) -> list[_Spot]:
    """Join two steps by way of one spot a layer; the first of them carries the label."""
    chain = [start]
    for layer in range(start.layer + 1, end.layer):
        has_label = bool(lines) and layer == start.layer + 1
        spot = _Spot(layer, 6.0, _LINE_HEIGHT)
        if has_label:
            spot = _Spot(layer, _width(lines) + 6, len(lines) * _LINE_HEIGHT + 4, lines)
        chain.append(spot)
    chain.append(end)
    for upper, lower in pairwise(chain):
        upper.below.append(lower)
        lower.above.append(upper)
    return chain


def _order(layers: list[list[_Spot]]) -> None:
    """Sort each layer by the places of neighbours, from many starts; keep the fewest crossings."""
    chance = random.Random(1)  # noqa: S311 - the same drawing each time.
    best = [list(layer) for layer in layers]
    fewest = _crossings(best)
    for start in range(_effort(_STARTS, layers)):
        if not fewest:
            break
        if start:
            for layer in layers:
                chance.shuffle(layer)
        for number in range(_ROUNDS):
            down = number % 2 == 0
            rank = {spot: position for row in layers for position, spot in enumerate(row)}
            for layer in layers if down else reversed(layers):
                layer.sort(key=lambda s: _mean(rank, s.above if down else s.below, rank[s]))
                rank |= {spot: position for position, spot in enumerate(layer)}
        if (found := _crossings(layers)) < fewest:
            best, fewest = [list(layer) for layer in layers], found
    layers[:] = best


def _mean(rank: Mapping[_Spot, int], spots: Sequence[_Spot], otherwise: float) -> float:
    return sum(rank[spot] for spot in spots) / len(spots) if spots else otherwise


def _crossings(layers: list[list[_Spot]]) -> int:
    count = 0
    for upper, lower in pairwise(layers):
        rank = {spot: position for position, spot in enumerate(lower)}
        # An edge crosses those that start further left and end further right.
        ends: list[int] = []
        for spot in upper:
            mine = [rank[other] for other in spot.below]
            count += sum(len(ends) - bisect(ends, end) for end in mine)
            for end in mine:
                insort(ends, end)
    return count


def _effort(most: int, layers: list[list[_Spot]]) -> int:
    return max(1, min(most, _WORK * most // 60 // max(1, sum(map(len, layers)))))


def _place(layers: list[list[_Spot]]) -> None:
    y = _MARGIN
    for layer in layers:
        height = max(spot.height for spot in layer)
        x = 0.0
        for spot in layer:
            spot.x, spot.y = x + spot.width / 2, y + height / 2
            x += spot.width + _GAP
        y += height + _LAYER_GAP
    for number in range(max(20, _effort(_MOVES, layers))):
        for layer in layers if number % 2 else reversed(layers):
            _move(layer)
    left = min(spot.x - spot.width / 2 for layer in layers for spot in layer)
    for layer in layers:
        for spot in layer:
            spot.x = round(spot.x - left + _MARGIN, 1)


def _move(layer: list[_Spot]) -> None:
    """Move spots halfway to their neighbours, then push apart those that are too near."""
    for spot in layer:
        # Long edges should be straight, so a bend weighs more than a step.
        weights = [(n.x, _weight(spot) * _weight(n)) for n in (*spot.above, *spot.below)]
        if weights:
            total = sum(weight for _, weight in weights)
            spot.x += (sum(x * weight for x, weight in weights) / total - spot.x) / 2
    for _ in range(8):
        for left, right in pairwise(layer):
            overlap = left.x + (left.width + right.width) / 2 + _GAP - right.x
            if overlap > 0:
                share = _weight(left) / (_weight(left) + _weight(right))
                left.x -= overlap * (1 - share)
                right.x += overlap * share


def _weight(spot: _Spot) -> float:
    if spot.step is not None:
        return 1.0
    return 2.0 if spot.lines else 4.0


def _svg(layers: list[list[_Spot]], chains: list[list[_Spot]], title: str) -> str:
    spots = [spot for layer in layers for spot in layer]
    width = max(spot.x + spot.width / 2 for spot in spots) + _MARGIN
    height = max(spot.y + spot.height / 2 for spot in spots) + _MARGIN
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    has_states = any(spot.step is not None and spot.step.state for spot in spots)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}{_STATES if has_states else ''}</style>",
        f"<defs>{_TIP}</defs>",
    ]
    parts += [line for chain in chains for line in _edge(chain)]
    parts += [_text(spot) for spot in spots if spot.lines]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _edge(chain: list[_Spot]) -> list[str]:
    """Draw a curve from text to text: it ends above a label and goes on below it."""
    ends = [position for position, spot in enumerate(chain) if spot.lines]
    return [_curve(chain[start : end + 1]) for start, end in pairwise(ends)]


def _curve(spots: list[_Spot]) -> str:
    first, *bends, last = spots
    points = [
        (first.x, first.y + first.height / 2),
        *((bend.x, bend.y) for bend in bends),
        (last.x, last.y - last.height / 2),
    ]
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for number, ((x1, y1), (x2, y2)) in enumerate(pairwise(points)):
        (sx, sy), (ex, ey) = _slope(points, number), _slope(points, number + 1)
        path += f"C{x1 + sx:.1f} {y1 + sy:.1f} {x2 - ex:.1f} {y2 - ey:.1f} {x2:.1f} {y2:.1f}"
    tip = ' marker-end="url(#tip)"' if last.step is not None else ""
    return f'<path class="edge" d="{path}"{tip}/>'


def _slope(points: list[tuple[float, float]], number: int) -> tuple[float, float]:
    """Give a third of the way that the curve takes at a point: straight down at its ends."""
    if number == 0:
        return 0.0, (points[1][1] - points[0][1]) / 2
    if number == len(points) - 1:
        return 0.0, (points[-1][1] - points[-2][1]) / 2
    (x1, y1), (x2, y2) = points[number - 1], points[number + 1]
    return (x2 - x1) / 6, (y2 - y1) / 6


def _text(spot: _Spot) -> str:
    if spot.step is not None:
        return _step(spot, spot.step)
    first = spot.y - (len(spot.lines) - 1) * _LINE_HEIGHT / 2
    return "\n".join(
        f'<text class="label" x="{spot.x:.1f}" y="{first + number * _LINE_HEIGHT:.1f}" '
        f'dy="0.35em">'
        f"{escape(line)}</text>"
        for number, line in enumerate(spot.lines)
    )


def _step(spot: _Spot, look: DrawnStep) -> str:
    kind = f"step {look.state}".rstrip()
    text = f'<text x="{spot.x:.1f}" y="{spot.y:.1f}" dy="0.35em">{escape(spot.lines[0])}</text>'
    title = f"<title>{escape(look.title)}</title>" if look.title else ""
    drawn = f'<g class="{escape(kind)}">{title}{_shape(spot, look.state)}{text}</g>'
    return f'<a href="{escape(look.href)}">{drawn}</a>' if look.href else drawn


def _shape(spot: _Spot, state: str) -> str:
    """Tell states apart by shape, too: not everybody sees the colours."""
    left, top = spot.x - spot.width / 2, spot.y - spot.height / 2
    right, bottom = left + spot.width, top + spot.height
    match state:
        case "failed":  # Cut corners, as a stop sign has.
            cut = 9
            points = [
                (left + cut, top), (right - cut, top), (right, top + cut), (right, bottom - cut),
                (right - cut, bottom), (left + cut, bottom), (left, bottom - cut),
                (left, top + cut),
            ]  # fmt: skip
        case "skipped" | "cancelled":  # A flag that nobody raised.
            cut = 10
            points = [(left + cut, top), (right, top), (right - cut, bottom), (left, bottom)]
        case _:
            radius = {"": 6, "reused": 0}.get(state, 15)
            return (
                f'<rect class="shape" x="{left:.1f}" y="{top:.1f}" width="{spot.width:.1f}" '
                f'height="{spot.height:.1f}" rx="{radius}"/>'
            )
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polygon class="shape" points="{corners}"/>'
