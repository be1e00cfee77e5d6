"""Where steps of one run met over files: who read or wrote what, before, beside and behind whom.

In the notebook a step finds every file as the cells before it left it. In a run, steps run beside
each other and run again, until it is known what files they share. So each meeting is either right
as it is, or put right by running steps again, or a failure: what a file held is gone. Pure: times
are given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Final

from nbpipe.model.effects import FileEffects, lies_below
from nbpipe.model.names import StepName
from nbpipe.model.observed import Observed
from nbpipe.model.pipeline import Pipeline, Step
from nbpipe.model.run import StepFailure, StepRun

# For steps, those that they must run after, as was not known before: because of files.
Order = Mapping[StepName, Collection[StepName]]

_RUN_AGAIN: Final = (
    "Run again: now it is known. If it matters what was in the file before, put that back first."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """A step found files as no notebook shows them to it.

    Attributes:
        place: the file, or the directory that was listed.
        writer: the step that wrote it meanwhile, or the step itself, when it ran before.
        failure: how the step fails when that cannot be put right.
        is_repairable: the writer made what was not there before: removed, it is as it was.
    """

    place: str
    writer: StepName
    failure: StepFailure
    is_repairable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A file that a step made where there was none.

    Attributes:
        path: where it is.
        finished: when the step that wrote it last had ended.
    """

    path: str
    finished: datetime


class Meetings:
    """What is known of files and the steps of one run.

    Attributes:
        observed: what was seen of each step that has a result.
        launched: when each step that ran was started.
        ended: when each step that ran to its end did so.
    """

    def __init__(self) -> None:
        self.observed: dict[StepName, Observed] = {}
        self.launched: dict[StepName, datetime] = {}
        self.ended: dict[StepName, datetime] = {}
        self._first_launched: dict[StepName, datetime] = {}
        self._last_writer: dict[str, StepName] = {}
        self._products: dict[StepName, Mapping[str, str]] = {}
        self._tried_again: set[StepName] = set()
        self._ranked: tuple[Pipeline, Mapping[StepName, int]] | None = None

    # What is seen.

    def note_launch(self, name: StepName, time: datetime) -> None:
        """Note that a step is started, perhaps once more."""
        self.launched[name] = time
        self._first_launched.setdefault(name, time)

    def note_end(self, name: StepName, time: datetime, products: Mapping[str, str]) -> None:
        """Note that a step ran to its end, and the paths of files that it made, by name."""
        self.ended[name] = time
        self._last_writer |= dict.fromkeys(self.observed[name].files.writes, name)
        self._products[name] = products

    def note_second_try(self, names: Collection[StepName]) -> None:
        """Note that steps are tried again because of a meeting; there is no third try."""
        self._tried_again |= {*names}

    def forget(self, names: Collection[StepName]) -> None:
        """Forget what was seen of steps that have become part of others."""
        self.observed = {n: seen for n, seen in self.observed.items() if n not in names}

    # What is right as it is.

    def ran_beside(self, name: StepName, before: Iterable[StepName]) -> bool:
        """Say whether a step ran in this run, and others had not ended when it started."""
        started = self.launched.get(name)
        return started is not None and any(
            other in self.ended and started < self.ended[other] for other in before
        )

    def ran_alone(self, name: StepName) -> bool:
        """Say whether no other step was under way while one ran that ends now."""
        started = self.launched[name]
        return not any(
            other != name
            and (
                other not in self.ended or self.ended[other] < began or self.ended[other] > started
            )
            for other, began in self.launched.items()
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

    def is_left_behind(self, pipeline: Pipeline, name: StepName, place: str) -> bool:
        """Say whether what changed in a file or below a directory, a step itself or one behind did.

        Only what changed since the step started counts, or in this run when its result is reused.
        """
        rank = self._ranks(pipeline)
        started = self.launched.get(name)
        writers = {
            writer
            for writer in self._written(FileEffects(reads=(place,), lists=(place,))).values()
            if started is None or self.ended[writer] > started
        }
        return bool(writers) and all(rank[writer] >= rank[name] for writer in writers)

    # What can be put right.

    def ran_too_early(self, order: Order) -> frozenset[StepName]:
        """Name steps that touched files before a step that they must run after had written them."""
        return frozenset(
            name
            for name, before in order.items()
            if self.ran_beside(name, [each for each in before if self._needs_file_of(name, each)])
        )

    def failed_beside_writers(
        self, pipeline: Pipeline, step_runs: Mapping[StepName, StepRun]
    ) -> dict[StepName, str]:
        """Give steps that failed over a file that one before them was writing, with a reason.

        The failure must name the file. After one more try, the step is to blame itself.
        """
        found: dict[StepName, str] = {}
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
                    found[step.name] = (
                        f"step '{step.name}' failed over a file that '{before.name}' was writing: "
                        "it is tried again"
                    )
        return found

    def products_in_the_way(self, pipeline: Pipeline, step: Step) -> dict[str, Product]:
        """Give the files, by name, that must not be there when a step runs again in this run.

        It made them itself when it ran before, or a step behind it made them and it looks there.
        """
        rank = self._ranks(pipeline)
        looked_at = self._written(self._inputs_of(step.name))
        found = {}
        for maker, products in self._products.items():
            if rank[maker] < rank[step.name]:
                continue  # A step behind may have changed it; there must be one.
            is_own = rank[maker] == rank[step.name]
            for name in products if is_own else products.keys() & looked_at.keys():
                writer = self._last_writer.get(name)
                if writer and rank[writer] >= rank[step.name]:
                    found[name] = Product(path=products[name], finished=self.ended[writer])
        return found

    def note_removed(self, name: str) -> None:
        """Note that a product is not there any more."""
        del self._last_writer[name]

    # What cannot, or only so.

    def came_too_late(
        self, pipeline: Pipeline, name: StepName, *, is_there: Callable[[str], bool]
    ) -> Meeting | None:
        """Give where a step reads what a step behind it, or it itself before, had written by then.

        In the notebook, it comes first. Where it only looked whether files are there, alone or in
        a directory, those that were there before and still are make no difference.
        """
        if name not in self.observed or not self._last_writer:
            return None
        rank = self._ranks(pipeline)
        met = {
            place: writer
            for place, writer in sorted(self._written(self._inputs_of(name)).items())
            if rank[writer] >= rank[name]
            and self.ended[writer] <= self.launched[name]
            and (
                self._has_read(name, place)
                or not is_there(place)
                or self._is_made_behind(rank, name, place)
            )
        }
        if not met:
            return None
        place, writer = next(iter(met.items()))
        how = (
            "it has changed itself: it ran before in this run"
            if rank[writer] == rank[name]
            else f"step '{writer}' behind it had written by then"
        )
        return self._meeting(
            name,
            place,
            writer,
            f"it reads {place}, which {how}; what they share, their code does not show",
            is_repairable=all(place in self._products.get(w, ()) for place, w in met.items()),
        )

    def overtaken(
        self, pipeline: Pipeline, done: Iterable[StepName], order: Order
    ) -> Iterator[tuple[StepName, Meeting]]:
        """Give steps that ran beside others that wrote what they read meanwhile."""
        known = pipeline.step_by_name
        for name in done:
            if name not in known:
                continue  # It has become part of another step, which runs anew.
            seen = self.observed[name]
            behind = [
                (place, writer)
                for place in seen.moving
                for writer in self._writers_behind(pipeline, name, place)
            ]
            rewritten = [
                (place, writer)
                for place in seen.rewritten
                for writer in order.get(name, ())
                if place in self.observed[writer].files.writes and self.ran_beside(name, [writer])
            ]
            for place, writer in [*behind, *rewritten][:1]:
                yield (
                    name,
                    self._meeting(
                        name,
                        place,
                        writer,
                        f"it ran beside step '{writer}', and both touched {place}, which "
                        "their code does not show: nobody knows what was read",
                        is_repairable=not rewritten
                        and all(self._made_all(writer, place) for place, writer in behind),
                    ),
                )

    def _meeting(
        self, name: StepName, place: str, writer: StepName, message: str, *, is_repairable: bool
    ) -> Meeting:
        return Meeting(
            place=place,
            writer=writer,
            failure=StepFailure(kind="undeclared", message=message, hint=_RUN_AGAIN),
            is_repairable=is_repairable and name not in self._tried_again,
        )

    # Who wrote what.

    def _writers_behind(self, pipeline: Pipeline, name: StepName, place: str) -> list[StepName]:
        """Name the steps behind a step that ran beside it and wrote a file, or one below it."""
        names = [step.name for step in pipeline.steps]
        touch = FileEffects(reads=(place,), lists=(place,))
        return [
            other
            for other in names[names.index(name) + 1 :]
            if other in self.ended
            and self._first_launched[other] < self.ended[name]
            and touch.meets_writes_of(self.observed[other].files)
        ]

    def _written(self, touched: FileEffects) -> dict[str, StepName]:
        """Give the last writers of files that were read, or lie in directories that were listed."""
        found = {n: self._last_writer[n] for n in touched.reads if n in self._last_writer}
        if touched.lists:
            found |= {
                file: writer
                for file, writer in self._last_writer.items()
                if any(lies_below(file, directory) for directory in touched.lists)
            }
        return found

    def _ranks(self, pipeline: Pipeline) -> Mapping[StepName, int]:
        """Give the place of each step in the notebook, also of those that are parts of others."""
        if self._ranked is None or self._ranked[0] is not pipeline:
            ranks = {
                name: rank
                for rank, step in enumerate(pipeline.steps)
                for name in (*step.fused, step.name)
            }
            self._ranked = (pipeline, ranks)
        return self._ranked[1]

    def _has_read(self, name: StepName, place: str) -> bool:
        seen = self.observed[name]
        return place in seen.files.reads and place not in seen.found

    def _is_made_behind(self, rank: Mapping[StepName, int], name: StepName, place: str) -> bool:
        """Say whether a step itself, or one behind it, made a file in this run."""
        return any(
            place in products and rank[maker] >= rank[name]
            for maker, products in self._products.items()
        )

    def _made_all(self, writer: StepName, place: str) -> bool:
        """Say whether all that a step wrote at or below a place was not there before."""
        touch = FileEffects(reads=(place,), lists=(place,))
        writes = self.observed[writer].files.writes
        met = [name for name in writes if touch.meets_writes_of(FileEffects(writes=(name,)))]
        return {*met} <= self._products.get(writer, {}).keys()

    def _inputs_of(self, name: StepName) -> FileEffects:
        files = self.observed.get(name, Observed()).files
        return FileEffects(reads=files.reads, lists=files.lists)

    def _needs_file_of(self, name: StepName, before: StepName) -> bool:
        seen = self.observed
        return (
            name in seen and before in seen and seen[name].files.meets_writes_of(seen[before].files)
        )
