"""What the values that a statement makes bring along to the steps that load them.

An instance needs its class, and a value that holds a function needs that function and, once the
function is called, the names that it reads.
"""

from __future__ import annotations

from collections.abc import Iterator

from nbpipe.compiler.draft import Code, CodeBinding, DataBinding, Place
from nbpipe.compiler.namespace import Flow, Namespace
from nbpipe.model.flow import Bind, ClassFlow, FunctionFlow, Statement, StatementKind, Use
from nbpipe.model.graph import reachable
from nbpipe.model.names import Variable


def definitions_carried(statement: Statement, names: Namespace) -> frozenset[Place]:
    """Give the definitions that values made by this statement may refer to."""
    carried: set[Place] = set()
    seen: set[int] = set()
    waiting = [event for event in statement.events if isinstance(event, Use)]
    while waiting:
        event = waiting.pop()
        match names.lookup(event.name):
            case DataBinding(carries=carries):
                carried |= carries
            case CodeBinding(changed=True, code=code):
                carried |= definitions_behind(code, names)
            case CodeBinding(flow=ClassFlow(), code=code):
                carried.add(code.place)
            case CodeBinding(flow=None, code=code) if (
                code.statement.kind is StatementKind.DEFINITION
            ):
                carried.add(code.place)
            case CodeBinding(flow=FunctionFlow() as flow, code=code):
                if not event.called or flow.nested:
                    carried.add(code.place)
                if id(flow) not in seen:
                    seen.add(id(flow))
                    waiting += [inner for inner in flow.events if isinstance(inner, Use)]
            case _:
                pass
    return frozenset(carried)


def definitions_behind(code: Code, names: Namespace) -> frozenset[Place]:
    """Give the definitions that filled what a statement changed last, and what they need."""
    needs = {place: each.needs for place, each in names.code.items()}
    return frozenset(
        place
        for place in reachable([code.place], needs)
        if names.code[place].statement.kind is StatementKind.DEFINITION
    )


def names_kept(statement: Statement, names: Namespace) -> frozenset[Variable]:
    """Give the names read by functions that values made by this statement may hold."""
    kept: set[Variable] = set()
    for event in statement.events:
        if isinstance(event, Bind) and event.flow is not None:
            # A definition that is a value: it may be called by way of whatever it was put into.
            kept |= {inner.name for inner in uses_in(event.flow)}
        if not isinstance(event, Use):
            continue
        if event.deferred and not _is_used_up(event, names):
            kept.add(event.name)
        else:
            binding = names.lookup(event.name)
            if isinstance(binding, DataBinding):
                kept |= binding.reads
    return frozenset(kept)


def uses_in(flow: Flow) -> Iterator[Use]:
    """Give what a function, or the methods of a class, read."""
    for body in flow.methods.values() if isinstance(flow, ClassFlow) else (flow,):
        yield from (event for event in body.events if isinstance(event, Use))


def _is_used_up(event: Use, names: Namespace) -> bool:
    """Methods of data call the function they are given, and let it go (`df.apply`)."""
    return isinstance(names.lookup(Variable(event.given_to)), DataBinding)
