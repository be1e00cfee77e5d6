"""Which names a step takes from replayed code, and which its cells bind and read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from nbpipe.model.flow import (
    Bind,
    Branch,
    CellFlow,
    ClassFlow,
    Delete,
    FunctionFlow,
    Join,
    Mutate,
    Opaque,
    Statement,
    StatementKind,
    Use,
)
from nbpipe.model.notebook import Cell, Notebook
from nbpipe.model.pipeline import Fragment, FragmentKind, Pipeline, Step

# Statements that run even where a result takes the place of a cell.
REPLAYED: Final = frozenset({StatementKind.IMPORT, StatementKind.DEFINITION})

FlowOf: TypeAlias = Callable[[str], CellFlow]


def setup_fragments(step: Step) -> list[Fragment]:
    """Give the code of other cells that is replayed in a step."""
    return [
        part
        for part in (*step.setup, *step.body)
        if isinstance(part, Fragment) and part.kind is FragmentKind.PRELUDE
    ]


def setup_cells(notebook: Notebook, pipeline: Pipeline, step: Step) -> list[Cell]:
    """Give the cells that the step takes replayed code and parameters from, in notebook order."""
    wanted = {fragment.cell for fragment in setup_fragments(step)}
    wanted |= {each.cell for each in pipeline.parameters if each.name in step.parameters}
    return [cell for cell in notebook.code_cells if cell.id in wanted - {*step.cells}]


def setup_names(
    notebook: Notebook, pipeline: Pipeline, step: Step, flow: FlowOf
) -> Iterator[tuple[str, str]]:
    """Give the names that the step takes from replayed code, with the source of the last binder."""
    sources = {cell.id: cell.source for cell in notebook.code_cells}
    for each in pipeline.parameters:
        if each.name in step.parameters:
            yield each.name, sources[each.cell]
    for fragment in setup_fragments(step):
        if fragment.cell not in step.cells:
            for statement in flow(fragment.source).statements:
                for name in statement.binds:
                    yield name, sources[fragment.cell]


def replayed_cells(pipeline: Pipeline) -> set[str]:
    """Give the cells that some step takes code from without running them."""
    fragments = [part for step in pipeline.steps for part in setup_fragments(step)]
    return {each.cell for each in fragments} | {each.cell for each in pipeline.parameters}


def replayed_names(pipeline: Pipeline, cell: Cell, flow: FlowOf) -> Iterator[str]:
    """Give the names bound in a cell that some step takes from it without running it."""
    yield from (each.name for each in pipeline.parameters if each.cell == cell.id)
    for step in pipeline.steps:
        for fragment in setup_fragments(step):
            if fragment.cell == cell.id:
                for statement in flow(fragment.source).statements:
                    yield from statement.binds


def computed_names(cell: Cell, flow: FlowOf) -> set[str]:
    """Give the names that a cell binds, but for those of imports and definitions."""
    return {
        name
        for statement in flow(cell.body).statements
        if statement.kind not in REPLAYED
        for name in statement.binds
    }


def changed_names(cell: Cell, flow: FlowOf) -> set[str]:
    """Give the names that a cell shows to change in place."""
    return {
        event.name
        for statement in flow(cell.body).statements
        for event in statement.events
        if isinstance(event, Mutate)
    }


def read_names(cell: Cell, flow: FlowOf) -> Iterator[str]:
    """Give the names that a cell may read or change; `*` where it may be any."""
    for statement in flow(cell.body).statements:
        for event in statement.events:
            if isinstance(event, Use | Mutate):
                yield event.name
            elif isinstance(event, Opaque):
                yield "*"
            elif isinstance(event, Bind) and event.flow is not None:
                yield from names_within(event.flow)


class BoundNames:
    """Follows statements, and tells which names they bind for sure, and which they read first.

    Attributes:
        bound: names that have been bound, whichever branches were taken.
    """

    def __init__(self, bound: Iterable[str] = ()) -> None:
        self.bound = {*bound}
        self._read: set[str] = set()
        self._read_within: set[str] = set()
        self._outer: list[set[str]] = []

    @property
    def read_first(self) -> set[str]:
        """Names that may have been read before they were bound."""
        return self._read | (self._read_within - self.bound)

    def follow(self, statements: Iterable[Statement]) -> None:
        """Go through statements."""
        for statement in statements:
            # What a `try` binds its handlers may not find, and both are one branch.
            has_handlers = any(word in statement.source for word in ("except", "case "))
            for event in statement.events:
                match event:
                    case Use(deferred=True):
                        self._read_within.add(event.name)
                    case Use() | Mutate():
                        self._read |= {event.name} - self.bound
                    case Branch():
                        self._outer.append({*self.bound})
                    case Join():
                        self.bound = self._outer.pop() | event.certain
                    case Bind():
                        if event.flow is not None:
                            self._read_within.update(names_within(event.flow))
                        if event.definite and not (self._outer and has_handlers):
                            self.bound.add(event.name)
                    case Delete():
                        self.bound.discard(event.name)
                    case _:
                        pass


def changed_within(flow: FunctionFlow | ClassFlow) -> Iterator[str]:
    """Give the names that functions may change in place when they are called."""
    for function in _functions(flow):
        for event in function.events:
            if isinstance(event, Mutate):
                yield event.name
            if isinstance(event, Bind) and event.flow is not None:
                yield from changed_within(event.flow)


def names_within(flow: FunctionFlow | ClassFlow) -> Iterator[str]:
    """Give the names that functions may read or change when they are called."""
    for function in _functions(flow):
        for event in function.events:
            if isinstance(event, Use | Mutate):
                yield event.name
            elif isinstance(event, Bind) and event.flow is not None:
                yield from names_within(event.flow)


def _functions(flow: FunctionFlow | ClassFlow) -> tuple[FunctionFlow, ...]:
    return (flow,) if isinstance(flow, FunctionFlow) else tuple(flow.methods.values())
