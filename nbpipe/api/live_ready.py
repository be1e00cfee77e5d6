"""Which stored result may take the place of running a cell in a live kernel."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nbpipe.api.live_names import (
    REPLAYED,
    BoundNames,
    FlowOf,
    changed_names,
    computed_names,
    read_names,
)
from nbpipe.api.live_notebook import OpenNotebook
from nbpipe.kernel.live_exchange import (
    ReadyResult,
    is_of_live_kernel,
    value_shown_by,
    values_left_by,
)
from nbpipe.model.artifact import StoredValue
from nbpipe.model.flow import Delete, Opaque, StarImport, Use
from nbpipe.model.names import Variable, is_state
from nbpipe.model.notebook import Cell
from nbpipe.model.pipeline import Step
from nbpipe.runner.cell_outputs import CellOutputs
from nbpipe.store.index.results import StoredStep


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCells:
    """The stored result of a step, cell by cell."""

    opened: OpenNotebook
    step: Step
    stored: StoredStep
    shown: CellOutputs
    flow: FlowOf

    def ready(self, place: int) -> ReadyResult | None:
        """Give what takes the place of running one cell; None where anything would be lacking.

        Either all cells of a step can be restored, or none is.
        """
        body = self.shown.body
        if self.shown.widgets or len(body) != len(self.step.cells) or None in body:
            return None
        if any(self._forced(cell) or self._is_opaque(cell) for cell in self._cells()):
            return None
        found = [self._ready(number) for number in range(len(body))]
        return None if None in found else found[place]

    def _ready(self, place: int) -> ReadyResult | None:
        cells, outputs = self._cells(), self._outputs()
        upto = cells[: place + 1]
        is_last = place == len(cells) - 1
        left = values_left_by(place, outputs)
        plain = {n: v for n, v in outputs.items() if not is_of_live_kernel(n)}
        if is_last:
            # Runs in kernels of their own store no more than later steps need.
            left = {**{n: v for n, v in plain.items() if not is_state(n)}, **left}
        computed = {name for cell in upto for name in computed_names(cell, self.flow)}
        absent = computed - {*left}
        unbound = absent & {*self.stored.unbound} if is_last else set()
        missing = absent - unbound
        if missing & self._read_elsewhere(upto):
            return None
        bound = BoundNames()
        bound.follow(each for cell in upto for each in self.flow(cell.body).statements)
        shown = value_shown_by(place, outputs)
        rebound = computed_names(cells[place], self.flow) & {*left}
        mutated = changed_names(cells[place], self.flow)
        return ReadyResult(
            left=left,
            bound=tuple(sorted(map(Variable, rebound))),
            doubtful=tuple(sorted(map(Variable, rebound & mutated))),
            outputs=plain if is_last else {},
            displays=json.dumps(self.shown.body[place]),
            shown=shown[1] if shown else None,
            shown_name=shown[0] if shown else self._name_shown(cells[place]),
            lines=tuple(
                s.line for s in self.flow(cells[place].body).statements if s.kind in REPLAYED
            ),
            unbound=tuple(sorted(map(Variable, unbound))),
            missing=tuple(sorted(map(Variable, missing))),
            kept=tuple(sorted(map(Variable, absent - bound.bound))),
            seconds=self.stored.seconds,
            made=self.stored.created.isoformat(),
        )

    def _name_shown(self, cell: Cell) -> str:
        """Give the variable whose value the cell shows last, if it is no more than one."""
        statements = self.flow(cell.body).statements
        last = statements[-1].source.strip() if statements else ""
        return last if last.isidentifier() else ""

    def _cells(self) -> Sequence[Cell]:
        by_id = {cell.id: cell for cell in self.opened.notebook.code_cells}
        return [by_id[name] for name in self.step.cells]

    def _outputs(self) -> Mapping[Variable, StoredValue]:
        return {name: version.value for name, version in self.stored.outputs.items()}

    def _forced(self, cell: Cell) -> bool:
        return bool(cell.tag and cell.tag.options.force)

    def _is_opaque(self, cell: Cell) -> bool:
        """Say whether it cannot be told what the cell's imports and definitions do alone."""
        statements = self.flow(cell.body).statements
        run = [s for s in statements if s.kind in REPLAYED]
        computed = {n for each in self._cells() for n in computed_names(each, self.flow)}
        own = computed_names(cell, self.flow)
        needs = {e.name for s in run for e in s.events if isinstance(e, Use) and not e.deferred}
        return (
            bool(needs & own or computed & {n for s in run for n in s.binds})
            or bool(run and cell.body.lstrip().startswith("%%"))  # They are the magic's business.
            or any(
                isinstance(e, Opaque | StarImport) or (isinstance(e, Delete) and s in run)
                for s in statements
                for e in s.events
            )
        )

    def _read_elsewhere(self, cells: Sequence[Cell]) -> set[str]:
        """Give the names that other cells read; all that these compute if it may be any."""
        others = [cell for cell in self.opened.notebook.code_cells if cell not in cells]
        read = {name for cell in others for name in read_names(cell, self.flow)}
        return read if "*" not in read else {n for c in cells for n in computed_names(c, self.flow)}
