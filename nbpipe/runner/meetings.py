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
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Final

from nbpipe.model.effects import FileEffects, lies_below
from nbpipe.model.names import StepName
from nbpipe.model.observed import Observed
from nbpipe.model.pipeline import Pipeline, Step
from nbpipe.model.run import StepFailure, StepRun
from nbpipe.runner.files_before import FileBefore

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
        is_repairable: what the writer changed is known as it was before.
    """

    place: str
    writer: StepName
    failure: StepFailure
    is_repairable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writing:
    """A step changed a file; `before` is None where nobody knows what it was."""

    writer: StepName
    before: FileBefore | None


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
        # By the name of a file, in the order in which the writers ended. No list is empty.
        self._writings: dict[str, list[_Writing]] = {}
        self._written_by: dict[StepName, set[str]] = {}
        self._tried_again: set[StepName] = set()
        self._ranked: tuple[Pipeline, Mapping[StepName, int]] | None = None

    # What is seen.

    def note_launch(self, name: StepName, time: datetime) -> None:
        """Note that a step is started, perhaps once more."""
        self.launched[name] = time
        self._first_launched.setdefault(name, time)

    def note_end(self, name: StepName, time: datetime, before: Mapping[str, FileBefore]) -> None:
        """Note that a step ran to its end, and what is known of files before it wrote them."""
        self.ended[name] = time
        self._written_by.setdefault(name, set()).update(self.observed[name].files.writes)
        for file in self.observed[name].files.writes:
            writing = _Writing(writer=name, before=before.get(file))
            self._writings.setdefault(file, []).append(writing)

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

    def to_put_back(self, pipeline: Pipeline, step: Step) -> dict[str, FileBefore]:
        """Give files, by name, as they must be again when a step runs again in this run.

        It changed them itself when it ran before, or a step behind it did and it looks at them.
        """
        rank = self._ranks(pipeline)
        files = {*self._written(self._inputs_of(step.name))}
        files.update(*(self._written_by.get(name, ()) for name in (step.name, *step.fused)))
        found = {}
        for file in files:
            before = _earliest(self._from_here_on(rank, step.name, file))
            if before is not None:
                found[file] = before
        return found

    def last_written(self, file: str) -> datetime:
        """Give when the last step that wrote a file ended."""
        return self.ended[self._writings[file][-1].writer]

    def note_put_back(self, pipeline: Pipeline, step: Step, file: str) -> None:
        """Note that a file is again as it was when the notebook comes to a step."""
        undone = self._from_here_on(self._ranks(pipeline), step.name, file)
        remaining = self._writings.pop(file)[: -len(undone)]
        if remaining:
            self._writings[file] = remaining

    def _from_here_on(
        self, rank: Mapping[StepName, int], name: StepName, file: str
    ) -> list[_Writing]:
        """Give the last writings of a file, as far as a step itself and those behind it did them.

        A step before may have changed it between others; then only what came after that counts.
        """
        writings = reversed(self._writings.get(file, []))
        return [*takewhile(lambda each: rank[each.writer] >= rank[name], writings)]

    # What cannot, or only so.

    def came_too_late(
        self, pipeline: Pipeline, name: StepName, *, is_there: Callable[[str], bool]
    ) -> Meeting | None:
        """Give where a step reads what a step behind it, or it itself before, had written by then.

        In the notebook, it comes first. Where it only looked whether files are there, alone or in
        a directory, those that were there before and still are make no difference.
        """
        if name not in self.observed or not self._writings:
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
            is_repairable=all(_earliest(self._from_here_on(rank, name, place)) for place in met),
        )

    def overtaken(
        self,
        pipeline: Pipeline,
        done: Iterable[StepName],
        order: Order,
        *,
        again: Collection[StepName],
    ) -> Iterator[tuple[StepName, Meeting]]:
        """Give steps that ran beside others that wrote what they read meanwhile.

        Steps in `again` are tried again anyway, with files put back, and so is what needs those.
        """
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
                if writer not in again
                and place in self.observed[writer].files.writes
                and self.ran_beside(name, [writer])
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
                        and all(self._knows_before(writer, place) for place, writer in behind),
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
        found = {*touched.reads} & self._writings.keys()
        if touched.lists:
            found.update(
                file
                for file in self._writings
                if any(lies_below(file, directory) for directory in touched.lists)
            )
        return {file: self._writings[file][-1].writer for file in found}

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
            each.before is not None and each.before.copy is None and rank[each.writer] >= rank[name]
            for each in self._writings.get(place, ())
        )

    def _knows_before(self, writer: StepName, place: str) -> bool:
        """Say whether all that a step wrote at or below a place is known as it was before."""
        touch = FileEffects(reads=(place,), lists=(place,))
        return all(
            each.before is not None
            for file, writings in self._writings.items()
            for each in writings
            if each.writer == writer and touch.meets_writes_of(FileEffects(writes=(file,)))
        )

    def _inputs_of(self, name: StepName) -> FileEffects:
        files = self.observed.get(name, Observed()).files
        return FileEffects(reads=files.reads, lists=files.lists)

    def _needs_file_of(self, name: StepName, before: StepName) -> bool:
        seen = self.observed
        return (
            name in seen and before in seen and seen[name].files.meets_writes_of(seen[before].files)
        )


def _earliest(writings: Collection[_Writing]) -> FileBefore | None:
    """Give a file as it was before the first of some writings, if that is known.

    Steps beside each other need not have ended in the order in which they wrote.
    """
    befores = [each.before for each in writings]
    known = [each for each in befores if each is not None]
    if made := [each for each in known if each.copy is None]:
        return made[0]
    if not known or len(known) < len(befores):
        return None
    return min(known, key=lambda each: PurePosixPath(each.copy or "").name)
