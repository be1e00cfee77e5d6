"""What differs between two values that were loaded from stores.

A walk through both at once. Numbers with a decimal point are compared with their relative
difference: alone, in containers, in arrays and in tables. Everything else is compared by what it
is made of, as pickle would take it apart, down to what must simply be equal; figures by the picture
they draw. The walk stops at the first real difference, and says where it is.

The optional libraries are not imported here: a value of theirs brings its library along.
"""

from __future__ import annotations

import copyreg
import datetime as dt
import decimal
import enum
import fractions
import importlib
import math
import pathlib
import re
import sys
import types
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from nbpipe.model.verification import Comparison, Likeness
from nbpipe.store.summaries import short_text, type_name


def noise_limit(epsilon: float) -> float:
    """Give the relative difference up to which numbers of a type differ by rounding.

    A third of the digits may have been lost. With half of them, two times of day would differ
    by noise.
    """
    return math.pow(epsilon, 2 / 3)


NOISE_UP_TO: Final = noise_limit(sys.float_info.epsilon)

_SHOWN: Final = 40
_BEFORE: Final = 10
_PLAIN: Final = (
    bool, int, str, bytes, bytearray, type(None), range, slice, re.Pattern,
    dt.date, dt.time, dt.timedelta, dt.tzinfo, decimal.Decimal, fractions.Fraction, uuid.UUID,
    pathlib.PurePath,
)  # fmt: skip


def compare_values(left: object, right: object, *, tolerance: float = 0.0) -> Comparison:
    """Compare two values; never raises.

    Numbers that differ count as noise up to a relative difference of `tolerance`, or of
    `noise_limit` for their type, whichever is more.
    """
    walk = _Walk(tolerance)
    try:
        walk.visit("", left, right)
    except _Difference as difference:
        return Comparison(likeness=Likeness.DIFFERENT, detail=difference.text)
    except RecursionError:
        return _incomparable("it is nested too deeply")
    except Exception as error:  # noqa: BLE001 - the values' own code runs here
        return _incomparable(f"{type(error).__name__}: {error}")
    if walk.unknown:
        return _incomparable(walk.unknown)
    if walk.relative:
        return Comparison(likeness=Likeness.NOISE, relative=walk.relative, detail=walk.noisiest)
    return Comparison()


def _incomparable(why: str) -> Comparison:
    return Comparison(likeness=Likeness.INCOMPARABLE, detail=why)


class _Difference(Exception):  # noqa: N818 - never leaves this file
    def __init__(self, place: str, text: str) -> None:
        self.text = f"{place}: {text}" if place else text
        super().__init__(self.text)


def _differ(place: str, left: object, right: object) -> _Difference:
    if isinstance(left, (str, bytes)) and isinstance(right, (str, bytes)):
        left, right = _where_they_part(left, right)
    one, other = (short_text(value, longest=_SHOWN) for value in (left, right))
    if one == other:
        return _Difference(place, f"{type_name(type(left))} that is not the same")
    return _Difference(place, f"{one} ≠ {other}")


class _Walk:
    """Both at once.

    Attributes:
        relative: the largest relative difference so far, and where it is: `noisiest`.
        unknown: why something on the way could not be compared.
    """

    def __init__(self, tolerance: float) -> None:
        self.relative = 0.0
        self.noisiest = ""
        self.unknown = ""
        self._tolerance = tolerance
        self._partner: dict[int, int] = {}
        self._partner_back: dict[int, int] = {}
        # While they live, no other object can get their id.
        self._kept: list[object] = []

    def visit(self, place: str, left: Any, right: Any) -> None:  # noqa: ANN401 - of any type
        if left is right:
            return
        kind = type(left)
        if type_name(kind) != type_name(type(right)):
            raise _Difference(place, f"{type_name(kind)} ≠ {type_name(type(right))}")
        if kind is float:
            self._floats(place, left, right)
        elif kind is complex:
            self._floats(f"{place}.real", left.real, right.real)
            self._floats(f"{place}.imag", left.imag, right.imag)
        elif isinstance(left, enum.Enum):
            self._must_equal(place, left.name, right.name)
        elif kind in _PLAIN or (isinstance(left, _PLAIN) and not hasattr(left, "__dict__")):
            self._must_equal(place, left, right)
        elif isinstance(left, (type, types.ModuleType)):
            self._must_equal(place, left.__name__, right.__name__)
        elif self._is_met(place, left, right):
            return
        else:
            self._compare_parts(place, left, right)

    def _is_met(self, place: str, left: object, right: object) -> bool:
        """Say whether the two were compared before; each object has one counterpart only."""
        if type(left) in {tuple, frozenset, types.CodeType}:
            return False
        before = self._partner.get(id(left)), self._partner_back.get(id(right))
        if before == (None, None):
            self._partner[id(left)], self._partner_back[id(right)] = id(right), id(left)
            self._kept += (left, right)
            return False
        if before != (id(right), id(left)) and not _is_by_value(left):
            raise _Difference(place, "shares its object with other parts in another way")
        return before == (id(right), id(left))

    def _compare_parts(self, place: str, left: Any, right: Any) -> None:  # noqa: ANN401
        special = _comparer_of(type(left))
        if special is not None:
            special(self, place, left, right)
            return
        kind = type(left)
        if kind in {list, tuple, deque}:
            self._sequences(place, left, right)
        elif kind is dict:
            self._dictionaries(place, left, right)
        elif kind in {set, frozenset}:
            self._sets(place, left, right)
        else:
            self._objects(place, left, right)

    def _must_equal(self, place: str, left: object, right: object) -> None:
        if left != right:
            raise _differ(place, left, right)

    def _floats(self, place: str, left: float, right: float) -> None:
        if left == right or (math.isnan(left) and math.isnan(right)):
            return
        if not (math.isfinite(left) and math.isfinite(right)):
            raise _differ(place, left, right)
        relative = abs(left - right) / max(abs(left), abs(right))
        self.note(place, relative, NOISE_UP_TO, f"{left!r} ≠ {right!r}")

    def note(self, place: str, relative: float, noise_up_to: float, text: str) -> None:
        """Take note of two numbers that differ."""
        if relative > max(noise_up_to, self._tolerance):
            raise _Difference(place, text)
        if relative > self.relative:
            self.relative, self.noisiest = relative, f"{place}: {text}" if place else text

    def _sequences(self, place: str, left: Any, right: Any) -> None:  # noqa: ANN401
        if len(left) != len(right):
            raise _Difference(place, f"{len(left):,} elements ≠ {len(right):,}")
        for number, (one, other) in enumerate(zip(left, right, strict=True)):
            if not _is_plainly_equal(one, other):
                self.visit(f"{place}[{number}]", one, other)

    def _dictionaries(self, place: str, left: Any, right: Any) -> None:  # noqa: ANN401
        keys, others = list(left), list(right)
        if len(keys) != len(others):
            odd = _odd_ones(keys, others)
            raise _Difference(place, f"{len(keys):,} keys ≠ {len(others):,}{odd}")
        if keys != others and sorted(map(repr, keys)) == sorted(map(repr, others)):
            raise _Difference(place, f"its keys stand in another order{_order(keys, others)}")
        for key, other in zip(keys, others, strict=True):
            self.visit(f"{place} (key)" if place else "a key", key, other)
            self.visit(f"{place}[{short_text(key, longest=_SHOWN)}]", left[key], right[other])

    def _sets(self, place: str, left: Any, right: Any) -> None:  # noqa: ANN401
        if left == right:
            return
        if len(left) != len(right):
            raise _Difference(
                place, f"{len(left):,} elements ≠ {len(right):,}{_odd_ones(left, right)}"
            )
        if not any(_has_equality(each) for each in left ^ right):
            self.unknown = self.unknown or f"{place or 'it'} is a set of objects without equality"
            return
        raise _Difference(place, f"other elements{_odd_ones(left, right)}")

    def _objects(self, place: str, left: Any, right: Any) -> None:  # noqa: ANN401
        if isinstance(left, types.FunctionType):
            self._functions(place, left, right)
            return
        if isinstance(left, types.CodeType):
            self._codes(place, left, right)
            return
        if isinstance(left, types.MethodType):
            self.visit(place, left.__func__, right.__func__)
            self.visit(f"{place}.__self__", left.__self__, right.__self__)
            return
        if isinstance(left, types.CellType):
            self._cells(place, left, right)
            return
        one, other = _taken_apart(left), _taken_apart(right)
        if one is None or other is None:
            name = type_name(type(left))
            self.unknown = self.unknown or f"{f'{place}, ' if place else ''}a {name}, is opaque"
        elif isinstance(one, str) or isinstance(other, str):
            self._must_equal(place, one, other)
        else:
            self._reductions(place, one, other)

    def _reductions(self, place: str, left: tuple[Any, ...], right: tuple[Any, ...]) -> None:
        make, arguments, state, items, pairs = _padded(left)
        make_too, arguments_too, state_too, items_too, pairs_too = _padded(right)
        where = f"{place} (state)".lstrip()
        self.visit(place, make, make_too)
        self.visit(where, arguments, arguments_too)
        state, state_too = _settled(state), _settled(state_too)
        if isinstance(state, dict) and isinstance(state_too, dict):
            # Attributes have no order that anybody would see.
            self._attributes(place, state, state_too)
        else:
            self.visit(where, state, state_too)
        self._sequences(place, list(items or ()), list(items_too or ()))
        self._dictionaries(place, dict(pairs or ()), dict(pairs_too or ()))

    def _attributes(self, place: str, left: dict[str, Any], right: dict[str, Any]) -> None:
        if left.keys() != right.keys():
            raise _Difference(place, f"other attributes{_odd_ones(left, right)}")
        for name, value in left.items():
            self.visit(f"{place}.{name}", value, right[name])

    def _functions(self, place: str, left: Any, right: Any) -> None:  # noqa: ANN401
        self._must_equal(f"{place}.__qualname__", left.__qualname__, right.__qualname__)
        for name in ("__code__", "__defaults__", "__kwdefaults__", "__closure__", "__dict__"):
            self.visit(f"{place}.{name}", getattr(left, name), getattr(right, name))

    def _codes(self, place: str, left: types.CodeType, right: types.CodeType) -> None:
        for name in ("co_code", "co_names", "co_varnames", "co_freevars", "co_consts"):
            self.visit(f"{place}.{name}", getattr(left, name), getattr(right, name))

    def _cells(self, place: str, left: types.CellType, right: types.CellType) -> None:
        empty = object()
        one, other = (_content_of(cell, empty) for cell in (left, right))
        if (one is empty) != (other is empty):
            raise _Difference(place, "bound in one only")
        if one is not empty:
            self.visit(place, one, other)

    # ---- arrays and tables -------------------------------------------------------------------

    def arrays(self, place: str, left: Any, right: Any) -> None:  # noqa: ANN401 - numpy
        """Compare two NumPy arrays or scalars."""
        np = sys.modules["numpy"]
        if left.dtype != right.dtype:
            raise _Difference(place, f"dtype {left.dtype} ≠ {right.dtype}")
        if left.shape != right.shape:
            raise _Difference(place, f"shape {left.shape} ≠ {right.shape}")
        if left.dtype.names:
            for name in left.dtype.names:
                self.visit(f"{place}[{name!r}]", left[name], right[name])
        elif left.dtype.hasobject:
            pairs = zip(np.ravel(left).tolist(), np.ravel(right).tolist(), strict=True)
            for number, (one, other) in enumerate(pairs):
                if not _is_plainly_equal(one, other):
                    index = np.unravel_index(number, left.shape)
                    self.visit(f"{place}{_index(index)}", one, other)
        elif left.dtype.kind in "fc":
            self._numbers(place, np.asarray(left), np.asarray(right))
        else:
            same = np.asarray(left == right) | _are_missing(np, left, right)
            if not same.all():
                raise self._first(place, left, right, ~same)
        if hasattr(left, "__dict__") and isinstance(left, np.ndarray):
            self._attributes(place, vars(left), vars(right))

    def _numbers(self, place: str, left: Any, right: Any) -> None:  # noqa: ANN401 - numpy
        np = sys.modules["numpy"]
        unlike = ~((left == right) | (np.isnan(left) & np.isnan(right)))
        if not unlike.any():
            return
        if not (np.isfinite(left[unlike]).all() and np.isfinite(right[unlike]).all()):
            unlike &= ~(np.isfinite(left) & np.isfinite(right))
            raise self._first(place, left, right, unlike)
        with np.errstate(all="ignore"):
            relative = np.zeros(left.shape)
            scale = np.maximum(np.abs(left[unlike]), np.abs(right[unlike]))
            relative[unlike] = np.abs(left[unlike] - right[unlike]) / scale
        worst = np.unravel_index(int(relative.argmax()), relative.shape)
        text = f"{left[worst]!s} ≠ {right[worst]!s}"
        if relative.size > 1:
            text += f", {int(unlike.sum()):,} of {relative.size:,} numbers differ"
        noise = noise_limit(float(np.finfo(left.dtype).eps))
        self.note(f"{place}{_index(worst)}", float(relative[worst]), noise, text)

    def _first(self, place: str, left: Any, right: Any, unlike: Any) -> _Difference:  # noqa: ANN401
        np = sys.modules["numpy"]
        index = tuple(int(axis[0]) for axis in np.nonzero(np.atleast_1d(unlike)))
        index = index if np.ndim(left) else ()
        rest = int(unlike.sum()) - 1
        more = f", and {rest:,} more" if rest else ""
        return _Difference(f"{place}{_index(index)}", f"{left[index]!s} ≠ {right[index]!s}{more}")

    def masked_arrays(self, place: str, left: Any, right: Any) -> None:  # noqa: ANN401 - numpy
        """Compare two masked arrays: what the mask hides does not count."""
        np = sys.modules["numpy"]
        mask = np.ma.getmaskarray(left)
        self.arrays(f"{place}.mask", mask, np.ma.getmaskarray(right))
        self.arrays(place, left.data[~mask], right.data[~mask])

    def pandas_frames(self, place: str, left: Any, right: Any) -> None:  # noqa: ANN401 - pandas
        """Compare two frames."""
        self.visit(f"{place}.columns", left.columns, right.columns)
        self.visit(f"{place}.index", left.index, right.index)
        for number, name in enumerate(left.columns):
            where = f"{place}[{short_text(name, longest=_SHOWN)}]"
            self.visit(where, left.iloc[:, number].array, right.iloc[:, number].array)
        self.visit(f"{place}.attrs", left.attrs, right.attrs)

    def pandas_series(self, place: str, left: Any, right: Any) -> None:  # noqa: ANN401 - pandas
        """Compare two series."""
        self.visit(f"{place}.name", left.name, right.name)
        self.visit(f"{place}.index", left.index, right.index)
        self.visit(place, left.array, right.array)
        self.visit(f"{place}.attrs", left.attrs, right.attrs)

    def pandas_indexes(self, place: str, left: Any, right: Any) -> None:  # noqa: ANN401 - pandas
        """Compare two indexes, of one level or several."""
        self.visit(f"{place}.names", list(left.names), list(right.names))
        if hasattr(left, "levels"):
            for level in range(left.nlevels):
                one, other = (each.get_level_values(level) for each in (left, right))
                self.visit(f"{place} (level {level})", one, other)
            return
        self.visit(place, left.array, right.array)
        self.visit(f"{place}.freq", getattr(left, "freq", None), getattr(right, "freq", None))

    def pandas_arrays(self, place: str, left: Any, right: Any) -> None:  # noqa: ANN401 - pandas
        """Compare two extension arrays."""
        if left.dtype != right.dtype:
            raise _Difference(place, f"dtype {left.dtype} ≠ {right.dtype}")
        if len(left) != len(right):
            raise _Difference(place, f"{len(left):,} rows ≠ {len(right):,}")
        if hasattr(left, "categories") and hasattr(left, "codes"):
            self.visit(f"{place}.categories", left.categories, right.categories)
            self.arrays(place, left.codes, right.codes)
            return
        missing = left.isna()
        self.arrays(f"{place} (missing)", missing, right.isna())
        one, other = left[~missing], right[~missing]
        if getattr(left.dtype, "kind", "") in {"f", "c"}:
            self.arrays(place, one.to_numpy(dtype=float), other.to_numpy(dtype=float))
        else:
            self.arrays(place, one.to_numpy(dtype=object), other.to_numpy(dtype=object))

    def polars_frames(self, place: str, left: Any, right: Any) -> None:  # noqa: ANN401 - polars
        """Compare two frames."""
        self.visit(f"{place}.columns", left.columns, right.columns)
        for name in left.columns:
            self.polars_series(f"{place}[{name!r}]", left[name], right[name])

    def polars_series(self, place: str, left: Any, right: Any) -> None:  # noqa: ANN401 - polars
        """Compare two series."""
        self._must_equal(f"{place}.dtype", str(left.dtype), str(right.dtype))
        self._must_equal(f"{place}.name", left.name, right.name)
        if len(left) != len(right):
            raise _Difference(place, f"{len(left):,} rows ≠ {len(right):,}")
        if left.equals(right, null_equal=True):
            return
        self.visit(f"{place}", left.to_list(), right.to_list())

    def arrow_tables(self, place: str, left: Any, right: Any) -> None:  # noqa: ANN401 - pyarrow
        """Compare two Arrow tables, columns or batches."""
        if not left.equals(right):
            self.visit(place, left.to_pylist(), right.to_pylist())

    def tensors(self, place: str, left: Any, right: Any) -> None:  # noqa: ANN401 - torch
        """Compare two tensors."""
        self._must_equal(f"{place}.dtype", str(left.dtype), str(right.dtype))
        self._must_equal(f"{place}.device", str(left.device), str(right.device))
        one, other = (each.detach().cpu().numpy() for each in (left, right))
        self.arrays(place, one, other)

    def figures(self, place: str, left: Any, right: Any) -> None:  # noqa: ANN401 - matplotlib
        """Compare two figures by what they draw; parts of them by their figures."""
        one, other = (_picture_of(getattr(each, "figure", None) or each) for each in (left, right))
        np = sys.modules["numpy"]
        if one.shape != other.shape or not np.array_equal(one, other):
            raise _Difference(place, "it draws another picture")


_Comparer = Callable[[_Walk, str, Any, Any], None]

# By module (or its beginning, up to a dot) and name, of a type or one of its bases.
_COMPARERS: Final[dict[tuple[str, str], _Comparer]] = {
    ("numpy.ma", "MaskedArray"): _Walk.masked_arrays,
    ("numpy", "ndarray"): _Walk.arrays,
    ("numpy", "generic"): _Walk.arrays,
    ("pandas", "DataFrame"): _Walk.pandas_frames,
    ("pandas", "Series"): _Walk.pandas_series,
    ("pandas", "Index"): _Walk.pandas_indexes,
    ("pandas", "NumpyExtensionArray"): lambda walk, place, left, right: walk.visit(
        place, left.to_numpy(), right.to_numpy()
    ),
    ("pandas", "ExtensionArray"): _Walk.pandas_arrays,
    ("polars", "DataFrame"): _Walk.polars_frames,
    ("polars", "Series"): _Walk.polars_series,
    ("pyarrow", "Table"): _Walk.arrow_tables,
    ("pyarrow", "RecordBatch"): _Walk.arrow_tables,
    ("pyarrow", "ChunkedArray"): _Walk.arrow_tables,
    ("pyarrow", "Array"): _Walk.arrow_tables,
    ("torch", "Tensor"): _Walk.tensors,
    ("matplotlib", "Artist"): _Walk.figures,
}


def _has_equality(value: object) -> bool:
    return type(value).__eq__ is not object.__eq__


def _is_plainly_equal(left: object, right: object) -> bool:
    """Say at once what is true of most elements of most containers."""
    return left is right or (type(left) is type(right) and type(left) in _SIMPLE and left == right)


_SIMPLE: Final = frozenset({str, int, float, bool})


def _where_they_part(left: Any, right: Any) -> tuple[Any, Any]:  # noqa: ANN401 - str or bytes
    """Give the ends of two long texts from shortly before the place where they part."""
    pairs = enumerate(zip(left, right, strict=False))
    parting = next((place for place, (a, b) in pairs if a != b), min(len(left), len(right)))
    start = parting - _BEFORE if parting > _SHOWN - _BEFORE else 0
    return left[start:], right[start:]


def _comparer_of(kind: type) -> _Comparer | None:
    for base in kind.__mro__:
        module = base.__module__
        if module.startswith("numpy.ma"):
            module = "numpy.ma"
        for place in ((module, base.__qualname__), (module.partition(".")[0], base.__qualname__)):
            if place in _COMPARERS:
                return _COMPARERS[place]
    return None


def _is_by_value(value: object) -> bool:
    """Say whether it plays no part which of several equal objects this is."""
    return isinstance(value, _PLAIN) or type(value).__module__.partition(".")[0] in {
        "numpy", "pandas", "polars", "pyarrow", "matplotlib", "datetime", "decimal",
    }  # fmt: skip


def _taken_apart(value: Any) -> Any:  # noqa: ANN401 - what `__reduce__` gives
    try:
        reduce = copyreg.dispatch_table.get(type(value))
        return reduce(value) if reduce else value.__reduce_ex__(4)
    except Exception:  # noqa: BLE001 - the value's own code runs here
        return None


def _padded(reduced: tuple[Any, ...]) -> tuple[Any, Any, Any, Any, Any]:
    make, arguments, *rest = reduced
    state, items, pairs = [*rest, None, None, None][:3]
    return make, arguments, state, items, pairs


def _settled(state: Any) -> Any:  # noqa: ANN401 - of any type
    """Make no difference between attributes that nobody asked for yet, None, and none: `{}`."""
    if isinstance(state, tuple):
        return tuple(map(_settled, state))
    return None if isinstance(state, dict) and not state else state


def _content_of(cell: types.CellType, empty: object) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return empty


def _picture_of(figure: Any) -> Any:  # noqa: ANN401 - matplotlib
    canvas = importlib.import_module("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
    canvas.draw()
    return sys.modules["numpy"].asarray(canvas.buffer_rgba())


def _are_missing(np: Any, left: Any, right: Any) -> Any:  # noqa: ANN401 - numpy
    if left.dtype.kind in "mM":
        return np.isnat(left) & np.isnat(right)
    return np.zeros(np.shape(left), dtype=bool)


def _index(index: Iterable[Any]) -> str:
    numbers = ", ".join(str(int(number)) for number in index)
    return f"[{numbers}]" if numbers else ""


def _odd_ones(left: Iterable[object], right: Iterable[object]) -> str:
    """Name an element that only one of them has."""
    one, other = list(left), list(right)
    for these, those, sign in ((one, other, "without"), (other, one, "with")):
        odd = sorted({short_text(each, longest=_SHOWN) for each in these if each not in those})
        if odd:
            return f" ({'the second is' if odd else ''} {sign} {', '.join(odd[:3])})"
    return ""


def _order(left: list[object], right: list[object]) -> str:
    one, other = next((a, b) for a, b in zip(left, right, strict=True) if a != b)
    return f" ({short_text(one, longest=_SHOWN)} ≠ {short_text(other, longest=_SHOWN)})"
