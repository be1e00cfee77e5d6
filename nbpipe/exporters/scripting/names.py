"""What a piece of a cell does to names, told apart as finely as a function's locals need.

In a notebook every name is a global. In a function it becomes a local, and that is the same only
while nobody else looks: which names a piece reads before it binds them, and which of them
functions, lambdas and strings of code reach, decides about that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class NameFacts:
    """What a piece does to names.

    Attributes:
        needs: read before the piece is sure to have bound them.
        early: read before the piece binds them at all.
        bound: bound, perhaps.
        definite: bound for sure.
        deleted: deleted, perhaps.
        reached: read or changed by functions and classes made here, or looked up in a text.
        rebound: bound by functions and classes made here, when they are called.
        enclosed: read by lambdas and generators made here, perhaps later.
        defined: functions and classes.
        declared: named in a `global` statement outside of functions.
        awaits: has an `await` outside of functions.
        sees_all: looks at the namespace as a whole, or at when its objects end.
    """

    needs: set[str] = field(default_factory=set)
    early: set[str] = field(default_factory=set)
    bound: set[str] = field(default_factory=set)
    definite: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    reached: set[str] = field(default_factory=set)
    rebound: set[str] = field(default_factory=set)
    enclosed: set[str] = field(default_factory=set)
    defined: set[str] = field(default_factory=set)
    declared: set[str] = field(default_factory=set)
    awaits: bool = False
    sees_all: bool = False

    @property
    def mentioned(self) -> set[str]:
        """Every name that occurs."""
        return self.needs | self.bound | self.deleted | self.reached | self.enclosed


def joined(pieces: Iterable[NameFacts]) -> NameFacts:
    """Give the facts of pieces that run one after the other."""
    total = NameFacts()
    for piece in pieces:
        total.needs |= piece.needs - total.definite
        total.early |= piece.early - total.bound
        total.definite |= piece.definite
        total.awaits |= piece.awaits
        total.sees_all |= piece.sees_all
        for name in ("bound", "deleted", "reached", "rebound", "enclosed", "defined", "declared"):
            getattr(total, name).update(getattr(piece, name))
    return total
