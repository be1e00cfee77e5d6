"""A pickler for what lives in a notebook's namespace.

The kernel's `__main__` is the author's notebook, which changes four rules of pickling:

- A function or class that the compiler ships as source goes by name, every other one of the
  notebook by value (cloudpickle).
- A function by value finds its globals in the namespace that it is loaded into, so it sees what
  later cells assign, as it does in one kernel. cloudpickle would give it a private copy.
- What is shared stays shared: closure cells, views and their bases, copy-on-write frames,
  dictionaries and their views. cloudpickle and NumPy copy these.
- The same value gives the same bytes in every process: no random class ids, no file names of
  temporary directories. And what would come back as something else (an open file as its text, a
  memoryview as bytes) is refused.

Sharing of memory is only known once everything was seen. So the pickler records it on a first
pass; where there is any, a second pass writes it down (`Sharing`).
"""

from __future__ import annotations

import operator
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pickle import PickleBuffer, PicklingError
from typing import IO, Any, Final

import cloudpickle
from cloudpickle import cloudpickle as by_value

from nbpipe.store.serializers import pandas_blocks, rebuild
from nbpipe.store.serializers.by_reference import (
    CACHED_FUNCTION,
    definition_path,
    is_importable,
)
from nbpipe.store.serializers.numpy_memory import (
    Extent,
    extent,
    memory_of,
    objects_in,
    overlapping,
    packed,
    rebuild_array,
    rebuild_memory,
    rebuild_object_array,
    rebuild_window,
)
from nbpipe.store.serializers.reducers import BY_NAME, BY_TYPE, Reduced, Reducer

# Where IPython keeps a cell's source for tracebacks differs from process to process.
_NOTEBOOK_FILE: Final = "<notebook>"
# How cloudpickle takes classes and functions apart is not public; these three are what is used.
_reduce_class_by_value: Final = by_value._class_reduce  # noqa: SLF001
_names_of_globals: Final = by_value._extract_code_globals  # noqa: SLF001
_CLASS_MAKERS: Final = (by_value._make_skeleton_class, by_value._make_skeleton_enum)  # noqa: SLF001

# Smaller arrays of dates are not worth the detour around NumPy's lack of buffers for them.
_DATES_FROM_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Sharing:
    """What has to be written down so that loading restores it.

    Attributes:
        runs: memory that several arrays lie in.
        trackers: ids of pandas' copy-on-write trackers with several holders.
    """

    runs: tuple[Extent, ...] = ()
    trackers: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.runs or self.trackers)

    def run_of(self, array_extent: Extent) -> Extent | None:
        """Give the run that an array lies in, if any."""
        for run in self.runs:
            if run.start <= array_extent.start and array_extent.end <= run.end:
                return run
        return None


class NotebookPickler(cloudpickle.Pickler):  # type: ignore[misc] # cloudpickle has no types
    """Pickle protocol 5 with the rules above.

    Attributes:
        definitions: names of the definitions that the bytes refer to.
    """

    def __init__(
        self,
        file: IO[bytes],
        *,
        namespace: Mapping[str, object],
        shipped: frozenset[str],
        sharing: Sharing,
        buffer_callback: Callable[[PickleBuffer], bool],
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        self.definitions: set[str] = set()
        self._namespace = namespace
        self._shipped = shipped
        self._sharing = sharing
        self._recorded = _Recorded()
        self._globals_of_notebook = _Mark(rebuild.notebook_globals, ())
        self._marks: dict[object, _Mark] = {}
        self._object_bases: dict[Extent, Any] = {}
        self._own_arrays: set[int] = set()
        self._codes: dict[int, tuple[types.CodeType, types.CodeType]] = {}
        self._tracks = pandas_blocks.uses_copy_on_write()
        self._reducers: dict[type, Reducer | None] = {}

    def found_sharing(self) -> Sharing:
        """Give the sharing that was met while pickling."""
        return self._recorded.sharing()

    def reducer_override(self, value: object) -> Reduced:
        """Reduce a value by these rules; called for all but the simplest builtin types."""
        kind = type(value)
        try:
            reduce = self._reducers[kind]
        except KeyError:
            reduce = self._reducers[kind] = self._reducer_of(kind)
        return NotImplemented if reduce is None else reduce(value)

    def _reducer_of(self, kind: type) -> Reducer | None:
        if issubclass(kind, type):
            return self._reduce_class
        own: dict[type, Reducer] = {
            types.FunctionType: self._reduce_function,
            CACHED_FUNCTION: self._reduce_cached_function,
            types.BuiltinFunctionType: _reduce_bound,
            types.MethodType: _reduce_bound,
            _Mark: _Mark.reduce,
        }
        if kind in own:
            return own[kind]
        if kind in BY_TYPE:
            return BY_TYPE[kind]
        for base in kind.__mro__:
            place = (base.__module__, base.__qualname__)
            if place in BY_NAME:
                return BY_NAME[place]
            match place:
                case "numpy", "ndarray":
                    return self._reduce_array if kind is base else None
                case "numpy", "void":
                    return self._reduce_record
                case "pandas.core.internals.blocks", "Block":
                    return self._reduce_block
                case "pandas.core.internals.managers", "SingleBlockManager" if self._tracks:
                    return self._reduce_series_manager
                case _, "RangeIndex" | "MultiIndex":
                    return None  # Neither has memory of its own.
                case "pandas" | "pandas.core.indexes.base", "Index" if self._tracks:
                    return self._reduce_index
        return None

    # Functions and classes

    def _reduce_class(self, cls: type) -> Reduced:
        reference = self._reference_to(cls)
        if reference is not None:
            return reference
        reduced = _reduce_class_by_value(cls)
        if isinstance(reduced, tuple) and reduced[0] in _CLASS_MAKERS:
            # The last argument but one is a random id that makes two loads in a process give one
            # class. Values that share a class share a bundle, so it is not needed here.
            make, (*arguments, _, extra), *rest = reduced
            return (make, (*arguments, None, extra), *rest)
        return reduced

    def _reduce_function(self, function: types.FunctionType) -> Reduced:
        reference = self._reference_to(function)
        if reference is not None:
            return reference
        if is_importable(function):
            return NotImplemented
        found_in, private = self._globals_of(function)
        attributes = {
            name: getattr(function, name)
            for name in (
                "__qualname__", "__module__", "__doc__", "__defaults__", "__kwdefaults__",
                "__annotations__", "__dict__",
            )
        }  # fmt: skip
        return (
            rebuild.make_function,
            (self._code_of(function), found_in, function.__name__, function.__closure__),
            (private, attributes),
            None,
            None,
            rebuild.set_function_state,
        )

    def _globals_of(self, function: types.FunctionType) -> tuple[object, dict[str, object]]:
        """Give what stands for the globals, and what these hold when they are a private copy."""
        if self._is_of_notebook(function):
            return self._globals_of_notebook, {}
        module = sys.modules.get(str(function.__globals__.get("__name__")))
        if module is not None and vars(module) is function.__globals__:
            return self._mark(rebuild.module_globals, module.__name__), {}
        # Code that was run with a dictionary of its own as globals.
        private = self.globals_ref.setdefault(id(function.__globals__), {})
        used = _names_of_globals(function.__code__)
        names = [name for name in (*used, "__name__") if name in function.__globals__]
        return private, {name: function.__globals__[name] for name in names}

    def _is_of_notebook(self, function: types.FunctionType) -> bool:
        main = sys.modules.get("__main__")
        return function.__globals__ is self._namespace or (
            main is not None and function.__globals__ is vars(main)
        )

    def _code_of(self, function: types.FunctionType) -> types.CodeType:
        code = function.__code__
        if not self._is_of_notebook(function):
            return code
        if id(code) not in self._codes:
            self._codes[id(code)] = (code, _without_file(code))
        return self._codes[id(code)][1]

    def _reduce_cached_function(self, function: Any) -> Reduced:  # noqa: ANN401 - has no public type
        reference = self._reference_to(function)
        if reference is not None:
            return reference
        if is_importable(function):
            return NotImplemented
        if any((function.cache_info().hits, function.cache_info().misses)):
            raise PicklingError("it remembers results, which would be lost")
        settings = function.cache_parameters()
        return (
            rebuild.cached_function,
            (function.__wrapped__, settings["maxsize"], settings["typed"]),
            None,
        )

    def _reference_to(self, value: Any) -> Reduced:  # noqa: ANN401 - a function, class or wrapper
        path = definition_path(value, self._namespace, self._shipped)
        if path is None:
            return None
        self.definitions.add(path.partition(".")[0])
        return rebuild.definition, (path,)

    def _mark(self, make: Callable[..., object], *arguments: object) -> _Mark:
        return self._marks.setdefault((make, arguments), _Mark(make, arguments))

    # Memory

    def _reduce_array(self, array: Any) -> Reduced:  # noqa: ANN401 - numpy is optional
        place = extent(array)
        if place is None or array.dtype.char == "T" or id(array) in self._own_arrays:
            return NotImplemented
        self._recorded.extents.append(place)
        run = self._sharing.run_of(place)
        has_objects = array.dtype.hasobject
        if run is not None and has_objects:
            return self._reduce_shared_objects(array, run)
        if run is not None:
            return self._reduce_placed(array, run)
        is_contiguous = array.flags.c_contiguous or array.flags.f_contiguous
        # NumPy would write others in C order, but sums over another order round differently.
        if not is_contiguous and place.end - place.start <= array.nbytes:
            if array.dtype.char == "O":
                return self._reduce_shared_objects(array, place)
            if not has_objects:
                return self._reduce_placed(array, place)
        if not is_contiguous:
            content, *layout = packed(array)
            self._keep(content)
            return rebuild_window, (content, *layout, bool(array.flags.writeable))
        if has_objects:
            return NotImplemented
        if array.dtype.kind in "mM" and array.nbytes >= _DATES_FROM_BYTES:
            return self._reduce_placed(array, place)
        return NotImplemented

    def _reduce_record(self, record: Any) -> Reduced:  # noqa: ANN401 - numpy is optional
        if record.base is None:
            return NotImplemented
        # An element of a structured array is a window on it: here by way of an array without
        # dimensions, whose only element it is.
        window = sys.modules["numpy"].asarray(record)
        self._keep(window)
        return operator.getitem, (window, ())

    def _reduce_placed(self, array: Any, run: Extent) -> Reduced:  # noqa: ANN401
        offset = array.__array_interface__["data"][0] - run.start
        memory = self._marks.get(run)
        if memory is None:
            memory = _Mark(rebuild_memory, (PickleBuffer(memory_of(run)),))
            self._marks[run] = memory
        return rebuild_array, (
            memory,
            array.dtype,
            array.shape,
            array.strides,
            offset,
            bool(array.flags.writeable),
        )

    def _reduce_shared_objects(self, array: Any, run: Extent) -> Reduced:  # noqa: ANN401
        if array.dtype.char != "O":
            raise PicklingError("arrays of records with Python objects that share memory")
        if run not in self._object_bases:
            self._object_bases[run] = objects_in(run, array)
            self._own_arrays.add(id(self._object_bases[run]))
        position = (array.__array_interface__["data"][0] - run.start) // array.itemsize
        return rebuild_object_array, (
            self._object_bases[run],
            array.shape,
            array.strides,
            position,
            bool(array.flags.writeable),
        )

    def _reduce_block(self, block: Any) -> Reduced:  # noqa: ANN401 - pandas' internals
        if self._tracks:
            self._recorded.note_holder(block.refs)
        if id(block.refs) in self._sharing.trackers:
            return pandas_blocks.reduce_block(block)
        # Not `__reduce_ex__`: that copies what is not contiguous, and the copy shares nothing.
        return block.__reduce__()

    def _reduce_series_manager(self, manager: Any) -> Reduced:  # noqa: ANN401 - pandas' internals
        tracker = manager.blocks[0].refs
        self._recorded.note_holder(tracker)
        if id(tracker) in self._sharing.trackers:
            return pandas_blocks.reduce_series_manager(manager)
        return NotImplemented

    def _reduce_index(self, index: Any) -> Reduced:  # noqa: ANN401 - pandas' internals
        tracker = getattr(index, "_references", None)
        if tracker is None:
            return NotImplemented
        self._recorded.note_holder(tracker)
        if id(tracker) in self._sharing.trackers:
            return pandas_blocks.reduce_index(index)
        return NotImplemented

    def _keep(self, value: object) -> None:
        self._recorded.kept.append(value)


@dataclass(slots=True)
class _Recorded:
    extents: list[Extent] = field(default_factory=list)
    holders: dict[int, int] = field(default_factory=dict)
    kept: list[object] = field(default_factory=list)

    def note_holder(self, tracker: object) -> None:
        self.kept.append(tracker)
        self.holders[id(tracker)] = self.holders.get(id(tracker), 0) + 1

    def sharing(self) -> Sharing:
        return Sharing(
            runs=tuple(overlapping(self.extents)),
            trackers=frozenset(tracker for tracker, count in self.holders.items() if count > 1),
        )


class _Mark:
    """Something that is made once on loading, however often it is referred to."""

    def __init__(self, make: Callable[..., object], arguments: tuple[object, ...]) -> None:
        self._made_by = (make, arguments)

    def reduce(self) -> Reduced:
        return self._made_by


def _reduce_bound(method: Any) -> Reduced:  # noqa: ANN401 - bound methods have two types
    """A module may give out methods of one object for functions: `random.random` is one."""
    owner = getattr(method, "__self__", None)
    module = sys.modules.get(type(owner).__module__)
    if isinstance(owner, types.ModuleType) or module is None:
        return NotImplemented
    is_function = vars(module).get(method.__name__) == method
    return (getattr, (module, method.__name__)) if is_function else NotImplemented


def _without_file(code: types.CodeType) -> types.CodeType:
    constants = tuple(
        _without_file(constant) if isinstance(constant, types.CodeType) else constant
        for constant in code.co_consts
    )
    return code.replace(co_filename=_NOTEBOOK_FILE, co_consts=constants)
