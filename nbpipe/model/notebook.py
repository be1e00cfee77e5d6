"""A notebook as values: cells in order, each with the tag its author gave it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from nbpipe.model.names import CellId, StepName, Variable


class CellKind(StrEnum):
    """The three kinds of cell that the notebook format knows."""

    CODE = "code"
    MARKDOWN = "markdown"
    RAW = "raw"


class Role(StrEnum):
    """What a tag makes of a cell."""

    STEP = "step"
    PARAMS = "params"
    PRELUDE = "prelude"
    SKIP = "skip"


class Spelling(StrEnum):
    """How a tag is written: `%%step`, `#| step:`, or a cell tag in the metadata."""

    MAGIC = "magic"
    COMMENT = "comment"
    CELL_TAG = "cell-tag"


class RandomPolicy(StrEnum):
    """Carry a seeded global random stream from step to step, or seed each step from its key."""

    CARRY = "carry"
    PER_STEP = "per-step"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOptions:
    """What an author can say about a step. None and empty mean "not said"."""

    outputs: tuple[Variable, ...] = ()
    inputs: tuple[Variable, ...] = ()
    after: tuple[StepName, ...] = ()
    reads: tuple[str, ...] = ()
    metrics: tuple[Variable, ...] = ()
    retries: int | None = None
    retry_delay_seconds: float | None = None
    timeout_seconds: float | None = None
    ttl_seconds: float | None = None
    cache: bool | None = None
    force: bool | None = None
    cpu: float | None = None
    memory_bytes: int | None = None
    gpu: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOptions:
    """What `%pipeline` says: a name, defaults for every step, and how random streams behave."""

    name: str | None = None
    defaults: StepOptions = field(default_factory=StepOptions)
    random: RandomPolicy = RandomPolicy.CARRY


@dataclass(frozen=True, slots=True, kw_only=True)
class CellTag:
    """A tag, parsed. `lines` is how many lines at the top of the source belong to the tag."""

    role: Role
    spelling: Spelling
    step: StepName | None = None
    options: StepOptions = field(default_factory=StepOptions)
    lines: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell.

    `number` counts code cells from 1 (0 for others); `tag` is None when untagged; `may_raise` says
    that its author expects an exception, and wants the cells after it to run all the same
    (Jupyter's own cell tag `raises-exception`).
    """

    id: CellId
    kind: CellKind
    source: str
    number: int = 0
    tag: CellTag | None = None
    may_raise: bool = False

    @property
    def body(self) -> str:
        """The source as it runs: the tag lines gone, every other line at its own line number.

        A cell magic below the tag (`%%time`) must stand on the first line to work, so there the
        tag lines are dropped instead of blanked; `first_line` says by how much lines then shift.
        """
        if self.tag is None or self.tag.lines == 0:
            return self.source
        lines = self.source.split("\n")
        rest = lines[self.tag.lines :]
        if self.first_line > 1:
            return "\n".join(rest)
        return "\n".join([""] * self.tag.lines + rest)

    @property
    def first_line(self) -> int:
        """The line of `source` that is line 1 of `body`."""
        if self.tag is None or self.tag.lines == 0:
            return 1
        rest = self.source.split("\n")[self.tag.lines :]
        first = next((number for number, line in enumerate(rest) if line.strip()), None)
        if first is not None and rest[first].startswith("%%"):
            return self.tag.lines + 1
        return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Notebook:
    """A notebook: `name` is its file name without the ending, `cells` are in the author's order."""

    name: str
    kernel: str
    language: str
    cells: tuple[Cell, ...]
    options: PipelineOptions = field(default_factory=PipelineOptions)

    @property
    def code_cells(self) -> tuple[Cell, ...]:
        """The code cells, in order."""
        return tuple(cell for cell in self.cells if cell.kind is CellKind.CODE)
