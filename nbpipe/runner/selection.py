"""Which steps of a pipeline a run is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nbpipe.errors import ConfigurationError, NotFoundError
from nbpipe.model.graph import reachable
from nbpipe.model.names import StepName
from nbpipe.model.pipeline import Pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The steps to bring up to date, and how.

    Steps outside `selected` that it needs as inputs are looked up, and run when the store has
    nothing for them; with `run_missing` off, a missing one is a refusal instead.

    Attributes:
        selected: the steps asked for.
        forced: those of them that run even where a result could be reused.
        run_missing: may steps that were not asked for run.
    """

    selected: frozenset[StepName]
    forced: frozenset[StepName] = frozenset()
    run_missing: bool = True


def select_steps(
    pipeline: Pipeline,
    *,
    first: StepName | None = None,
    last: StepName | None = None,
    only: StepName | None = None,
    forced: Iterable[StepName] | None = (),
) -> Selection:
    """Give the selection behind `--from first --until last --only only --force [forced]`.

    `--from` takes the step and all behind it, `--until` the step and all before it, both what
    lies between. `forced=None` forces every selected step.

    Raises:
        NotFoundError: for a name that is no step.
        ConfigurationError: no step fits all of it.
    """
    names = [step.name for step in pipeline.steps]
    wanted = [name for name in (first, last, only, *(forced or ())) if name is not None]
    for name in map(pipeline.whole_of, wanted):
        if name not in names:
            raise NotFoundError.among("step", name, names, where=f"in pipeline '{pipeline.name}'")
    first, last, only = (
        name if name is None else pipeline.whole_of(name) for name in (first, last, only)
    )
    forced = forced if forced is None else [pipeline.whole_of(name) for name in forced]
    selected = frozenset(names)
    if first is not None:
        selected &= pipeline.descendants(first)
    if last is not None:
        selected &= pipeline.ancestors(last)
    if only is not None:
        selected &= {only}
    if not selected:
        asked = {"--from": first, "--until": last, "--only": only}
        words = " ".join(f"{option} {name}" for option, name in asked.items() if name is not None)
        raise ConfigurationError(
            f"No step fits {words}.", hint="--until names a step that depends on that of --from."
        )
    return Selection(
        selected=selected,
        forced=selected if forced is None else selected & frozenset(forced),
        run_missing=only is None,
    )


def involved_steps(pipeline: Pipeline, selection: Selection) -> tuple[StepName, ...]:
    """Give the selected steps and all they need, in the order of the pipeline."""
    needed = reachable(selection.selected, pipeline.upstream_by_step)
    return tuple(step.name for step in pipeline.steps if step.name in needed)
