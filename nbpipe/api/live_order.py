"""Whether what ran in a live kernel leaves it as a run would begin a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nbpipe.api.live_names import FlowOf, changed_within, setup_cells, setup_names
from nbpipe.api.live_notebook import OpenNotebook, is_same, is_step
from nbpipe.kernel.live_exchange import Executed
from nbpipe.kernel.random_streams import STREAMS
from nbpipe.model.flow import Bind, Mutate, Opaque, StarImport, Statement, StatementKind
from nbpipe.model.names import is_state, spoken
from nbpipe.model.notebook import Cell, RandomPolicy, Role
from nbpipe.model.pipeline import Fragment, Pipeline, Step
from nbpipe.runner.interpreters import OWN_KERNELS


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelHistory:
    """What ran in the kernel before a step, and what the pipeline has before it."""

    opened: OpenNotebook
    pipeline: Pipeline
    step: Step
    executed: Sequence[Executed]
    flow: FlowOf

    def objection(self) -> str:
        """Say why the kernel cannot be taken for that of the step, as far as can be seen here."""
        if self.step.fused:
            return f"it runs as one with {', '.join(self.step.fused)}"
        if self.pipeline.kernel not in OWN_KERNELS:
            return f"the notebook names the kernel '{self.pipeline.kernel}', not python3"
        return self._objection_to_order() or self._disturbance()

    def streams(self) -> tuple[str, ...]:
        """Name the random streams that stand here where the pipeline has them."""
        if self.pipeline.random is not RandomPolicy.CARRY:
            return ()
        carried = [str(i.variable) for i in self.step.inputs if i.variable in STREAMS]
        setup = {cell.id for cell in self._setup()}
        seeded: set[str] = set()
        for each in self.executed:
            found = self._found(each)
            if found is not None and found.id in setup and found.tag is None:
                seeded.update(each.states)
            else:
                seeded.difference_update(each.states)
        return tuple(sorted({*carried} | (seeded & {*STREAMS})))

    def _objection_to_order(self) -> str:
        last: dict[str, int] = {}
        for number, each in enumerate(self.executed):
            found = self._found(each)
            name = found.id if found is not None else each.cell
            if name:
                last[name] = number
        before: tuple[int, Cell] | None = None
        for cell in self._setup():
            ran = last.get(cell.id)
            if ran is None or not self.executed[ran].succeeded:
                return f"cell {cell.number} has not run in this kernel"
            if not is_same(self.executed[ran].source, cell.source):
                return f"cell {cell.number} ran with another source than the notebook has"
            if before is not None and ran < before[0]:
                return f"cell {cell.number} ran before cell {before[1].number}"
            before = (ran, cell)
        return ""

    def _disturbance(self) -> str:
        """Say what other code that ran here may have changed under the step."""
        bound = self._setup_names_bound()
        modules = self._modules()
        setup = {cell.id for cell in self._setup()}
        first = min(self.step.cell_numbers)
        # Whether these are as the pipeline has them, the kernel sees.
        carried = {str(i.variable) for i in self.step.inputs if is_state(i.variable)}
        for number, each in enumerate(self.executed):
            found = self._found(each)
            if found is not None and found.id in setup:
                continue
            # What was bound anew since is another object.
            names = {name for name, last in bound.items() if last < number}
            is_known = found is not None and found.number < first and is_step(found)
            seen = {*STREAMS} | (carried if is_known else set())
            states = [name for name in each.states if name not in seen]
            if states:
                return f"{_called(found, each)} changed {spoken(states[0])}"
            if is_known or _is_of_nbpipe(each.source):
                continue
            for statement in self.flow(_python_of(found, each.source)).statements:
                touched = _touched(statement, names, modules)
                if touched:
                    return f"{_called(found, each)} may have changed {touched}"
        return ""

    def _found(self, each: Executed) -> Cell | None:
        return self.opened.cell_of(each.cell, each.source) if each.source else None

    def _setup(self) -> list[Cell]:
        return setup_cells(self.opened.notebook, self.pipeline, self.step)

    def _setup_names_bound(self) -> dict[str, int]:
        """Give the names that the step takes from replayed code, and when they were bound last."""
        last = {each.source.rstrip(): number for number, each in enumerate(self.executed)}
        names = setup_names(self.opened.notebook, self.pipeline, self.step, self.flow)
        return {name: last.get(source.rstrip(), -1) for name, source in names}

    def _modules(self) -> set[str]:
        """Name the variables that stand for modules, as far as imports say."""
        parts = [p.source for p in (*self.step.setup, *self.step.body) if isinstance(p, Fragment)]
        ran = [_python_of(self._found(each), each.source) for each in self.executed]
        return {
            str(name)
            for source in [*ran, *parts]
            for statement in self.flow(source).statements
            if statement.source.startswith("import ")
            for name in statement.binds
        }


def _called(found: Cell | None, executed: Executed) -> str:
    if found is not None:
        return f"cell {found.number}"
    return "a cell that is not in the file" if executed.source else "something between two cells"


def _touched(statement: Statement, names: set[str], modules: set[str]) -> str:
    """Give what a statement may change in place of some names, in words; empty when nothing.

    The kernel sees the rest: whether names still stand for what their cells made, and what calls
    of functions of a module do to settings and streams.
    """
    if statement.kind is StatementKind.IMPORT and not any(
        isinstance(event, StarImport) for event in statement.events
    ):
        return ""
    for event in statement.events:
        if isinstance(event, StarImport) or (isinstance(event, Opaque) and event.writes):
            return "anything"
        if isinstance(event, Mutate) and event.name in modules:
            if event.stores:
                return f"'{event.name}'"
            continue
        if isinstance(event, Mutate) and event.name in names:
            return f"'{event.name}'"
        if isinstance(event, Bind) and event.flow is not None:
            for name in changed_within(event.flow):
                if name in names:
                    return f"'{name}'"
    return ""


def _python_of(found: Cell | None, source: str) -> str:
    if found is not None:
        return found.body
    first, _, rest = source.partition("\n")
    return rest if first.startswith(tuple(f"%%{role.value}" for role in Role)) else source


def _is_of_nbpipe(source: str) -> bool:
    lines = [line for line in source.splitlines() if line.strip()]
    return all(line.startswith(("%load_ext nbpipe", "%pipeline")) for line in lines)
