"""From what two runs left behind to a verdict on each step. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from nbpipe.model.artifact import StoredValue
from nbpipe.model.names import StepName, Variable, is_state
from nbpipe.model.pipeline import Fragment, FragmentKind, Pipeline, Step
from nbpipe.model.verification import (
    Cause,
    Comparison,
    Counterpart,
    Finding,
    Likeness,
    StepVerdict,
)
from nbpipe.runner.cell_outputs import Json
from nbpipe.runner.shown_outputs import compare_outputs
from nbpipe.store.values import companions_of

Place = tuple[StepName, Variable]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a run left behind.

    Attributes:
        store: the root of the store that the values are in.
        values: what each step exported.
        unbound: what it was to export and did not bind.
        unstored: why a variable is bound and not among the values.
        shown: the outputs of each cell that ran, by number.
        failed: steps that have no result here, and why.
    """

    store: str
    values: Mapping[StepName, Mapping[Variable, StoredValue]]
    unbound: Mapping[StepName, Collection[Variable]] = field(default_factory=dict)
    unstored: Mapping[StepName, Mapping[Variable, str]] = field(default_factory=dict)
    shown: Mapping[int, list[Json]] = field(default_factory=dict)
    failed: Mapping[StepName, str] = field(default_factory=dict)


def places_to_compare(left: Evidence, right: Evidence) -> list[Place]:
    """Name the values that both have, and whose stored content differs."""
    return [
        (step, variable)
        for step, values in left.values.items()
        for variable, value in values.items()
        if (other := right.values.get(step, {}).get(variable)) is not None
        and other.content != value.content
    ]


def judge(  # noqa: PLR0913 - all that was found out
    counterpart: Counterpart,
    pipeline: Pipeline,
    left: Evidence,
    right: Evidence,
    *,
    comparisons: Mapping[Place, Comparison],
    tolerance: float,
) -> tuple[StepVerdict, ...]:
    """Give a verdict on each step, in the order of the pipeline.

    `comparisons` has what `places_to_compare` named.
    """
    steps_by_cell = _steps_by_cell(pipeline)
    carried = {taken.variable for step in pipeline.steps for taken in step.inputs}
    unlike: set[Place] = set()
    causes: dict[StepName, tuple[Cause, ...]] = {}
    verdicts = []
    for step in pipeline.steps:
        failure = left.failed.get(step.name, "") or right.failed.get(step.name, "")
        findings = (
            ()
            if failure
            else (
                *_values(step, counterpart, left, right, comparisons, carried),
                *_cells(step, left, right, steps_by_cell, tolerance),
            )
        )
        unlike |= {
            (step.name, finding.variable)
            for finding in findings
            if finding.variable is not None
            # To another run, how an input is stored makes a difference: it is part of the key.
            and (finding.comparison.likeness is not Likeness.EQUAL or finding.comparison.apart_from)
        }
        verdict = StepVerdict(
            counterpart=counterpart, step=step.name, findings=findings, failure=failure
        )
        if verdict.likeness is not Likeness.EQUAL:
            causes[step.name] = _causes(step, unlike, causes)
            verdict = replace(verdict, because=causes[step.name])
        verdicts.append(verdict)
    return tuple(verdicts)


def _values(  # noqa: PLR0913 - one step, both sides
    step: Step,
    counterpart: Counterpart,
    left: Evidence,
    right: Evidence,
    comparisons: Mapping[Place, Comparison],
    carried: Collection[Variable],
) -> Iterator[Finding]:
    mine, others = left.values.get(step.name, {}), right.values.get(step.name, {})
    unbound, unbound_there = (set(side.unbound.get(step.name, ())) for side in (left, right))
    required = {output.variable for output in step.outputs if output.required}
    for variable in dict.fromkeys((*mine, *others)):
        if is_state(variable) and variable not in carried:
            continue  # Seeded anew in each step, so that nobody goes on with it.
        comparison: Comparison | None = None
        if variable in mine and variable in others:
            comparison = _compared(step.name, variable, counterpart, mine, others, comparisons)
        elif variable in mine and variable in unbound_there:
            comparison = _different("bound in the first only")
        elif variable in others and variable in unbound & required:
            comparison = _different("bound in the second only")
        elif variable in mine and variable in right.unstored.get(step.name, {}):
            why = right.unstored[step.name][variable]
            comparison = Comparison(likeness=Likeness.INCOMPARABLE, detail=why)
        if comparison is not None:
            yield Finding(variable=variable, comparison=comparison)


def _compared(  # noqa: PLR0913 - one place, both sides
    step: StepName,
    variable: Variable,
    counterpart: Counterpart,
    mine: Mapping[Variable, StoredValue],
    others: Mapping[Variable, StoredValue],
    comparisons: Mapping[Place, Comparison],
) -> Comparison:
    one, other = mine[variable], others[variable]
    if one.content == other.content:
        return Comparison()
    comparison = comparisons.get(
        (step, variable),
        Comparison(likeness=Likeness.INCOMPARABLE, detail="the kernel that compares died"),
    )
    if comparison.likeness is Likeness.DIFFERENT and is_state(variable):
        return _different("it stands elsewhere: seeded, or drawn from, in another way")
    if comparison.likeness is not Likeness.EQUAL:
        return comparison
    common = mine.keys() & others.keys()
    here, there = (_sharers(value) & common for value in (one, other))
    if here != there:
        names = ", ".join(sorted(here ^ there))
        which = "first" if here > there or here - there else "second"
        return _different(f"shares state with {names} in the {which} only")
    if counterpart is Counterpart.RUN:
        return replace(comparison, apart_from=(*comparison.apart_from, "how it is stored"))
    return comparison


def _sharers(value: StoredValue) -> set[Variable]:
    companions = companions_of(value) if value.member else ()
    return {Variable(each.variable.split()[0]) for each in companions}


def _different(detail: str) -> Comparison:
    return Comparison(likeness=Likeness.DIFFERENT, detail=detail)


def _cells(
    step: Step,
    left: Evidence,
    right: Evidence,
    steps_by_cell: Mapping[int, tuple[StepName, str]],
    tolerance: float,
) -> Iterator[Finding]:
    for number, (name, source) in steps_by_cell.items():
        if name == step.name and number in left.shown and number in right.shown:
            comparison = compare_outputs(
                left.shown[number], right.shown[number], source=source, tolerance=tolerance
            )
            yield Finding(cell_number=number, comparison=comparison)


def _steps_by_cell(pipeline: Pipeline) -> dict[int, tuple[StepName, str]]:
    """Give for each cell the step whose cell it is, or else the first that replays it."""
    found: dict[int, tuple[StepName, str]] = {}
    for kind in (FragmentKind.BODY, FragmentKind.PRELUDE):
        for step in pipeline.steps:
            for part in (*step.setup, *step.body):
                if isinstance(part, Fragment) and part.kind is kind and part.whole:
                    found.setdefault(part.cell_number, (step.name, part.source))
    return dict(sorted(found.items()))


def _causes(
    step: Step, unlike: Collection[Place], known: Mapping[StepName, tuple[Cause, ...]]
) -> tuple[Cause, ...]:
    found: dict[Cause, None] = {}
    for taken in step.inputs:
        if (taken.upstream, taken.variable) in unlike:
            found |= dict.fromkeys(known.get(taken.upstream, ()))
            found[Cause(step=taken.upstream, variable=taken.variable)] = None
    return tuple(found)
