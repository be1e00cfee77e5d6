"""Gives the names in every cell a meaning, in notebook order: which step needs what of which.

One pass, no search: a read takes the last writer before it. What a step reads becomes an input
when another step computed it, and replayed code when it is an import, a definition or a constant.
Start here; then

- `namespace` knows what every name stands for,
- `events` applies what a statement does, by way of `reading`, `writing` and `calls`,
- `replaying` decides which statements later steps run again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from nbpipe.compiler.calls import Calls
from nbpipe.compiler.carrying import definitions_carried, names_kept
from nbpipe.compiler.draft import (
    CodeBinding,
    ComputedBinding,
    ParameterBinding,
    Place,
    StepDraft,
)
from nbpipe.compiler.events import StepEvents, keeps_state
from nbpipe.compiler.findings import Findings
from nbpipe.compiler.namespace import Namespace
from nbpipe.compiler.reading import At
from nbpipe.compiler.replaying import REPLAYABLE, Replayed, Replaying
from nbpipe.dataflow.settings import RANDOM_STREAMS
from nbpipe.model.flow import (
    Bind,
    Call,
    CellFlow,
    ClassFlow,
    Delete,
    FunctionFlow,
    Mutate,
    StarImport,
    Statement,
    StatementKind,
    Use,
)
from nbpipe.model.names import StepName, Variable, is_state, spoken
from nbpipe.model.notebook import Cell, RandomPolicy

# Behind every statement that a cell can have.
_AFTER_ALL: Final = 1_000_000
_STREAMS: Final = frozenset(RANDOM_STREAMS.values())


class Linker:
    """The pass. Feed it every code cell once, in notebook order, by the method for its role.

    Attributes:
        drafts: the steps, in the order of their first cells.
        code: the statements that steps can replay.
        bound_anywhere: the first cell that assigns a name.
        unresolved: reads that found no value.
    """

    def __init__(
        self,
        findings: Findings,
        *,
        random: RandomPolicy,
        learned: Mapping[StepName, Iterable[Variable]],
        read_anywhere: frozenset[Variable],
    ) -> None:
        self._names = Namespace()
        self._names.read_anywhere = read_anywhere
        self._findings = findings
        self._learned = learned
        # Steps that were seen to change what their code does not show, and what that is.
        self._changed_unseen: list[tuple[StepDraft, frozenset[Variable]]] = []
        self._replayed = Replayed()
        self._calls = Calls(self._names, random=random)
        self._replaying = Replaying(
            self._names,
            calls=self._calls,
            replayed=self._replayed,
            findings=findings,
            random=random,
        )
        self.drafts: dict[StepName, StepDraft] = {}
        self.code = self._names.code
        self.bound_anywhere = self._names.bound_anywhere
        self.unresolved = self._names.unresolved
        self._events = StepEvents(
            self._names,
            drafts=self.drafts,
            replayed=self._replayed,
            findings=findings,
            random=random,
        )

    def parameters(self, cell: Cell, names: Iterable[tuple[Variable, int]]) -> None:
        """Take in a cell of parameters: their names, and the lines they stand in."""
        for name, line in names:
            self._names.bindings[name] = ParameterBinding(cell=cell, line=line)
            self._names.bound_anywhere.setdefault(name, cell)

    def prelude_cell(self, position: int, cell: Cell, flow: CellFlow) -> None:
        """Take in a cell whose statements are replayed in every later step that needs them."""
        self._names.note_bound(cell, flow)
        self._replaying.add_prelude(position, cell, flow)

    def is_setup(self, flow: CellFlow) -> bool:
        """Say whether an untagged cell holds nothing but setup, and so is a prelude."""
        return self._replaying.is_setup(flow)

    def exploration_cell(self, position: int, cell: Cell, flow: CellFlow) -> None:
        """Take in an untagged cell: not run, but steps may need its imports and definitions."""
        names = self._names
        names.note_bound(cell, flow)
        self._replaying.warn_of_settings(cell, flow)
        for index, statement in enumerate(flow.statements):
            # A generator is no more than any other value here: steps would share its state.
            is_code = statement.kind in REPLAYABLE - {StatementKind.GENERATOR}
            place = Place(position, index)
            for name in self._replaying.changed_by_defining(statement):
                names.changed_outside[name] = (cell, statement.line)
            code = names.as_code(place, cell, statement) if is_code else None
            for event in statement.events:
                match event:
                    case Bind(name=name, line=line):
                        if code is not None:
                            names.explore_code(code, event)
                            if names.bindings.get(name) is None:
                                self._replaying.connect(event, statement)
                        else:
                            names.explored[name] = ComputedBinding(cell=cell, line=line)
                        names.changed_outside[name] = (cell, line)
                    case Mutate(certain=True) | Delete():
                        self._compute_outside(cell, event)
                    case Call(function=function):
                        called = names.flow_of(function)
                        inside = called.events if isinstance(called, FunctionFlow) else ()
                        for effect in (*self._calls.follow(event), *inside):
                            if isinstance(effect, Mutate) and effect.certain:
                                self._compute_outside(cell, replace(effect, line=statement.line))
                    case _:
                        pass

    def _compute_outside(self, cell: Cell, event: Mutate | Delete) -> None:
        """What an untagged cell changes, no step can have."""
        names = self._names
        names.changed_outside[event.name] = (cell, event.line)
        deep = isinstance(event, Mutate) and event.deep
        for name in names.aliases.changed_with(event.name, deep=deep):
            match names.lookup(name):
                case CodeBinding(code=code, is_definition=False) if code.cell.tag is None:
                    names.explored[name] = ComputedBinding(cell=cell, line=event.line)
                case _:
                    pass

    def skipped_cell(self, cell: Cell, flow: CellFlow) -> None:
        """Take in a cell that its author keeps out of the pipeline."""
        self._names.note_bound(cell, flow)
        for statement in flow.statements:
            for event in statement.events:
                if isinstance(event, Bind) and self._names.lookup(event.name) is None:
                    outside = ComputedBinding(cell=cell, line=event.line)
                    self._names.explored[event.name] = outside

    def step_cell(self, position: int, cell: Cell, flow: CellFlow, draft: StepDraft) -> None:
        """Take in a cell of a step."""
        is_first = not draft.cells
        self.drafts.setdefault(draft.name, draft)
        draft.add_cell(position, cell, flow)
        self._names.note_bound(cell, flow)
        at = self._before_first_statement(position, cell, flow, draft)
        for place in self._replayed.due(draft):
            self._events.reader.need(at, place)
        for state in sorted(self._names.states):
            self._events.reader.use(at, Use(name=state, line=at.line, guarded=True))
        if is_first:
            for name in draft.options.inputs:
                self._declared_input(at._replace(visited=set()), name)
        for index, statement in enumerate(flow.statements):
            self._step_statement(Place(position, index), cell, statement, draft)

    def finish_step(self, draft: StepDraft) -> None:
        """Take what is stored together, and what earlier runs found out, after its last cell."""
        for group in self._names.aliases.together(draft.writes):
            self._events.writer.store_together(group)
        position, cell, flow = draft.cells[-1]
        line = flow.statements[-1].line if flow.statements else 1
        place = Place(position, _AFTER_ALL)
        declared = [n for n in draft.options.outputs if n not in draft.writes]
        learned = sorted(self._learned.get(draft.name, ()))
        at = At(step=draft, cell=cell, place=place, line=line, visited=set())
        for name in (*declared, *learned):
            if is_state(name) and name not in _STREAMS:
                # A module may have been told of the step's functions and classes.
                made = draft.definitions(self.code) if name.startswith("@module.") else frozenset()
                self._events.writer.change_state(
                    at._replace(visited=set(), carries=made), name, line
                )
            else:
                self._events.writer.mutate(
                    at._replace(visited=set()), Mutate(name=name, line=1, deep=True)
                )
        if learned:
            self._events.writer.store_together({*learned, *draft.writes})
            self._fuse_with_users_between(draft, learned)

    def _fuse_with_users_between(self, draft: StepDraft, learned: Sequence[Variable]) -> None:
        """Nobody sees in which cell a step changes something, and others may stand between."""
        together = (self._names.aliases.changed_with(name, deep=True) for name in learned)
        changed = {*learned}.union(*together)
        for other in self.drafts.values():
            # Every step uses the settings.
            met = changed & {*other.seen, *self._names.states}
            if met:
                what = f"changes {spoken(min(met))!r}, which its code does not show"
                self._fuse_if_between(draft, other, what, "uses")
        self._changed_unseen.append((draft, frozenset(changed)))

    def _fuse_with_setup_between(self, draft: StepDraft, changed: Collection[Variable]) -> None:
        """Nor does anybody see whether setup between its cells reads that before or after."""
        for other in self.drafts.values():
            for code in other.replayed_within(self.code, draft) if other is not draft else ():
                met = sorted(code.reads & {*changed})
                if met:
                    self._findings.add(
                        "NBP205",
                        f"step {draft.name!r} changes {met[0]!r}, which its code does not show, "
                        f"and step {other.name!r} needs this cell, which reads it, between the "
                        f"cells of {draft.name!r}; so they run as one.",
                        code.cell,
                        code.statement.line,
                        help=f"To keep them apart, give the later cells of {draft.name!r} another "
                        "name.",
                        fuse={draft.name, other.name},
                    )

    def _fuse_with_readers_between(self, draft: StepDraft) -> None:
        """A step may change a value before it lets the name stand for another one.

        Nobody sees that once the step has ended, and who reads the value meanwhile needs it so.
        """
        rebound = draft.inputs.keys() & draft.writes.keys()
        for other in self.drafts.values() if rebound else ():
            met = sorted(n for n in rebound if other.inputs.get(n) == draft.inputs[n])
            if met:
                what = f"uses {spoken(met[0])!r} and assigns it later"
                self._fuse_if_between(draft, other, what, "reads")

    def _fuse_if_between(self, draft: StepDraft, other: StepDraft, what: str, does: str) -> None:
        """Make one step of two when the second has cells between those of the first."""
        between = other.cells_within(draft)
        if other is draft or not between:
            return
        self._findings.add(
            "NBP205",
            f"step {draft.name!r} {what}, and step {other.name!r} {does} it between its cells; so "
            "they run as one.",
            between[0],
            1,
            help=f"To keep them apart, give the later cells of {draft.name!r} another name.",
            fuse={draft.name, other.name},
        )

    def finish(self) -> None:
        """Report what only shows when every cell is known."""
        for draft in self.drafts.values():
            for name in sorted(self._learned.get(draft.name, ())):
                self._fuse_users_of_definition(draft, name)
            self._fuse_with_readers_between(draft)
        for draft, changed in self._changed_unseen:
            self._fuse_with_setup_between(draft, changed)
        for at, name in self._events.reloads:
            self._fuse_users_of_module(at, name)
        self._replaying.report_lost(self.drafts.values())

    def _fuse_users_of_definition(self, draft: StepDraft, name: Variable) -> None:
        """A function or class that a step was seen to change is another one in every step."""
        definitions = {
            place
            for place, code in self.code.items()
            if code.statement.kind is StatementKind.DEFINITION and name in code.statement.binds
        }
        sets = any(
            isinstance(event, Mutate) and event.name == name
            for place, code in self.code.items()
            if draft.owns(place)
            for event in code.statement.events
        )
        if sets:
            return  # A statement, which later steps repeat.
        for other in self.drafts.values():
            if definitions & {*other.code, *other.carried} and other is not draft:
                steps = (draft.name, other.name)
                keeps_state(self._findings, name, steps, draft.cells[0][1], 1)

    def _fuse_users_of_module(self, at: At, name: Variable) -> None:
        """Names from a module that is loaded again stand for what it had before."""
        modules = {
            module
            for code in self.code.values()
            if name in code.statement.imports
            for module in code.statement.modules
        }
        for other in self.drafts.values():
            places = {*other.code, *other.carried}
            used = [self.code[place].statement for place in places]
            used += [statement for _, _, flow in other.cells for statement in flow.statements]
            is_user = name in other.inputs or any(modules & {*each.modules} for each in used)
            if other is not at.step and is_user:
                self._findings.add(
                    "NBP222",
                    f"step {at.step.name!r} loads module {name!r} again, and step {other.name!r} "
                    "uses it, too; so they run as one.",
                    at.cell,
                    at.line,
                    help="To keep them apart, do not reload: every step loads the module anew.",
                    fuse={at.step.name, other.name},
                )

    def _before_first_statement(
        self, position: int, cell: Cell, flow: CellFlow, draft: StepDraft
    ) -> At:
        """Give where a cell of a step replays settings and reads declared inputs."""
        lines = [statement.line for statement in flow.statements] or [1]
        return At(draft, cell, Place(position, 0), lines[0], visited=set())

    def _declared_input(self, at: At, name: Variable) -> None:
        if self._names.lookup(name) is None:
            self._findings.add(
                "NBP215",
                f"option --in names {name!r}, which no earlier cell gives a value.",
                at.cell,
                1,
                help="Check the spelling.",
            )
        else:
            self._events.reader.use(at, Use(name=name, line=1))

    def _step_statement(
        self, place: Place, cell: Cell, statement: Statement, draft: StepDraft
    ) -> None:
        names = self._names
        at = At(
            step=draft,
            cell=cell,
            place=place,
            line=statement.line,
            visited=set(),
            carries=definitions_carried(statement, names),
            reads=names_kept(statement, names),
        )
        for event in statement.events:
            if isinstance(event, StarImport):
                self._replaying.note_star(cell, event)
        plan = self._replaying.plan(place, cell, statement)
        states = names.states_set(statement)
        for event in statement.events:
            if plan.filled and isinstance(event, Bind) and isinstance(event.flow, ClassFlow):
                # Whoever loads the class makes it once more, and fills them once more.
                self._events.apply(at, event)
                self._events.hold_together(at, event, plan.filled)
            elif plan.code is not None and isinstance(event, Bind):
                names.bind_code(plan.code, event)
                names.aliases.forget(event.name)
                draft.seen[event.name] = names.next_version()
            else:
                self._events.apply(at, event)
        for state in sorted(states):
            self._events.writer.change_state(at, state, statement.line)
        self._replaying.add_from_step(plan, place, cell, statement)
