"""A cell, cut into pieces that can be put in different places: statements with their comments."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from nbpipe.dataflow.analyze import analyze
from nbpipe.dataflow.ipython_syntax import parse
from nbpipe.exporters.scripting.binding import name_facts
from nbpipe.exporters.scripting.cells import PlainCell
from nbpipe.exporters.scripting.names import NameFacts
from nbpipe.model.flow import (
    Bind,
    ClassFlow,
    Event,
    FunctionFlow,
    StarImport,
    Statement,
    StatementKind,
)
from nbpipe.model.names import StepName
from nbpipe.model.notebook import Cell


class Origin(StrEnum):
    """What kind of cell a piece comes from."""

    PARAMETERS = "parameters"
    SETUP = "setup"
    STEP = "step"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """Statements that share lines, usually one, with the comments that belong to them.

    Attributes:
        text: whole lines; only comments where there are no statements.
        gap: blank lines above it in the cell.
        lines: the first and last line of its statements in the cell's source.
        shows: it holds the last expression of a cell, whose value a notebook shows.
    """

    cell: Cell
    origin: Origin
    step: StepName | None
    text: str
    gap: int = 0
    lines: range = range(0)
    statements: tuple[Statement, ...] = ()
    facts: NameFacts = field(default_factory=NameFacts)
    shows: bool = False

    @property
    def kinds(self) -> frozenset[StatementKind]:
        """The kinds of its statements."""
        return frozenset(statement.kind for statement in self.statements)

    @property
    def has_star(self) -> bool:
        """True for `from module import *`."""
        return any(isinstance(event, StarImport) for event in self.events)

    @property
    def events(self) -> Iterator[Event]:
        """What its statements do, and what functions and classes made there do when called."""
        for statement in self.statements:
            for event in statement.events:
                yield event
                match event:
                    case Bind(flow=FunctionFlow(events=inner)):
                        yield from inner
                    case Bind(flow=ClassFlow(methods=methods)):
                        for method in methods.values():
                            yield from method.events
                    case _:
                        pass


def cut(cell: Cell, plain: PlainCell, origin: Origin) -> list[Piece]:
    """Cut a cell that was translated into plain Python."""
    body = parse(plain.text).body
    lines = plain.text.split("\n")
    pieces: list[Piece] = []
    step = cell.tag.step if cell.tag else None
    done = 0

    def comments(first: int, last: int) -> None:
        text, gap = _without_blank_ends(lines[first:last])
        if text:
            pieces.append(Piece(cell=cell, origin=origin, step=step, text=text, gap=gap))

    groups = list(_sharing_lines(body))
    for number, nodes in enumerate(groups, start=1):
        first, last = _first_line(nodes[0]), nodes[-1].end_lineno or nodes[-1].lineno
        start = _first_comment(lines, done, first - 1) if origin is Origin.STEP else done
        comments(done, start)
        text, gap = _without_blank_ends(lines[start:last])
        if start > done:
            _, gap = _without_blank_ends(lines[done:start][::-1])
        begin = plain.first_line + cell.first_line - 1
        pieces.append(
            Piece(
                cell=cell,
                origin=origin,
                step=step,
                text=text,
                gap=gap,
                lines=range(begin + first - 1, begin + last),
                statements=analyze(text).statements,
                facts=name_facts(text),
                shows=plain.shows and number == len(groups) and isinstance(nodes[-1], ast.Expr),
            )
        )
        done = last
    comments(done, len(lines))
    return pieces


def _without_blank_ends(lines: Sequence[str]) -> tuple[str, int]:
    """Give the lines as text, and how many blank ones stood above the first that is not."""
    filled = [number for number, line in enumerate(lines) if line.strip()]
    if not filled:
        return "", len(lines)
    return "\n".join(lines[filled[0] : filled[-1] + 1]), filled[0]


def _sharing_lines(body: Sequence[ast.stmt]) -> Iterator[list[ast.stmt]]:
    group: list[ast.stmt] = []
    for node in body:
        if group and _first_line(node) > (group[-1].end_lineno or 0):
            yield group
            group = []
        group.append(node)
    if group:
        yield group


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _first_comment(lines: Sequence[str], done: int, first: int) -> int:
    """Give where the comment begins that stands right above line index `first`."""
    above = itertools.takewhile(
        lambda index: lines[index].lstrip().startswith("#"), range(first - 1, done - 1, -1)
    )
    return min(above, default=first)
