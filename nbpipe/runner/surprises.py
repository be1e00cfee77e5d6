"""What a run finds out about its steps although their code does not show it, and what follows.

A step may change a variable, share a file with another one, or make what cannot be stored. The
loop notes what it sees here and asks what is new, has the pipeline compiled anew with that, and
asks what must be said, failed or run again. Pure: times are given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Final

from nbpipe.model.effects import FileEffects, LearnedEffects, SharedFiles
from nbpipe.model.names import StepName, Variable, is_state, spoken
from nbpipe.model.observed import Observed
from nbpipe.model.pipeline import Pipeline, Step
from nbpipe.model.run import StepFailure, StepRun

# For steps, those that they must run after, as was not known before: because of files.
Order = Mapping[StepName, Collection[StepName]]

_RUN_AGAIN: Final = (
    "Run again: now it is known. If it matters what was in the file before, put that back first."
)


class Surprises:
    """What is known and found of the steps of one run.

    Attributes:
        learned: what the pipeline was compiled with.
        pending: what was found since then.
        observed: what was seen of each step that has a result.
        launched: when each step that ran was started.
        ended: when each step that ran to its end did so.
    """

    def __init__(self, learned: LearnedEffects) -> None:
        self.learned = learned
        self.pending = LearnedEffects()
        self.observed: dict[StepName, Observed] = {}
        self.launched: dict[StepName, datetime] = {}
        self.ended: dict[StepName, datetime] = {}
        self._shared = SharedFiles()
        self._untold = LearnedEffects()
        self._last_writer: dict[str, StepName] = {}
        self._products: dict[StepName, Mapping[str, str]] = {}
        self._tried_again: set[StepName] = set()

    # What is seen.

    def note_effects(
        self,
        steps: Mapping[StepName, Step],
        name: StepName,
        changed: Collection[Variable],
        observed: Observed,
    ) -> None:
        """Note what came of a step, made or reused."""
        self.observed[name] = observed
        shared = self._shared.add(name, observed.files)
        self._untold |= LearnedEffects(
            changes={steps[name].own: tuple(changed)},
            files={steps[each].own: effects for each, effects in shared.items() if each in steps},
        )

    def note_unstorable(self, step: Step, variables: tuple[Variable, ...]) -> None:
        """Note that a step makes what later steps need and nobody can store."""
        self._untold |= LearnedEffects(unstorable={step.own: variables})

    def note_end(self, name: StepName, time: datetime, products: Mapping[str, str]) -> None:
        """Note that a step ran to its end, and the paths of files that it made, by name."""
        self.ended[name] = time
        self._last_writer |= dict.fromkeys(self.observed[name].files.writes, name)
        self._products[name] = products

    def take_products(self, pipeline: Pipeline, step: Step) -> dict[str, tuple[str, datetime]]:
        """Give the files that a step made when it ran before in this run, as if it had not.

        That are their paths, and the times of their last changes by steps, by name. In the
        notebook there is no such file when it comes to this step.
        """
        rank = {each.name: position for position, each in enumerate(pipeline.steps)}
        found = {}
        for member in {step.name, *step.fused}:
            for name, path in self._products.pop(member, {}).items():
                writer = self._last_writer.get(name)
                if writer and rank[pipeline.whole_of(writer)] >= rank[step.name]:
                    del self._last_writer[name]
                    found[name] = (path, self.ended[writer])
        return found

    def ran_beside(self, name: StepName, before: Iterable[StepName]) -> bool:
        """Say whether a step ran in this run, and others had not ended when it started."""
        started = self.launched.get(name)
        return started is not None and any(
            other in self.ended and started < self.ended[other] for other in before
        )

    def beside_writers(self, name: StepName) -> list[StepName]:
        """Name the steps that ran beside a step and wrote a file that it wrote, too."""
        written = {*self.observed[name].files.writes}
        return [
            other
            for other in self.ended
            if other != name
            and self.ran_beside(name, [other])
            and written.intersection(self.observed[other].files.writes)
        ]

    def writers_behind(self, pipeline: Pipeline, name: StepName, place: str) -> list[StepName]:
        """Name the steps behind a step that ran in this run and wrote a file, or one below it."""
        names = [step.name for step in pipeline.steps]
        touch = FileEffects(reads=(place,), lists=(place,))
        return [
            other
            for other in names[names.index(name) + 1 :]
            if other in self.ended and touch.meets_writes_of(self.observed[other].files)
        ]

    def is_left_behind(self, pipeline: Pipeline, name: StepName, place: str) -> bool:
        """Say whether what changed in a file or below a directory, a step itself or one behind did.

        Only what changed since the step started counts, or in this run when its result is reused.
        """
        rank = {step.name: position for position, step in enumerate(pipeline.steps)}
        touch = FileEffects(reads=(place,), lists=(place,))
        started = self.launched.get(name)
        writers = {
            writer
            for file, writer in self._last_writer.items()
            if touch.meets_writes_of(FileEffects(writes=(file,)))
            and (started is None or self.ended[writer] > started)
        }
        return bool(writers) and all(
            rank[pipeline.whole_of(writer)] >= rank[name] for writer in writers
        )

    def came_too_late(self, pipeline: Pipeline, name: StepName) -> StepFailure | None:
        """Give the failure of a step whose files are not any more as they must be for it.

        Some step behind it has written one that it reads, or it did so itself when it ran before
        in this run. In the notebook, it comes first.
        """
        seen = self.observed.get(name)
        if seen is None or not self._last_writer:
            return None
        rank = {step.name: position for position, step in enumerate(pipeline.steps)}
        touched = FileEffects(reads=seen.files.reads, lists=seen.files.lists)
        for place in sorted(self._last_writer):
            writer = pipeline.whole_of(self._last_writer[place])
            if (
                rank.get(writer, -1) >= rank[name]
                and self.ended[self._last_writer[place]] <= self.launched[name]
                and touched.meets_writes_of(FileEffects(writes=(place,)))
            ):
                return StepFailure(
                    kind="undeclared",
                    message=f"it reads {place}, which "
                    + (
                        "it has changed itself: it ran before in this run"
                        if writer == name
                        else f"step '{writer}' behind it has written by now"
                    )
                    + ", and only then something was found out that its code does not show",
                    hint=_RUN_AGAIN,
                )
        return None

    # What is new.

    def take_news(self) -> LearnedEffects:
        """Give what was found since the last time; it is pending from now on."""
        news, self._untold = self._untold - (self.learned | self.pending), LearnedEffects()
        self.pending |= news
        return news

    def failed_beside_writers(
        self, pipeline: Pipeline, step_runs: Mapping[StepName, StepRun]
    ) -> dict[StepName, StepName]:
        """Name steps that failed over a file, with a step before them that wrote it meanwhile.

        The failure must name the file. After one more try, the step is to blame itself.
        """
        found: dict[StepName, StepName] = {}
        for position, step in enumerate(pipeline.steps):
            step_run = step_runs.get(step.name)
            failure = step_run.failure if step_run else None
            if failure is None or failure.kind != "error" or step.name in self._tried_again:
                continue
            for before in pipeline.steps[:position]:
                writes = self.observed.get(before.name, Observed()).files.writes
                text = f"{failure.message}\n{failure.traceback}"
                is_named = any(PurePosixPath(name).name in text for name in writes)
                if is_named and self.ran_beside(step.name, [before.name]):
                    found[step.name] = before.name
        return found

    # What follows, once the pipeline is compiled anew.

    def ran_too_early(self, order: Order) -> frozenset[StepName]:
        """Name steps that touched files before a step that they must run after had written them."""
        return frozenset(
            name
            for name, before in order.items()
            if self.ran_beside(name, [each for each in before if self._needs_file_of(name, each)])
        )

    def overtaken(
        self, pipeline: Pipeline, done: Iterable[StepName], order: Order
    ) -> Iterator[tuple[StepName, StepFailure]]:
        """Give steps that no second try can put right, as failures: what a file held is gone."""
        known = pipeline.step_by_name
        for name in done:
            if name not in known:
                continue  # It has become part of another step, which runs anew.
            seen = self.observed[name]
            meetings = [
                (place, writer)
                for place in seen.moving
                for writer in self.writers_behind(pipeline, name, place)
            ]
            meetings += [
                (place, writer)
                for place in seen.rewritten
                for writer in order.get(name, ())
                if place in self.observed[writer].files.writes and self.ran_beside(name, [writer])
            ]
            if meetings:
                place, writer = meetings[0]
                yield (
                    name,
                    StepFailure(
                        kind="undeclared",
                        message=f"it ran beside step '{writer}', and both touched {place}, which "
                        "their code does not show: nobody knows what was read",
                        hint=_RUN_AGAIN,
                    ),
                )

    def accept(self, *, gone: Collection[StepName], again: Collection[StepName]) -> None:
        """Go on with what was found: `gone` became part of other steps, `again` is tried again."""
        self.learned |= self.pending
        self.pending = LearnedEffects()
        for name in gone:
            self.observed.pop(name, None)
            self._shared.forget(name)
        self._tried_again |= {*again}

    def _needs_file_of(self, name: StepName, before: StepName) -> bool:
        seen = self.observed
        return (
            name in seen and before in seen and seen[name].files.meets_writes_of(seen[before].files)
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
    before: Pipeline, found: LearnedEffects, order: Order, again: Mapping[StepName, StepName]
) -> str:
    """Say in a line why the pipeline was compiled anew."""
    changers = [
        f"step '{step.name}' changed {_listed(found.changes[step.own])}"
        for step in before.steps
        if step.own in found.changes
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
    parts += [
        f"step '{name}' failed over a file that '{writer}' was writing: it is tried again"
        for name, writer in again.items()
    ]
    return "; ".join(parts)


def _listed(names: Iterable[Variable]) -> str:
    return ", ".join(f"the {spoken(n)}" if is_state(n) else f"'{n}'" for n in names)


def _how_to_declare(step: StepName, changed: Sequence[Variable], before: str) -> str:
    variables = " ".join(name for name in changed if not is_state(name))
    if changed and not variables:
        return "Set it in a statement of its own, so that it shows. Or run without --strict."
    option = f"--out {variables}" if variables else f"--after {before}"
    return f"Declare it: %%step {step} {option}. Or run without --strict."
