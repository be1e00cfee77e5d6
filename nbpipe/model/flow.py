"""What a cell does to the namespace, as a sequence of events in the order of the source.

A cell is analysed alone, so that its analysis can be kept by the digest of its source; names are
given a meaning only when the cells are linked in notebook order. Inside a function, `<x>` stands
for whatever the caller passes as parameter `x`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from nbpipe.model.names import Variable

Names: TypeAlias = frozenset[Variable]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the object of an expression comes from.

    Attributes:
        shares: names whose object this is, or shares memory with (a view).
        part_of: names whose object holds it (an element, an attribute).
        holds: names whose objects it holds (`[a, b]`).
        calls: calls whose result it may be.
        maker: dotted name of the call that made it, such as `np.random.default_rng`.
        same: names whose very object it is, or one of several of which it is one (`b = a`); a view
            is not, nor is what a library gives back.
        keeps: names whose very objects it holds (`[a, b]`).
    """

    shares: Names = frozenset()
    part_of: Names = frozenset()
    holds: Names = frozenset()
    same: Names = frozenset()
    keeps: Names = frozenset()
    calls: tuple[Call, ...] = ()
    maker: str = ""

    @property
    def names(self) -> Names:
        """Every name the object is connected with."""
        return self.shares | self.part_of | self.holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A name is read.

    Attributes:
        guarded: a NameError here is caught.
        deferred: it is read only when a function made here is called.
        called: it is what is called, not passed on.
        given_to: for a deferred one, the name whose method the function is passed to. Methods of
            data use such a function up (`df.apply(lambda …)`); whatever else may keep it.
    """

    name: Variable
    line: int
    guarded: bool = False
    deferred: bool = False
    called: bool = False
    given_to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A name is assigned; not `definite` when that happens in a call that may not be made."""

    name: Variable
    line: int
    definite: bool = True
    origin: Origin = field(default_factory=Origin)
    flow: FunctionFlow | ClassFlow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutate:
    """The object of a name is changed in place.

    `deep`: something inside it may be what changes (`a[0].append(1)`). `certain` is False for a
    method call whose result is thrown away, which is a good sign of a change but no proof.
    `stores`: by assignment to an attribute or a subscript. `adds` are names whose objects become
    part of it, or perhaps; `keeps` are those of which that is sure, and `puts` those of which it is
    when the object is a list or dictionary.
    """

    name: Variable
    line: int
    deep: bool = False
    certain: bool = True
    stores: bool = False
    adds: Names = frozenset()
    keeps: Names = frozenset()
    puts: Names = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeInside:
    """What an attribute of something holds is changed in place (`box.items.append(1)`), or may be.

    `attributes` are those on the way to it, `root` the name that the way starts with, if any.
    """

    attributes: frozenset[str]
    root: Variable
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """A name is deleted."""

    name: Variable
    line: int
    definite: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call. `function` is a dotted path from a name (`helper`, `np.random.seed`), or empty.

    `receiver` is what `method` is called on; arguments carry the names they are connected with.
    """

    function: str
    line: int
    method: str = ""
    receiver: Names = frozenset()
    positional: tuple[Names, ...] = ()
    keywords: tuple[tuple[str, Names], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opaque:
    """Code whose reads or writes cannot be known: `exec`, `globals()`, `%run`, unknown magics."""

    line: int
    what: str
    writes: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StarImport:
    """`from module import *`: may bind any name."""

    module: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Code begins that may be skipped (a branch, a loop, a handler), up to its `Join`."""

    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """The code that may be skipped ends; names in `certain` are bound on every way to here."""

    line: int
    certain: Names = frozenset()


Event: TypeAlias = (
    Use | Bind | Mutate | ChangeInside | Delete | Call | Opaque | StarImport | Branch | Join
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionFlow:
    """What a call of a function does. `returns` says what the result is connected with.

    `rest` is the parameter that takes all other positional arguments (`*args`), which are those
    behind the first `positional`; the last of the parameters, but for one for keywords.
    `nested`: it makes functions itself, which may outlive the call. `kept_defaults` are the
    parameters whose default is an object that calls share (`def f(x, seen=[])`), as `<seen>`.
    `caches`: it remembers its results (`lru_cache`), and `plain` results can be made once more.
    `generates`: its calls give generators.
    """

    name: str
    parameters: tuple[str, ...]
    events: tuple[Event, ...]
    returns: Origin
    positional: int = 0
    rest: str = ""
    nested: bool = False
    kept_defaults: Names = frozenset()
    caches: bool = False
    plain: bool = True
    generates: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFlow:
    """What the methods of a class do, by method name.

    `keeps_state`: a method changes what all instances share. `shared` are the attributes of the
    class that may change, and that instances have none of their own of. `bases` are the names of
    what it is made from, its metaclass among them.
    """

    name: str
    methods: Mapping[str, FunctionFlow]
    keeps_state: bool = False
    shared: frozenset[str] = frozenset()
    bases: tuple[str, ...] = ()

    def __hash__(self) -> int:
        """Hash by identity: flows are compared as the objects they are."""
        return id(self)


class StatementKind(StrEnum):
    """What a top-level statement is good for outside its own cell."""

    IMPORT = "import"
    DEFINITION = "definition"
    CONSTANT = "constant"
    GENERATOR = "generator"
    TEXT = "text"
    NOTHING = "nothing"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One top-level statement of a cell.

    Attributes:
        kind: imports, definitions, constants and generators can be replayed elsewhere; text is a
            bare literal; nothing has no effect (an installation line, a tag).
        line, last_line: where it stands in the cell's source.
        source: its text, as Python.
        normal: its text without comments, formatting and positions; what digests are made of.
        events: what running it does, in order.
        target: dotted path of what it calls or assigns to (`pd.set_option`), if it is so simple.
        imports: bound name → module or attribute it is (`np` → `numpy`).
        modules: top-level names of all modules imported anywhere in it.
        texts: its string literals that may be paths.
    """

    kind: StatementKind
    line: int
    last_line: int
    source: str
    normal: str
    events: tuple[Event, ...]
    target: str = ""
    imports: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    def __hash__(self) -> int:
        """Hash by identity: a statement is one place in one notebook."""
        return id(self)

    @property
    def binds(self) -> tuple[Variable, ...]:
        """The names it assigns, in order."""
        return tuple(dict.fromkeys(e.name for e in self.events if isinstance(e, Bind)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a cell cannot be analysed, or what in it is not understood."""

    code: str
    message: str
    line: int
    help: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFlow:
    """The analysis of one cell: its statements in order, and what could not be understood."""

    statements: tuple[Statement, ...]
    troubles: tuple[Trouble, ...] = ()
