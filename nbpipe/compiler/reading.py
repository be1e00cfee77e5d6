"""How a step comes by what it reads: inputs, parameters, and code that it replays.

A value of another step becomes an input; an import, a definition or a constant is replayed, with
all it needs. What comes with a loaded value (its class, say) is replayed, too, but does not count
as the step's own code: that is `carried`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from nbpipe.compiler.draft import (
    Binding,
    Code,
    CodeBinding,
    ComputedBinding,
    DataBinding,
    DeletedBinding,
    ParameterBinding,
    Place,
    StepDraft,
)
from nbpipe.compiler.findings import Findings
from nbpipe.compiler.namespace import Flow, Namespace, Unresolved
from nbpipe.compiler.replaying import Replayed
from nbpipe.model.flow import StatementKind, Use
from nbpipe.model.names import StepName, Variable, is_state, spoken
from nbpipe.model.notebook import Cell

_HISTORY: Final = re.compile(r"_{1,3}|_\d+|_i\d*|_ii|_iii|_ih|_oh|_dh|In|Out")


class At(NamedTuple):
    """The statement at hand, and the step that is to run it.

    Attributes:
        line: its line in the cell; what its functions do elsewhere is reported here.
        visited: the functions followed and the values loaded for this statement, by identity.
        carries, reads: what the values it makes bring along (`carrying`).
        carrying: the step loads a value, and code is needed for that alone.
    """

    step: StepDraft
    cell: Cell
    place: Place
    line: int
    visited: set[int]
    carries: frozenset[Place] = frozenset()
    reads: frozenset[Variable] = frozenset()
    carrying: bool = False


class StepReader:
    """Reads names for steps. `follow` does to a step what a function does that it may call."""

    def __init__(
        self,
        names: Namespace,
        *,
        drafts: Mapping[StepName, StepDraft],
        replayed: Replayed,
        findings: Findings,
        follow: Callable[[At, Flow], None],
    ) -> None:
        self._names = names
        self._drafts = drafts
        self._replayed = replayed
        self._findings = findings
        self._follow = follow
        # The versions for which it is settled what their step hands on.
        self._handed_on: set[int] = set()

    def use(self, at: At, event: Use) -> None:
        """Read a name: give the step what it needs for that, or say why it cannot have it."""
        match self._names.lookup(event.name):
            case CodeBinding(code=code, flow=flow) as binding:
                self.need(at, code.place)
                at.step.seen.setdefault(event.name, 0)
                if code.statement.kind is not StatementKind.IMPORT:
                    by = f"cell {code.cell.number} makes it"
                    self._refuse_changed_outside(at, event, code.cell, by)
                if flow is not None:
                    self._follow(at, flow)
                if binding.changed:
                    # Who reads what a decorator filled may call what was decorated.
                    for made in self._names.flows_at(code.place):
                        self._follow(at, made)
            case DataBinding() as binding:
                self._take(at, event.name, binding)
                self._refuse_changed_outside(
                    at, event, binding.cell, f"step {binding.step!r} makes it"
                )
            case ParameterBinding() as binding:
                self._refuse_changed_outside(at, event, binding.cell, "it is given")
                at.step.parameters.add(event.name)
                at.step.seen.setdefault(event.name, 0)
            case DeletedBinding() as binding:
                if not event.guarded and not event.deferred:
                    self._deleted(at, event, binding)
            case ComputedBinding() as binding:
                if not event.guarded and not at.carrying:
                    self._computed_elsewhere(at, event, binding)
            case None:
                self._find(at, event)

    def need(self, at: At, place: Place) -> None:
        """Replay a statement in the step, and what it needs, unless the step has run it itself."""
        step = at.step
        target = step.carried if at.carrying else step.code
        wanted = [place]
        while wanted:
            here = wanted.pop()
            if here in target or here in step.code:
                continue
            code = self._names.code[here]
            if not step.owns(here):
                target.add(here)
                step.parameters |= code.parameters
                if not at.carrying:
                    step.carried.discard(here)
            elif here == at.place:
                continue
            wanted.extend(code.needs)
            self._import_in_time(at, code)
            # Decorators and base classes act through what is made with them.
            for need in sorted(code.needs):
                for flow in self._names.flows_at(need):
                    self._follow(at, flow)
            wanted.extend(p for p in self._replayed.patches_of(here) if not step.owns(p))

    def _import_in_time(self, at: At, code: Code) -> None:
        """What a module had when a name was imported may not be what it has for this step."""
        for state, then in self._names.states_at_import.get(code.place, {}).items():
            now = at.step.inputs.get(state)
            if now is None or now.version == then.version:
                continue
            owners = [d.name for d in self._drafts.values() if d.owns(code.place)]
            other = owners[0] if owners else then.step
            if other != at.step.name:
                name = spoken(state)
                self._findings.add(
                    "NBP205",
                    f"step {at.step.name!r} uses a name that was imported between two changes of "
                    f"the {name}, the first in step {other!r}; so they run as one.",
                    at.cell,
                    at.line,
                    help="To keep them apart, use it by way of the module: module.name.",
                    fuse={at.step.name, other},
                )

    def _take(self, at: At, name: Variable, binding: DataBinding) -> None:
        """The step reads a computed value."""
        step = at.step
        if binding.otherwise is not None:
            self._take_earlier(at, name, binding)
        if binding.step == step.name:
            if binding.flow is not None:
                self._follow(at, binding.flow)
            return
        seen = step.seen.get(name)
        # Settings need no first value: earlier cells of the step had them as Python begins.
        is_news = name in self._names.states and step.cells[0][1].number < binding.cell.number
        if seen != binding.version and (seen is not None or is_news):
            self._findings.add(
                "NBP205",
                f"step {step.name!r} uses {spoken(name)!r} before and after step {binding.step!r} "
                "changes it; so they run as one.",
                at.cell,
                1,
                help=f"To keep them apart, give the cells of {step.name!r} after "
                f"{binding.step!r} another step name.",
                fuse={step.name, binding.step},
            )
            return
        step.seen[name] = binding.version
        step.inputs.setdefault(name, binding)
        twice = self._defined_twice(binding.carries)
        if twice:
            self._findings.add(
                "NBP205",
                f"step {step.name!r} uses {spoken(name)!r}, which may need {twice!r} as it was "
                f"before and after it was defined again; so it runs as one with {binding.step!r}.",
                at.cell,
                at.line,
                help=f"To keep them apart, give one of the two {twice!r} another name.",
                fuse={step.name, binding.step},
            )
        if binding.carries or binding.flow or binding.reads:
            self._load(at._replace(carrying=True), binding)

    def _defined_twice(self, carried: frozenset[Place]) -> Variable | None:
        """Give a name that stands for two of these definitions: stored values know only names."""
        names: set[Variable] = set()
        for place in carried:
            statement = self._names.code[place].statement
            # Implementations that are registered with a function are often called `_`.
            if statement.kind is StatementKind.DEFINITION and statement.binds != ("_",):
                again = names.intersection(statement.binds)
                if again:
                    return min(again)
                names.update(statement.binds)
        return None

    def _load(self, at: At, binding: DataBinding) -> None:
        """Give the step what comes with a value that it loads."""
        if id(binding) in at.visited:
            return  # What is stored together may read each other.
        at.visited.add(id(binding))
        for place in sorted(binding.carries):
            self.need(at, place)
            for flow in self._names.flows_at(place):
                self._follow(at, flow)
        if binding.flow is not None:
            self._follow(at, binding.flow)
        for read in sorted(binding.reads):
            self.use(at, Use(name=read, line=at.line, guarded=True, deferred=True))

    def _take_earlier(self, at: At, name: Variable, binding: DataBinding) -> None:
        """A step that assigns the name may leave it alone: then it hands on what was before."""
        chain: list[tuple[DataBinding, Binding]] = []
        earlier: Binding | None = binding
        while (
            isinstance(earlier, DataBinding)
            and earlier.otherwise is not None
            and earlier.version not in self._handed_on
        ):
            self._handed_on.add(earlier.version)
            chain.append((earlier, earlier.otherwise))
            earlier = earlier.otherwise
        for after, before in reversed(chain):
            maker = self._drafts[after.step]
            seen = maker.seen.pop(name, None)
            match before:
                case DataBinding(carries=carries) if before.step != after.step:
                    # The maker only loads the value and stores it: it calls nothing of it.
                    maker.inputs.setdefault(name, before)
                    if carries:
                        loading = at._replace(step=maker, carrying=True)
                        for place in sorted(carries):
                            self.need(loading, place)
                case CodeBinding(code=code):
                    self.need(at._replace(step=maker), code.place)
                case ParameterBinding():
                    maker.parameters.add(name)
                case _:
                    pass
            if seen is not None:
                maker.seen[name] = seen

    # Names without a value.

    def _find(self, at: At, event: Use) -> None:
        """Read a name that nothing is seen to bind."""
        names = self._names
        if is_state(event.name) or names.is_builtin(event.name):
            return
        if event.name in names.broken:
            return
        maker = names.opaque_step
        if maker is not None:
            if maker.name != at.step.name:
                binding = DataBinding(
                    step=maker.name, version=names.next_version(), cell=at.cell, line=event.line
                )
                names.bindings[event.name] = binding
                self._take(at, event.name, binding)
        elif names.is_provided(event):
            pass
        elif not event.deferred and _HISTORY.fullmatch(event.name):
            self._findings.add(
                "NBP206",
                f"{event.name!r} is the history of an interactive session; a pipeline has none.",
                at.cell,
                event.line,
                help="Give the value a name where it is computed, and use that.",
            )
        else:
            names.unresolved.append(
                Unresolved(at.step, at.cell, event.line, event.name, event.deferred)
            )

    def _deleted(self, at: At, event: Use, binding: DeletedBinding) -> None:
        where = f"cell {binding.cell.number}, line {binding.line + binding.cell.first_line - 1}"
        self._findings.add(
            "NBP203",
            f"{event.name!r} was deleted in {where}, before it is read here.",
            at.cell,
            event.line,
            help=f"Remove the `del {event.name}`, or this use of it.",
        )

    def _computed_elsewhere(self, at: At, event: Use, binding: ComputedBinding) -> None:
        cell = binding.cell
        skipped = "skipped" if cell.tag else "untagged"
        self._findings.add(
            "NBP202",
            f"step {at.step.name!r} needs {event.name!r}, which is computed in {skipped} cell "
            f"{cell.number}, line {binding.line + cell.first_line - 1}.",
            at.cell,
            event.line,
            help=f"Tag cell {cell.number} as a step: %%step NAME on its first line.",
        )

    def _refuse_changed_outside(self, at: At, event: Use, maker: Cell, made: str) -> None:
        outside = self._names.changed_outside.get(event.name)
        if outside is None:
            return
        cell, line = outside
        if maker.number < cell.number < at.cell.number:
            self._findings.add(
                "NBP210",
                f"step {at.step.name!r} reads {event.name!r} as {made}, but untagged cell "
                f"{cell.number}, line {line + cell.first_line - 1}, changes it before, and is not "
                "run.",
                at.cell,
                event.line,
                help=f"Tag cell {cell.number} as a step: %%step NAME on its first line; or "
                "%%skip, if its change should not count.",
            )
