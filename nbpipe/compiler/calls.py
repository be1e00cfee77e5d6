"""What calls of the notebook's own functions do to their arguments, and what they give back.

A function is known by its flow, in which `<x>` stands for whatever is passed as parameter `x`. A
call puts the caller's names in their places and follows calls inside the body the same way. A
method is looked up by its name alone: any class of the notebook that has one may be meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from nbpipe.compiler.draft import DataBinding
from nbpipe.compiler.namespace import Namespace, is_stateful
from nbpipe.dataflow.mutations import GENERATOR
from nbpipe.dataflow.settings import (
    RANDOM_STREAMS,
    draws_in_library,
    is_passing,
    is_setting,
    writes_file,
)
from nbpipe.model.flow import (
    Bind,
    Call,
    ClassFlow,
    Delete,
    FunctionFlow,
    Mutate,
    Names,
    Opaque,
    Origin,
    Statement,
)
from nbpipe.model.names import Variable
from nbpipe.model.notebook import RandomPolicy

_Passed: TypeAlias = Mapping[str, Names]
_Followed: TypeAlias = tuple[int, frozenset[tuple[str, Names]]]

# Methods that run when a class is called, as a decorator, say.
_MAKING: Final = ("__new__", "__init__", "__set_name__")

# Calls inside calls are followed this deep: recursion ends somewhere, and so do we.
_MOST_NESTED: Final = 12

# Functions and methods that call their first argument with the others, or what is in them. Methods
# such as `apply` are not among them: what they pass are copies.
_CALLING: Final = frozenset({"map", "filter"})
_CALLING_METHODS: Final = frozenset({"pipe"})

# Functions whose call is seen by whoever looks at a cell.
_SHOWING: Final = frozenset({"print", "display", "input", "open", "next", "warnings.warn"})


class Calls:
    """Looks up what calls do, as names stand at the moment."""

    def __init__(self, names: Namespace, *, random: RandomPolicy) -> None:
        self._names = names
        self._random = random

    def stream_touched(self, call: Call) -> tuple[Variable, bool] | None:
        """Give the random stream that a call touches, and whether it seeds it.

        None, too, when streams do not go from step to step.
        """
        if self._random is RandomPolicy.PER_STEP:
            return None
        touched = self._names.stream_touched(call.function) if call.function else None
        name = call.method or call.function
        if touched is None and draws_in_library(name, [k for k, _ in call.keywords]):
            return RANDOM_STREAMS["numpy.random"], False
        return touched

    def follow(self, call: Call) -> Iterator[Mutate | FunctionFlow]:
        """Give what a call changes, and the methods it may run, one by one.

        Names are looked up between one and the next: whoever asks applies each before going on.
        """
        arguments = [*call.positional, *(names for _, names in call.keywords)]
        for name in sorted(call.receiver.union(*arguments)):
            if is_stateful(self._names.lookup(name)):
                yield Mutate(name=name, line=call.line)
                # Whatever goes through another iterator uses that up.
                for inner in sorted(self._names.aliases.inside(name)):
                    if is_stateful(self._names.lookup(inner)):
                        yield Mutate(name=inner, line=call.line)
        if self._is_closure(call.function):
            yield Mutate(name=Variable(call.function), line=call.line)
        yield from self._run_callees(call, depth=0, followed=set())

    def has_effects(self, flow: FunctionFlow) -> bool:
        """Say whether a call of the function, or of what it calls, does more than give a result."""
        waiting, seen = [flow], {id(flow)}
        while waiting:
            for event in waiting.pop().events:
                match event:
                    case Mutate() | Bind() | Delete() | Opaque():
                        return True
                    case Call() if self._shows(event):
                        return True
                    case Call(function=function):
                        inner = self._names.flow_of(function)
                        if isinstance(inner, FunctionFlow) and id(inner) not in seen:
                            seen.add(id(inner))
                            waiting.append(inner)
                    case _:
                        pass
        return False

    def changed_by_defining(self, statement: Statement) -> frozenset[Variable]:
        """Name what running a definition changes: by its decorators, bases, defaults, its body."""
        changed: set[Variable] = set()
        waiting: list[FunctionFlow] = []
        for event in statement.events:
            match event:
                case Mutate(name=name):
                    changed.add(name)
                case Call():
                    waiting += self._called(event)
                    for effect in self.follow(event):
                        if isinstance(effect, Mutate):
                            changed.add(effect.name)
                        else:
                            waiting.append(effect)
                case _:
                    pass
        changed |= self._changed_by(waiting) | self.changed_by_bases(statement)
        return frozenset(name for name in changed if not name.startswith("<")).difference(
            statement.binds
        )

    def changed_by_bases(self, statement: Statement) -> frozenset[Variable]:
        """Name what the making of a class changes by the ways of its bases and metaclass."""
        flows = [
            flow
            for event in statement.events
            if isinstance(event, Bind) and isinstance(event.flow, ClassFlow)
            for flow in self._run_by_bases(event.flow.bases, seen=set())
        ]
        return frozenset(self._changed_by(flows)).difference(statement.binds)

    def _changed_by(self, flows: Iterable[FunctionFlow]) -> set[Variable]:
        """Name the globals that calls of these functions, and of what they call, change."""
        changed: set[Variable] = set()
        waiting, seen = [*flows], set[int]()
        while waiting:
            flow = waiting.pop()
            if id(flow) in seen:
                continue
            seen.add(id(flow))
            for event in flow.events:
                match event:
                    case Mutate(name=name) | Bind(name=name) | Delete(name=name):
                        changed.add(name)
                    case Call():
                        waiting += self._called(event)
                    case _:
                        pass
        return {name for name in changed if not name.startswith("<")}

    def _called(self, call: Call) -> Iterator[FunctionFlow]:
        """Give the notebook's own functions and methods that a call may run."""
        match self._names.flow_of(call.function):
            case FunctionFlow() as function:
                yield function
            case ClassFlow(methods=methods, bases=bases):
                yield from (methods[name] for name in _MAKING if name in methods)
                yield from self._run_by_bases(bases, seen=set())
            case None if call.method and (
                self._names.objects(call.receiver)
                or any(name.startswith("<") for name in call.receiver)
            ):
                yield from self._names.methods_named(call.method)
            case _:
                pass

    def _run_by_bases(self, bases: Iterable[str], *, seen: set[str]) -> Iterator[FunctionFlow]:
        """Give what runs when a class is made from these: by bases of bases, too."""
        for base in bases:
            flow = self._names.flow_of(base)
            if base not in seen and isinstance(flow, ClassFlow):
                seen.add(base)
                of_class = ("__init_subclass__", *(_MAKING if "type" in flow.bases else ()))
                yield from (flow.methods[name] for name in of_class if name in flow.methods)
                yield from self._run_by_bases(flow.bases, seen=seen)

    def _shows(self, call: Call) -> bool:
        """Say whether a call touches the world, or gives something else each time."""
        path = self._names.canonical(call.function) or call.method
        return (
            path in _SHOWING
            or is_setting(path)
            or is_passing(path)
            or writes_file(path)
            or self._names.stream_touched(call.function) is not None
        )

    def result(self, origin: Origin) -> Origin:
        """Follow the calls an object may come from: what does it share with their arguments?"""
        if not origin.calls:
            return origin
        shares, part_of, holds = set(origin.shares), set(origin.part_of), set(origin.holds)
        same, keeps = set(origin.same), set(origin.keeps)
        maker = origin.maker
        for call in origin.calls:
            match self._names.flow_of(call.function):
                case FunctionFlow(returns=returns) as function:
                    passed = _passed(function, call, call.positional)
                    shares |= _substituted(returns.shares, passed)
                    part_of |= _substituted(returns.part_of, passed)
                    holds |= _substituted(returns.holds, passed)
                    same |= _substituted(returns.same, passed)
                    keeps |= _substituted(returns.keeps, passed)
                    maker = GENERATOR if function.generates else maker
                case ClassFlow(methods={"__init__": init}):
                    passed = _passed(init, call, (frozenset(), *call.positional))
                    for event in init.events:
                        if isinstance(event, Mutate):
                            holds |= _substituted(event.adds, passed)
                            keeps |= _substituted(event.keeps, passed)
                case _:
                    pass
        return Origin(
            shares=frozenset(shares),
            part_of=frozenset(part_of),
            holds=frozenset(holds),
            same=frozenset(same),
            keeps=frozenset(keeps),
            maker=maker,
        )

    def keeper(self, origin: Origin) -> FunctionFlow | None:
        """Give the function of the notebook that remembers an object as its result, if one does."""
        for call in origin.calls:
            flow = self._names.flow_of(call.function)
            if isinstance(flow, FunctionFlow) and flow.caches and not flow.plain:
                return flow
        return None

    def _is_closure(self, function: str) -> bool:
        """Say whether this is a function that another one made: calling it may change it."""
        binding = self._names.lookup(Variable(function))
        return isinstance(binding, DataBinding) and any(
            isinstance(flow, FunctionFlow) and flow.nested
            for place in binding.carries
            for flow in self._names.flows_at(place)
        )

    def _run_callees(
        self, call: Call, *, depth: int, followed: set[_Followed]
    ) -> Iterator[Mutate | FunctionFlow]:
        """Run the notebook's own functions that a call may mean, once for the same arguments."""
        found: list[tuple[FunctionFlow, _Passed]] = []
        if "." not in call.function:
            match self._names.flow_of(call.function):
                case FunctionFlow() as function:
                    found.append((function, _passed(function, call, call.positional)))
                case ClassFlow(methods={"__init__": init}):
                    found.append((init, _passed(init, call, (frozenset(), *call.positional))))
                case None:
                    # An object that is called: `count()` after `count = Counting()`.
                    called = frozenset({Variable(call.function)} if call.function else ())
                    if self._names.objects(called):
                        for method in self._names.methods_named("__call__"):
                            yield method
                            arguments = (called, *call.positional)
                            found.append((method, _passed(method, call, arguments)))
        if call.method and self._names.objects(call.receiver):
            for method in self._names.methods_named(call.method):
                yield method
                found.append((method, _passed(method, call, (call.receiver, *call.positional))))
        found += self._handed_over(call)
        for callee, passed in found:
            this = (id(callee), frozenset(passed.items()))
            if this not in followed:
                followed.add(this)
                yield from self._run(callee, passed, call.line, depth=depth, followed=followed)

    def _handed_over(self, call: Call) -> Iterator[tuple[FunctionFlow, _Passed]]:
        """Give functions that a call gets to call, with what it passes: `map(f, frames)`."""
        if call.function in _CALLING:
            functions, passed_on = call.positional[:1], call.positional[1:]
        elif call.method in _CALLING_METHODS:
            functions, passed_on = call.positional[:1], (call.receiver, *call.positional[1:])
        else:
            return
        for name in sorted(frozenset().union(*functions)):
            match self._names.flow_of(name):
                case FunctionFlow() as function:
                    yield function, _passed(function, call, passed_on)
                case _:
                    pass

    def _run(
        self,
        flow: FunctionFlow,
        passed: _Passed,
        line: int,
        *,
        depth: int,
        followed: set[_Followed],
    ) -> Iterator[Mutate | FunctionFlow]:
        """Do to the arguments of a call what the function does to its parameters."""
        if depth > _MOST_NESTED:
            return
        for event in flow.events:
            match event:
                case Mutate() if event.name.startswith("<"):
                    for name in sorted(passed.get(event.name, ())):
                        yield Mutate(
                            name=name,
                            line=line,
                            deep=True,
                            certain=event.certain,
                            adds=_substituted(event.adds, passed),
                            keeps=_substituted(event.keeps, passed),
                            puts=_substituted(event.puts, passed),
                        )
                case Mutate() if any(added.startswith("<") for added in event.adds):
                    adds = _substituted(event.adds, passed)
                    self._names.aliases.add(event.name, self._names.objects(adds))
                case Call():
                    inner = Call(
                        function=event.function,
                        line=line,
                        method=event.method,
                        receiver=_substituted(event.receiver, passed),
                        positional=tuple(_substituted(n, passed) for n in event.positional),
                        keywords=tuple((k, _substituted(n, passed)) for k, n in event.keywords),
                    )
                    yield from self._run_callees(inner, depth=depth + 1, followed=followed)
                case _:
                    pass


def _passed(flow: FunctionFlow, call: Call, positional: Iterable[Names]) -> _Passed:
    """Match arguments with parameters; what is left over may be any of them."""
    passed: dict[str, Names] = {}
    for position, names in enumerate(positional):
        if position < flow.positional:
            passed[f"<{flow.parameters[position]}>"] = names
        elif flow.rest:
            place = f"<{flow.rest}>"
            passed[place] = passed.get(place, frozenset()) | names
    for keyword, names in call.keywords:
        if keyword in flow.parameters:
            passed[f"<{keyword}>"] = names
        else:
            for parameter in flow.parameters:
                passed.setdefault(f"<{parameter}>", names)
    return passed


def _substituted(names: Names, passed: _Passed) -> Names:
    """Put what is passed in the place of parameters."""
    result: set[Variable] = set()
    for name in names:
        result |= passed.get(name, frozenset()) if name.startswith("<") else {name}
    return frozenset(result)
