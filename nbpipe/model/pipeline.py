"""The compiled pipeline: steps, the variables that cross between them, and the parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias, TypeGuard

from nbpipe.model.digest import Digest
from nbpipe.model.graph import invert, reachable, topological_order
from nbpipe.model.names import CellId, PipelineName, StepName, Variable
from nbpipe.model.notebook import RandomPolicy

Scalar: TypeAlias = bool | int | float | str | None
ParameterValue: TypeAlias = Scalar | list["ParameterValue"] | dict[str, "ParameterValue"]


def is_parameter_value(value: object) -> TypeGuard[ParameterValue]:
    """Say whether a value is one that a parameter can have."""
    match value:
        case None | bool() | int() | float() | str():
            return True
        case list():
            return all(map(is_parameter_value, value))
        case dict():
            return all(isinstance(key, str) for key in value) and all(
                map(is_parameter_value, value.values())
            )
        case _:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A value set per run. A given value must have the type of `default`, unless that is None."""

    name: Variable
    default: ParameterValue
    cell: CellId
    line: int

    @property
    def type(self) -> str:
        """The type's name as authors know it; `any` when the default is None."""
        return "any" if self.default is None else type(self.default).__name__


class FragmentKind(StrEnum):
    """Where code in a step notebook comes from: replayed from elsewhere, or the step's own cell."""

    PRELUDE = "prelude"
    BODY = "body"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """Code of one notebook cell, or the statements of it that a step needs.

    `lines[i]` is the line in the author's cell of line `i + 1` here. `whole` says that the
    fragment is the entire cell, so that its outputs are the cell's outputs; `may_raise`, that an
    exception in it does not end the step. `binds` are the variables that replayed code gives values
    which are no functions, classes or modules.
    """

    kind: FragmentKind
    cell: CellId
    cell_number: int
    source: str
    lines: tuple[int, ...]
    whole: bool = True
    may_raise: bool = False
    binds: tuple[Variable, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A variable that a step takes from an earlier one."""

    variable: Variable
    upstream: StepName


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The place in a step notebook where inputs are put into the namespace."""

    inputs: tuple[Input, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A variable that a step stores.

    A required one is read later, asked for with `--out`, or changed in place: not being able to
    store it fails the step. The others are kept for people to look at, when they can be.
    """

    variable: Variable
    required: bool
    readers: tuple[StepName, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a failed step is tried again, and how long to wait before each."""

    retries: int = 0
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a step asks of the machine that runs it. Local runs do not enforce it; exporters do."""

    cpu: float | None = None
    memory_bytes: int | None = None
    gpu: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One unit of a pipeline.

    Attributes:
        cells: the author's cells, in notebook order.
        setup: replayed code and loads before the body, in notebook order.
        body: the author's cells, and replayed code that stands between them.
        inputs: what it loads, by variable name.
        outputs: what it stores, by variable name.
        parameters: the parameters that its code reads.
        after: steps that must come first although no variable says so.
        code: digest of everything in the source that can change results: normalised, free of
            comments, formatting, names of steps, cell ids and positions.
        own: digest of the normalised source of its own cells; learned effects are kept by it.
        definitions: digest, closure included, of each notebook function or class that a loaded
            value may refer to.
        shipped: the names of those that still stand for them when the step ends, so that values
            which it stores can refer to them.
        imports: top-level names of the modules that its code imports.
        reads: declared files, as written.
        literal_paths: string literals in its code that may name files.
        metrics: outputs that hold figures of merit.
        fused: steps of the author's that run as part of this one.
        apart: of its constants, those that no step behind it uses.
        ttl_seconds: how old a result may be and still be reused; None for any age.
    """

    name: StepName
    cells: tuple[CellId, ...]
    setup: tuple[Fragment | Load, ...]
    body: tuple[Fragment, ...]
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    parameters: tuple[Variable, ...]
    after: tuple[StepName, ...]
    code: Digest
    own: Digest
    definitions: Mapping[str, Digest] = field(default_factory=dict)
    shipped: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    literal_paths: tuple[str, ...] = ()
    metrics: tuple[Variable, ...] = ()
    fused: tuple[StepName, ...] = ()
    apart: tuple[Variable, ...] = ()
    retry: Retry = field(default_factory=Retry)
    timeout_seconds: float | None = None
    ttl_seconds: float | None = None
    cache: bool = True
    resources: Resources = field(default_factory=Resources)

    @property
    def upstream(self) -> tuple[StepName, ...]:
        """The steps that must be done before this one, each once."""
        return tuple(dict.fromkeys([*(i.upstream for i in self.inputs), *self.after]))

    @property
    def constants(self) -> tuple[Variable, ...]:
        """The variables that replayed code and parameters give values before its own cells run."""
        replayed = (part.binds for part in self.setup if isinstance(part, Fragment))
        names = {*self.parameters}.union(*replayed) - {each.variable for each in self.inputs}
        return tuple(sorted(names))

    @property
    def cell_numbers(self) -> tuple[int, ...]:
        """The numbers of its own cells in the notebook."""
        own = (part.cell_number for part in self.body if part.kind is FragmentKind.BODY)
        return tuple(dict.fromkeys(own))


def last_users(steps: Iterable[Step]) -> dict[Variable, Step]:
    """Give by variable the step furthest down that replays it, loads it, or has it as parameter."""
    found: dict[Variable, Step] = {}
    for step in sorted(steps, key=lambda step: step.cell_numbers[-1]):
        parts = [part for part in (*step.setup, *step.body) if isinstance(part, Fragment)]
        replayed = {name for part in parts for name in part.binds}
        loaded = {each.variable for each in step.inputs}
        found |= dict.fromkeys({*step.parameters, *replayed, *loaded}, step)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`downstream` takes `variable` from `upstream`; no variable for an `--after`."""

    upstream: StepName
    downstream: StepName
    variable: Variable | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A notebook, compiled. `steps` is in topological order, ties in notebook order.

    Attributes:
        names_indexes: some cell may name an index of pandas in place, so that frames which have
            one must keep it together.

    Raises:
        ValueError: when built with steps that repeat a name, refer to what is not there, or stand
            out of order.
    """

    name: PipelineName
    steps: tuple[Step, ...]
    parameters: tuple[Parameter, ...]
    kernel: str
    source: Digest
    random: RandomPolicy = RandomPolicy.CARRY
    names_indexes: bool = False

    def __post_init__(self) -> None:
        """Check the order, once, so that nobody needs to again."""
        names = [step.name for step in self.steps]
        if len(set(names)) != len(names):
            raise ValueError("two steps have one name")
        known = {*names, *(parameter.name for parameter in self.parameters)}
        for step in self.steps:
            for name in (*step.upstream, *step.parameters):
                if name not in known:
                    raise ValueError(f"step {step.name!r} refers to {name!r}, which is not there")
        if topological_order(names, self.upstream_by_step) != tuple(names):
            raise ValueError("steps are not in topological order")

    @property
    def step_by_name(self) -> dict[StepName, Step]:
        """The steps by name."""
        return {step.name: step for step in self.steps}

    def whole_of(self, name: StepName) -> StepName:
        """Give the step that runs an author's step: another one when it was fused into that."""
        return next((step.name for step in self.steps if name in step.fused), name)

    @property
    def upstream_by_step(self) -> dict[StepName, tuple[StepName, ...]]:
        """For each step the steps directly before it."""
        return {step.name: step.upstream for step in self.steps}

    @property
    def downstream_by_step(self) -> dict[StepName, tuple[StepName, ...]]:
        """For each step the steps directly behind it."""
        return invert([step.name for step in self.steps], self.upstream_by_step)

    @property
    def imports(self) -> tuple[str, ...]:
        """The modules that its steps import."""
        return tuple(sorted({module for step in self.steps for module in step.imports}))

    def runs_like(self, other: Pipeline) -> bool:
        """Say whether it has the same steps, and these depend on the same."""

        def facts(pipeline: Pipeline) -> list[object]:
            steps = [
                (s.name, s.fused, s.code, s.parameters, s.definitions.keys())
                for s in pipeline.steps
            ]
            return [pipeline.names_indexes, pipeline.edges, steps]

        return facts(self) == facts(other)

    @property
    def edges(self) -> tuple[Edge, ...]:
        """Every edge, by downstream step and variable."""
        found: list[Edge] = []
        for step in self.steps:
            found += [
                Edge(upstream=i.upstream, downstream=step.name, variable=i.variable)
                for i in step.inputs
            ]
            carried = {i.upstream for i in step.inputs}
            found += [
                Edge(upstream=before, downstream=step.name, variable=None)
                for before in step.after
                if before not in carried
            ]
        return tuple(found)

    def ancestors(self, step: StepName) -> frozenset[StepName]:
        """`step` and all it needs."""
        return reachable([step], self.upstream_by_step)

    def descendants(self, step: StepName) -> frozenset[StepName]:
        """`step` and all that needs it."""
        return reachable([step], self.downstream_by_step)
