"""What a statement does to its step: its events in order, and those of the functions it names.

Naming a function may mean calling it, now or later, so what its body does to globals counts where
it is named. What it does to its parameters counts where it is called (`calls`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, assert_never

from nbpipe.compiler.calls import Calls
from nbpipe.compiler.draft import DataBinding, StepDraft
from nbpipe.compiler.findings import Findings
from nbpipe.compiler.namespace import Flow, Namespace, is_definition, is_value
from nbpipe.compiler.reading import At, StepReader
from nbpipe.compiler.replaying import Replayed
from nbpipe.compiler.writing import StepWriter
from nbpipe.dataflow.settings import is_repeated, state_set
from nbpipe.model.flow import (
    Bind,
    Branch,
    Call,
    ChangeInside,
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
    StatementKind,
    Use,
)
from nbpipe.model.names import StepName, Variable, is_state
from nbpipe.model.notebook import Cell, RandomPolicy

_RELOADS: Final = frozenset({"importlib.reload", "imp.reload"})

# Methods of functions that remember results.
_CACHE_METHODS: Final = frozenset({"cache_info", "cache_clear"})


class StepEvents:
    """Applies events to steps; `reader` and `writer` do so for single names."""

    def __init__(
        self,
        names: Namespace,
        *,
        drafts: Mapping[StepName, StepDraft],
        replayed: Replayed,
        findings: Findings,
        random: RandomPolicy,
    ) -> None:
        self._names = names
        self._findings = findings
        self._calls = Calls(names, random=random)
        # The first step that uses a definition which changes itself, by the flow's identity.
        self._keepers: dict[int, StepName] = {}
        # The steps that use a definition which may keep state, and those of which it is known.
        self._users: dict[int, dict[StepName, None]] = {}
        self._keeping: set[int] = set()
        # Where a step loads a module again, and the names that stood for it.
        self.reloads: list[tuple[At, Variable]] = []
        self.reader = StepReader(
            names, drafts=drafts, replayed=replayed, findings=findings, follow=self._follow
        )
        self.writer = StepWriter(names, reader=self.reader, calls=self._calls)

    def apply(self, at: At, event: Event) -> None:
        """Apply one event of a statement of the step."""
        match event:
            case Use(name=name):
                self.reader.use(at, event)
                self._open(at, name)
            case Bind():
                self.writer.bind(at, event)
            case Mutate():
                self._mutate(at, event)
            case Delete():
                self.writer.delete(at, event)
            case ChangeInside():
                self._change_inside(at, event)
            case Call():
                self._call(at, event)
            case Opaque():
                self._opaque(at, event)
            case Branch():
                self._names.begin_branch()
            case Join(certain=certain):
                self._names.join(certain)
            case StarImport():
                pass  # Reported and replayed as a whole statement.
            case _ as unreachable:
                assert_never(unreachable)

    def _follow(self, at: At, flow: Flow) -> None:
        """Do what a function, or the methods of a class, do to globals."""
        if id(flow) in at.visited:
            return
        at.visited.add(id(flow))
        if isinstance(flow, ClassFlow) and flow.keeps_state:
            self._keeps_state(at, flow.name, id(flow))
        if (
            id(flow) in self._keeping
            or (isinstance(flow, ClassFlow) and flow.shared)
            or (isinstance(flow, FunctionFlow) and flow.caches)
        ):
            self._may_keep(at, flow)
        for body in flow.methods.values() if isinstance(flow, ClassFlow) else (flow,):
            for event in body.events:
                match event:
                    case Use(name=name, guarded=guarded):
                        self.reader.use(
                            at, Use(name=name, line=at.line, guarded=guarded, deferred=True)
                        )
                        self._open(at, name)
                    case Bind(name=name, origin=origin):
                        self.writer.bind(
                            at,
                            Bind(
                                name=name,
                                line=at.line,
                                definite=False,
                                origin=_of_globals(origin),
                            ),
                        )
                    case Mutate(name=name) if name.startswith("<"):
                        if name in body.kept_defaults:
                            self._keeps_state(at, body.name, id(body))
                    case Mutate(name=name) if (event.stores or event.deep) and is_definition(
                        binding := self._names.lookup(name)
                    ):
                        if binding.code.statement.kind is StatementKind.DEFINITION:
                            self._keeps_state(at, name, id(flow))
                    case Mutate():
                        self._mutate(at, event)
                    case Delete(name=name):
                        self.writer.delete(at, Delete(name=name, line=at.line, definite=False))
                    case ChangeInside():
                        self._change_inside(at, event)
                    case Opaque():
                        self._opaque(at, event)
                    case Call(function=function):
                        self._draw(at, event, certain=False)
                        if event.method in _CACHE_METHODS:
                            self._ask_cache(at, event)
                        path = self._names.canonical(function)
                        state = state_set(path)
                        if state is not None:
                            self.writer.change_state(at, state, at.line)
                        if is_repeated(path):
                            self._sets_inside(at, body.name, function)
                    case _:
                        pass

    def _sets_inside(self, at: At, name: str, function: str) -> None:
        """A function sets something of a library: that stays in the step that calls it."""
        self._findings.add(
            "NBP220",
            f"{name!r} calls {function}; what it sets stays in step {at.step.name!r}.",
            at.cell,
            at.line,
            help="If later steps need it, make the setting in a cell of its own.",
        )

    def _keeps_state(self, at: At, name: str, which: int) -> None:
        """A function or class changes itself when it is used: only one step can see that."""
        self._run_as_one(at, name, self._keepers.setdefault(which, at.step.name))

    def _run_as_one(self, at: At, name: str, other: StepName) -> None:
        if other != at.step.name:
            keeps_state(self._findings, name, (other, at.step.name), at.cell, at.line)

    def _may_keep(self, at: At, flow: Flow) -> None:
        """A function remembers its results, or instances of a class share a list: one more user.

        The first shows where the body does not run again, where a result can be changed, or where
        somebody asks what it remembers; the second where somebody changes the list.
        """
        self._users.setdefault(id(flow), {})[at.step.name] = None
        remembers = isinstance(flow, FunctionFlow) and (
            not flow.plain or self._calls.has_effects(flow)
        )
        if id(flow) in self._keeping or remembers:
            self._keeps_state(at, flow.name, id(flow))

    def _ask_cache(self, at: At, call: Call) -> None:
        """`f.cache_info()` tells how often the function ran: then all users of it run as one."""
        flow = self._names.flow_of(call.function.rpartition(".")[0])
        if isinstance(flow, FunctionFlow) and flow.caches:
            self._join_users(at, flow)

    def _mutate(self, at: At, event: Mutate) -> None:
        """Change an object, which a function may give to others as a result it remembers."""
        for name in sorted(self._names.aliases.changed_with(event.name, deep=event.deep)):
            binding = self._names.lookup(name)
            if isinstance(binding, DataBinding) and binding.kept_by is not None:
                self._may_keep(at, binding.kept_by)
        self.writer.mutate(at, event)

    def _change_inside(self, at: At, event: ChangeInside) -> None:
        """What an instance does not have of its own is its class's: then that keeps state."""
        for attribute in sorted(event.attributes):
            for flow in self._names.classes_sharing(attribute, event.root):
                self._join_users(at, flow)

    def hold_together(self, at: At, made: Bind, filled: Names) -> None:
        """A class cannot be loaded without filling these again: whoever needs either is joined."""
        if made.flow is None:
            return
        self._keeping.add(id(made.flow))
        self._keepers.setdefault(id(made.flow), at.step.name)
        for name in sorted({made.name, *filled}):
            self._names.tie(name, made.flow)

    def _join_users(self, at: At, flow: Flow) -> None:
        self._keeping.add(id(flow))
        self._keepers.setdefault(id(flow), at.step.name)
        for user in self._users.get(id(flow), {}):
            self._run_as_one(at, flow.name, user)

    def _call(self, at: At, call: Call) -> None:
        self._draw(at, call)
        if self._names.canonical(call.function) in _RELOADS and call.positional:
            self.reloads += [(at, name) for name in sorted(call.positional[0])]
        if call.method in _CACHE_METHODS:
            self._ask_cache(at, call)
        for effect in self._calls.follow(call):
            match effect:
                case Mutate():
                    self._mutate(at, effect)
                case FunctionFlow():
                    self._follow(at, effect)

    def _draw(self, at: At, call: Call, *, certain: bool = True) -> None:
        """Let a call seed a global random stream, or draw from one that was seeded.

        Unless it is `certain` to be made, the stream may also stay as it was.
        """
        touched = self._calls.stream_touched(call)
        if touched is None:
            return
        stream, seeds = touched
        is_known = stream in self._names.bindings
        if seeds and (not is_known or (certain and not self._names.in_branch)):
            self.writer.overwrite(at, stream, call.line)
        elif is_known:
            self.writer.mutate(at, Mutate(name=stream, line=call.line))

    def _open(self, at: At, name: Variable) -> None:
        """Read a name that may stand for all others: `import __main__ as m`, then `m.x = 1`."""
        what = self._names.whole_namespace(name)
        if what and name != "__main__":
            self._opaque(at, Opaque(line=at.line, what=f"{name} ({what})"))

    def _opaque(self, at: At, event: Opaque) -> None:
        effect = "read and change" if event.writes else "read"
        self._findings.add(
            "NBP211",
            f"{event.what} may {effect} any variable; the step depends on all of them.",
            at.cell,
            event.line,
            help="Name the variables in plain code if you can.",
        )
        names = self._names
        for name in sorted({*names.bindings, *names.explored}):
            if not is_state(name):
                self.reader.use(at, Use(name=name, line=event.line, guarded=True, deferred=True))
        if event.writes:
            names.opaque_step = at.step
            for name, binding in sorted(names.bindings.items()):
                if is_state(name) or not is_value(binding):
                    continue  # A draw is found when the step runs.
                match binding:
                    case DataBinding(carries=carries, reads=reads):
                        self.writer.overwrite(at, name, event.line, carries=carries, reads=reads)
                    case _:
                        self.writer.overwrite(at, name, event.line)
            self.writer.store_together(filter(lambda name: not is_state(name), names.bindings))


def keeps_state(
    findings: Findings, name: str, steps: tuple[StepName, StepName], cell: Cell, line: int
) -> None:
    """Report a definition that changes when it is used, and that two steps use."""
    one, other = steps
    findings.add(
        "NBP222",
        f"{name!r} keeps state between calls, and steps {one!r} and {other!r} both use it; so they "
        "run as one.",
        cell,
        line,
        help="To keep them apart, keep the state in a variable.",
        fuse={*steps},
    )


def _of_globals(origin: Origin) -> Origin:
    """Leave out what a function is passed: it is not known where the function is only named."""

    def kept(names: Names) -> Names:
        return frozenset(name for name in names if not name.startswith("<"))

    return Origin(
        shares=kept(origin.shares),
        part_of=kept(origin.part_of),
        holds=kept(origin.holds),
        maker=origin.maker,
    )
