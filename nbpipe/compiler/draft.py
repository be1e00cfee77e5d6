"""What is known about the pipeline while it is being compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from nbpipe.model.flow import CellFlow, ClassFlow, FunctionFlow, Statement, StatementKind, Use
from nbpipe.model.names import StepName, Variable
from nbpipe.model.notebook import Cell, StepOptions


class Place(NamedTuple):
    """A statement of the notebook: its cell's position among all cells, its index in the cell."""

    cell: int
    statement: int


@dataclass(eq=False, slots=True, kw_only=True)
class Code:
    """A statement that can be replayed in any later step: an import, a definition, a constant.

    `needs` are the statements that must run before it, `parameters` what it reads of those;
    `siblings` counts the statements of its cell that do anything, itself included.
    """

    place: Place
    cell: Cell
    statement: Statement
    needs: frozenset[Place] = frozenset()
    parameters: frozenset[Variable] = frozenset()
    siblings: int = 0

    @property
    def reads(self) -> frozenset[Variable]:
        """The names that it reads when it runs; not those that what it defines reads later."""
        uses = (each for each in self.statement.events if isinstance(each, Use))
        return frozenset(each.name for each in uses if not each.deferred) | self.parameters

    @property
    def is_definition(self) -> bool:
        """True for functions, classes and imports: code, which no step stores as a value."""
        return self.statement.kind in (StatementKind.DEFINITION, StatementKind.IMPORT)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeBinding:
    """The name stands for what a replayable statement gives it.

    Attributes:
        changed: the statement only changes what the name stood for: `@register` fills a dictionary.
    """

    code: Code
    flow: FunctionFlow | ClassFlow | None = None
    module: str = ""
    changed: bool = False

    @property
    def is_definition(self) -> bool:
        """True for functions, classes and modules, which no step stores as a value."""
        return self.code.is_definition and not self.changed


@dataclass(frozen=True, slots=True, kw_only=True)
class DataBinding:
    """The name stands for a value that a step computes.

    Attributes:
        version: unique to this assignment or change, growing in notebook order.
        carries: definitions that the value may be an instance of, or hold.
        reads: names that functions inside the value read when they are called.
        stateful: the object changes by being used (an iterator, a random generator).
        unstorable: nobody can store it (a generator), so whoever reads it runs in the same kernel.
        otherwise: what the name stands for when the code that assigns it was skipped.
        kept_by: a function that remembers the object as its result.
    """

    step: StepName
    version: int
    cell: Cell
    line: int
    carries: frozenset[Place] = frozenset()
    reads: frozenset[Variable] = frozenset()
    flow: FunctionFlow | ClassFlow | None = None
    stateful: bool = False
    unstorable: bool = False
    otherwise: Binding | None = None
    kept_by: FunctionFlow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterBinding:
    """The name stands for a pipeline parameter."""

    cell: Cell
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedBinding:
    """A step deleted the name."""

    cell: Cell
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputedBinding:
    """The name stands for a value that an untagged cell computes: no step can have it."""

    cell: Cell
    line: int


Binding: TypeAlias = (
    "CodeBinding | DataBinding | ParameterBinding | DeletedBinding | ComputedBinding"
)


@dataclass(slots=True, kw_only=True)
class StepDraft:
    """A step in the making."""

    name: StepName
    options: StepOptions
    cells: list[tuple[int, Cell, CellFlow]] = field(default_factory=list)
    inputs: dict[Variable, DataBinding] = field(default_factory=dict)
    seen: dict[Variable, int] = field(default_factory=dict)
    writes: dict[Variable, int] = field(default_factory=dict)
    code: set[Place] = field(default_factory=set)
    carried: set[Place] = field(default_factory=set)
    parameters: set[Variable] = field(default_factory=set)
    positions: set[int] = field(default_factory=set)

    @property
    def first(self) -> int:
        """Position of its first cell."""
        return self.cells[0][0]

    @property
    def last(self) -> int:
        """Position of its last cell."""
        return self.cells[-1][0]

    def add_cell(self, position: int, cell: Cell, flow: CellFlow) -> None:
        """Add its next cell, which stands at `position` among all cells."""
        self.cells.append((position, cell, flow))
        self.positions.add(position)

    def cells_within(self, other: StepDraft) -> list[Cell]:
        """Give its cells that stand between those of another step."""
        return [cell for at, cell, _ in self.cells if other.first < at < other.last]

    def definitions(self, code: Mapping[Place, Code]) -> frozenset[Place]:
        """Give the functions and classes that it defines."""
        return frozenset(
            place
            for place, each in code.items()
            if self.owns(place) and each.statement.kind is StatementKind.DEFINITION
        )

    def replayed_within(self, code: Mapping[Place, Code], other: StepDraft) -> list[Code]:
        """Give the code that it replays and that stands between the cells of a step."""
        places = sorted(self.code | self.carried)
        return [code[place] for place in places if other.first < place.cell < other.last]

    def owns(self, place: Place) -> bool:
        """Say whether a statement stands in one of its own cells."""
        return place.cell in self.positions
