"""Reducing what pickle or cloudpickle would copy, turn into something else, or misplace.

A reducer takes a value and gives what `__reduce__` gives, or NotImplemented for "as pickle does",
or raises PicklingError.
"""

from __future__ import annotations

import gc
import io
import itertools
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pickle import PicklingError
from typing import Any, Final, TypeAlias

from nbpipe.store.serializers import rebuild

# What `__reduce__` gives has contents of any type.
Reduced: TypeAlias = Any
Reducer: TypeAlias = Callable[[Any], Reduced]


def _reduce_cell(cell: types.CellType) -> Reduced:
    try:
        content = cell.cell_contents
    except ValueError:
        return rebuild.empty_cell, ()
    return rebuild.empty_cell, (), (content,), None, None, rebuild.set_cell


def _reduce_dictionary_view(make: Callable[..., object]) -> Reducer:
    def reduce(view: object) -> Reduced:
        (dictionary,) = gc.get_referents(view)
        return make, (dictionary,)

    return reduce


def _reduce_mapping_proxy(proxy: object) -> Reduced:
    (mapping,) = gc.get_referents(proxy)
    return types.MappingProxyType, (mapping,)


def _refuse_memoryview(_view: object) -> Reduced:
    raise PicklingError("cannot pickle 'memoryview' object: it is a window on other memory")


def _refuse_iterator(iterator: object) -> Reduced:
    # Pickle would give an iterator over a list of what is left, cut off from its dictionary or set.
    raise PicklingError(f"cannot pickle '{type(iterator).__name__}' object")


def _reduce_file(file: io.TextIOWrapper) -> Reduced:
    for name in ("stdout", "stderr", "stdin"):
        if file is getattr(sys, name):
            return getattr, (sys, name)
    raise PicklingError(f"cannot pickle an open file ({getattr(file, 'name', 'no name')!r})")


def _reduce_memory_map(array: Any) -> Reduced:  # noqa: ANN401 - numpy is optional
    if array.base is not None and getattr(array, "mode", "") in ("r+", "w+"):
        raise PicklingError("cannot pickle a numpy.memmap that writes to its file")
    return NotImplemented


def _reduce_figure(figure: Any) -> Reduced:  # noqa: ANN401 - matplotlib is optional
    # A figure that pyplot manages would open itself in pyplot when it is loaded, which changes
    # what `plt.plot` draws on. Jupyter's inline backend closes figures after each cell anyway.
    make, arguments, state, *rest = figure.__reduce_ex__(5)
    return (make, arguments, {k: v for k, v in state.items() if k != "_restore_to_pylab"}, *rest)


def _reduce_callbacks(registry: Any) -> Reduced:  # noqa: ANN401 - matplotlib is optional
    # Reducing takes a number from the registry's counter. Unless it is put back, no figure is ever
    # pickled to the same bytes twice, and nobody can see whether it changed.
    make, arguments, state, *rest = registry.__reduce_ex__(5)
    if "_cid_gen" in state:
        registry._cid_gen = itertools.count(state["_cid_gen"])  # noqa: SLF001 - as it was
    return (make, arguments, state, *rest)


def _reduce_colormap(colormap: Any) -> Reduced:  # noqa: ANN401 - matplotlib is optional
    # The first use makes its table of colours, which is no change that anybody can see.
    if not getattr(colormap, "_isinit", True):
        colormap._init()  # noqa: SLF001 - as any use would
    return NotImplemented


def _reduce_times(array: Any) -> Reduced:  # noqa: ANN401 - pandas is optional
    # What it remembers of its type, once asked (`_cache`), is no part of its value.
    reduced = array.__reduce_ex__(5)
    match reduced:
        case (make, arguments, (kind, content, {"_cache": _, **others}), *rest):
            state = (kind, content, others) if others else (kind, content)
            return (make, arguments, state, *rest)
        case _:
            return reduced


def _refuse_shell(_shell: object) -> Reduced:
    raise PicklingError("it refers to the running IPython session (`get_ipython()`)")


def _reduce_tracker(tracker: object) -> Reduced:
    return type(tracker), ()


def _iterator_types() -> set[type]:
    empty: tuple[dict[Any, Any], ...] = ({}, OrderedDict())
    views: list[Any] = [
        view
        for dictionary in empty
        for view in (dictionary.keys(), dictionary.values(), dictionary.items())
    ]
    return {
        type(iter(set())),
        *(type(iter(view)) for view in views),
        *(type(reversed(view)) for view in views),
    }


BY_TYPE: Final[Mapping[type, Reducer]] = {
    types.CellType: _reduce_cell,
    type({}.keys()): _reduce_dictionary_view(dict.keys),
    type({}.values()): _reduce_dictionary_view(dict.values),
    type({}.items()): _reduce_dictionary_view(dict.items),
    type(OrderedDict().keys()): _reduce_dictionary_view(OrderedDict.keys),
    type(OrderedDict().values()): _reduce_dictionary_view(OrderedDict.values),
    type(OrderedDict().items()): _reduce_dictionary_view(OrderedDict.items),
    types.MappingProxyType: _reduce_mapping_proxy,
    memoryview: _refuse_memoryview,
    io.TextIOWrapper: _reduce_file,
    **dict.fromkeys(_iterator_types(), _refuse_iterator),
}

# Types of optional libraries, and their subclasses, by module and name.
BY_NAME: Final[Mapping[tuple[str, str], Reducer]] = {
    ("numpy", "memmap"): _reduce_memory_map,
    ("matplotlib.figure", "Figure"): _reduce_figure,
    ("matplotlib.cbook", "CallbackRegistry"): _reduce_callbacks,
    ("IPython.core.interactiveshell", "InteractiveShell"): _refuse_shell,
    ("matplotlib.colors", "Colormap"): _reduce_colormap,
    ("pandas._libs.internals", "BlockValuesRefs"): _reduce_tracker,
    ("pandas.core.arrays.datetimelike", "DatetimeLikeArrayMixin"): _reduce_times,
}
