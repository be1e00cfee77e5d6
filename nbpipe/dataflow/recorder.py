"""What the walk over a cell has written down so far, and where it stands.

All walkers of a cell write to one `Recorder`. It knows Python's scopes, so that names local to a
function, a comprehension or a class never become events: they are followed to the globals and
parameters whose objects they stand for.
"""

from __future__ import annotations

import ast
import symtable
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from nbpipe.dataflow.class_state import path_inside
from nbpipe.dataflow.origins import FRESH, NO_NAMES, joined, origin_of_name
from nbpipe.dataflow.plain_results import gives_plain_results
from nbpipe.dataflow.scopes import ScopeFinder, ScopeNode, Table, is_class, is_global
from nbpipe.model.flow import (
    Bind,
    Branch,
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
    Trouble,
    Use,
)
from nbpipe.model.names import Variable

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(slots=True)
class Scope:
    """A scope being walked.

    Attributes:
        local: what the names bound in it stand for, so far.
        events: those of the function it belongs to, or of the cell.
        returns: what a function may return.
        nested: it makes functions itself.
        yields: it is the body of a generator.
    """

    table: Table
    events: list[Event]
    is_class: bool = False
    local: dict[str, Origin] = field(default_factory=dict)
    returns: list[Origin] = field(default_factory=list)
    nested: bool = False
    yields: bool = False

    def flow(self, node: FunctionNode) -> FunctionFlow:
        """Give what a call of the function does, once its body is walked."""
        caches = any(map(_is_cache, getattr(node, "decorator_list", ())))
        return FunctionFlow(
            name=getattr(node, "name", "<lambda>"),
            parameters=_parameters(node.args),
            events=tuple(self.events),
            returns=joined(*self.returns),
            positional=len(node.args.posonlyargs) + len(node.args.args),
            rest=node.args.vararg.arg if node.args.vararg else "",
            nested=self.nested,
            kept_defaults=_kept_defaults(node.args),
            caches=caches,
            plain=not caches or gives_plain_results(node),
            generates=self.yields and not getattr(node, "decorator_list", ()),
        )


class Recorder:
    """The events of one cell in the making.

    Attributes:
        line: where the walk is; every event gets it.
        given_to: the name whose method gets the argument at hand, if it is one of data.
        troubles: what could not be understood.
    """

    def __init__(self, table: symtable.SymbolTable) -> None:
        self.line = 1
        self.given_to = ""
        self.troubles: list[Trouble] = []
        self._events: list[Event] = []
        self._modules: list[str] = []
        self._scopes = [Scope(table, self._events)]
        self._finder = ScopeFinder()
        self._skippable = 0
        self._guards = 0
        self._assured = Counter[str]()

    def take(self) -> tuple[Event, ...]:
        """Give the events of the cell since the last call."""
        events = tuple(self._events)
        self._events.clear()
        return events

    def take_modules(self) -> tuple[str, ...]:
        """Give the modules imported since the last call, by their top-level names."""
        modules, self._modules = self._modules, []
        return tuple(dict.fromkeys(modules))

    # Events.

    def note(self, event: Event) -> None:
        """Write down an event as it is."""
        self._events.append(event)

    def note_modules(self, modules: Iterable[str]) -> None:
        """Write down that modules are imported, whatever their names are bound to."""
        self._modules += modules

    def use(self, name: str, *, called: bool = False) -> Origin:
        """Read a name, and give what its object is connected with."""
        home = self.home(name)
        # A class body reads the global until it has bound the name itself.
        if home is None or (home.is_class and name not in home.local):
            guarded = self._guards > 0 or self._assured[name] > 0
            self._events.append(
                Use(name=Variable(name), line=self.line, guarded=guarded, called=called)
            )
        return origin_of_name(name) if home is None else home.local.get(name, FRESH)

    def ask(self, name: str) -> None:
        """Read a global by a text that holds its name; nothing breaks when there is none."""
        self._events.append(Use(name=Variable(name), line=self.line, guarded=True))

    def bind(
        self, name: str, origin: Origin = FRESH, flow: FunctionFlow | ClassFlow | None = None
    ) -> None:
        """Assign to a name."""
        home = self.home(name)
        if home is None:
            self._events.append(Bind(name=Variable(name), line=self.line, origin=origin, flow=flow))
            return
        before = home.local.get(name) if self._skippable else None
        home.local[name] = joined(before, origin) if before else origin

    def delete(self, name: str) -> None:
        """Delete a name."""
        home = self.home(name)
        if home is None:
            self._events.append(Delete(name=Variable(name), line=self.line))
        else:
            home.local.pop(name, None)

    def mutate(  # noqa: PLR0913 - all but two are optional
        self,
        origin: Origin,
        node: ast.expr,
        *,
        certain: bool = True,
        stores: bool = False,
        adds: Names = NO_NAMES,
        keeps: Names = NO_NAMES,
        puts: Names = NO_NAMES,
    ) -> None:
        """Change the object of an expression in place; see `Mutate` for the rest."""
        self.change_inside(node)
        inside = not isinstance(node, ast.Name)
        for names, deep in ((origin.shares, inside), (origin.part_of, True), (origin.holds, True)):
            for name in sorted(names):
                self._events.append(
                    Mutate(
                        name=name,
                        line=self.line,
                        deep=deep,
                        certain=certain,
                        stores=stores,
                        adds=adds,
                        keeps=keeps if name in origin.same else NO_NAMES,
                        puts=puts if name in origin.same else NO_NAMES,
                    )
                )

    def change_inside(self, node: ast.expr) -> None:
        """Change what an attribute holds, or let something else stand for it, which may."""
        if not isinstance(node, ast.Attribute | ast.Subscript):
            return
        root, attributes = path_inside(node)
        if attributes:
            name = Variable(root if root and self.home(root) is None else "")
            self._events.append(ChangeInside(attributes=attributes, root=name, line=self.line))

    def mark(self) -> int:
        """Give a mark of this moment for `changes_since`."""
        return len(self._events)

    def changes_since(self, mark: int) -> bool:
        """Say whether an object was changed in place since then."""
        return any(isinstance(event, Mutate) for event in self._events[mark:])

    def opaque(self, what: str, *, writes: bool = True) -> None:
        """Run code that may read any name, and change any unless not `writes`."""
        self._events.append(Opaque(line=self.line, what=what, writes=writes))

    def take_back_opaque(self) -> None:
        """Take back the last event if it says that all names are read: one of them was meant."""
        if self._events and isinstance(self._events[-1], Opaque):
            self._events.pop()

    def import_star(self, module: str) -> None:
        """Bind whatever names a module has."""
        self._events.append(StarImport(module=module, line=self.line))

    def inline(self, flow: FunctionFlow) -> None:
        """Count what an inner function does as done, later, by the code around it."""
        for event in flow.events:
            match event:
                case Use():
                    self._events.append(
                        Use(
                            name=event.name,
                            line=event.line,
                            guarded=event.guarded,
                            deferred=True,
                            given_to=self.given_to,
                        )
                    )
                case Bind():
                    self._events.append(
                        Bind(name=event.name, line=event.line, definite=False, origin=event.origin)
                    )
                case Mutate() if event.name.startswith("<"):
                    pass  # The parameters of the inner function: nobody's here.
                case _:
                    self._events.append(event)

    # Where the walk stands.

    @property
    def scope(self) -> Scope:
        """The innermost scope."""
        return self._scopes[-1]

    @property
    def is_top_level(self) -> bool:
        """True outside every function, class and comprehension."""
        return len(self._scopes) == 1

    def home(self, name: str) -> Scope | None:
        """Give the scope in which `name` is local; None for a global."""
        if self.is_top_level:
            return None
        for depth, scope in enumerate(reversed(self._scopes)):
            if depth and scope.is_class:
                continue
            answer = is_global(scope.table, name)
            if answer is True:
                return None
            if answer is False:
                return scope
        return None

    @contextmanager
    def branch(self, certain: Iterable[str] = ()) -> Iterator[None]:
        """Walk code that may be skipped; `certain` names are bound whatever way is taken."""
        self._events.append(Branch(line=self.line))
        self._skippable += 1
        yield
        self._skippable -= 1
        names = frozenset(Variable(name) for name in certain)
        self._events.append(Join(line=self.line, certain=names))

    @contextmanager
    def guarded(self, *, catches: bool) -> Iterator[None]:
        """Walk a block around which a NameError is caught, if it `catches` one."""
        self._guards += catches
        yield
        self._guards -= catches

    @contextmanager
    def assured(self, names: Collection[str]) -> Iterator[None]:
        """Walk a block that only runs when these names have values."""
        self._assured.update(names)
        yield
        self._assured.subtract(names)

    @contextmanager
    def inside(self, node: ScopeNode) -> Iterator[Scope]:
        """Walk a scope whose code runs where it stands: a class body, a comprehension."""
        table = self._finder.enter(self._scopes[-1].table, node)
        self._scopes.append(Scope(table, self._events, is_class(table)))
        yield self._scopes[-1]
        self._scopes.pop()

    @contextmanager
    def function(self, node: FunctionNode) -> Iterator[Scope]:
        """Walk the body of a function; its events are kept apart, for whoever calls it."""
        outer = self._events, self._skippable, self._guards, self.line
        self._events, self._skippable, self._guards = [], 0, 0
        with self.inside(node) as scope:
            for name in _parameters(node.args):
                scope.local[name] = origin_of_name(f"<{name}>")
            yield scope
        self._events, self._skippable, self._guards, self.line = outer

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Walk again what was walked already, for its origin alone."""
        outer = self._events, self._modules, self.troubles, self._finder
        self._events, self._finder = [], ScopeFinder()
        self._modules, self.troubles = [], []
        yield
        self._events, self._modules, self.troubles, self._finder = outer


def _parameters(arguments: ast.arguments) -> tuple[str, ...]:
    """Give the names of parameters: those that can be positional first, in their order."""
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    others = (arguments.vararg, arguments.kwarg)
    return tuple(a.arg for a in (*every, *others) if a is not None)


def _is_cache(decorator: ast.expr) -> bool:
    """Say whether a decorator remembers results: `@cache`, `@functools.lru_cache(maxsize=9)`."""
    match decorator:
        case ast.Call(func=function):
            return _is_cache(function)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in ("cache", "lru_cache")
        case _:
            return False


def _kept_defaults(arguments: ast.arguments) -> frozenset[Variable]:
    """Name the parameters whose default is made once and can be changed."""
    positional = [*arguments.posonlyargs, *arguments.args]
    given = zip(reversed(positional), reversed(arguments.defaults), strict=False)
    pairs = [*given, *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    mutable = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
    return frozenset(
        Variable(f"<{argument.arg}>") for argument, value in pairs if isinstance(value, mutable)
    )
