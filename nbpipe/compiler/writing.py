"""How a step gives names a value: assignments, changes in place, deletions.

Each makes a new version of what the name stands for. Whoever reads the name next needs this step,
and so does whoever reads another name that may reach a changed object.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from nbpipe.compiler.calls import Calls
from nbpipe.compiler.draft import DataBinding, DeletedBinding, Place
from nbpipe.compiler.namespace import Namespace, is_stateful, is_value
from nbpipe.compiler.reading import At, StepReader
from nbpipe.dataflow.mutations import GENERATOR, STATEFUL_MAKERS
from nbpipe.model.flow import Bind, Delete, FunctionFlow, Mutate, Names, Origin, Use
from nbpipe.model.names import Variable


class StepWriter:
    """Writes names for steps."""

    def __init__(self, names: Namespace, *, reader: StepReader, calls: Calls) -> None:
        self._names = names
        self._reader = reader
        self._calls = calls
        # The first name that was given a function made by a call, by the identity of the call.
        self._made_together: dict[int, Variable] = {}

    def bind(self, at: At, event: Bind) -> None:
        """Assign to a name."""
        names, name = self._names, event.name
        origin = self._calls.result(event.origin)
        before = names.lookup(name)
        carries, reads = at.carries, at.reads
        if (names.in_branch or not event.definite) and isinstance(before, DataBinding):
            carries |= before.carries
            reads |= before.reads
        made = DataBinding(
            step=at.step.name,
            version=names.next_version(),
            cell=at.cell,
            line=event.line,
            carries=carries,
            reads=reads - {name},
            flow=event.flow,
            stateful=origin.maker.rsplit(".", 1)[-1] in STATEFUL_MAKERS
            or any(is_stateful(names.lookup(other)) for other in origin.same),
            unstorable=event.definite
            and not names.in_branch
            and (origin.maker == GENERATOR or self._is_unstorable(origin.same | origin.keeps)),
            otherwise=None if event.definite else before,
            kept_by=self._calls.keeper(event.origin),
        )
        self._write(at, name, made)
        siblings = self._siblings(name, event.origin)
        names.connect(name, dataclasses.replace(origin, shares=origin.shares | siblings))

    def mutate(self, at: At, event: Mutate) -> None:
        """Change the object of a name in place, and so whatever else may reach it."""
        names = self._names
        if not is_value(names.lookup(event.name)):
            return
        together = sorted(names.aliases.changed_with(event.name, deep=event.deep))
        carries, reads = at.carries, at.reads
        for name in together:
            # They are stored in one bundle, so whoever loads one needs what any of them needs.
            before = names.lookup(name)
            if isinstance(before, DataBinding):
                carries, reads = carries | before.carries, reads | before.reads
        for name in together:
            before = names.lookup(name)
            if not is_value(before):
                continue
            self._reader.use(at, Use(name=name, line=event.line, guarded=True, deferred=True))
            flow = before.flow if isinstance(before, DataBinding) else None
            changed = DataBinding(
                step=at.step.name,
                version=names.next_version(),
                cell=at.cell,
                line=event.line,
                carries=carries,
                reads=reads - {name},
                flow=flow,
                stateful=is_stateful(before),
                kept_by=before.kept_by if isinstance(before, DataBinding) else None,
                unstorable=self._is_unstorable(
                    {name, *event.keeps, *event.puts} if name == event.name else {name}
                ),
            )
            # Not by way of `Namespace.bind`: where the change is skipped, the object is still this.
            names.bindings[name] = changed
            at.step.writes[name] = at.step.seen[name] = changed.version
        names.aliases.add(event.name, names.objects(event.adds))

    def delete(self, at: At, event: Delete) -> None:
        """Delete a name, or perhaps."""
        names, name = self._names, event.name
        self._reader.use(at, Use(name=name, line=event.line, guarded=True, deferred=True))
        if not event.definite or names.in_branch:
            self.bind(at, Bind(name=name, line=event.line, definite=False))
            return
        names.bind(name, DeletedBinding(cell=at.cell, line=event.line))
        names.explored.pop(name, None)
        names.aliases.forget(name)
        at.step.seen[name] = names.next_version()
        at.step.writes.pop(name, None)

    def change_state(self, at: At, name: Variable, line: int) -> None:
        """Change state of the process: what an earlier step made of it stays, but for that."""
        self._names.states.add(name)
        if self._names.lookup(name) is None:
            self.overwrite(at, name, line, carries=at.carries)
        else:
            self.mutate(at, Mutate(name=name, line=line))

    def overwrite(
        self,
        at: At,
        name: Variable,
        line: int,
        *,
        carries: frozenset[Place] = frozenset(),
        reads: frozenset[Variable] = frozenset(),
    ) -> None:
        """Give a name a value of which no more is known than what it may carry and read."""
        value = DataBinding(
            step=at.step.name,
            version=self._names.next_version(),
            cell=at.cell,
            line=line,
            carries=carries,
            reads=reads - {name},
            # It may be the same as before.
            stateful=is_stateful(self._names.lookup(name)),
            unstorable=self._is_unstorable([name]),
        )
        self._write(at, name, value)

    def store_together(self, variables: Iterable[Variable]) -> None:
        """Values that one step stores may share state: each may need what any of them needs."""
        found = {
            name: binding
            for name in variables
            if isinstance(binding := self._names.bindings.get(name), DataBinding)
        }
        carries = frozenset[Place]().union(*(b.carries for b in found.values()))
        reads = frozenset[Variable]().union(*(b.reads for b in found.values()))
        for name, binding in found.items():
            self._names.bindings[name] = dataclasses.replace(
                binding, carries=carries, reads=reads - {name}
            )

    def _is_unstorable(self, names: Iterable[Variable]) -> bool:
        """Say whether one of the names stands for what nobody can store."""
        return any(
            isinstance(binding := self._names.lookup(name), DataBinding) and binding.unstorable
            for name in names
        )

    def _write(self, at: At, name: Variable, binding: DataBinding) -> None:
        self._names.bind(name, binding)
        at.step.writes[name] = binding.version
        at.step.seen[name] = binding.version

    def _siblings(self, name: Variable, origin: Origin) -> Names:
        """Functions that one call made may share its local variables."""
        for call in origin.calls:
            flow = self._names.flow_of(call.function)
            if isinstance(flow, FunctionFlow) and flow.nested:
                first = self._made_together.setdefault(id(call), name)
                return frozenset({first} - {name})
        return frozenset()
