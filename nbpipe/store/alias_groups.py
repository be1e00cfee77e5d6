"""Which variables share mutable state, and so must be stored together.

A walk over everything each variable reaches. Where two walks meet at something mutable, the two
variables are linked; linked variables form a group. What cannot change, or is not stored (modules,
shipped definitions, importable functions and classes), links nothing. Arrays are linked when their
memory overlaps, whatever objects they are.

Under pandas' copy-on-write, frames that share memory do not see each other's changes, so they are
not linked by it. An array that shows a frame's memory (`y = df["y"].to_numpy()`) does see the
frame's changes, so these two are.

Frames may have one index object, and most arithmetic makes such frames. Of an index only its name
can change, which few notebooks do in place; in the others, frames are not linked by it.
"""

from __future__ import annotations

import builtins
import datetime as dt
import decimal
import enum
import fractions
import gc
import logging
import pathlib
import re
import sys
import types
import uuid
import weakref
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from nbpipe.store.serializers.by_reference import (
    CACHED_FUNCTION,
    definition_path,
    is_importable,
)
from nbpipe.store.serializers.numpy_memory import Extent, extent
from nbpipe.store.serializers.pandas_blocks import (
    labels_of,
    uses_copy_on_write,
    values_of_blocks,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasGroups:
    """What variables share.

    Attributes:
        groups: every variable once, in the order asked; a variable that shares nothing is alone.
        links: pairs of variables whose walks met. Equal for values that share in the same way.
        reaching_session: variables from which the notebook's namespace itself, or the IPython
            session, can be reached: these cannot be stored.
        indexes: the indexes of pandas that were met, each once.
        share_indexes: some are met from two groups.
    """

    groups: tuple[tuple[str, ...], ...]
    links: frozenset[frozenset[str]]
    reaching_session: frozenset[str]
    indexes: tuple[Any, ...]
    share_indexes: bool


def find_alias_groups(
    namespace: Mapping[str, object],
    names: Sequence[str],
    *,
    definitions: frozenset[str],
    names_indexes: bool = True,
) -> AliasGroups:
    """Group the variables `names` of `namespace` by the mutable state they share.

    `names_indexes`: the notebook may name an index in place, which all that have it will see.
    """
    walk = _Walk(namespace, definitions)
    for position, name in enumerate(names):
        walk.visit(position, namespace[name])
    pairs = (
        walk.links | walk.links_to_frames() | _links_by_memory(walk.plain_memory, walk.frame_memory)
    )
    by_index = walk.links_by_index() - pairs
    if names_indexes:
        pairs |= by_index
    groups = _connected(names, pairs)
    group_of = {name: number for number, group in enumerate(groups) for name in group}
    return AliasGroups(
        groups=groups,
        links=frozenset(frozenset((names[a], names[b])) for a, b in pairs),
        reaching_session=frozenset(names[position] for position in walk.reaching_session),
        indexes=walk.indexes,
        share_indexes=any(group_of[names[a]] != group_of[names[b]] for a, b in by_index),
    )


# What a walk does with a value of some type: stop; go through (it cannot change, what it holds
# may); go on and link; or ask a function what comes next.
_STOP: Final = 0
_THROUGH: Final = 1
_LINK: Final = 2

# Who saw what links nothing.
_NOBODY: Final = -1

_Place = tuple[Extent, int]


@dataclass(frozen=True, slots=True)
class _Index:
    """An index, what it holds, and the variables that have it."""

    index: object
    objects: tuple[object, ...]
    holders: set[int] = field(default_factory=set)


class _Walk:
    def __init__(self, namespace: Mapping[str, object], definitions: frozenset[str]) -> None:
        self.links: set[tuple[int, int]] = set()
        self.reaching_session: set[int] = set()
        self.plain_memory: list[_Place] = []
        self.frame_memory: list[_Place] = []
        self._namespace = namespace
        self._definitions = definitions
        self._position = 0
        self._seen_by: dict[int, int] = dict.fromkeys(_ids_of_library_state(), _NOBODY)
        self._frame_arrays: list[tuple[int, int]] = []
        self._indexes: dict[int, _Index] = {}
        self._kept: list[object] = []
        self._copies_on_write = uses_copy_on_write()
        # Not modules: one of them may be the notebook.
        self._stops: set[type] = {*_IMMUTABLE} - {types.ModuleType}
        self._acts: dict[type, int | Callable[[Any], Iterable[object]]] = {
            **dict.fromkeys(_IMMUTABLE, _STOP),
            **dict.fromkeys(_IMMUTABLE_CONTAINERS, _THROUGH),
            **dict.fromkeys((list, dict, set, bytearray), _LINK),
            types.FunctionType: self._enter_function,
            CACHED_FUNCTION: self._enter_cached_function,
        }

    def visit(self, position: int, start: object) -> None:
        self._position = position
        stops, acts, seen_by = self._stops, self._acts, self._seen_by
        level: list[object] = [start]
        while level:
            plain: list[object] = []
            found: list[object] = []
            for value in level:
                kind = type(value)
                act = acts.get(kind)
                if act is None:
                    act = acts[kind] = self._act_for(kind)
                    if act == _STOP:
                        stops.add(kind)
                if act == _STOP:
                    if kind is types.ModuleType and vars(value) is self._namespace:
                        self.reaching_session.add(position)
                    continue
                before = seen_by.get(id(value))
                if before == position:
                    continue
                if act == _THROUGH:
                    seen_by[id(value)] = position
                    plain.append(value)
                elif before is not None:
                    if before >= 0:
                        self.links.add((before, position))
                elif value is self._namespace:
                    self.reaching_session.add(position)
                elif act == _LINK:
                    seen_by[id(value)] = position
                    plain.append(value)
                else:
                    seen_by[id(value)] = position
                    assert callable(act)
                    found += act(value)
            found += gc.get_referents(*plain)
            level = [each for each in found if type(each) not in stops]

    def links_to_frames(self) -> set[tuple[int, int]]:
        """Give the links between frames and the extension arrays they hold, after all visits."""
        found = ((self._seen_by.get(array), position) for array, position in self._frame_arrays)
        return {
            _pair(seen_by, position)
            for seen_by, position in found
            if seen_by not in (None, _NOBODY, position)
        }

    @property
    def indexes(self) -> tuple[object, ...]:
        """Give the indexes that were met."""
        return tuple(known.index for known in self._indexes.values())

    def links_by_index(self) -> set[tuple[int, int]]:
        """Give the links between all that have one index."""
        return {
            (min(known.holders), other)
            for known in self._indexes.values()
            for other in known.holders - {min(known.holders)}
        }

    def _act_for(self, kind: type) -> int | Callable[[Any], Iterable[object]]:
        if issubclass(kind, type):
            return self._enter_class
        if issubclass(kind, _IMMUTABLE_FAMILIES):
            return _STOP
        if issubclass(kind, (tuple, frozenset)):
            return _THROUGH
        for base in kind.__mro__:
            match base.__module__, base.__qualname__:
                case "numpy", "ndarray" | "void":
                    return self._enter_array
                case "pandas" | "pandas.core.indexes.base", "Index":
                    return self._enter_index
                case ("pandas", "DataFrame" | "Series") | (
                    "pandas.core.frame" | "pandas.core.series",
                    "DataFrame" | "Series",
                ):
                    return self._enter_frame
                case "IPython.core.interactiveshell", "InteractiveShell":
                    return self._enter_session
                case "matplotlib.backend_bases", "FigureCanvasBase":
                    return self._enter_canvas
                case "matplotlib.colors", "Colormap":
                    # Its lists of colours are the library's.
                    return lambda _: ()
                case (("pyarrow.lib" | "pybind11_builtins"), _):
                    return _STOP
                case place if place in _IMMUTABLE_BY_NAME:
                    return _STOP
        return _LINK

    def _stop_at(self, value: object) -> Iterable[object]:
        self._seen_by[id(value)] = _NOBODY
        return ()

    def _enter_function(self, function: types.FunctionType) -> Iterable[object]:
        if self._is_by_reference(function):
            return self._stop_at(function)
        # Not its globals: those are looked up by name where it is loaded.
        return (
            *(function.__closure__ or ()),
            function.__defaults__,
            function.__kwdefaults__,
            function.__dict__,
        )

    def _enter_cached_function(self, function: Any) -> Iterable[object]:  # noqa: ANN401
        if self._is_by_reference(function):
            return self._stop_at(function)
        return (function.__wrapped__,)

    def _enter_class(self, cls: type) -> Iterable[object]:
        if self._is_by_reference(cls):
            return self._stop_at(cls)
        return (*cls.__bases__, *vars(cls).values())

    def _is_by_reference(self, value: Any) -> bool:  # noqa: ANN401 - a function or class
        if definition_path(value, self._namespace, self._definitions) is not None:
            return True
        if isinstance(value, type) and not value.__flags__ & _IS_HEAP_TYPE:
            return True
        return is_importable(value)

    def _enter_session(self, shell: object) -> Iterable[object]:
        self.reaching_session.add(self._position)
        return self._stop_at(shell)

    def _enter_array(self, array: Any) -> Iterable[object]:  # noqa: ANN401 - numpy is optional
        self._note(array, self.plain_memory)
        # The attributes of a subclass, and what the memory belongs to when it is no array.
        yield from gc.get_referents(array)
        owner = array
        while hasattr(owner.base, "__array_interface__"):
            owner = owner.base
        yield owner.base.obj if isinstance(owner.base, memoryview) else owner.base
        yield from self._objects_in(array)

    def _enter_frame(self, frame: Any) -> Iterable[object]:  # noqa: ANN401 - pandas is optional
        memory = self.frame_memory if self._copies_on_write else self.plain_memory
        for values in values_of_blocks(frame):
            if self._copies_on_write:
                # Frames may hold one array and see no change of each other's, but a variable that
                # is this array does.
                self._frame_arrays.append((id(values), self._position))
            else:
                yield values
            for array in _arrays_of(values):
                self._note(array, memory)
                yield from self._objects_in(array)
        for index in labels_of(frame):
            yield from self._enter_index(index)
        for name, attribute in vars(frame).items():
            if name not in _FRAME_INTERNALS:
                yield attribute

    def _enter_index(self, index: Any) -> Iterable[object]:  # noqa: ANN401 - pandas is optional
        # Indexes that merely share memory do not share their names.
        known = self._indexes.get(id(index))
        if known is None:
            values = vars(index).get("_data")
            objects = self._objects_in(values) if hasattr(values, "__array_interface__") else ()
            known = self._indexes[id(index)] = _Index(index, tuple(objects))
        elif self._position in known.holders:
            return ()
        known.holders.add(self._position)
        return known.objects

    def _enter_canvas(self, canvas: Any) -> Iterable[object]:  # noqa: ANN401
        # What it drew with is not stored, and is shared by all figures.
        return (canvas.figure,)

    def _note(self, array: Any, memory: list[_Place]) -> None:  # noqa: ANN401 - numpy is optional
        place = extent(array)
        if place is not None:
            memory.append((place, self._position))

    def _objects_in(self, array: Any) -> Iterable[object]:  # noqa: ANN401 - numpy is optional
        if not array.dtype.hasobject or array.dtype.char == "T":
            return ()
        objects: list[object] = array.ravel(order="K").tolist()
        # Records become new tuples; while they live, no other object can get their id.
        self._kept.append(objects)
        return objects


def _ids_of_library_state() -> list[int]:
    # Figures hold lists out of matplotlib's settings, and arrays that are constants of its
    # classes. These are the library's, not the notebook's.
    found: list[object] = []
    settings = getattr(sys.modules.get("matplotlib"), "rcParams", None)
    if settings is not None:
        found += dict.values(settings)
    transforms = sys.modules.get("matplotlib.transforms")
    for kind in vars(transforms).values() if transforms else ():
        if isinstance(kind, type):
            found += vars(kind).values()
    return [id(value) for value in found]


def _arrays_of(values: Any) -> Iterable[Any]:  # noqa: ANN401 - numpy and pandas are optional
    if hasattr(values, "__array_interface__"):
        return [values]
    parts = [getattr(values, "_ndarray", None), *getattr(values, "__dict__", {}).values()]
    return [part for part in parts if type(part).__name__ == "ndarray"]


def _links_by_memory(plain: list[_Place], frames: list[_Place]) -> set[tuple[int, int]]:
    links: set[tuple[int, int]] = set()
    # Runs of overlapping plain arrays, each with the variables that lie in it.
    runs: list[tuple[Extent, set[int]]] = []
    for place, position in sorted(plain):
        if runs and place.start < runs[-1][0].end:
            run, positions = runs[-1]
            links.update(_pair(position, other) for other in positions if other != position)
            positions.add(position)
            runs[-1] = (Extent(run.start, max(run.end, place.end)), positions)
        else:
            runs.append((place, {position}))
    ends = [run.end for run, _ in runs]
    for place, position in frames:
        number = bisect_left(ends, place.start + 1)
        while number < len(runs) and runs[number][0].start < place.end:
            links.update(_pair(position, other) for other in runs[number][1] if other != position)
            number += 1
    return links


def _pair(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)


def _connected(names: Sequence[str], pairs: set[tuple[int, int]]) -> tuple[tuple[str, ...], ...]:
    leader = list(range(len(names)))

    def leader_of(position: int) -> int:
        while leader[position] != position:
            leader[position] = leader[leader[position]]
            position = leader[position]
        return position

    for one, other in pairs:
        first, second = sorted((leader_of(one), leader_of(other)))
        leader[second] = first
    groups: dict[int, list[str]] = {}
    for position, name in enumerate(names):
        groups.setdefault(leader_of(position), []).append(name)
    return tuple(tuple(group) for group in groups.values())


_IMMUTABLE: Final = (
    type(None), bool, int, float, complex, str, bytes, range, type(...),
    type(NotImplemented), types.ModuleType, types.CodeType, type(str.join), type(int.__add__),
    types.GetSetDescriptorType, types.MemberDescriptorType, weakref.ReferenceType,
    weakref.ProxyType, weakref.CallableProxyType, re.Pattern,
)  # fmt: skip

_IMMUTABLE_FAMILIES: Final = (
    dt.date, dt.time, dt.timedelta, dt.tzinfo, decimal.Decimal,
    fractions.Fraction, uuid.UUID, pathlib.PurePath, enum.Enum, logging.Logger,
)  # fmt: skip

_IMMUTABLE_CONTAINERS: Final[tuple[type, ...]] = (
    tuple, frozenset, slice, types.MethodType, types.BuiltinFunctionType, types.MappingProxyType,
    type({}.keys()), type({}.values()), type({}.items()), property, staticmethod, classmethod,
    builtins.super,
)  # fmt: skip

_IMMUTABLE_BY_NAME: Final = frozenset({
    ("numpy", "generic"),
    ("numpy", "dtype"),
    ("numpy", "ufunc"),
    ("pandas.core.dtypes.base", "ExtensionDtype"),
    ("pandas.api.extensions", "ExtensionDtype"),
    ("pandas._libs.interval", "IntervalMixin"),
    ("pandas._libs.missing", "C_NAType"),
    ("pandas._libs.tslibs.period", "_Period"),
    ("pandas._libs.tslibs.offsets", "BaseOffset"),
    ("matplotlib.path", "Path"),
})  # fmt: skip

# CPython's Py_TPFLAGS_HEAPTYPE: types made by a class statement, or by a library at run time.
_IS_HEAP_TYPE: Final = 1 << 9

_FRAME_INTERNALS: Final = frozenset(
    {"_mgr", "_item_cache", "_cacher", "_is_copy", "_flags", "_metadata"}
)
