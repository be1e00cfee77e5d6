"""The step key: what makes a step's result reusable, and why two keys differ.

Everything that can change a result is a named part; nothing that cannot is one: no step name, no
cell id, no position, no comment. Paths stand as the author wrote them, or relative to the
notebook, so that a checkout elsewhere has the same keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from nbpipe.model.artifact import StoredValue
from nbpipe.model.digest import Digest, digest_structure
from nbpipe.model.names import Variable, is_state, spoken
from nbpipe.model.notebook import RandomPolicy
from nbpipe.model.pipeline import ParameterValue, Step
from nbpipe.model.run import KeyParts, StepKey

FORMAT: Final = "1"
ABSENT: Final = "absent"
UNBOUND: Final = "unbound"

_LONGEST_TEXT: Final = 200
_SHORT_DIGEST: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEnvironment:
    """What a step finds around it, as far as it can change results.

    Attributes:
        python: the version that the kernel runs, as `3.11`.
        packages: version by distribution, for the modules that the step imports.
        files: digest by path, for files it may read and project modules it imports; None for a
            declared file that is not there.
        seed_policy: how the global random generators start.
    """

    python: str
    packages: Mapping[str, str]
    files: Mapping[str, Digest | None]
    seed_policy: RandomPolicy


def step_key(
    step: Step,
    parameters: Mapping[Variable, ParameterValue],
    inputs: Mapping[Variable, StoredValue | None],
    environment: KeyEnvironment,
) -> KeyParts:
    """Give the key of `step` for these parameters, inputs and surroundings.

    `parameters` may hold more than the step reads; `inputs` holds all the step loads, None for
    one that the upstream step left unbound.
    """
    parts = {
        "format": FORMAT,
        "python": environment.python,
        "code": step.code,
        "seed policy": environment.seed_policy.value,
    }
    for name in step.parameters:
        parts[f"parameter {name}"] = _literal(parameters[name])
    for name, value in inputs.items():
        parts[f"input {name}"] = UNBOUND if value is None else _stored(value)
        for definition in value.definitions if value else ():
            if definition in step.definitions:
                parts[f"definition {definition}"] = step.definitions[definition]
    for distribution, version in environment.packages.items():
        parts[f"package {distribution}"] = version
    for path, digest in environment.files.items():
        parts[f"file {path}"] = digest or ABSENT
    return KeyParts(key=StepKey(digest_structure(parts)), parts=dict(sorted(parts.items())))


def seed_from(key: StepKey) -> int:
    """Give the seed of the global random generators for a step with this key: 32 bits."""
    return int(key[:8], 16)


def why(old: KeyParts | None, new: KeyParts) -> tuple[str, ...]:
    """Say what changed between two keys of a step, one short line a part; empty for equal keys."""
    if old is None:
        return ("never ran",)
    return tuple(_differences(old.parts, new.parts))


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys(), key=_most_telling_first):
        before, after = old.get(name), new.get(name)
        if before != after:
            yield _difference(name, before, after)


_KINDS: Final = (
    "code", "parameter", "definition", "input", "file", "package", "seed", "python", "format",
)  # fmt: skip


def _most_telling_first(name: str) -> tuple[int, str]:
    kind = name.split(" ", 1)[0]
    return (_KINDS.index(kind) if kind in _KINDS else len(_KINDS), name)


def _difference(name: str, before: str | None, after: str | None) -> str:
    kind, _, what = name.partition(" ")
    if kind == "input" and is_state(what):
        name = spoken(what)
    if kind == "file":
        return f"{name} {_file_change(before, after)}"
    if before is None:
        return f"{name} is new"
    if after is None:
        return f"{name} is no longer used"
    if kind in {"parameter", "package", "python", "seed", "format"}:
        return f"{name}: {before} → {after}"
    if UNBOUND in (before, after):
        return f"{name} is {'no longer ' if before == UNBOUND else ''}unbound"
    return f"{name} changed"


def _file_change(before: str | None, after: str | None) -> str:
    match before, after:
        case None, str():
            return "is new"
        case str(), None:
            return "is no longer there or no longer used"
        case _, "absent":
            return "is gone"
        case "absent", _:
            return "appeared"
        case _:
            return "changed"


def _literal(value: ParameterValue) -> str:
    """Write a value so that equal texts mean equal values of equal types: 1, 1.0, True, '1'."""
    text = repr(value)
    if len(text) <= _LONGEST_TEXT:
        return text
    digest = digest_structure(text)[:_SHORT_DIGEST]
    return f"{text[: _LONGEST_TEXT // 2]}… ({len(text)} characters, {digest})"


def _stored(value: StoredValue) -> str:
    return f"{value.content} {value.format.name} {value.format.revision}"
