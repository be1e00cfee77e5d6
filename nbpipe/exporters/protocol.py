"""What an exporter gets, and what it must give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeGuard

from nbpipe.model.diagnostic import Diagnostic, Severity
from nbpipe.model.effects import LearnedEffects
from nbpipe.model.pipeline import Pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSource:
    """What is exported.

    Attributes:
        pipeline: the compiled pipeline.
        notebook: the notebook it was compiled from, as nbformat 4 JSON without outputs.
        environment: texts of the bundle's `environment/` by file name.
        version: of nbpipe.
        learned: what runs found out about steps, as the bundle's `effects.json` keeps it.
    """

    pipeline: Pipeline
    notebook: Mapping[str, object]
    environment: Mapping[str, str]
    version: str
    learned: LearnedEffects = field(default_factory=LearnedEffects)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Texts by relative POSIX path; none when an error among the diagnostics says why."""

    files: Mapping[str, str]
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The findings that stand in the way of an export."""
        return tuple(d for d in self.diagnostics if d.severity is Severity.ERROR)


class Exporter(Protocol):
    """Turns a pipeline into files for one target. The entry point group is `nbpipe.exporters`.

    The same source must give the same bytes on every machine. Files hold no time, no absolute
    path and nothing secret; an exporter reads and writes nothing, and calls no one.
    """

    @property
    def target(self) -> str:
        """The name it is asked for by: `nbpipe export --to TARGET`."""
        ...

    @property
    def summary(self) -> str:
        """One line for `nbpipe export --list`."""
        ...

    def export(self, source: ExportSource) -> Export:
        """Give the files, and diagnostics about what cannot be exported."""
        ...


def is_exporter(value: object) -> TypeGuard[Exporter]:
    """Say whether a plug-in's object has what an exporter must have."""
    return (
        isinstance(getattr(value, "target", None), str)
        and isinstance(getattr(value, "summary", None), str)
        and callable(getattr(value, "export", None))
    )
