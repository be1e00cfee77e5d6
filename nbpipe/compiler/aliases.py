"""Which names may reach the same object, followed from statement to statement.

Two relations, both kept closed so that rebinding a name never hides a path through it:

- *peers* are one object, or views of one memory (`b = a`, `v = a[1:]`);
- *parts* are objects held by another (`c = [a, b]`, `x = frame["x"]`). One that was taken out may
  be any of those that were put in.
"""

from __future__ import annotations

from collections.abc import Iterable

from nbpipe.model.names import Variable


class Aliases:
    """The relations as they stand after the statements seen so far."""

    def __init__(self) -> None:
        self._peers: dict[Variable, set[Variable]] = {}
        self._parts: dict[Variable, set[Variable]] = {}
        self._holders: dict[Variable, set[Variable]] = {}
        self._taken_from: dict[Variable, set[Variable]] = {}

    def bind(
        self,
        name: Variable,
        *,
        shares: Iterable[Variable] = (),
        part_of: Iterable[Variable] = (),
        holds: Iterable[Variable] = (),
    ) -> None:
        """`name` now stands for an object that is connected with others like this."""
        peers = {p for other in shares if other != name for p in (other, *self._of(other))}
        peers.discard(name)
        holders = {h for other in part_of for h in self._whole(other)} - {name}
        parts = {p for other in holds for p in self._inside(other)} - {name}
        for peer in peers:
            parts |= self._parts.get(peer, set())
            holders |= self._holders.get(peer, set())
        self.forget(name)
        for peer in peers:
            self._peers.setdefault(peer, set()).add(name)
            self._peers.setdefault(name, set()).add(peer)
        for holder in holders - {name}:
            self._link(holder, name)
            self._taken_from.setdefault(name, set()).add(holder)
        for part in parts - {name}:
            self._link(name, part)

    def add(self, name: Variable, parts: Iterable[Variable]) -> None:
        """The object of `name` now holds the objects of `parts`."""
        inside = {p for part in parts if part != name for p in self._inside(part)}
        for holder in self._whole(name):
            for part in inside - {holder}:
                self._link(holder, part)

    def forget(self, name: Variable) -> None:
        """`name` no longer stands for its object."""
        for peer in self._peers.pop(name, set()):
            self._peers[peer].discard(name)
        for part in self._parts.pop(name, set()):
            self._holders[part].discard(name)
            self._taken_from.get(part, set()).discard(name)
        for holder in self._holders.pop(name, set()):
            self._parts[holder].discard(name)
        self._taken_from.pop(name, None)

    def changed_with(self, name: Variable, *, deep: bool) -> frozenset[Variable]:
        """Give every name whose value may differ once the object of `name` is changed in place.

        Args:
            deep: the change may be inside one of its parts.
        """
        changed = {name, *self._of(name)}
        if deep:
            for one in tuple(changed):
                for part in self._parts.get(one, ()):
                    changed |= {part, *self._of(part)}
        for one in tuple(changed):
            for holder in self._holders.get(one, ()):
                changed.add(holder)
                for other in self._parts[holder]:
                    if holder in self._taken_from.get(one, ()) or (
                        holder in self._taken_from.get(other, ())
                    ):
                        changed |= {other, *self._of(other)}
        return frozenset(changed)

    def together(self, names: Iterable[Variable]) -> list[set[Variable]]:
        """Give those of `names` that may be connected, by way of each other, in groups."""
        waiting = dict.fromkeys(names)
        groups: list[set[Variable]] = []
        while waiting:
            group: set[Variable] = set()
            found = {waiting.popitem()[0]}
            while found:
                name = found.pop()
                group.add(name)
                for other in (
                    *self._of(name),
                    *self._parts.get(name, ()),
                    *self._holders.get(name, ()),
                ):
                    if other in waiting:
                        del waiting[other]
                        found.add(other)
            if len(group) > 1:
                groups.append(group)
        return groups

    def inside(self, name: Variable) -> frozenset[Variable]:
        """Give the names of what the object of `name` holds."""
        return frozenset(self._inside(name) - {name})

    def _of(self, name: Variable) -> set[Variable]:
        return self._peers.get(name, set())

    def _whole(self, name: Variable) -> set[Variable]:
        """Give `name`, its peers and everything that holds them."""
        found = {name, *self._of(name)}
        for one in tuple(found):
            found |= self._holders.get(one, set())
        return found

    def _inside(self, name: Variable) -> set[Variable]:
        """Give `name`, its peers and everything they hold."""
        found = {name, *self._of(name)}
        for one in tuple(found):
            found |= self._parts.get(one, set())
        return found

    def _link(self, holder: Variable, part: Variable) -> None:
        self._parts.setdefault(holder, set()).add(part)
        self._holders.setdefault(part, set()).add(holder)
