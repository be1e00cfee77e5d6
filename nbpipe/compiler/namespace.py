"""What every name of the notebook stands for, at the place that linking has come to.

Names mean one thing to steps (`bindings`) and another to untagged cells (`explored`), which are
not run: of those only imports and definitions can serve a step. Code that can be replayed has a
place in `code`; what only some way through a statement assigns is put right where the ways join.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias, TypeGuard

from nbpipe.compiler.aliases import Aliases
from nbpipe.compiler.draft import (
    Binding,
    Code,
    CodeBinding,
    ComputedBinding,
    DataBinding,
    ParameterBinding,
    Place,
    StepDraft,
)
from nbpipe.dataflow.settings import (
    is_repeated,
    is_setting,
    random_stream,
    seeds_all,
    state_set,
)
from nbpipe.model.flow import (
    Bind,
    Call,
    CellFlow,
    ClassFlow,
    FunctionFlow,
    Names,
    Opaque,
    Origin,
    Statement,
    StatementKind,
    Use,
)
from nbpipe.model.graph import reachable
from nbpipe.model.names import Variable
from nbpipe.model.notebook import Cell

# What an expression is made of whose value never changes.
_PLAIN: Final = (
    *(ast.Constant, ast.Tuple, ast.UnaryOp, ast.BinOp),
    *(ast.unaryop, ast.operator, ast.expr_context),
)

Flow: TypeAlias = FunctionFlow | ClassFlow

_PROVIDED: Final = frozenset(dir(builtins)) | {
    "__name__", "__doc__", "__file__", "__builtins__", "__annotations__", "get_ipython", "display",
    "exit", "quit",
}  # fmt: skip


class Unresolved(NamedTuple):
    """A read of a name that had no value; `deferred` when only a function reads it."""

    step: StepDraft
    cell: Cell
    line: int
    name: Variable
    deferred: bool


class Namespace:
    """Names and their meanings so far.

    Attributes:
        bindings: what names stand for in steps; state of the process (random
            streams, settings) has names that start with `@`.
        explored: what untagged and skipped cells make of them.
        changed_outside: where an untagged cell last assigned or changed a name.
        bound_anywhere: the first cell that assigns a name, for messages.
        code: the statements that can be replayed.
        aliases: which names may reach the same object.
        broken: names whose failure is reported already.
        unresolved: reads that found nothing.
        states: the states of the process that steps are known to change.
        has_star: a star import may have bound any name.
        read_anywhere: every name that some cell reads.
        opaque_step: the last step that may have bound any name.
    """

    def __init__(self) -> None:
        self.bindings: dict[Variable, Binding] = {}
        self.explored: dict[Variable, CodeBinding | ComputedBinding] = {}
        self.changed_outside: dict[Variable, tuple[Cell, int]] = {}
        self.bound_anywhere: dict[Variable, Cell] = {}
        self.code: dict[Place, Code] = {}
        self.aliases = Aliases()
        self.broken: set[Variable] = set()
        self.unresolved: list[Unresolved] = []
        self.has_star = False
        self.states: set[Variable] = set()
        # By import, what steps before it had made of the data of its modules.
        self.states_at_import: dict[Place, dict[Variable, DataBinding]] = {}
        self.opaque_step: StepDraft | None = None
        self.read_anywhere: frozenset[Variable] = frozenset()
        self._methods: dict[str, list[FunctionFlow]] = {}
        self._sharing: dict[str, list[tuple[Place, ClassFlow]]] = {}
        self._branches: list[dict[Variable, Binding | None]] = []
        self._version = 0

    # What names stand for.

    def lookup(self, name: Variable) -> Binding | None:
        """Give what the name stands for: what the pipeline gives it, or an untagged cell behind.

        What an untagged cell computes takes the place of code of untagged cells only.
        """
        inside = self.bindings.get(name)
        outside = self.explored.get(name)
        if inside is None or outside is None:
            return inside or outside
        is_code = isinstance(outside, CodeBinding)
        if is_code or (isinstance(inside, CodeBinding) and inside.code.cell.tag is None):
            before, after = _cell_of(inside), _cell_of(outside)
            return outside if after.number > before.number else inside
        return inside

    def flow_of(self, name: str) -> Flow | None:
        """Give what a call of the name does, when it is a function or class of the notebook."""
        match self.lookup(Variable(name)):
            case CodeBinding(flow=flow) | DataBinding(flow=flow):
                return flow
            case _:
                return None

    def methods_named(self, name: str) -> tuple[FunctionFlow, ...]:
        """Give the methods of this name of all classes of the notebook."""
        return tuple(self._methods.get(name, ()))

    def whole_namespace(self, name: Variable) -> str:
        """Give what the name stands for when that hands out every variable: `__main__`, say."""
        binding = self.lookup(name)
        if not isinstance(binding, CodeBinding) or binding.changed:
            return ""
        if binding.module in ("__main__", "sys.modules"):
            return binding.module
        events = () if binding.code.is_definition else binding.code.statement.events
        return next((event.what for event in events if isinstance(event, Opaque)), "")

    def classes_sharing(self, attribute: str, root: Variable) -> Iterator[ClassFlow]:
        """Give the classes whose instances share an attribute, and that `root` may be one of."""
        sharing = self._sharing.get(attribute)
        if sharing is None:
            return
        binding, may_be = self.lookup(root), None
        if isinstance(binding, DataBinding):
            may_be = reachable(binding.carries, {p: code.needs for p, code in self.code.items()})
        for place, flow in sharing:
            if may_be is None or place in may_be:
                yield flow

    def objects(self, names: Names) -> list[Variable]:
        """Leave out names whose objects nobody can change: modules, functions, plain numbers."""
        kept = []
        for name in sorted(names):
            binding = self.lookup(name)
            if binding is not None and not is_definition(binding) and not _is_plain(binding):
                kept.append(name)
        return kept

    def connect(self, name: Variable, origin: Origin) -> None:
        """Note which objects of other names the object of a name is, is part of, or holds."""
        self.aliases.bind(
            name,
            shares=self.objects(origin.shares),
            part_of=self.objects(origin.part_of),
            holds=self.objects(origin.holds),
        )

    def is_provided(self, event: Use) -> bool:
        """Say whether a read succeeds, or may fail, though no cell is seen to bind the name."""
        return event.name in _PROVIDED or self.has_star or event.guarded

    def is_builtin(self, name: str) -> bool:
        """Say whether Python or IPython provides the name."""
        return name in _PROVIDED

    # Binding.

    def note_bound(self, cell: Cell, flow: CellFlow) -> None:
        """Remember where names are assigned, for messages."""
        for statement in flow.statements:
            for name in statement.binds:
                self.bound_anywhere.setdefault(name, cell)

    def bind(self, name: Variable, binding: Binding) -> None:
        """Let a name stand for something else, on the way through the statement at hand."""
        if self._branches:
            self._branches[-1].setdefault(name, self.lookup(name))
        self.bindings[name] = binding

    def bind_code(self, code: Code, event: Bind) -> None:
        """Let a name stand for what a replayable statement of the pipeline gives it."""
        self.bindings[event.name] = self._code_binding(code, event)

    def tie(self, name: Variable, flow: Flow) -> None:
        """Let whoever reads a computed value count as a user of this function or class."""
        binding = self.bindings.get(name)
        if isinstance(binding, DataBinding):
            self.bindings[name] = dataclasses.replace(binding, flow=flow)

    def explore_code(self, code: Code, event: Bind) -> None:
        """Note what a replayable statement of an untagged cell gives a name."""
        self.explored[event.name] = self._code_binding(code, event)

    def _code_binding(self, code: Code, event: Bind) -> CodeBinding:
        if isinstance(event.flow, ClassFlow):
            for name, method in event.flow.methods.items():
                self._methods.setdefault(name, []).append(method)
            for attribute in event.flow.shared:
                self._sharing.setdefault(attribute, []).append((code.place, event.flow))
        module = code.statement.imports.get(event.name, "") or self.settable(event)
        return CodeBinding(code=code, flow=event.flow, module=module)

    def settable(self, event: Bind, modules: Mapping[str, str] | None = None) -> str:
        """Give the path of what makes the value, when that is no value of the notebook's own.

        A logger belongs to the process: setting its level sets something for all code after it.
        """
        maker = self.canonical(event.origin.maker, modules)
        return maker if maker == "logging.getLogger" else ""

    def next_version(self) -> int:
        """Give a number greater than all before."""
        self._version += 1
        return self._version

    # Code that may be skipped.

    @property
    def in_branch(self) -> bool:
        """True in code that may be skipped."""
        return bool(self._branches)

    def begin_branch(self) -> None:
        """Code begins that may be skipped."""
        self._branches.append({})

    def join(self, certain: Names) -> None:
        """After such code, a name it assigned may still be what it was before.

        `certain` are names that are bound on every way.
        """
        for name, before in self._branches.pop().items():
            if name not in certain:
                match self.bindings.get(name):
                    case DataBinding() as after:
                        self.bindings[name] = dataclasses.replace(after, otherwise=before)
                    case _:
                        pass
            if self._branches:
                self._branches[-1].setdefault(name, before)

    # Replayable code.

    def as_code(
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
            match self.lookup(event.name):
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
        if statement.kind is StatementKind.IMPORT:
            self.states_at_import[place] = {
                state: binding
                for module in statement.modules
                for state in self.states
                if f"{state}.".startswith(f"@module.{module}.")
                and isinstance(binding := self.bindings.get(state), DataBinding)
            }
        return code

    def flows_at(self, place: Place) -> list[Flow]:
        """Give what the functions and classes do that the code at a place defines."""
        events = self.code[place].statement.events
        return [e.flow for e in events if isinstance(e, Bind) and e.flow is not None]

    # Settings and random streams.

    def canonical(self, path: str, modules: Mapping[str, str] | None = None) -> str:
        """Resolve the import alias that a dotted path starts with.

        `modules` are imports that no binding stands for yet.
        """
        root, _, rest = path.partition(".")
        if modules and root in modules:
            return f"{modules[root]}.{rest}" if rest else modules[root]
        binding = self.lookup(Variable(root)) if root else None
        if isinstance(binding, CodeBinding) and binding.module:
            return f"{binding.module}.{rest}" if rest else binding.module
        return path

    def stream_touched(self, path: str) -> tuple[Variable, bool] | None:
        """Give the random stream that a call of this path touches, and whether it seeds it."""
        return random_stream(self.canonical(path))

    def states_set(self, statement: Statement) -> frozenset[Variable]:
        """Give the states of the process that a statement changes: its target, and its calls."""
        paths = {event.function for event in statement.events if isinstance(event, Call)}
        found = (state_set(self.canonical(path)) for path in (statement.target, *paths) if path)
        return frozenset(state for state in found if state is not None)

    def must_repeat(self, statement: Statement) -> bool:
        """Say whether this is a setting that later steps must make again."""
        return bool(statement.target) and is_repeated(self.canonical(statement.target))

    def sets_something(
        self, statement: Statement, modules: Mapping[str, str] | None = None
    ) -> bool:
        """Say whether this is a recognised setting or seed; `modules` as for `canonical`."""
        if not statement.target:
            return False
        path = self.canonical(statement.target, modules)
        stream = random_stream(path)
        return is_setting(path) or seeds_all(path) or (stream is not None and stream[1])


def is_definition(binding: Binding | None) -> TypeGuard[CodeBinding]:
    """Say whether the name stands for code: a function, a class, a module."""
    return isinstance(binding, CodeBinding) and binding.is_definition


def _cell_of(binding: Binding) -> Cell:
    return binding.code.cell if isinstance(binding, CodeBinding) else binding.cell


def is_value(
    binding: Binding | None,
) -> TypeGuard[DataBinding | CodeBinding | ParameterBinding]:
    """Say whether the name stands for a value that a step can have, and change."""
    match binding:
        case DataBinding() | ParameterBinding():
            return True
        case CodeBinding() as constant:
            return not constant.is_definition
        case _:
            return False


def _is_plain(binding: Binding) -> bool:
    """Say whether the name stands for a constant of numbers and texts."""
    return isinstance(binding, CodeBinding) and _assigns_plain(binding.code.statement)


@functools.lru_cache(maxsize=1024)
def _assigns_plain(statement: Statement) -> bool:
    if statement.kind is not StatementKind.CONSTANT:
        return False
    match ast.parse(statement.source).body:
        case [ast.Assign(value=ast.expr() as value)]:
            return all(isinstance(node, _PLAIN) for node in ast.walk(value))
        case _:
            return False


def is_stateful(binding: Binding | None) -> bool:
    """Say whether the object changes by being used: an iterator, a random generator."""
    match binding:
        case CodeBinding(code=code):
            return code.statement.kind is StatementKind.GENERATOR
        case DataBinding(stateful=stateful):
            return stateful
        case _:
            return False
