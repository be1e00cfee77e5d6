"""Gives the names in every cell a meaning, in notebook order: which step needs what of which.

One pass, no search: a read takes the last writer before it. What a step reads becomes an input
when another step computed it, and replayed code when it is an import, a definition or a constant.
"""

from __future__ import annotations

import builtins
import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Final

from nbpipe.compiler.aliases import Aliases
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
from nbpipe.dataflow.mutations import STATEFUL_MAKERS
from nbpipe.dataflow.settings import (
    RANDOM_STREAMS,
    draws_in_library,
    is_setting,
    random_stream,
)
from nbpipe.model.flow import (
    Bind,
    Branch,
    Call,
    CellFlow,
    ClassFlow,
    Delete,
    Event,
    FunctionFlow,
    Join,
    Mutate,
    Names,
    Opaque,
    Origin,
    StarImport,
    Statement,
    StatementKind,
    Use,
)
from nbpipe.model.names import StepName, Variable
from nbpipe.model.notebook import Cell, RandomPolicy

_REPLAYABLE: Final = frozenset(
    {
        StatementKind.IMPORT,
        StatementKind.DEFINITION,
        StatementKind.CONSTANT,
        StatementKind.GENERATOR,
    }
)
_INERT: Final = frozenset({StatementKind.TEXT, StatementKind.NOTHING})
_PROVIDED: Final = frozenset(dir(builtins)) | {
    "__name__", "__doc__", "__file__", "__builtins__", "__annotations__", "get_ipython", "display",
    "exit", "quit",
}  # fmt: skip
_HISTORY: Final = re.compile(r"_{1,3}|_\d+|_i\d*|_ii|_iii|_ih|_oh|_dh|In|Out")


class Linker:
    """The pass. Feed it cells in notebook order, then read `drafts`."""

    def __init__(
        self,
        findings: Findings,
        *,
        random: RandomPolicy,
        learned: Mapping[StepName, Iterable[Variable]],
    ) -> None:
        self.drafts: dict[StepName, StepDraft] = {}
        self.code: dict[Place, Code] = {}
        self.bound_anywhere: dict[Variable, Cell] = {}
        self.unresolved: list[tuple[StepDraft, Cell, int, Variable, bool]] = []
        self._findings = findings
        self._random = random
        self._learned = learned
        self._bindings: dict[Variable, Binding] = {}
        self._explored: dict[Variable, CodeBinding | ComputedBinding] = {}
        self._changed_outside: dict[Variable, tuple[Cell, int]] = {}
        self._replayed: list[tuple[Place, Place | None]] = []
        self._methods: dict[str, list[FunctionFlow]] = {}
        self._aliases = Aliases()
        self._star = False
        self._broken: set[Variable] = set()
        self._opaque_step: StepName | None = None
        self._version = 0
        # What the statement at hand belongs to.
        self._step: StepDraft | None = None
        self._cell: Cell | None = None
        self._place = Place(0, 0)
        self._carries: frozenset[Place] = frozenset()
        self._kept_reads: frozenset[Variable] = frozenset()
        self._visiting: set[int] = set()
        self._made_together: dict[int, Variable] = {}
        self._carrying = False
        self._branches: list[dict[Variable, Binding | None]] = []

    # ---- cells --------------------------------------------------------------------------------

    def parameters(self, cell: Cell, names: Iterable[tuple[Variable, int]]) -> None:
        """Take in a cell of parameters."""
        for name, line in names:
            self._bindings[name] = ParameterBinding(cell=cell, line=line)
            self.bound_anywhere.setdefault(name, cell)

    def prelude_cell(self, position: int, cell: Cell, flow: CellFlow) -> None:
        """Take in a cell whose statements are replayed in every later step that needs them."""
        self._note_bound(cell, flow)
        siblings = sum(s.kind not in _INERT for s in flow.statements)
        for index, statement in enumerate(flow.statements):
            if statement.kind not in _INERT:
                self._replay(Place(position, index), cell, statement, siblings)

    def is_setup(self, flow: CellFlow) -> bool:
        """Say whether an untagged cell holds nothing but setup."""
        own: set[Variable] = set()
        modules: dict[str, str] = {}
        for statement in flow.statements:
            if statement.kind in _INERT:
                continue
            modules.update(statement.imports)
            if statement.kind not in _REPLAYABLE and not self._sets_something(statement, modules):
                return False
            for event in statement.events:
                match event:
                    case Use(deferred=False) if event.name not in own:
                        binding = self._lookup(event.name)
                        if isinstance(binding, DataBinding | ComputedBinding | DeletedBinding):
                            return False
                        if binding is None and not self._is_provided(event):
                            return False
                    case Opaque():
                        return False
                    case _:
                        pass
            own.update(statement.binds)
        return True

    def exploration_cell(self, position: int, cell: Cell, flow: CellFlow) -> None:
        """Take in an untagged cell: not run, but steps may need its imports and definitions."""
        self._note_bound(cell, flow)
        self._warn_of_settings(cell, flow)
        for index, statement in enumerate(flow.statements):
            place = Place(position, index)
            replayable = statement.kind in _REPLAYABLE - {StatementKind.GENERATOR}
            code = self._as_code(place, cell, statement) if replayable else None
            for event in statement.events:
                match event:
                    case Bind(name=name):
                        if code is not None:
                            self._explored[name] = self._code_binding(code, event)
                            self._learn_methods(event.flow)
                        else:
                            self._explored[name] = ComputedBinding(cell=cell, line=event.line)
                        self._changed_outside[name] = (cell, event.line)
                    case Mutate(name=name, certain=True) | Delete(name=name):
                        self._changed_outside[name] = (cell, event.line)
                    case _:
                        pass

    def _warn_of_settings(self, cell: Cell, flow: CellFlow) -> None:
        other = next(
            (
                s
                for s in flow.statements
                if s.kind not in _REPLAYABLE | _INERT and not self._sets_something(s)
            ),
            None,
        )
        modules: dict[str, str] = {}
        for statement in flow.statements:
            modules.update(statement.imports)
            if other is not None and self._sets_something(statement, modules):
                self._findings.add(
                    "NBP218",
                    f"`{statement.source.strip().splitlines()[0]}` has no effect in the pipeline: "
                    f"this untagged cell also computes something (line {other.line}), so it is "
                    "not run.",
                    cell,
                    statement.line,
                    help="Move settings and seeds to a cell of their own, or tag it %%prelude.",
                )

    def skipped_cell(self, cell: Cell, flow: CellFlow) -> None:
        """Take in a cell that its author keeps out of the pipeline."""
        self._note_bound(cell, flow)
        for statement in flow.statements:
            for event in statement.events:
                if isinstance(event, Bind):
                    self._explored.setdefault(
                        event.name, ComputedBinding(cell=cell, line=event.line)
                    )

    def step_cell(self, position: int, cell: Cell, flow: CellFlow, draft: StepDraft) -> None:
        """Take in a cell of a step."""
        self.drafts.setdefault(draft.name, draft)
        draft.cells.append((position, cell, flow))
        self._note_bound(cell, flow)
        self._step, self._cell = draft, cell
        first_time = len(draft.cells) == 1
        for place, only_with in self._replayed:
            if not draft.owns(place) and (only_with is None or only_with in draft.code):
                self._need(place)
        if first_time:
            for name in draft.options.inputs:
                self._declared_input(name, cell)
        for index, statement in enumerate(flow.statements):
            self._step_statement(Place(position, index), statement)
        self._step = None

    def finish_step(self, draft: StepDraft) -> None:
        """Apply what earlier runs found out about this step, after its last cell."""
        self._step, self._cell = draft, draft.cells[-1][1]
        self._place = Place(draft.cells[-1][0], 1_000_000)
        self._carries = self._kept_reads = frozenset()
        for name in sorted(self._learned.get(draft.name, ())):
            self._visiting = set()
            self._mutate(Mutate(name=Variable(name), line=1, deep=True))
        self._step = None

    def _note_bound(self, cell: Cell, flow: CellFlow) -> None:
        for statement in flow.statements:
            for name in statement.binds:
                self.bound_anywhere.setdefault(name, cell)

    # ---- statements ---------------------------------------------------------------------------

    def _replay(self, place: Place, cell: Cell, statement: Statement, siblings: int) -> None:
        """Make a statement of a prelude available to later steps."""
        code = self._as_code(place, cell, statement, siblings)
        if code is None:
            reader = next(
                e
                for e in statement.events
                if isinstance(e, Use)
                and isinstance(self._lookup(e.name), DataBinding | ComputedBinding)
            )
            self._findings.add(
                "NBP208",
                f"the prelude reads {reader.name!r}, which is computed elsewhere.",
                cell,
                reader.line,
                help="Make this cell a step, or move the value into the prelude.",
            )
            self._broken.update(statement.binds)
            return
        touched: list[Variable] = []
        for event in statement.events:
            match event:
                case Bind(name=name):
                    self._bindings[name] = self._code_binding(code, event)
                    self._learn_methods(event.flow)
                    touched.append(name)
                case Mutate(name=name) if isinstance(self._lookup(name), CodeBinding):
                    touched += self._chain(name, code)
                case Call():
                    touched += self._prelude_stream(event, code)
                case StarImport(module=module):
                    self._note_star(cell, event.line, module)
                case _:
                    pass
        if not touched or self._sets_something(statement) or self._brings_stars(statement):
            if not any(str(name).startswith("@") for name in touched):
                self._replayed.append((place, None))

    def _chain(self, name: Variable, code: Code) -> list[Variable]:
        """A prelude statement changed what an earlier one made: whoever needs it needs both."""
        binding = self._lookup(name)
        if not isinstance(binding, CodeBinding) or binding.code.is_definition:
            return []
        code.needs |= {binding.code.place}
        self._bindings[name] = CodeBinding(code=code, flow=binding.flow)
        return [name]

    def _prelude_stream(self, event: Call, code: Code) -> list[Variable]:
        touched = random_stream(self._canonical(event.function))
        if touched is None or self._random is RandomPolicy.PER_STEP:
            return []
        stream, seeds = touched
        before = self._bindings.get(stream)
        if not seeds and before is None:
            return []
        if isinstance(before, CodeBinding) and not seeds:
            code.needs |= {before.code.place}
        self._bindings[stream] = CodeBinding(code=code)
        return [stream]

    def _as_code(
        self, place: Place, cell: Cell, statement: Statement, siblings: int = 0
    ) -> Code | None:
        """Give the statement with what it needs, or None when that is a computed value."""
        needs: set[Place] = set()
        parameters: set[Variable] = set()
        own: set[Variable] = set()
        for event in statement.events:
            if isinstance(event, Bind):
                own.add(event.name)
            if not isinstance(event, Use) or event.deferred or event.name in own:
                continue
            match self._lookup(event.name):
                case CodeBinding(code=code):
                    needs.add(code.place)
                case ParameterBinding():
                    parameters.add(event.name)
                case DataBinding() | ComputedBinding():
                    return None
                case _:
                    pass
        code = Code(
            place=place,
            cell=cell,
            statement=statement,
            needs=frozenset(needs - {place}),
            parameters=frozenset(parameters),
            siblings=siblings,
        )
        self.code[place] = code
        return code

    def _code_binding(self, code: Code, event: Bind) -> CodeBinding:
        module = code.statement.imports.get(event.name, "")
        return CodeBinding(code=code, flow=event.flow, module=module)

    def _step_statement(self, place: Place, statement: Statement) -> None:
        assert self._cell is not None
        self._place = place
        self._visiting = set()
        self._carries = self._carried_by(statement)
        self._kept_reads = self._read_by_kept_functions(statement)
        for module in (e.module for e in statement.events if isinstance(e, StarImport)):
            self._note_star(self._cell, statement.line, module)
        is_code = statement.kind in (StatementKind.IMPORT, StatementKind.DEFINITION)
        code = self._as_code(place, self._cell, statement) if is_code else None
        sets = self._sets_something(statement) and not self._touches_stream(statement)
        as_setting = self._as_code(place, self._cell, statement) if sets else None
        patch = None if sets else self._patched(statement)
        repeated = self._repeated_patch(place, statement) if patch is not None else None
        for event in statement.events:
            if code is not None and isinstance(event, Bind):
                self._bindings[event.name] = self._code_binding(code, event)
                self._aliases.forget(event.name)
                self._learn_methods(event.flow)
                self._saw(event.name)
            else:
                self._event(event)
        if as_setting is not None or (code is not None and self._brings_stars(statement)):
            self._replayed.append((place, None))
        if patch is not None:
            self._replay_patch(place, statement, patch, repeated)

    def _saw(self, name: Variable) -> None:
        assert self._step is not None
        self._version += 1
        self._step.seen[name] = self._version

    def _patched(self, statement: Statement) -> Code | None:
        """Give the definition or module whose attribute this statement assigns, if it does."""
        for event in statement.events:
            if isinstance(event, Mutate) and event.stores:
                binding = self._lookup(event.name)
                if isinstance(binding, CodeBinding) and binding.code.is_definition:
                    return binding.code
        return None

    def _repeated_patch(self, place: Place, statement: Statement) -> Code | None:
        """Give the statement as code when running it again elsewhere does the same, no more."""
        assert self._cell is not None
        calls = (e for e in statement.events if isinstance(e, Call) and e.function != "iter")
        if not statement.target and (
            any(calls) or any(isinstance(e, Opaque) for e in statement.events)
        ):
            return None
        return self._as_code(place, self._cell, statement)

    def _replay_patch(
        self, place: Place, statement: Statement, patched: Code, repeated: Code | None
    ) -> None:
        assert self._cell is not None
        if repeated is not None:
            only_with = None if patched.statement.kind is StatementKind.IMPORT else patched.place
            self._replayed.append((place, only_with))
            return
        name = next(iter(patched.statement.binds), Variable("it"))
        self._findings.add(
            "NBP207",
            f"this changes {name!r} itself, a {patched.statement.kind.value}, in a way that "
            "cannot be repeated in later steps.",
            self._cell,
            statement.line,
            help="Assign a constant in a statement of its own, or keep the value in a variable.",
        )

    def _sets_something(
        self, statement: Statement, modules: Mapping[str, str] | None = None
    ) -> bool:
        """Say whether this is a recognised setting or seed; `modules` are imports not yet seen."""
        if not statement.target:
            return False
        path = self._canonical(statement.target, modules)
        stream = random_stream(path)
        return is_setting(path) or (stream is not None and stream[1])

    def _touches_stream(self, statement: Statement) -> bool:
        return random_stream(self._canonical(statement.target)) is not None

    def _brings_stars(self, statement: Statement) -> bool:
        return any(isinstance(event, StarImport) for event in statement.events)

    def _note_star(self, cell: Cell, line: int, module: str) -> None:
        self._star = True
        self._findings.add(
            "NBP212",
            f"`from {module} import *` may bind any name; it is replayed in every later step.",
            cell,
            line,
            help="Import the names you use.",
        )

    def _canonical(self, path: str, modules: Mapping[str, str] | None = None) -> str:
        """Resolve the import alias that a dotted path starts with."""
        root, _, rest = path.partition(".")
        if modules and root in modules:
            return f"{modules[root]}.{rest}" if rest else modules[root]
        binding = self._lookup(Variable(root)) if root else None
        if isinstance(binding, CodeBinding) and binding.module:
            return f"{binding.module}.{rest}" if rest else binding.module
        return path

    def _learn_methods(self, flow: FunctionFlow | ClassFlow | None) -> None:
        if isinstance(flow, ClassFlow):
            for name, method in flow.methods.items():
                self._methods.setdefault(name, []).append(method)

    # ---- events -------------------------------------------------------------------------------

    def _event(self, event: Event) -> None:
        match event:
            case Use():
                self._use(event)
            case Bind():
                self._bind(event)
            case Mutate():
                self._mutate(event)
            case Delete():
                self._delete(event)
            case Call():
                self._call(event)
            case Opaque():
                self._opaque(event)
            case Branch():
                self._branches.append({})
            case Join():
                self._join(event)
            case StarImport():
                pass

    def _join(self, event: Join) -> None:
        """After code that may be skipped, a name it assigned may still be what it was before."""
        for name, before in self._branches.pop().items():
            after = self._bindings.get(name)
            if name in event.certain:
                if self._branches:
                    self._branches[-1].setdefault(name, before)
                continue
            match after:
                case DataBinding():
                    self._bindings[name] = dataclasses.replace(after, otherwise=before)
                case DeletedBinding() if before is not None:
                    self._bindings[name] = before
                case _:
                    pass
            if self._branches:
                self._branches[-1].setdefault(name, before)

    def _remember(self, name: Variable) -> None:
        if self._branches:
            self._branches[-1].setdefault(name, self._lookup(name))

    def _lookup(self, name: Variable) -> Binding | None:
        inside = self._bindings.get(name)
        outside = self._explored.get(name)
        if inside is None:
            return outside
        if (
            isinstance(inside, CodeBinding)
            and isinstance(outside, CodeBinding)
            and outside.code.place > inside.code.place
            and not self._is_in_step(inside.code)
        ):
            return outside
        return inside

    def _is_in_step(self, code: Code) -> bool:
        return code.cell.tag is not None

    def _use(self, event: Use) -> None:
        assert self._step is not None and self._cell is not None
        binding = self._lookup(event.name)
        match binding:
            case CodeBinding():
                self._need(binding.code.place)
                self._step.seen.setdefault(event.name, 0)
                self._apply(binding.flow)
            case DataBinding():
                self._take(event.name, binding)
                self._warn_changed_outside(event, binding)
            case ParameterBinding():
                self._step.parameters.add(event.name)
            case DeletedBinding(cell=cell, line=line):
                if not event.guarded and not event.deferred:
                    self._findings.add(
                        "NBP203",
                        f"{event.name!r} was deleted in cell {cell.number}, line "
                        f"{line + cell.first_line - 1}, before it is read here.",
                        self._cell,
                        event.line,
                        help=f"Remove the `del {event.name}`, or this use of it.",
                    )
            case ComputedBinding(cell=cell, line=line):
                if not event.guarded and not self._carrying:
                    self._computed_elsewhere(event, cell, line)
            case None:
                self._unknown(event)

    def _computed_elsewhere(self, event: Use, cell: Cell, line: int) -> None:
        assert self._step is not None and self._cell is not None
        skipped = "skipped" if cell.tag else "untagged"
        self._findings.add(
            "NBP202",
            f"step {self._step.name!r} needs {event.name!r}, which is computed in {skipped} cell "
            f"{cell.number}, line {line + cell.first_line - 1}.",
            self._cell,
            event.line,
            help=f"Tag cell {cell.number} as a step: %%step NAME on its first line.",
        )

    def _warn_changed_outside(self, event: Use, binding: DataBinding) -> None:
        outside = self._changed_outside.get(event.name)
        if outside is None or self._cell is None:
            return
        cell, line = outside
        if binding.cell.number < cell.number < self._cell.number:
            self._findings.add(
                "NBP210",
                f"untagged cell {cell.number}, line {line}, changes {event.name!r} before this "
                f"cell reads it; the pipeline uses what step {binding.step!r} made.",
                self._cell,
                event.line,
                help=f"Tag cell {cell.number} as a step if its change should count.",
            )

    def _is_provided(self, event: Use) -> bool:
        return event.name in _PROVIDED or self._star or event.guarded

    def _unknown(self, event: Use) -> None:
        assert self._step is not None and self._cell is not None
        if event.name.startswith("@") or event.name in _PROVIDED or event.name in self._broken:
            return
        if self._opaque_step is not None:
            if self._opaque_step != self._step.name:
                maker = self.drafts[self._opaque_step]
                binding = self._new_data(event.line, maker)
                self._bindings[event.name] = binding
                self._take(event.name, binding)
            return
        if self._is_provided(event):
            return
        if not event.deferred and _HISTORY.fullmatch(event.name):
            self._findings.add(
                "NBP206",
                f"{event.name!r} is the history of an interactive session; a pipeline has none.",
                self._cell,
                event.line,
                help="Give the value a name where it is computed, and use that.",
            )
            return
        self.unresolved.append((self._step, self._cell, event.line, event.name, event.deferred))

    def _take(self, name: Variable, binding: DataBinding) -> None:
        """The step at hand reads a computed value."""
        step = self._step
        assert step is not None and self._cell is not None
        if binding.otherwise is not None:
            self._take_earlier(name, binding)
        if binding.step == step.name:
            self._apply(binding.flow)
            return
        seen = step.seen.get(name)
        if seen is not None and seen != binding.version:
            self._findings.add(
                "NBP205",
                f"step {step.name!r} uses {name!r} before and after step {binding.step!r} "
                "changes it.",
                self._cell,
                1,
                help=f"Give the cells of {step.name!r} after {binding.step!r} another step name.",
            )
            return
        step.seen[name] = binding.version
        step.inputs.setdefault(name, binding)
        carrying, self._carrying = self._carrying, True
        for place in sorted(binding.carries):
            self._need(place)
            for flow in self._flows_at(place):
                self._apply(flow)
        self._apply(binding.flow)
        for read in sorted(binding.reads):
            self._use(Use(name=read, line=self._first_line(), guarded=True, deferred=True))
        self._carrying = carrying

    def _take_earlier(self, name: Variable, binding: DataBinding) -> None:
        """The value may have been left alone by the step that assigns it: that step needs it."""
        step, self._step = self._step, self.drafts[binding.step]
        seen = self._step.seen.pop(name, None)
        match binding.otherwise:
            case DataBinding() as before:
                if before.otherwise is not None:
                    self._take_earlier(name, before)
                if before.step != binding.step:
                    self._pass_through(name, before)
            case CodeBinding() as before:
                self._need(before.code.place)
            case ParameterBinding():
                self._step.parameters.add(name)
            case _:
                pass
        if seen is not None:
            self._step.seen[name] = seen
        self._step = step

    def _pass_through(self, name: Variable, before: DataBinding) -> None:
        """The step only hands the value on: it loads it, and calls nothing of it."""
        assert self._step is not None
        self._step.inputs.setdefault(name, before)
        carrying, self._carrying = self._carrying, True
        for place in sorted(before.carries):
            self._need(place)
        self._carrying = carrying

    def _flows_at(self, place: Place) -> list[FunctionFlow | ClassFlow]:
        events = self.code[place].statement.events
        return [e.flow for e in events if isinstance(e, Bind) and e.flow is not None]

    def _need(self, place: Place) -> None:
        """The step at hand replays a statement, unless it has run it itself."""
        assert self._step is not None
        wanted = [place]
        target = self._step.carried if self._carrying else self._step.code
        while wanted:
            at = wanted.pop()
            if at in target or at in self._step.code:
                continue
            code = self.code[at]
            if not self._step.owns(at):
                target.add(at)
                self._step.parameters |= code.parameters
                if not self._carrying:
                    self._step.carried.discard(at)
            elif at == self._place:
                continue
            wanted.extend(code.needs)
            # Decorators and base classes act through what is made with them.
            for need in sorted(code.needs):
                for flow in self._flows_at(need):
                    self._apply(flow)
            for patch, only_with in self._replayed:
                if only_with == at and not self._step.owns(patch):
                    wanted.append(patch)

    def _apply(self, flow: FunctionFlow | ClassFlow | None) -> None:
        """Naming a function may mean calling it: what it does to globals counts here."""
        if flow is None or id(flow) in self._visiting:
            return
        self._visiting.add(id(flow))
        bodies = flow.methods.values() if isinstance(flow, ClassFlow) else [flow]
        for body in bodies:
            for event in body.events:
                match event:
                    case Use():
                        self._use(
                            Use(
                                name=event.name,
                                line=self._first_line(),
                                guarded=event.guarded,
                                deferred=True,
                            )
                        )
                    case Bind():
                        self._bind(
                            Bind(
                                name=event.name,
                                line=self._first_line(),
                                definite=False,
                                origin=_globals_only(event.origin),
                            )
                        )
                    case Mutate() if not event.name.startswith("<"):
                        self._mutate(event)
                    case Delete():
                        self._delete(
                            Delete(name=event.name, line=self._first_line(), definite=False)
                        )
                    case Opaque():
                        self._opaque(event)
                    case Call():
                        self._random_call(event)
                    case _:
                        pass

    def _first_line(self) -> int:
        """The line of the statement at hand, for events that stand in another cell."""
        assert self._step is not None
        _, _, flow = self._step.cells[-1]
        index = min(self._place.statement, len(flow.statements) - 1)
        return flow.statements[index].line if flow.statements else 1

    def _new_data(
        self,
        line: int,
        draft: StepDraft,
        *,
        carries: frozenset[Place] = frozenset(),
        reads: frozenset[Variable] = frozenset(),
        flow: FunctionFlow | ClassFlow | None = None,
        stateful: bool = False,
    ) -> DataBinding:
        self._version += 1
        return DataBinding(
            step=draft.name,
            version=self._version,
            cell=self._cell or draft.cells[-1][1],
            line=line,
            carries=carries,
            reads=reads,
            flow=flow,
            stateful=stateful,
        )

    def _write(self, name: Variable, binding: DataBinding) -> None:
        assert self._step is not None
        self._remember(name)
        self._bindings[name] = binding
        self._step.writes[name] = binding.version
        self._step.seen[name] = binding.version

    def _bind(self, event: Bind) -> None:
        assert self._step is not None
        name = event.name
        origin = self._with_results(event.origin)
        before = self._lookup(name)
        stateful = origin.maker.rsplit(".", 1)[-1] in STATEFUL_MAKERS
        carries, reads = self._carries, self._kept_reads
        if (self._branches or not event.definite) and isinstance(before, DataBinding):
            carries |= before.carries
            reads |= before.reads
        made = self._new_data(
            event.line,
            self._step,
            carries=carries,
            reads=reads - {name},
            flow=event.flow,
            stateful=stateful,
        )
        if not event.definite:
            made = dataclasses.replace(made, otherwise=before)
        self._write(name, made)
        self._aliases.bind(
            name,
            shares=self._objects(origin.shares | self._siblings(name, event.origin)),
            part_of=self._objects(origin.part_of),
            holds=self._objects(origin.holds),
        )

    def _siblings(self, name: Variable, origin: Origin) -> Names:
        """Functions that one call made may share its local variables."""
        for call in origin.calls:
            binding = self._lookup(Variable(call.function)) if call.function else None
            flow = binding.flow if isinstance(binding, CodeBinding | DataBinding) else None
            if isinstance(flow, FunctionFlow) and flow.nested:
                first = self._made_together.setdefault(id(call), name)
                return frozenset({first} - {name})
        return frozenset()

    def _objects(self, names: Iterable[Variable]) -> list[Variable]:
        """Leave out names that stand for code: modules and functions share nothing."""
        kept = []
        for name in sorted(names):
            binding = self._lookup(name)
            if isinstance(binding, CodeBinding) and binding.code.is_definition:
                continue
            if binding is not None:
                kept.append(name)
        return kept

    def _mutate(self, event: Mutate) -> None:
        assert self._step is not None
        binding = self._lookup(event.name)
        if not isinstance(binding, DataBinding | CodeBinding | ParameterBinding):
            return
        if isinstance(binding, CodeBinding) and binding.code.is_definition:
            return
        changed = self._aliases.changed_with(event.name, deep=event.deep)
        for name in sorted(changed):
            before = self._lookup(name)
            if isinstance(before, CodeBinding) and before.code.is_definition:
                continue
            if not isinstance(before, DataBinding | CodeBinding | ParameterBinding):
                continue
            self._use(Use(name=name, line=event.line, guarded=True, deferred=True))
            if isinstance(before, DataBinding):
                changed_value = self._new_data(
                    event.line,
                    self._step,
                    carries=self._carries | before.carries,
                    reads=(self._kept_reads | before.reads) - {name},
                    flow=before.flow,
                    stateful=before.stateful,
                )
            else:
                changed_value = self._new_data(
                    event.line,
                    self._step,
                    carries=self._carries,
                    reads=self._kept_reads - {name},
                    stateful=self._is_generator(before),
                )
            self._write(name, changed_value)
        self._aliases.add(event.name, self._objects(event.adds))

    @staticmethod
    def _is_generator(binding: Binding | None) -> bool:
        return (
            isinstance(binding, CodeBinding)
            and binding.code.statement.kind is StatementKind.GENERATOR
        )

    def _delete(self, event: Delete) -> None:
        assert self._step is not None and self._cell is not None
        self._use(Use(name=event.name, line=event.line, guarded=True, deferred=True))
        if event.definite:
            self._remember(event.name)
            self._bindings[event.name] = DeletedBinding(cell=self._cell, line=event.line)
            self._explored.pop(event.name, None)
            self._saw(event.name)
            self._step.writes.pop(event.name, None)
            self._aliases.forget(event.name)
        else:
            self._bind(Bind(name=event.name, line=event.line, definite=False))

    def _opaque(self, event: Opaque) -> None:
        assert self._step is not None and self._cell is not None
        effect = "read and change" if event.writes else "read"
        self._findings.add(
            "NBP211",
            f"{event.what} may {effect} any variable; the step depends on all of them.",
            self._cell,
            event.line,
            help="Name the variables in plain code if you can.",
        )
        for name in sorted({*self._bindings, *self._explored}):
            if self._lookup(name) is not None and not name.startswith("@"):
                self._use(Use(name=name, line=event.line, guarded=True, deferred=True))
        if event.writes:
            self._opaque_step = self._step.name
            for name, binding in sorted(self._bindings.items()):
                if isinstance(binding, DataBinding) or (
                    isinstance(binding, CodeBinding) and not binding.code.is_definition
                ):
                    carried = binding.carries if isinstance(binding, DataBinding) else frozenset()
                    self._write(name, self._new_data(event.line, self._step, carries=carried))

    # ---- calls --------------------------------------------------------------------------------

    def _call(self, event: Call) -> None:
        self._random_call(event)
        arguments = [*event.positional, *(names for _, names in event.keywords)]
        for name in sorted(frozenset[Variable]().union(event.receiver, *arguments)):
            binding = self._lookup(name)
            if self._is_generator(binding) or (
                isinstance(binding, DataBinding) and binding.stateful
            ):
                self._mutate(Mutate(name=name, line=event.line))
        if self._is_closure(event.function):
            self._mutate(Mutate(name=Variable(event.function), line=event.line))
        for flow, passed in self._callees(event):
            self._run(flow, passed, event.line, depth=0)

    def _is_closure(self, function: str) -> bool:
        """Say whether this is a function that another one made: calling it may change it."""
        binding = self._lookup(Variable(function)) if function else None
        return isinstance(binding, DataBinding) and any(
            isinstance(flow, FunctionFlow) and flow.nested
            for place in binding.carries
            for flow in self._flows_at(place)
        )

    def _random_call(self, event: Call) -> None:
        assert self._step is not None
        if self._random is RandomPolicy.PER_STEP:
            return
        touched = random_stream(self._canonical(event.function)) if event.function else None
        name = event.method or event.function
        if touched is None and draws_in_library(name, [k for k, _ in event.keywords]):
            touched = RANDOM_STREAMS["numpy.random"], False
        if touched is None:
            return
        stream, seeds = touched
        if seeds:
            self._write(stream, self._new_data(event.line, self._step))
        elif stream in self._bindings:
            self._mutate(Mutate(name=stream, line=event.line))

    def _callees(self, event: Call) -> list[tuple[FunctionFlow, dict[str, Names]]]:
        """Give the notebook's own functions that a call may run, with what is passed to each."""
        found: list[tuple[FunctionFlow, dict[str, Names]]] = []
        if event.function and "." not in event.function:
            binding = self._lookup(Variable(event.function))
            flow = binding.flow if isinstance(binding, CodeBinding | DataBinding) else None
            if isinstance(flow, FunctionFlow):
                found.append((flow, _passed(flow, event, event.positional)))
            elif isinstance(flow, ClassFlow) and "__init__" in flow.methods:
                init = flow.methods["__init__"]
                found.append((init, _passed(init, event, (frozenset(), *event.positional))))
        if event.method and self._objects(event.receiver):
            for method in self._methods.get(event.method, ()):
                self._apply(method)
                found.append((method, _passed(method, event, (event.receiver, *event.positional))))
        return found

    def _run(
        self, flow: FunctionFlow, passed: Mapping[str, Names], line: int, *, depth: int
    ) -> None:
        """Do to the arguments of a call what the function does to its parameters."""
        if depth > 12:
            return
        for event in flow.events:
            match event:
                case Mutate() if event.name.startswith("<"):
                    for name in sorted(passed.get(event.name, ())):
                        self._mutate(
                            Mutate(
                                name=name,
                                line=line,
                                deep=True,
                                certain=event.certain,
                                adds=_substituted(event.adds, passed),
                            )
                        )
                case Mutate() if any(added.startswith("<") for added in event.adds):
                    self._aliases.add(
                        event.name, self._objects(_substituted(event.adds, passed))
                    )
                case Call():
                    inner = Call(
                        function=event.function,
                        line=line,
                        method=event.method,
                        receiver=_substituted(event.receiver, passed),
                        positional=tuple(_substituted(n, passed) for n in event.positional),
                        keywords=tuple((k, _substituted(n, passed)) for k, n in event.keywords),
                    )
                    for callee, given in self._callees(inner):
                        if callee is not flow:
                            self._run(callee, given, line, depth=depth + 1)
                case _:
                    pass

    def _with_results(self, origin: Origin) -> Origin:
        """Follow calls into the notebook's own functions: what may their result share?"""
        shares, part_of, holds = set(origin.shares), set(origin.part_of), set(origin.holds)
        for call in origin.calls:
            binding = self._lookup(Variable(call.function)) if call.function else None
            flow = binding.flow if isinstance(binding, CodeBinding | DataBinding) else None
            if isinstance(flow, FunctionFlow):
                passed = _passed(flow, call, call.positional)
                shares |= _substituted(flow.returns.shares, passed)
                part_of |= _substituted(flow.returns.part_of, passed)
                holds |= _substituted(flow.returns.holds, passed)
            elif isinstance(flow, ClassFlow) and "__init__" in flow.methods:
                init = flow.methods["__init__"]
                passed = _passed(init, call, (frozenset(), *call.positional))
                for event in init.events:
                    if isinstance(event, Mutate):
                        holds |= _substituted(event.adds, passed)
        return Origin(
            shares=frozenset(shares),
            part_of=frozenset(part_of),
            holds=frozenset(holds),
            maker=origin.maker,
        )

    def _carried_by(self, statement: Statement) -> frozenset[Place]:
        """Give the definitions that values made by this statement may refer to."""
        carried: set[Place] = set()
        seen: set[int] = set()

        def look(name: Variable, *, called: bool) -> None:
            match self._lookup(name):
                case DataBinding(carries=carries):
                    carried.update(carries)
                case CodeBinding(flow=ClassFlow(), code=code):
                    carried.add(code.place)
                case CodeBinding(flow=FunctionFlow() as flow, code=code):
                    if not called or flow.nested:
                        carried.add(code.place)
                    if id(flow) not in seen:
                        seen.add(id(flow))
                        for event in flow.events:
                            if isinstance(event, Use):
                                look(event.name, called=event.called)
                case _:
                    pass

        for event in statement.events:
            if isinstance(event, Use):
                look(event.name, called=event.called)
        return frozenset(carried)

    def _read_by_kept_functions(self, statement: Statement) -> frozenset[Variable]:
        """Give the names read by functions that the values of this statement may hold."""
        kept: set[Variable] = set()
        for event in statement.events:
            if not isinstance(event, Use):
                continue
            binding = self._lookup(event.name)
            if event.deferred and not (
                event.given_to
                and isinstance(self._lookup(Variable(event.given_to)), DataBinding)
            ):
                kept.add(event.name)
            elif isinstance(binding, DataBinding):
                kept |= binding.reads
        return frozenset(kept)

    def _declared_input(self, name: Variable, cell: Cell) -> None:
        if self._lookup(name) is None:
            self._findings.add(
                "NBP215",
                f"option --in names {name!r}, which no earlier cell gives a value.",
                cell,
                1,
                help="Check the spelling.",
            )
        else:
            self._visiting = set()
            self._use(Use(name=name, line=1))


def _passed(
    flow: FunctionFlow, call: Call, positional: Iterable[Names]
) -> dict[str, Names]:
    """Match arguments with parameters; what is left over may be any of them."""
    passed: dict[str, Names] = {}
    parameters = list(flow.parameters)
    for index, names in enumerate(positional):
        if index < len(parameters):
            passed[f"<{parameters[index]}>"] = names
    for keyword, names in call.keywords:
        if keyword in parameters:
            passed[f"<{keyword}>"] = names
        else:
            for parameter in parameters:
                passed.setdefault(f"<{parameter}>", names)
    return passed


def _substituted(names: Names, passed: Mapping[str, Names]) -> Names:
    result: set[Variable] = set()
    for name in names:
        result |= passed.get(name, frozenset()) if name.startswith("<") else {name}
    return frozenset(result)


def _globals_only(origin: Origin) -> Origin:
    def keep(names: Names) -> Names:
        return frozenset(name for name in names if not name.startswith("<"))

    return Origin(
        shares=keep(origin.shares),
        part_of=keep(origin.part_of),
        holds=keep(origin.holds),
        maker=origin.maker,
    )
