"""What can be said of a value in a few words, without loading it later.

Cheap and safe by construction: nothing here calls a foreign `repr`, and of large values only a few
elements are looked at.
"""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from nbpipe.model.artifact import Summary

_ROWS: Final = 5
_COLUMNS: Final = 12
_NAMED_COLUMNS: Final = 200
_ELEMENTS: Final = 6
_LONGEST_CELL: Final = 24
_LONGEST_TEXT: Final = 200
_LONGEST_INTEGER_BITS: Final = 200


def summarize(value: object) -> Summary:
    """Give a summary of any value, in a few milliseconds; it never raises."""
    kind = type_name(type(value))
    try:
        # In here is code of the value's own library, and anything can go wrong in it.
        return _summary(value, kind)
    except Exception:  # noqa: BLE001
        return Summary(type=kind, text=kind)


def type_name(kind: type) -> str:
    """Give a type's name as people import it: `pandas.DataFrame`, `dict`, `Point`."""
    module, name = kind.__module__, kind.__qualname__
    if module in {"builtins", "__main__"}:
        return name
    parts = module.split(".")
    for length in range(1, len(parts)):
        package = ".".join(parts[:length])
        if vars(sys.modules.get(package, object)).get(name) is kind:
            return f"{package}.{name}"
    return f"{module}.{name}"


def _summary(value: Any, kind: str) -> Summary:  # noqa: ANN401 - of any library
    for base in type(value).__mro__:
        name = type_name(base)
        if name in _BY_TYPE:
            return _BY_TYPE[name](value, kind)
    if isinstance(value, (list, tuple, dict, set, frozenset)):
        return _of_container(value, kind)
    if callable(value) and isinstance(value, (types.FunctionType, types.MethodType, type)):
        return Summary(type=kind, text=f"{kind} {value.__qualname__}")
    if _is_scalar(value):
        return _of_scalar(value, kind)
    return _of_object(value, kind)


def _of_scalar(value: Any, kind: str) -> Summary:  # noqa: ANN401 - a builtin or NumPy scalar
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, (bytes, bytearray)):
        return Summary(type=kind, text=f"{len(plain):,} bytes", fields={"length": len(plain)})
    text = short_text(plain, longest=_LONGEST_TEXT)
    if isinstance(plain, str):
        fields = {"value": plain[:_LONGEST_TEXT], "length": len(plain)}
        return Summary(type=kind, text=text, fields=fields)
    is_exact = plain is None or isinstance(plain, bool)
    if isinstance(plain, int):
        is_exact = plain.bit_length() <= _LONGEST_INTEGER_BITS
    if isinstance(plain, float):
        is_exact = math.isfinite(plain)
    return Summary(type=kind, text=text, fields={"value": plain if is_exact else text})


def _of_container(value: Any, kind: str) -> Summary:  # noqa: ANN401 - a builtin container
    count = len(value)
    unit = "entry" if isinstance(value, dict) else "element"
    plural = "entries" if isinstance(value, dict) else "elements"
    return Summary(
        type=kind,
        text=f"{kind} of {count:,} {unit if count == 1 else plural}",
        preview=short_text(value, longest=_LONGEST_TEXT),
        fields={"length": count},
    )


def _of_object(value: Any, kind: str) -> Summary:  # noqa: ANN401 - of any class
    attributes = getattr(value, "__dict__", None)
    shown = dict(list(attributes.items())[:_ELEMENTS]) if type(attributes) is dict else {}
    lines = [
        f"{name} = {short_text(attribute, longest=_LONGEST_CELL * 2)}"
        for name, attribute in shown.items()
    ]
    return Summary(type=kind, text=kind, preview="\n".join(lines))


def _of_pandas_frame(frame: Any, kind: str) -> Summary:  # noqa: ANN401 - pandas is optional
    columns = [frame.iloc[:_ROWS, number].tolist() for number in _shown(frame.shape[1])]
    return _of_table(
        kind,
        rows=len(frame),
        names=[short_text(name, quoted=False) for name in frame.columns[:_NAMED_COLUMNS]],
        types=[str(dtype) for dtype in frame.dtypes.iloc[:_NAMED_COLUMNS]],
        count=frame.shape[1],
        columns=columns,
    )


def _of_polars_frame(frame: Any, kind: str) -> Summary:  # noqa: ANN401 - polars is optional
    head = frame.head(_ROWS)
    return _of_table(
        kind,
        rows=frame.height,
        names=frame.columns[:_NAMED_COLUMNS],
        types=[str(dtype) for dtype in frame.dtypes[:_NAMED_COLUMNS]],
        count=frame.width,
        columns=[head.to_series(number).to_list() for number in _shown(frame.width)],
    )


def _of_arrow_table(table: Any, kind: str) -> Summary:  # noqa: ANN401 - pyarrow is optional
    head = table.slice(0, _ROWS)
    return _of_table(
        kind,
        rows=table.num_rows,
        names=[str(name) for name in table.schema.names[:_NAMED_COLUMNS]],
        types=[str(field.type) for field in list(table.schema)[:_NAMED_COLUMNS]],
        count=table.num_columns,
        columns=[head.column(number).to_pylist() for number in _shown(table.num_columns)],
    )


def _of_table(  # noqa: PLR0913 - the parts of a table
    kind: str,
    *,
    rows: int,
    names: Sequence[str],
    types: Sequence[str],
    count: int,
    columns: Sequence[Sequence[object]],
) -> Summary:
    cells = [
        [name[:_LONGEST_CELL], *(short_text(value, quoted=False) for value in column)]
        for name, column in zip(names, columns, strict=False)
    ]
    if count > len(columns):
        cells.append(["…"] * (len(cells[0]) if cells else 1))
    widths = [max(map(len, column)) for column in cells]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in zip(*cells, strict=True)
    ]
    return Summary(
        type=kind,
        text=f"{_count(rows, 'row')} × {_count(count, 'column')}",
        preview="\n".join(lines),
        fields={
            "rows": rows,
            "columns": [
                {"name": name, "type": column_type}
                for name, column_type in zip(names, types, strict=True)
            ],
            "column_count": count,
        },
    )


def _of_series(series: Any, kind: str) -> Summary:  # noqa: ANN401 - pandas' or polars'
    head = series.head(_ROWS).to_list()
    return Summary(
        type=kind,
        text=f"{_count(len(series), 'value')} of {series.dtype}",
        preview=short_text(head, longest=_LONGEST_TEXT),
        fields={
            "rows": len(series),
            "dtype": str(series.dtype),
            "name": None if series.name is None else short_text(series.name, quoted=False),
        },
    )


def _of_array(array: Any, kind: str) -> Summary:  # noqa: ANN401 - numpy is optional
    shape = " × ".join(f"{length:,}" for length in array.shape) or "a single value"
    corner = array[tuple(slice(0, _ELEMENTS) for _ in array.shape)] if array.ndim <= 2 else None  # noqa: PLR2004
    return Summary(
        type=kind,
        text=f"{array.dtype}, {shape}",
        preview="" if corner is None else short_text(corner.tolist(), longest=_LONGEST_TEXT),
        fields={"shape": list(array.shape), "dtype": str(array.dtype)},
    )


def _is_fitted(model: Any) -> bool:  # noqa: ANN401 - scikit-learn is optional
    """Ask scikit-learn, which is loaded where there is a model of its kind."""
    validation = sys.modules.get("sklearn.utils.validation")
    if validation is None:
        return any(name.endswith("_") and not name.startswith("_") for name in vars(model))
    try:
        validation.check_is_fitted(model)
    except Exception:  # noqa: BLE001 - NotFittedError, or what a model of somebody else's raises
        return False
    return True


def _of_model(model: Any, kind: str) -> Summary:  # noqa: ANN401 - scikit-learn is optional
    parameters = model.get_params(deep=False)
    texts = {name: short_text(value) for name, value in list(parameters.items())[:_NAMED_COLUMNS]}
    fitted = _is_fitted(model)
    return Summary(
        type=kind,
        text=f"{type(model).__name__}, {'fitted' if fitted else 'not fitted'}",
        preview="\n".join(f"{name} = {text}" for name, text in list(texts.items())[:_COLUMNS]),
        fields={"parameters": texts, "fitted": fitted},
    )


def _of_figure(figure: Any, kind: str) -> Summary:  # noqa: ANN401 - matplotlib is optional
    titles = [axes.get_title() for axes in figure.axes]
    width, height = figure.get_size_inches()
    return Summary(
        type=kind,
        text=f"figure with {_count(len(titles), 'plot')}, {width:g} × {height:g} in",
        preview="\n".join(title[:_LONGEST_TEXT] for title in titles if title),
        fields={"plots": len(titles), "titles": [title[:_LONGEST_TEXT] for title in titles]},
    )


_BY_TYPE: Final[Mapping[str, Callable[[Any, str], Summary]]] = {
    "pandas.DataFrame": _of_pandas_frame,
    "pandas.Series": _of_series,
    "polars.DataFrame": _of_polars_frame,
    "polars.Series": _of_series,
    "pyarrow.Table": _of_arrow_table,
    "pyarrow.RecordBatch": _of_arrow_table,
    "polars.dataframe.frame.DataFrame": _of_polars_frame,
    "polars.series.series.Series": _of_series,
    "pyarrow.lib.Table": _of_arrow_table,
    "pyarrow.lib.RecordBatch": _of_arrow_table,
    "numpy.ndarray": _of_array,
    "sklearn.base.BaseEstimator": _of_model,
    "matplotlib.figure.Figure": _of_figure,
}


def short_text(value: object, *, longest: int = _LONGEST_CELL, quoted: bool = True) -> str:
    """Give a text of at most `longest` characters; of foreign objects only the type."""
    if not quoted and type(value) is str:
        text = value[: longest + 1].replace("\n", " ")
    else:
        text = _text(value, longest, depth=0)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _text(value: Any, longest: int, depth: int) -> str:  # noqa: ANN401 - of any type
    kind = type(value)
    if _is_number_type(kind):
        value = value.item()
        kind = type(value)
    if value is None or kind is bool:
        return str(value)
    if kind is int:
        bits = value.bit_length()
        return str(value) if bits <= _LONGEST_INTEGER_BITS else f"integer of {bits:,} bits"
    if kind is float:
        return f"{value:.6g}" if value != int_or_nan(value) else f"{value:.1f}"
    if kind in (str, bytes):
        return repr(value[:longest])
    if kind in _BRACKETS:
        left, right = _BRACKETS[kind]
        if depth > 1:
            return f"{left}…{right}"
        return f"{left}{_elements(value, longest, depth + 1)}{right}"
    return type_name(kind)


def _elements(container: Any, longest: int, depth: int) -> str:  # noqa: ANN401 - a builtin container
    parts: list[str] = []
    elements: Iterable[Any] = container.items() if type(container) is dict else container
    for element in elements:
        if len(parts) == _ELEMENTS:
            parts.append("…")
            break
        if type(container) is dict:
            key, item = element
            parts.append(f"{_text(key, longest, depth)}: {_text(item, longest, depth)}")
        else:
            parts.append(_text(element, longest, depth))
    return ", ".join(parts)


def int_or_nan(value: float) -> float:
    """Give a float that is whole and short to write as it is, anything else as NaN."""
    is_short = math.isfinite(value) and abs(value) < 1e6 and value == int(value)  # noqa: PLR2004
    return value if is_short else math.nan


_BRACKETS: Final[Mapping[type, tuple[str, str]]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("{", "}"),
    dict: ("{", "}"),
}


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(
        value, (bool, int, float, complex, str, bytes, bytearray)
    ) or _is_number_type(type(value))  # fmt: skip


def _is_number_type(kind: type) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(kind, (numpy.number, numpy.bool_))


def _shown(count: int) -> range:
    return range(min(count, _COLUMNS))


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit}" if number == 1 else f"{number:,} {unit}s"
