"""Decides which pieces stand at module level and which in functions that main() calls.

The script runs its module level first, then the functions in the order of the notebook. A piece
may stand at module level when that makes no difference:

- as long as no function has anything to do: imports, definitions, constants, settings and seeds;
- after that, definitions, imports and constants that nothing before them could change, or notice.

Everything else runs in a function, at its place.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from nbpipe.dataflow.ipython_syntax import parse
from nbpipe.dataflow.settings import draws_in_library, random_stream
from nbpipe.exporters.scripting.magics import TIMED
from nbpipe.exporters.scripting.pieces import Origin, Piece
from nbpipe.exporters.scripting.selecting import canonical, sets_something
from nbpipe.model.flow import Call, Mutate, StatementKind, Use

_BUILTINS: Final = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}
_INERT: Final = frozenset({StatementKind.TEXT, StatementKind.NOTHING})
_QUIET: Final = _INERT | {
    StatementKind.IMPORT,
    StatementKind.DEFINITION,
    StatementKind.CONSTANT,
    StatementKind.GENERATOR,
}
_NOTICED: Final = frozenset("print input next open exec eval iter".split())
# What may decide which module an import finds, or what it does when it is imported.
_BEFORE_IMPORTS: Final = re.compile(
    r"sys\.path|sys\.modules|environ|chdir|importlib|subprocess|os\.system|matplotlib\.use"
    r"|_shell|_write_file|_run_script|write_text|open\("
)


@dataclass(frozen=True, slots=True)
class Placement:
    """The pieces by place, each in the order of the notebook."""

    module: tuple[Piece, ...]
    functions: tuple[Piece, ...]


def place(pieces: Sequence[Piece], imported: Iterable[str]) -> Placement:
    """Place the pieces in a module that has `imported` some modules already."""
    return _Placer(pieces, imported).place()


class _Placer:
    """Goes through the pieces once; what it knows of those before decides about the next."""

    def __init__(self, pieces: Sequence[Piece], imported: Iterable[str]) -> None:
        self._pieces = pieces
        self._modules: dict[str, str] = {}
        for piece in pieces:
            for statement in piece.statements:
                self._modules.update(statement.imports)
        self._rebound = set[str]().union(*(piece.facts.rebound for piece in pieces))
        events = [event for piece in pieces for event in piece.events]
        self._mutated = {event.name for event in events if isinstance(event, Mutate)}
        # Code in a text may bind any name at any time.
        self._anything_goes = any(piece.facts.sees_all for piece in pieces)
        self._guarded = {e.name for e in events if isinstance(e, Use) and e.guarded}
        self._binders: dict[str, list[Piece]] = {}
        for piece in pieces:
            for name in piece.facts.bound | piece.facts.deleted:
                self._binders.setdefault(name, []).append(piece)
        self._parameters: set[str] = set()
        self._module: list[Piece] = []
        self._functions: list[Piece] = []
        self._stable: set[str] = set(imported)
        self._imported: set[tuple[str, ...]] = {(name, "") for name in imported}
        self._read: set[str] = set()
        self._reached: set[str] = set()
        self._in_functions: set[str] = set()
        self._has_begun = False
        self._imports_may_change = False

    def place(self) -> Placement:
        for piece in self._pieces:
            if self._is_repeated_import(piece):
                continue
            if self._belongs_to_module(piece):
                self._put_into_module(piece)
            else:
                self._put_into_functions(piece)
            self._reached |= piece.facts.reached
        return Placement(tuple(self._module), tuple(self._functions))

    def _belongs_to_module(self, piece: Piece) -> bool:
        if piece.origin is Origin.PARAMETERS or imports_future(piece):
            return True
        if not piece.statements or piece.facts.bound & self._parameters:
            return False
        if piece.origin is Origin.SETUP and not self._has_begun and self._is_quiet(piece):
            return not self._depends_on_run(piece.facts.needs, set())
        return self._makes_no_difference(piece)

    def _put_into_module(self, piece: Piece) -> None:
        self._module.append(piece)
        self._imported |= _imports(piece)
        if piece.origin is Origin.PARAMETERS:
            self._parameters |= piece.facts.bound
            return
        mutable = not piece.kinds <= {StatementKind.IMPORT, StatementKind.DEFINITION}
        for name in piece.facts.bound:
            if self._is_bound_once(name) and not (mutable and name in self._mutated):
                self._stable.add(name)

    def _put_into_functions(self, piece: Piece) -> None:
        self._functions.append(piece)
        self._has_begun |= bool(piece.statements)
        self._read |= piece.facts.needs | piece.facts.enclosed
        self._in_functions |= piece.facts.bound
        self._imports_may_change |= bool(_BEFORE_IMPORTS.search(piece.text))

    # ---- questions ----------------------------------------------------------------------------

    def _is_quiet(self, piece: Piece) -> bool:
        return all(
            statement.kind in _QUIET or sets_something(statement, self._modules)
            for statement in piece.statements
        )

    def _depends_on_run(self, names: Iterable[str], seen: set[str]) -> bool:
        """Say whether running a piece that reads `names` needs parameters, or what functions do."""
        for name in set(names) - seen:
            seen.add(name)
            if name in self._parameters or name in self._in_functions:
                return True
            called = [p for p in self._binders.get(name, ()) if p.facts.reached]
            if any(self._depends_on_run(piece.facts.reached, seen) for piece in called):
                return True
        return False

    def _makes_no_difference(self, piece: Piece) -> bool:
        allowed = {StatementKind.IMPORT, StatementKind.DEFINITION}
        if piece.origin is Origin.SETUP:
            allowed.add(StatementKind.CONSTANT)
        kinds = piece.kinds
        if not kinds <= allowed or TIMED in piece.text:
            return False
        if piece.has_star:
            return not self._has_begun
        if StatementKind.IMPORT in kinds and (
            self._imports_may_change
            or (piece.origin is Origin.STEP and not self._is_wanted_elsewhere(piece))
        ):
            return False
        return (
            all(self._is_bound_once(name) for name in piece.facts.bound)
            # Code that runs before must not find the name too early.
            and not piece.facts.bound & (self._read | self._guarded)
            and not piece.facts.bound & _BUILTINS & self._reached
            and all(name in self._stable or name in _BUILTINS for name in piece.facts.needs)
            and (StatementKind.DEFINITION not in kinds or self._defines_quietly(piece))
        )

    def _is_bound_once(self, name: str) -> bool:
        """Say whether a name has one meaning; importing the same thing twice is one."""
        binders = self._binders.get(name, [])
        if name in self._rebound or self._anything_goes:
            return False
        if len(binders) == 1:
            return name not in binders[0].facts.deleted
        targets = {_target_of(piece, name) for piece in binders}
        return len(targets) == 1 and None not in targets

    def _is_wanted_elsewhere(self, piece: Piece) -> bool:
        names = piece.facts.bound
        return any(
            names & (other.facts.mentioned if other.step != piece.step else other.facts.reached)
            for other in self._pieces
            if other is not piece
        )

    def _is_repeated_import(self, piece: Piece) -> bool:
        """Say whether a piece only imports what the module level has imported before."""
        imports = _imports(piece)
        return (
            piece.kinds == {StatementKind.IMPORT}
            and bool(imports)
            and imports <= self._imported
            and all(self._is_bound_once(name) for name in piece.facts.bound)
        )

    def _defines_quietly(self, piece: Piece) -> bool:
        """Say whether nobody notices when a definition is made earlier."""
        for node in ast.walk(parse(piece.text)):
            for decorator in getattr(node, "decorator_list", []):
                root = _root(decorator)
                if root not in self._modules and root not in _BUILTINS:
                    return False
        for statement in piece.statements:
            for event in statement.events:
                if isinstance(event, Call) and not self._is_quiet_call(event):
                    return False
        return True

    def _is_quiet_call(self, call: Call) -> bool:
        root = call.function.partition(".")[0]
        name = call.method or call.function
        return (
            bool(root)
            and (root in self._modules or root in _BUILTINS - _NOTICED)
            and random_stream(canonical(call.function, self._modules)) is None
            and not draws_in_library(name, [keyword for keyword, _ in call.keywords])
        )


def imports_future(piece: Piece) -> bool:
    """Say whether a piece is `from __future__ import …`, which stands at the top of a module."""
    return any(source == "__future__" for source, *_ in _imports(piece))


def _imports(piece: Piece) -> set[tuple[str, ...]]:
    """Give what a piece imports, in a form in which equal imports are equal."""
    found: set[tuple[str, ...]] = set()
    for node in parse(piece.text).body:
        match node:
            case ast.Import(names=aliases):
                found |= {(alias.name, alias.asname or "") for alias in aliases}
            case ast.ImportFrom(module=module, names=aliases, level=level):
                source = "." * level + (module or "")
                found |= {(source, alias.name, alias.asname or "") for alias in aliases}
            case _:
                pass
    return found


def _target_of(piece: Piece, name: str) -> str | None:
    """Give what an import binds a name to; None when the piece binds it otherwise."""
    if piece.kinds != {StatementKind.IMPORT}:
        return None
    targets = [s.imports[name] for s in piece.statements if name in s.imports]
    return targets[0] if len(targets) == 1 else None


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return node.id if isinstance(node, ast.Name) else ""
