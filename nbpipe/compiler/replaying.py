"""Which statements later steps run again: setup, settings and patches.

Imports, definitions and constants are replayed where a step needs what they bind. A setting binds
nothing, so every later step replays it; a change of a class or a module that a step makes is
replayed together with what it changes. Seeds of random streams are needed by whoever draws.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final, NamedTuple

from nbpipe.compiler.calls import Calls
from nbpipe.compiler.draft import (
    Code,
    CodeBinding,
    ComputedBinding,
    DataBinding,
    DeletedBinding,
    Place,
    StepDraft,
)
from nbpipe.compiler.findings import Findings
from nbpipe.compiler.namespace import Namespace, is_definition, is_value
from nbpipe.dataflow.settings import (
    RANDOM_STREAMS,
    acts_when_imported,
    is_passing,
    is_repeatable,
    is_setting,
    seeds_all,
)
from nbpipe.model.flow import (
    Bind,
    Call,
    CellFlow,
    ClassFlow,
    Mutate,
    Opaque,
    StarImport,
    Statement,
    StatementKind,
    Use,
)
from nbpipe.model.names import StepName, Variable, is_state
from nbpipe.model.notebook import Cell, RandomPolicy

REPLAYABLE: Final = frozenset(
    {
        StatementKind.IMPORT,
        StatementKind.DEFINITION,
        StatementKind.CONSTANT,
        StatementKind.GENERATOR,
    }
)
_INERT: Final = frozenset({StatementKind.TEXT, StatementKind.NOTHING})


class Replayed:
    """The statements that later steps replay although they do not name what these bind."""

    def __init__(self) -> None:
        self._all: list[tuple[Place, Place | None]] = []
        self._patches: dict[Place, list[Place]] = {}
        self._given: dict[StepName, int] = {}

    def add_setting(self, place: Place) -> None:
        """Replay a statement in every later step."""
        self._all.append((place, None))

    def add_patch(self, place: Place, *, of: Place) -> None:
        """Replay a statement in the steps that replay the definition it changes."""
        self._all.append((place, of))
        self._patches.setdefault(of, []).append(place)

    def patches_of(self, place: Place) -> Sequence[Place]:
        """Give the statements that change what the code at a place defines."""
        return self._patches.get(place, ())

    def due(self, draft: StepDraft) -> Iterator[Place]:
        """Give what the next cell of a step must replay first, but what earlier cells did."""
        given = self._given.get(draft.name, 0)
        self._given[draft.name] = len(self._all)
        for place, patched in islice(self._all, given, None):
            if not draft.owns(place) and (patched is None or patched in draft.code):
                yield place


class Plan(NamedTuple):
    """What later steps replay of a step's statement.

    Attributes:
        code: the statement, when it only imports or defines.
        is_setting: every later step replays it.
        is_lost_setting: it sets something, but not what could be set again elsewhere.
        patched: the definition or module that it changes.
        is_repeatable: replaying such a change does the same again, and no more.
        filled: values that the bases of a class change when it is made, also where it is loaded.
    """

    code: Code | None
    is_setting: bool
    is_lost_setting: bool
    patched: Code | None
    is_repeatable: bool
    filled: frozenset[Variable]


class Replaying:
    """Decides what is replayed, and writes it to `replayed`."""

    def __init__(
        self,
        names: Namespace,
        *,
        calls: Calls,
        replayed: Replayed,
        findings: Findings,
        random: RandomPolicy,
    ) -> None:
        self._names = names
        self._calls = calls
        self._replayed = replayed
        self._findings = findings
        self._random = random
        self._lost_settings: list[tuple[Place, Cell, Statement]] = []
        self._lost_patches: list[tuple[Place, Cell, Statement, Code]] = []

    # Cells of setup.

    def is_setup(self, flow: CellFlow) -> bool:
        """Say whether an untagged cell holds nothing but setup."""
        own: set[Variable] = set()
        modules: dict[str, str] = {}
        for statement in flow.statements:
            if statement.kind in _INERT:
                continue
            modules.update(statement.imports)
            if statement.kind is StatementKind.DEFINITION:
                modules.update({name: name for name in statement.binds})
            for event in statement.events:
                if isinstance(event, Bind) and (path := self._names.settable(event, modules)):
                    modules[event.name] = path
            sets = self._names.sets_something(statement, modules)
            if statement.kind not in REPLAYABLE and not (
                sets or self._only_sets_modules(statement, modules)
            ):
                return False
            for event in statement.events:
                match event:
                    case Use(deferred=False) if event.name not in own:
                        binding = self._names.lookup(event.name)
                        if isinstance(binding, DataBinding | ComputedBinding | DeletedBinding):
                            return False
                        if binding is None and not self._names.is_provided(event):
                            return False
                    case Opaque():
                        return False
                    case _:
                        pass
            if any(self._is_computed(name) for name in self.changed_by_defining(statement)):
                return False
            own.update(statement.binds)
        return True

    def changed_by_defining(self, statement: Statement) -> frozenset[Variable]:
        """Name what a definition changes when it runs; nothing for other statements."""
        if statement.kind is not StatementKind.DEFINITION:
            return frozenset()
        return self._calls.changed_by_defining(statement)

    def _is_computed(self, name: Variable) -> bool:
        return isinstance(self._names.lookup(name), DataBinding | ComputedBinding)

    def add_prelude(self, position: int, cell: Cell, flow: CellFlow) -> None:
        """Make the statements of a cell available to later steps."""
        siblings = sum(s.kind not in _INERT for s in flow.statements)
        for index, statement in enumerate(flow.statements):
            if statement.kind in _INERT:
                continue
            code = self._names.as_code(Place(position, index), cell, statement, siblings)
            if code is None:
                self._refuse(cell, statement)
            else:
                self._add(code)

    def warn_of_settings(self, cell: Cell, flow: CellFlow) -> None:
        """Report settings in an untagged cell that is not run, because of what else it holds."""
        sets_something = self._names.sets_something
        other = next(
            (
                s
                for s in flow.statements
                if s.kind not in REPLAYABLE | _INERT and not sets_something(s)
            ),
            None,
        )
        if other is None:
            return
        modules: dict[str, str] = {}
        for statement in flow.statements:
            modules.update(statement.imports)
            if sets_something(statement, modules) and statement.target != "%load_ext":
                self._findings.add(
                    "NBP218",
                    f"`{_first_line(statement)}` has no effect in the pipeline: "
                    f"this untagged cell also computes something (line {other.line}), so it is "
                    "not run.",
                    cell,
                    statement.line,
                    help="Move settings and seeds to a cell of their own, or tag it %%prelude.",
                )

    def _add(self, code: Code) -> None:
        """Bind what a statement of a prelude binds; what binds nothing is a setting."""
        names, statement = self._names, code.statement
        touched: list[Variable] = []
        for event in statement.events:
            match event:
                case Bind(name=name):
                    names.bind_code(code, event)
                    self.connect(event, statement)
                    touched.append(name)
                case Mutate(name=name):
                    touched += self._chain(name, code)
                    names.aliases.add(name, names.objects(event.adds))
                case Call():
                    touched += self._chain_stream(event, code)
                case StarImport():
                    self.note_star(code.cell, event)
                case _:
                    pass
        for place in self._imports_told(statement):
            self._replayed.add_patch(code.place, of=place)
        by_defining = self.changed_by_defining(statement)
        for name in sorted(by_defining - {*touched}):
            touched += self._chain(name, code)
        changed = [n for n in self._changed_roots(statement, {}) if self._is_own(n)]
        changed += sorted(name for name in by_defining - {*changed} if self._is_own(name))
        for name in changed:
            binding = names.lookup(name)
            if isinstance(binding, CodeBinding) and binding.code.place != code.place:
                self._replayed.add_patch(code.place, of=binding.code.place)
        if changed and not by_defining:
            return
        is_stream = any(map(is_state, touched))
        sets = names.sets_something(statement) or (
            statement.kind not in REPLAYABLE and self._only_sets_modules(statement, {})
        )
        binds_all = (
            touched
            and not sets
            and not _stars(statement)
            and not self._is_imported_for_effect(statement)
        )
        if not binds_all and not is_stream:
            self._replayed.add_setting(code.place)

    def connect(self, event: Bind, statement: Statement) -> None:
        """Note what objects of other names a constant is, or may hold: who changes one, changes it.

        Constructors may keep what they are given, and no run sees that in steps that make only
        one of the two.
        """
        names = self._names
        origin = self._calls.result(event.origin)
        used = {e.name for e in statement.events if isinstance(e, Use) and not e.deferred}
        joined = _joined(statement) & used
        used = (used - joined).union(*(names.aliases.inside(each) for each in joined))
        names.connect(event.name, replace(origin, holds=origin.holds | used - {event.name}))

    def _imports_told(self, statement: Statement) -> Iterator[Place]:
        """Give the imports of modules that may note what is defined: by decorators or bases."""
        if statement.kind is not StatementKind.DEFINITION:
            return
        paths: set[str] = set()
        for event in statement.events:
            match event:
                case Call(function=function):
                    paths.add(function)
                case Bind(flow=ClassFlow(bases=bases)):
                    paths.update(bases)
                case _:
                    pass
        roots = (self._names.lookup(Variable(path.partition(".")[0])) for path in paths if path)
        told = {
            root.module.partition(".")[0]
            for root in roots
            if isinstance(root, CodeBinding) and root.module and acts_when_imported(root.module)
        }
        for binding in self._names.bindings.values() if told else ():
            if isinstance(binding, CodeBinding) and binding.module.partition(".")[0] in told:
                yield binding.code.place

    def _refuse(self, cell: Cell, statement: Statement) -> None:
        reader = next(
            e
            for e in statement.events
            if isinstance(e, Use)
            and isinstance(self._names.lookup(e.name), DataBinding | ComputedBinding)
        )
        self._findings.add(
            "NBP208",
            f"the prelude reads {reader.name!r}, which is computed elsewhere.",
            cell,
            reader.line,
            help="Make this cell a step, or move the value into the prelude.",
        )
        self._names.broken.update(statement.binds)

    def _chain(self, name: Variable, code: Code) -> list[Variable]:
        """A statement changed what an earlier one made: whoever needs it needs both."""
        binding = self._names.lookup(name)
        if not isinstance(binding, CodeBinding) or is_definition(binding):
            return []
        code.needs |= {binding.code.place} - {code.place}
        self._names.bindings[name] = CodeBinding(
            code=code, flow=binding.flow, changed=code.is_definition
        )
        return [name]

    def _chain_stream(self, call: Call, code: Code) -> list[Variable]:
        """A statement seeded a random stream, or all, or drew from one that was seeded."""
        if self._random is RandomPolicy.PER_STEP:
            return []
        if seeds_all(self._names.canonical(call.function)):
            streams = [*RANDOM_STREAMS.values()]
            self._names.bindings |= dict.fromkeys(streams, CodeBinding(code=code))
            return streams
        touched = self._names.stream_touched(call.function)
        if touched is None:
            return []
        stream, seeds = touched
        before = self._names.bindings.get(stream)
        if not seeds and before is None:
            return []
        if isinstance(before, CodeBinding) and not seeds:
            code.needs |= {before.code.place}
        self._names.bindings[stream] = CodeBinding(code=code)
        return [stream]

    # Statements of steps.

    def plan(self, place: Place, cell: Cell, statement: Statement) -> Plan:
        """Say what later steps replay of a statement, as names stand before it."""
        names = self._names
        sets = names.must_repeat(statement)
        is_carried = bool(names.states_set(statement))
        patched = None if sets or is_carried else self._patched(statement)
        is_code = statement.kind in (StatementKind.IMPORT, StatementKind.DEFINITION)
        is_repeatable = (patched is not None or sets) and self._is_repeatable(statement)
        code = None
        acts = any(
            is_value(names.lookup(name)) or names.lookup(name) is None
            for name in self.changed_by_defining(statement)
        )
        if (is_code and not acts) or is_repeatable:
            code = names.as_code(place, cell, statement)
        return Plan(
            code=code if is_code else None,
            is_setting=code is not None
            and (
                sets or (is_code and (_stars(statement) or self._is_imported_for_effect(statement)))
            ),
            is_lost_setting=sets and code is None,
            patched=patched,
            is_repeatable=code is not None and is_repeatable,
            filled=self._calls.changed_by_bases(statement) if acts else frozenset(),
        )

    def add_from_step(self, plan: Plan, place: Place, cell: Cell, statement: Statement) -> None:
        """Make a statement that a step has run available to other steps, as planned."""
        if plan.is_setting:
            self._replayed.add_setting(place)
        if plan.is_lost_setting:
            self._lost_settings.append((place, cell, statement))
        if plan.patched is None:
            return
        kind = plan.patched.statement.kind
        if not plan.is_repeatable and kind is StatementKind.IMPORT:
            self._findings.add(
                "NBP220",
                f"this changes the module "
                f"{next(iter(plan.patched.statement.binds), Variable('it'))!r}; later steps do "
                "not see the change.",
                cell,
                statement.line,
                help="If they need it, put it in a cell of its own, as a plain assignment.",
            )
        elif not plan.is_repeatable:
            self._lost_patches.append((place, cell, statement, plan.patched))
        elif kind is StatementKind.IMPORT:
            self._replayed.add_setting(place)
        else:
            self._replayed.add_patch(place, of=plan.patched.place)

    def report_lost(self, drafts: Collection[StepDraft]) -> None:
        """Report what cannot be made again in later steps that would have seen it.

        Settings are seen by all later steps, a changed definition by those that use it.
        """
        for place, cell, statement in self._lost_settings:
            later = [draft.name for draft in drafts if draft.last > place.cell]
            self._report_lost(
                "NBP219",
                f"`{_first_line(statement)}` sets something from a computed value, which later "
                "steps cannot repeat",
                (cell, statement),
                later,
                help="use a constant or a parameter",
            )
        for place, cell, statement, patched in self._lost_patches:
            name = next(iter(patched.statement.binds), Variable("it"))
            users = [
                draft.name
                for draft in drafts
                if draft.last > place.cell and patched.place in draft.code | draft.carried
            ]
            self._report_lost(
                "NBP207",
                f"this changes {name!r} itself, a {patched.statement.kind.value}, in a way that "
                "cannot be repeated in later steps",
                (cell, statement),
                users,
                help="assign a constant in a statement of its own, or keep the value in a variable",
            )

    def _report_lost(
        self,
        code: str,
        message: str,
        place: tuple[Cell, Statement],
        seen_by: Iterable[StepName],
        *,
        help: str,
    ) -> None:
        cell, statement = place
        own = cell.tag.step if cell.tag else None
        others = [name for name in seen_by if name != own]
        if own is not None and others:
            self._findings.add(
                code,
                f"{message}; so {', '.join(others)} and {own} run as one.",
                cell,
                statement.line,
                help=f"To keep them apart, {help}.",
                fuse={own, *others},
            )

    def note_star(self, cell: Cell, event: StarImport) -> None:
        """Report a star import, which is replayed in every later step."""
        self._names.has_star = True
        self._findings.add(
            "NBP212",
            f"`from {event.module} import *` may bind any name; it is replayed in every later "
            "step.",
            cell,
            event.line,
            help="Import the names you use.",
        )

    def _is_imported_for_effect(self, statement: Statement) -> bool:
        """Say whether this imports what nobody names: then importing it is the point.

        `import hvplot.pandas` is one of those, too: what counts is the module below.
        """
        for name, module in statement.imports.items():
            is_below = f"import {name}." in statement.source
            if acts_when_imported(module) and (is_below or name not in self._names.read_anywhere):
                return True
        return False

    def _patched(self, statement: Statement) -> Code | None:
        """Give the definition or module that this statement changes, if it does."""
        for name in self._changed_roots(statement, {}):
            binding = self._names.lookup(name)
            if is_definition(binding) and not self._names.whole_namespace(name):
                return binding.code
        return None

    def _only_sets_modules(self, statement: Statement, modules: Mapping[str, str]) -> bool:
        """Say whether a branch or a loop only sets things of modules (`modules`: not yet bound)."""
        roots = list(self._changed_roots(statement, modules))
        return (
            bool(roots)
            and all(
                name in modules or self._is_module(name) or self._is_own(name) for name in roots
            )
            and self._is_repeatable(statement, modules)
        )

    def _is_own(self, name: Variable) -> bool:
        """Say whether the name stands for a function or class of the notebook."""
        binding = self._names.lookup(name)
        return (
            isinstance(binding, CodeBinding)
            and binding.code.statement.kind is StatementKind.DEFINITION
        )

    def _is_module(self, name: Variable) -> bool:
        binding = self._names.lookup(name)
        return (
            isinstance(binding, CodeBinding)
            and binding.code.statement.kind is StatementKind.IMPORT
            and not self._names.whole_namespace(name)
        )

    def _changed_roots(
        self, statement: Statement, modules: Mapping[str, str]
    ) -> Iterator[Variable]:
        """Name what a statement changes by assignment to an attribute, `setattr`, or a setting."""
        for event in statement.events:
            match event:
                case Mutate(name=name, stores=True):
                    yield name
                case Call(function=function) if is_setting(
                    self._names.canonical(function, modules)
                ):
                    yield Variable(function.partition(".")[0])
                case Call(function="setattr", positional=(first, *_)):
                    yield from sorted(first)
                case Call(function=function, method="register") if function.count(".") == 1:
                    yield Variable(function.partition(".")[0])
                case Mutate(name=name, deep=True, certain=True) if self._is_own(name):
                    yield name
                case _:
                    pass

    def _is_repeatable(
        self, statement: Statement, modules: Mapping[str, str] | None = None
    ) -> bool:
        """Say whether a statement may run again elsewhere, and does there what it did here."""
        for event in statement.events:
            match event:
                case Opaque():
                    return False
                case Call(function=function, method=method):
                    name = self._names.canonical(function, modules) or method
                    if is_passing(name):
                        return False
                    if not (statement.target or is_setting(name) or is_repeatable(name)):
                        return False
                case _:
                    pass
        return True


def _joined(statement: Statement) -> frozenset[Variable]:
    """Name what `a + b` makes a new list of: that holds what they hold, and not them."""
    if statement.kind is not StatementKind.CONSTANT or "+" not in statement.source:
        return frozenset()
    match ast.parse(statement.source).body:
        case [ast.Assign(value=ast.BinOp() as whole)]:
            operands: list[ast.expr] = [whole]
            found: set[Variable] = set()
            while operands:
                match operands.pop():
                    case ast.BinOp(left=left, right=right, op=ast.Add()):
                        operands += [left, right]
                    case ast.Name(id=name):
                        found.add(Variable(name))
                    case _:
                        pass
            return frozenset(found)
        case _:
            return frozenset()


def _first_line(statement: Statement) -> str:
    return statement.source.strip().splitlines()[0]


def _stars(statement: Statement) -> bool:
    return any(isinstance(event, StarImport) for event in statement.events)
