"""The step key: what makes a step's result reusable, and why two keys differ.

Everything that can change a result, and is known before the step runs, is a named part; nothing
that cannot is one: no step name, no cell id, no position, no comment. What only a run can tell is
in `observed_parts`. Paths stand as the author wrote them, or relative to the
notebook, so that a checkout elsewhere has the same keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from nbpipe.model.artifact import StoredValue
from nbpipe.model.digest import Digest, digest_structure
from nbpipe.model.names import Variable, is_state, spoken
from nbpipe.model.notebook import RandomPolicy
from nbpipe.model.pipeline import ParameterValue, Step
from nbpipe.model.run import KeyParts, StepKey
from nbpipe.runner.observed_parts import ABSENT, UNSET

FORMAT: Final = "2"
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
        paths: where these files lie.
        seed_policy: how the global random generators start.
    """

    python: str
    packages: Mapping[str, str]
    files: Mapping[str, Digest | None]
    seed_policy: RandomPolicy
    paths: frozenset[str] = frozenset()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """A part that is not what it was; None where it was not, or is not any more.

    A part of kind `variable` never gives away what the variable holds.
    """

    part: str
    old: str | None
    new: str | None

    @property
    def kind(self) -> str:
        """What kind of part it is: `code`, `parameter`, `file` and so on."""
        return "seed policy" if self.part == "seed policy" else self.part.partition(" ")[0]

    @property
    def name(self) -> str:
        """Which one of its kind; empty where there is only one."""
        return self.part.removeprefix(self.kind).lstrip()

    def __str__(self) -> str:
        """Give a short line for people."""
        return _line(self)


def why(old: KeyParts | None, new: KeyParts) -> tuple[str, ...]:
    """Say what changed between two keys of a step, one short line a part; empty for equal keys."""
    if old is None:
        return ("never ran",)
    return tuple(map(str, changes_between(old.parts, new.parts)))


def changes_between(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[KeyChange, ...]:
    """Give the parts that differ, the most telling first."""
    return in_order(
        KeyChange(part=name, old=old.get(name), new=new.get(name))
        for name in old.keys() | new.keys()
        if old.get(name) != new.get(name)
    )


def in_order(changes: Iterable[KeyChange]) -> tuple[KeyChange, ...]:
    """Give the most telling changes first."""
    return tuple(sorted(changes, key=lambda change: (_KINDS.index(change.kind), change.part)))


_KINDS: Final = (
    "code", "parameter", "definition", "input", "indexes", "constant", "file", "directory",
    "variable", "package", "seed policy", "python", "format",
)  # fmt: skip


def _line(change: KeyChange) -> str:
    part, before, after = change.part, change.old, change.new
    kind, _, what = part.partition(" ")
    if kind == "input" and is_state(what):
        part = spoken(what)
    if change.kind in {"file", "directory"}:
        return f"{part} {_file_change(before, after)}"
    if change.kind == "constant":
        return f"{change.name} is used by a later step now, and this one changes or keeps it"
    if change.kind == "indexes":
        return "frames of it have one index, and indexes are given names now"
    if change.kind == "variable":
        return f"{part} {_variable_change(before, after)}"
    if before is None:
        return f"{part} is new"
    if after is None:
        return f"{part} is no longer used"
    if change.kind in {"parameter", "package", "python", "seed policy", "format"}:
        return f"{part}: {before} → {after}"
    if UNBOUND in (before, after):
        return f"{part} is {'no longer ' if before == UNBOUND else ''}unbound"
    return f"{part} changed"


def _variable_change(before: str | None, after: str | None) -> str:
    if before == UNSET:
        return "is set now"
    return "is not set any more" if after == UNSET else "changed"


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
