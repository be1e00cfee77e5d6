"""A directed graph → SVG in layers, from top to bottom; readable on light and on dark pages.

After Sugiyama: nodes are put into layers, edges that cross layers become chains of waypoints, each
layer is ordered so that few edges cross, then everything moves sideways towards its neighbours.
The label of an edge is a waypoint too, so that nothing runs through it.
"""

from __future__ import annotations

import random
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
_TIP: Final = (
    '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker>'
)


@dataclass(eq=False)
class _Spot:
    """A step, the label of an edge, or a bend in one."""

    layer: int
    width: float
    height: float
    lines: tuple[str, ...] = ()
    is_step: bool = False
    x: float = 0.0
    y: float = 0.0
    above: list[_Spot] = field(default_factory=list)
    below: list[_Spot] = field(default_factory=list)


def drawing(
    steps: Sequence[str], labels: Mapping[tuple[str, str], Sequence[str]], *, title: str
) -> str:
    """Draw steps, given in topological order; `labels` has the lines of text of each edge."""
    layer: dict[str, int] = {}
    for step in steps:
        before = [layer[a] for a, b in labels if b == step]
        layer[step] = max(before, default=-2) + 2
    spots = {
        step: _Spot(layer[step], _width([step]) + 22, _NODE_HEIGHT, (step,), is_step=True)
        for step in steps
    }
    chains = [_chain(spots[a], spots[b], tuple(lines)) for (a, b), lines in sorted(labels.items())]
    layers: list[list[_Spot]] = [[] for _ in range(max(layer.values()) + 1)]
    for spot in dict.fromkeys([*spots.values(), *(spot for chain in chains for spot in chain)]):
        layers[spot.layer].append(spot)
    _order(layers)
    _place(layers)
    return _svg(layers, chains, title)


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
    for start in range(_STARTS):
        if start:
            for layer in layers:
                chance.shuffle(layer)
        for number in range(_ROUNDS):
            down = number % 2 == 0
            for layer in layers if down else reversed(layers):
                rank = {spot: position for row in layers for position, spot in enumerate(row)}
                layer.sort(key=lambda s: _mean(rank, s.above if down else s.below, rank[s]))
        if _crossings(layers) < _crossings(best):
            best = [list(layer) for layer in layers]
    layers[:] = best


def _mean(rank: Mapping[_Spot, int], spots: Sequence[_Spot], otherwise: float) -> float:
    return sum(rank[spot] for spot in spots) / len(spots) if spots else otherwise


def _crossings(layers: list[list[_Spot]]) -> int:
    count = 0
    for upper, lower in pairwise(layers):
        rank = {spot: position for position, spot in enumerate(lower)}
        ends = [(a, rank[b]) for a, spot in enumerate(upper) for b in spot.below]
        count += sum(a < c and d < b for a, b in ends for c, d in ends)
    return count


def _place(layers: list[list[_Spot]]) -> None:
    y = _MARGIN
    for layer in layers:
        height = max(spot.height for spot in layer)
        x = 0.0
        for spot in layer:
            spot.x, spot.y = x + spot.width / 2, y + height / 2
            x += spot.width + _GAP
        y += height + _LAYER_GAP
    for number in range(_MOVES):
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
    if spot.is_step:
        return 1.0
    return 2.0 if spot.lines else 4.0


def _svg(layers: list[list[_Spot]], chains: list[list[_Spot]], title: str) -> str:
    spots = [spot for layer in layers for spot in layer]
    width = max(spot.x + spot.width / 2 for spot in spots) + _MARGIN
    height = max(spot.y + spot.height / 2 for spot in spots) + _MARGIN
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
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
    tip = ' marker-end="url(#tip)"' if last.is_step else ""
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
    if spot.is_step:
        x, y = spot.x - spot.width / 2, spot.y - spot.height / 2
        return (
            f'<g class="step"><rect x="{x:.1f}" y="{y:.1f}" width="{spot.width:.1f}" '
            f'height="{spot.height:.1f}" rx="6"/>'
            f'<text x="{spot.x:.1f}" y="{spot.y:.1f}" dy="0.35em">{escape(spot.lines[0])}</text>'
            "</g>"
        )
    first = spot.y - (len(spot.lines) - 1) * _LINE_HEIGHT / 2
    return "\n".join(
        f'<text class="label" x="{spot.x:.1f}" y="{first + number * _LINE_HEIGHT:.1f}" '
        f'dy="0.35em">'
        f"{escape(line)}</text>"
        for number, line in enumerate(spot.lines)
    )
