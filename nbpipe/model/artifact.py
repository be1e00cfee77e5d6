"""Artifacts: the series of values a variable takes, and the facts about each version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from nbpipe.model.digest import Digest
from nbpipe.model.names import PipelineName, RunId, StepName, Variable


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactKey:
    """The series: all versions of one variable in one pipeline."""

    pipeline: PipelineName
    variable: Variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """Which serializer wrote a bundle, and its revision: a promise to read it back."""

    name: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What can be said of a value without loading it.

    Attributes:
        type: qualified type name, such as `pandas.DataFrame`.
        text: one line for lists, such as `336,776 rows × 19 columns`.
        preview: a few lines for `nbpipe show`; plain text.
        fields: facts that programs compare: rows, columns and their types, shape, dtype, value.
    """

    type: str
    text: str
    preview: str = ""
    fields: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredValue:
    """A variable's value as bytes in the blob store; not yet a version of anything.

    Variables that share mutable state (an alias group) share one `bundle`; `member` is the
    variable's place in it, empty for a bundle of one.

    Attributes:
        bundle: digest of the bundle's descriptor blob.
        content: digest that changes exactly when this variable's stored content changes.
        size: bytes of the bundle, buffers included.
        definitions: notebook functions and classes that the bytes refer to by name.
    """

    variable: Variable
    bundle: Digest
    member: str
    content: Digest
    format: Format
    size: int
    summary: Summary
    definitions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactVersion:
    """An immutable fact: this value, made by this step in this run, is number `number`."""

    key: ArtifactKey
    number: int
    step: StepName
    run: RunId
    created: datetime
    value: StoredValue
    tags: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """How people name it: `model@3`."""
        return f"{self.key.variable}@{self.number}"
