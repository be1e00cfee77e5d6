"""Parameters as people type them → values of the type that the notebook's default has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Final

from nbpipe.errors import ConfigurationError, NotFoundError
from nbpipe.model.names import Variable
from nbpipe.model.pipeline import Parameter, ParameterValue, Pipeline, is_parameter_value

_SHOWN: Final = 60
_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})


def read_parameters(
    pipeline: Pipeline, words: Sequence[str] = (), file: Path | None = None
) -> dict[Variable, ParameterValue]:
    """Read `NAME=VALUE` words, over a JSON or TOML file of values.

    Raises:
        NotFoundError: for a name that is no parameter.
        ConfigurationError: for a value of another type than the default, or a file of another kind.
    """
    values = check_parameters(pipeline, _values_in(file)) if file else {}
    for name, text in _split(words):
        values[Variable(name)] = _typed(_parameter(pipeline, name), text)
    return values


def read_sweep(
    pipeline: Pipeline, words: Sequence[str], file: Path | None = None
) -> tuple[dict[Variable, ParameterValue], ...]:
    """Read words whose values are lists (`alpha=0.1,0.2`): every combination, first name slowest.

    Raises:
        NotFoundError, ConfigurationError: as `read_parameters` does.
    """
    fixed = check_parameters(pipeline, _values_in(file)) if file else {}
    axes = []
    for name, text in _split(words):
        parameter = _parameter(pipeline, name)
        axes.append([(Variable(name), value) for value in _typed_list(parameter, text)])
    if not axes:
        raise ConfigurationError(
            "--sweep has no values to go through.",
            hint="Give one parameter several, such as -p alpha=0.1,0.2.",
        )
    return tuple(fixed | dict(combination) for combination in product(*axes))


def check_parameters(
    pipeline: Pipeline, values: Mapping[str, object]
) -> dict[Variable, ParameterValue]:
    """Check the names and types of values that come as Python or JSON.

    Raises:
        NotFoundError, ConfigurationError: as `read_parameters` does.
    """
    checked: dict[Variable, ParameterValue] = {}
    for name, value in values.items():
        parameter = _parameter(pipeline, name)
        default = parameter.default
        if isinstance(default, float) and type(value) is int:
            value = float(value)  # noqa: PLW2901 - 1 is a fine way to write 1.0
        if default is not None and type(value) is not type(default):
            raise _wrong_type(parameter, json.dumps(value, default=str))
        if not is_parameter_value(value):
            raise _wrong_type(parameter, repr(value))
        checked[Variable(name)] = value
    return checked


def _split(words: Sequence[str]) -> list[tuple[str, str]]:
    pairs = []
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise ConfigurationError(
                f"{word!r} is no parameter.", hint="Write -p NAME=VALUE, such as -p alpha=0.1."
            )
        pairs.append((name.strip(), text))
    return pairs


def _parameter(pipeline: Pipeline, name: str) -> Parameter:
    by_name = {parameter.name: parameter for parameter in pipeline.parameters}
    if Variable(name) not in by_name:
        raise NotFoundError.among(
            "parameter", name, by_name, where=f"in pipeline {pipeline.name!r}"
        )
    return by_name[Variable(name)]


def _typed(parameter: Parameter, text: str) -> ParameterValue:
    match parameter.default:
        case bool():
            word = text.strip().lower()
            if word not in _TRUE | _FALSE:
                raise _wrong_type(parameter, text)
            return word in _TRUE
        case int():
            try:
                return int(text.replace("_", "")) if "_" not in text[:1] else int("x")
            except ValueError:
                raise _wrong_type(parameter, text) from None
        case float():
            try:
                return float(text)
            except ValueError:
                raise _wrong_type(parameter, text) from None
        case str():
            return text
        case list() | dict():
            try:
                value: ParameterValue = json.loads(text)
            except (ValueError, RecursionError):
                raise _wrong_type(parameter, text) from None
            if type(value) is not type(parameter.default):
                raise _wrong_type(parameter, text)
            return value
        case None:
            return _guessed(text)


def _typed_list(parameter: Parameter, text: str) -> list[ParameterValue]:
    """Read `0.1,0.2`; the commas inside lists and objects are not those between them."""
    if isinstance(parameter.default, list | dict):
        try:
            values = json.loads(f"[{text}]")
        except (ValueError, RecursionError):
            raise _wrong_type(parameter, text) from None
        return [_typed(parameter, json.dumps(value)) for value in values]
    return [_typed(parameter, part) for part in text.split(",")]


def _guessed(text: str) -> ParameterValue:
    """A default of None says nothing about the type: read JSON, or else take the text."""
    try:
        value: ParameterValue = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value


def _wrong_type(parameter: Parameter, text: str) -> ConfigurationError:
    examples = {
        "bool": "true or false",
        "list": "a JSON list",
        "dict": "a JSON object",
        "any": "a JSON value",
    }
    wanted = examples.get(parameter.type, f"of type {parameter.type}")
    shown = text[:_SHOWN] + "…" * (len(text) > _SHOWN)
    return ConfigurationError(
        f"Parameter {parameter.name!r} must be {wanted}, not {shown!r}.",
        hint=f"Its default in the notebook is {parameter.default!r}.",
    )


def _values_in(path: Path) -> Mapping[str, object]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        if path.suffix == ".toml":
            import tomllib  # noqa: PLC0415 - only for those who use it

            values = tomllib.loads(content.decode())
        else:
            values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{path} is neither JSON nor TOML with parameters: {error}.",
            hint='Write a JSON object such as {"alpha": 0.1}, or NAME = VALUE lines in a .toml.',
        ) from None
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path} must hold a JSON object of parameters.")
    return values
