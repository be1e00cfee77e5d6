"""Decides which variables are handed from function to function, and which are module globals.

Handing on is right only where nobody but the functions themselves looks at a variable. The
others, which notebook functions read, or which may be unbound, stay what they were: globals.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from nbpipe.exporters.scripting.names import NameFacts, joined
from nbpipe.exporters.scripting.pieces import Piece
from nbpipe.exporters.scripting.placing import Placement
from nbpipe.model.flow import Bind, Mutate
from nbpipe.model.names import StepName

# Objects whose end has an effect; as locals they would end with their function.
_ENDING: Final = frozenset(
    """TemporaryDirectory NamedTemporaryFile TemporaryFile SpooledTemporaryFile open connect Popen
    Pool ThreadPoolExecutor ProcessPoolExecutor finalize ref proxy FuncAnimation ArtistAnimation
    SummaryWriter memmap socket""".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What one function of the script runs: a step, a part of one, or setup between steps."""

    step: StepName | None
    pieces: tuple[Piece, ...]
    facts: NameFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The names that cross the border of a unit, in the order in which the notebook binds them."""

    arguments: tuple[str, ...]
    results: tuple[str, ...]
    globals: tuple[str, ...]


def units_of(placement: Placement) -> tuple[Unit, ...]:
    """Join pieces that follow each other and belong to one step."""
    groups: list[tuple[StepName | None, list[Piece]]] = []
    pending: list[Piece] = []
    for piece in placement.functions:
        if piece.step is None:
            pending.append(piece)
            continue
        if groups and groups[-1][0] == piece.step:
            groups[-1][1].extend([*pending, piece])
        else:
            if pending:
                groups.append((None, pending))
            groups.append((piece.step, [piece]))
        pending = []
    return tuple(
        Unit(step=step, pieces=tuple(pieces), facts=joined(piece.facts for piece in pieces))
        for step, pieces in groups
        if any(piece.statements for piece in pieces)
    )


def traffic_of(
    placement: Placement, units: Sequence[Unit], wanted: Iterable[str]
) -> tuple[Traffic, ...]:
    """Settle for each unit what it takes, gives and sets; `wanted` are outputs nobody reads."""
    module_level = _globals_from_the_start(placement, units)
    while True:
        borders, unsure = _borders(units, module_level, frozenset(wanted))
        if not unsure:
            break
        module_level |= unsure
    order = _binding_order(units)
    return tuple(
        Traffic(
            arguments=tuple(sorted(taken, key=order.__getitem__)),
            results=tuple(sorted(given, key=order.__getitem__)),
            globals=tuple(
                sorted(
                    (unit.facts.bound | unit.facts.deleted) & module_level,
                    key=order.__getitem__,
                )
            ),
        )
        for unit, (taken, given) in zip(units, borders, strict=True)
    )


def _globals_from_the_start(placement: Placement, units: Sequence[Unit]) -> set[str]:
    """Give the names that can be no locals, wherever they go."""
    every = joined(piece.facts for piece in (*placement.module, *placement.functions))
    bound = set[str]().union(*(unit.facts.bound | unit.facts.deleted for unit in units))
    if every.sees_all or any(piece.has_star for piece in placement.functions):
        return bound
    found = set[str]()
    for piece in placement.module:
        found |= piece.facts.bound | piece.facts.enclosed
    found |= every.reached | every.deleted | every.declared
    found |= set[str]().union(*(unit.facts.defined for unit in units))
    found |= {
        event.name
        for piece in placement.functions
        for event in piece.events
        if isinstance(event, Bind) and event.origin.maker.rsplit(".", 1)[-1] in _ENDING
    }
    for number, unit in enumerate(units):
        later = set[str]().union(*(other.facts.bound for other in units[number + 1 :]))
        # A lambda sees what its names stand for when it is called, a local only this unit's.
        found |= unit.facts.enclosed & later
    available: set[str] = set()
    for unit in units:
        # Read before anything binds it: a builtin, or a name whose absence is caught.
        found |= (unit.facts.early - available) & bound
        available |= unit.facts.bound
    return found & bound


def _borders(
    units: Sequence[Unit], module_level: set[str], wanted: frozenset[str]
) -> tuple[list[tuple[set[str], set[str]]], set[str]]:
    """Give what each unit takes and gives, and names that may be unbound where they cross."""
    before: list[set[str]] = []
    bound: set[str] = set()
    for unit in units:
        before.append(set(bound))
        bound |= unit.facts.bound - module_level
    live: set[str] = set()
    borders: list[tuple[set[str], set[str]]] = []
    unsure: set[str] = set()
    for number in reversed(range(len(units))):
        facts = units[number].facts
        last_words = {
            name
            for name in wanted & facts.definite
            if not any(name in later.facts.bound for later in units[number + 1 :])
        }
        changed = facts.bound | _changed(units[number])
        given = ((live & changed) | last_words) - module_level
        through = {name for name in given if name not in facts.definite}
        unsure |= through - before[number]
        taken = ((facts.needs - module_level) & before[number]) | (through & before[number])
        borders.append((taken, given))
        live = (live - facts.definite) | taken
    return borders[::-1], unsure


def _changed(unit: Unit) -> set[str]:
    return {
        str(event.name)
        for piece in unit.pieces
        for statement in piece.statements
        for event in statement.events
        if isinstance(event, Mutate) and event.certain
    }


def _binding_order(units: Sequence[Unit]) -> dict[str, int]:
    order: dict[str, int] = {}
    for unit in units:
        for piece in unit.pieces:
            lines = [str(name) for statement in piece.statements for name in statement.binds]
            others = sorted(piece.facts.bound | piece.facts.deleted)
            for name in (*lines, *others):
                order.setdefault(name, len(order))
    return order
