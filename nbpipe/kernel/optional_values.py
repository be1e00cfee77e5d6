"""Which values are worth keeping when nobody asked for them: data, not machinery."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import pathlib
import uuid
from collections import deque
from dataclasses import is_dataclass
from typing import Final

_PLAIN: Final = (
    bool, int, float, complex, str, bytes, bytearray, range,
    list, tuple, dict, set, frozenset, deque,
    dt.date, dt.time, dt.timedelta, decimal.Decimal, fractions.Fraction,
    pathlib.PurePath, uuid.UUID, enum.Enum,
)  # fmt: skip

# Libraries whose objects are frames, arrays, models or figures.
_DATA_LIBRARIES: Final = frozenset(
    {
        "PIL", "altair", "catboost", "geopandas", "jax", "keras", "lightgbm", "matplotlib",
        "networkx", "numpy", "pandas", "plotly", "polars", "pyarrow", "scipy", "seaborn",
        "shapely", "sklearn", "statsmodels", "tensorflow", "torch", "xarray", "xgboost",
    }
)  # fmt: skip


def is_worth_keeping(name: str, value: object) -> bool:
    """Say whether an output that no step reads is stored for people to look at.

    Frames, arrays, models, figures, numbers, strings, and containers are; private names, None,
    modules, functions, classes, and whatever else holds on to the process are not.
    """
    if name.startswith("_") or value is None or isinstance(value, type):
        return False
    if isinstance(value, _PLAIN) or is_dataclass(value):
        return True
    kind = type(value)
    libraries = {base.__module__.partition(".")[0] for base in kind.__mro__}
    if libraries & _DATA_LIBRARIES:
        return not callable(value) or _is_model(kind)
    return _is_model(kind)


def _is_model(kind: type) -> bool:
    return hasattr(kind, "fit") or hasattr(kind, "state_dict")
