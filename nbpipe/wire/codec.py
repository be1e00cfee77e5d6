"""Dataclasses of the model ↔ JSON, by their own type hints.

`decode` checks every field: what comes from a file or the network either is the model, or the
error says which part of it is not.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, ForwardRef, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


class DecodeError(ValueError):
    """The JSON does not describe the value; the message begins with the path to the fault."""


def encode(value: object) -> object:
    """Give a value of the model as JSON. Unions of dataclasses are told apart by `"is"`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    match value:
        case StrEnum():
            return value.value
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return value.isoformat()
        case Mapping():
            return {str(key): encode(item) for key, item in value.items()}
        case tuple() | list():
            return [_tagged(item) for item in value]
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")


def _tagged(item: object) -> object:
    encoded = encode(item)
    if isinstance(encoded, dict) and dataclasses.is_dataclass(item):
        return encoded | ({"is": type(item).__name__} if type(item).__name__ in _UNIONS else {})
    return encoded


# Classes that appear as members of a union of dataclasses.
_UNIONS = frozenset({"Fragment", "Load"})


def decode(kind: type[T], payload: object, *, at: str = "") -> T:
    """Give the value of type `kind` that `payload` describes.

    Raises:
        DecodeError: when a field is missing, unknown, or of another type.
    """
    result: T = _decode(kind, payload, at)
    return result


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _decode(kind: Any, payload: object, at: str) -> Any:  # noqa: ANN401 - types are the data here
    if isinstance(kind, NewType):
        return _decode(kind.__supertype__, payload, at)
    if isinstance(kind, ForwardRef):
        return payload  # `ParameterValue` in itself: any JSON is one.
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(get_args(kind), payload, at)
    if origin is tuple:
        return _decode_tuple(get_args(kind), payload, at)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(payload, dict):
            raise _wrong(at, "an object", payload)
        key, item = get_args(kind)
        return {_decode(key, k, at): _decode(item, v, f"{at}.{k}") for k, v in payload.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _decode_dataclass(kind, payload, at)
    if kind is object or kind is Any or isinstance(kind, TypeVar):
        return payload
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        try:
            return kind(str(payload))
        except ValueError:
            raise _wrong(at, " or ".join(member.value for member in kind), payload) from None
    if kind is datetime:
        try:
            return datetime.fromisoformat(str(payload))
        except ValueError:
            raise _wrong(at, "a date and time", payload) from None
    if kind is float and isinstance(payload, int) and not isinstance(payload, bool):
        return float(payload)
    wanted = type(None) if kind is None else kind
    if wanted in (list, dict) or get_origin(kind) in (list, dict):
        wanted = get_origin(kind) or wanted
    if type(payload) is not wanted:
        raise _wrong(at, wanted.__name__, payload)
    return payload


def _decode_union(kinds: tuple[Any, ...], payload: object, at: str) -> Any:  # noqa: ANN401
    if isinstance(payload, dict) and "is" in payload:
        for kind in kinds:
            if getattr(kind, "__name__", "") == payload["is"]:
                return _decode(kind, payload, at)
    problems = []
    for kind in kinds:
        try:
            return _decode(kind, payload, at)
        except DecodeError as error:
            problems.append(error)
    raise problems[0]


def _decode_tuple(kinds: tuple[Any, ...], payload: object, at: str) -> tuple[Any, ...]:
    if not isinstance(payload, list):
        raise _wrong(at, "a list", payload)
    return tuple(_decode(kinds[0], item, f"{at}[{index}]") for index, item in enumerate(payload))


def _decode_dataclass(kind: type, payload: object, at: str) -> object:
    if not isinstance(payload, dict):
        raise _wrong(at, f"an object ({kind.__name__})", payload)
    hints = _hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if payload.get("is") == kind.__name__:
        payload = {name: value for name, value in payload.items() if name != "is"}
    for name in payload:
        if name not in fields:
            raise DecodeError(f"{at or kind.__name__}: unknown field {name!r}")
    values = {}
    for name, field in fields.items():
        if name in payload:
            values[name] = _decode(hints[name], payload[name], f"{at}.{name}" if at else name)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise DecodeError(f"{at or kind.__name__}: field {name!r} is missing")
    try:
        return kind(**values)
    except ValueError as error:
        raise DecodeError(f"{at or kind.__name__}: {error}") from None


def _wrong(at: str, wanted: str, payload: object) -> DecodeError:
    shown = repr(payload)
    return DecodeError(f"{at}: expected {wanted}, found {shown[:60]}")
