"""What a run finds out about its steps although their code does not show it, and what follows.

A step may change a variable, share a file with another one, or make what cannot be stored. The
loop notes what it sees here and asks what is new, has the pipeline compiled anew with that, and
asks what must be said. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from nbpipe.model.artifact import StoredValue
from nbpipe.model.effects import LearnedEffects, SharedFiles
from nbpipe.model.names import StepName, Variable, is_state, spoken
from nbpipe.model.observed import Observed
from nbpipe.model.pipeline import Pipeline, Step
from nbpipe.model.run import StepFailure
from nbpipe.runner.meetings import Order


class Surprises:
    """What is known and found of the steps of one run.

    Attributes:
        learned: what the pipeline was compiled with.
        pending: what was found since then.
    """

    def __init__(self, learned: LearnedEffects) -> None:
        self.learned = learned
        self.pending = LearnedEffects()
        self._shared = SharedFiles()
        self._untold = LearnedEffects()

    def note_effects(
        self,
        steps: Mapping[StepName, Step],
        name: StepName,
        changed: Collection[Variable],
        observed: Observed,
    ) -> None:
        """Note what came of a step, made or reused."""
        shared = self._shared.add(name, observed.files)
        self._untold |= LearnedEffects(
            changes={steps[name].own: tuple(changed)},
            files={steps[each].own: effects for each, effects in shared.items() if each in steps},
        )

    def note_unstorable(self, step: Step, variables: tuple[Variable, ...]) -> None:
        """Note that a step makes what later steps need and nobody can store."""
        self._untold |= LearnedEffects(unstorable={step.own: variables})

    @property
    def may_concern_others(self) -> bool:
        """Say whether steps that have not started may have to take something else.

        That two steps which have ended share a file is nothing to those.
        """
        return bool(self._untold.changes or self._untold.unstorable)

    def take_news(self) -> LearnedEffects:
        """Give what was found since the last time; it is pending from now on."""
        if not self._untold:
            return self._untold
        news, self._untold = self._untold - (self.learned | self.pending), LearnedEffects()
        self.pending |= news
        return news

    def accept(self, *, gone: Collection[StepName]) -> None:
        """Go on with a pipeline that was compiled with what is pending.

        `gone` became part of other steps.
        """
        self.learned |= self.pending
        self.pending = LearnedEffects()
        for name in gone:
            self._shared.forget(name)


def shared_unseen(
    steps: Mapping[StepName, Step], made_by: Step, values: Mapping[Variable, StoredValue]
) -> tuple[Variable, ...]:
    """Name the variables that share state with what their readers lack the definitions for.

    A list that an instance of a class holds is stored with it, and only comes back where the class
    is defined.
    """
    return tuple(
        output.variable
        for output in made_by.outputs
        if (value := values.get(output.variable)) is not None
        and any(
            not {*value.definitions} <= steps[reader].definitions.keys()
            for reader in output.readers
            if reader in steps
        )
    )


def news_of_order(known: Mapping[StepName, Step], pipeline: Pipeline) -> Order:
    """Give for steps those that they must run after, as the steps known before did not."""
    found = {
        step.name: tuple(n for n in step.after if n not in known[step.name].upstream)
        for step in pipeline.steps
        if step.name in known
    }
    return {name: before for name, before in found.items() if before}


def undeclared(step: Step, found: LearnedEffects, order: Order) -> StepFailure | None:
    """Give the failure of a step that does what its code does not show, with `--strict`."""
    names = sorted(found.changes.get(step.own, ()))
    before = " ".join(order.get(step.name, ()))
    if names:
        message = f"it changed {_listed(names)}, which its code does not show"
    elif before:
        message = f"it shares files with {before}, which its code does not show"
    else:
        return None
    hint = _how_to_declare(step.name, names, before)
    return StepFailure(kind="undeclared", message=message, hint=hint)


def why_revised(
    before: Pipeline, after: Pipeline, found: LearnedEffects, order: Order, again: Iterable[str]
) -> str:
    """Say in a line why the pipeline was compiled anew; `again` are reasons of second tries.

    Of what steps changed only that is named which others take from them now, if there is any.
    """
    taken = {(i.upstream, i.variable) for step in after.steps for i in step.inputs}
    changes = {s.name: found.changes[s.own] for s in before.steps if s.own in found.changes}
    telling = {
        step: [name for name in names if (after.whole_of(step), name) in taken]
        for step, names in changes.items()
    }
    changers = [
        f"step '{step}' changed {_listed(names)}"
        for step, names in (telling if any(telling.values()) else changes).items()
        if names
    ]
    parts = [
        f"{'; '.join(changers)}, which its code does not show: what read it runs again"
    ] * bool(changers)
    parts += [
        f"step '{step.name}' makes {_listed(found.unstorable[step.own])}, which cannot be stored: "
        "it runs as one with the steps that need it"
        for step in before.steps
        if step.own in found.unstorable
    ]
    parts += [
        f"step '{name}' shares files with {', '.join(map(repr, others))}, which its code does not "
        "show: it runs after that"
        for name, others in order.items()
    ]
    return "; ".join([*parts, *again])


def _listed(names: Iterable[Variable]) -> str:
    return ", ".join(f"the {spoken(n)}" if is_state(n) else f"'{n}'" for n in names)


def _how_to_declare(step: StepName, changed: Sequence[Variable], before: str) -> str:
    variables = " ".join(name for name in changed if not is_state(name))
    if changed and not variables:
        return "Set it in a statement of its own, so that it shows. Or run without --strict."
    option = f"--out {variables}" if variables else f"--after {before}"
    return f"Declare it: %%step {step} {option}. Or run without --strict."
