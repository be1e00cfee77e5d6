"""What the compiler has to say about a notebook, with the place it is about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nbpipe.model.names import CellId
from nbpipe.model.pipeline import Pipeline


class Severity(StrEnum):
    """An error stops compilation; a warning says what may surprise; an info explains a choice."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A place in the notebook.

    `cell_number` counts code cells from 1: it is the number in `In [n]` after a clean run from top
    to bottom. `line` counts from 1 in the cell's own source, the tag line included.
    """

    cell: CellId
    cell_number: int
    line: int = 1

    def __str__(self) -> str:
        return f"cell {self.cell_number}, line {self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One finding: a stable `code`, what is wrong, where, and what to do (`help`)."""

    code: str
    severity: Severity
    message: str
    span: Span | None = None
    help: str = ""

    def __str__(self) -> str:
        place = f"{self.span}: " if self.span else ""
        advice = f"\n    help: {self.help}" if self.help else ""
        return f"{place}{self.severity.value} {self.code}: {self.message}{advice}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compilation:
    """The outcome of compiling: a pipeline, or diagnostics that say why not, or both."""

    pipeline: Pipeline | None
    diagnostics: tuple[Diagnostic, ...]

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The findings that stand in the way of a pipeline."""
        return tuple(d for d in self.diagnostics if d.severity is Severity.ERROR)
