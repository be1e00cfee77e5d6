"""Learned effects: what runs found out about steps although their code does not show it.

All is kept by the digest of a step's own cells, so that it is forgotten when these change.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TypeAlias, TypeVar

from nbpipe.model.digest import Digest
from nbpipe.model.names import StepName, Variable

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEffects:
    """Files that a step touches: relative to the notebook, below `~/`, or absolute; sorted.

    Attributes:
        reads: files that it read, or looked for in vain.
        lists: directories whose entries it asked for.
        writes: files that it wrote, moved into place or deleted.
    """

    reads: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Say whether there are any."""
        return bool(self.reads or self.lists or self.writes)

    def __or__(self, other: FileEffects) -> FileEffects:
        """Give what either says."""
        return FileEffects(
            reads=_sorted({*self.reads, *other.reads}),
            lists=_sorted({*self.lists, *other.lists}),
            writes=_sorted({*self.writes, *other.writes}),
        )

    def meets_writes_of(self, other: FileEffects) -> bool:
        """Say whether it touches anything that the other writes."""
        touched, listed = {*self.reads, *self.writes}, {*self.lists}
        return any(n in touched or listed & {*_places_above(n)} for n in other.writes)

    def __sub__(self, other: FileEffects) -> FileEffects:
        """Give what this says and the other does not."""
        return FileEffects(
            reads=_sorted({*self.reads} - {*other.reads}),
            lists=_sorted({*self.lists} - {*other.lists}),
            writes=_sorted({*self.writes} - {*other.writes}),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEffects:
    """What is known of one step; as in `LearnedEffects`."""

    changes: tuple[Variable, ...] = ()
    files: FileEffects = field(default_factory=FileEffects)
    unstorable: tuple[Variable, ...] = ()


Names: TypeAlias = Mapping[Digest, tuple[Variable, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedEffects:
    """What is known of steps, by the digest of their own cells.

    Attributes:
        changes: variables that a step changes in place.
        files: files that a step touches and another one writes, or the other way round.
        unstorable: variables that a step makes, later steps read, and nobody can store.
    """

    changes: Names = field(default_factory=dict)
    files: Mapping[Digest, FileEffects] = field(default_factory=dict)
    unstorable: Names = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Say whether anything is known."""
        return bool(self.changes or self.files or self.unstorable)

    def __or__(self, other: LearnedEffects) -> LearnedEffects:
        """Give what either knows."""
        files = {
            source: self.files.get(source, FileEffects()) | other.files.get(source, FileEffects())
            for source in (*self.files, *other.files)
        }
        return LearnedEffects(
            changes=_both(self.changes, other.changes),
            files=_filled(files),
            unstorable=_both(self.unstorable, other.unstorable),
        )

    def __sub__(self, other: LearnedEffects) -> LearnedEffects:
        """Give what this knows and the other does not."""
        files = {
            source: effects - other.files.get(source, FileEffects())
            for source, effects in self.files.items()
        }
        return LearnedEffects(
            changes=_less(self.changes, other.changes),
            files=_filled(files),
            unstorable=_less(self.unstorable, other.unstorable),
        )

    def of(self, sources: Collection[Digest]) -> StepEffects:
        """Give what is known of one step that goes by any of these digests."""
        files = FileEffects()
        for source in sources:
            files |= self.files.get(source, FileEffects())
        return StepEffects(
            changes=_sorted_names(self.changes, sources),
            files=files,
            unstorable=_sorted_names(self.unstorable, sources),
        )

    def about(self, sources: Collection[Digest]) -> LearnedEffects:
        """Give what is known of these steps only."""
        return LearnedEffects(
            changes={s: names for s, names in self.changes.items() if s in sources},
            files={s: effects for s, effects in self.files.items() if s in sources},
            unstorable={s: names for s, names in self.unstorable.items() if s in sources},
        )


class SharedFiles:
    """What steps touch that another one of them writes, told as the steps come in."""

    def __init__(self) -> None:
        self._touched: dict[StepName, FileEffects] = {}
        # By place: who writes it or something below it; who touches just it.
        self._writers: dict[str, set[StepName]] = {}
        self._touchers: dict[str, set[StepName]] = {}

    def add(self, step: StepName, effects: FileEffects) -> dict[StepName, FileEffects]:
        """Take what a step touches, in place of what was known of it.

        Gives for the steps that share something with it, and for itself, all that they share.
        """
        self.forget(step)
        self._touched[step] = effects
        for name in effects.writes:
            for place in (name, *_places_above(name)):
                self._writers.setdefault(place, set()).add(step)
        for name in _places_in(effects):
            self._touchers.setdefault(name, set()).add(step)
        meet = {step}
        for name in effects.writes:
            for place in (name, *_places_above(name)):
                meet |= self._touchers.get(place, set())
        for name in _places_in(effects):
            meet |= self._writers.get(name, set())
        found = {each: self._shared_by(each) for each in sorted(meet)}
        return {each: shared for each, shared in found.items() if shared}

    def forget(self, step: StepName) -> None:
        """Forget what a step touches."""
        effects = self._touched.pop(step, FileEffects())
        for name in effects.writes:
            for place in (name, *_places_above(name)):
                self._writers[place].discard(step)
        for name in _places_in(effects):
            self._touchers[name].discard(step)

    def _shared_by(self, step: StepName) -> FileEffects:
        effects = self._touched[step]

        def others_write(name: str) -> bool:
            return bool(self._writers.get(name, set()) - {step})

        def others_touch(name: str) -> bool:
            places = (name, *_places_above(name))
            return any(self._touchers.get(place, set()) - {step} for place in places)

        return FileEffects(
            reads=tuple(filter(others_write, effects.reads)),
            lists=tuple(filter(others_write, effects.lists)),
            writes=tuple(filter(others_touch, effects.writes)),
        )


def shared_files(touched: Mapping[StepName, FileEffects]) -> dict[StepName, FileEffects]:
    """Give of all that steps touch what one of them writes and another touches, too."""
    shared, found = SharedFiles(), dict[StepName, FileEffects]()
    for step, effects in touched.items():
        found |= shared.add(step, effects)
    return found


def order_by_files(
    steps: Sequence[StepName], touched: Mapping[StepName, FileEffects]
) -> dict[StepName, tuple[StepName, ...]]:
    """Give for each step the earlier ones that must be done first, because of a file.

    `steps` are in the order in which they act on files: a step that touches a file comes after the
    last one that wrote it, and before the next one.
    """
    before: dict[StepName, set[StepName]] = {step: set() for step in steps}
    last_writer: dict[str, StepName] = {}
    readers: dict[str, set[StepName]] = {}
    written = {name for effects in touched.values() for name in effects.writes}
    for step in steps:
        effects = touched.get(step, FileEffects())
        listed = {*effects.lists}
        read = {n for n in written if n in effects.reads or listed & {*_places_above(n)}}
        for name in read | {*effects.writes}:
            if name in last_writer:
                before[step].add(last_writer[name])
        for name in effects.writes:
            before[step] |= readers.pop(name, set())
            last_writer[name] = step
        for name in read - {*effects.writes}:
            readers.setdefault(name, set()).add(step)
    return {step: tuple(sorted(names - {step})) for step, names in before.items()}


def lies_below(name: str, directory: str) -> bool:
    """Say whether a file named as in `FileEffects` lies somewhere below a directory."""
    return directory in _places_above(name)


def _places_in(effects: FileEffects) -> tuple[str, ...]:
    return (*effects.reads, *effects.lists, *effects.writes)


def _places_above(name: str) -> tuple[str, ...]:
    places = tuple(map(str, PurePosixPath(name).parents))
    return places[:-1] if name.startswith("~/") else places


def _both(one: Names, other: Names) -> Names:
    found = {
        source: tuple(sorted({*one.get(source, ()), *other.get(source, ())}))
        for source in (*one, *other)
    }
    return _filled(found)


def _less(one: Names, other: Names) -> Names:
    found = {
        source: tuple(sorted({*names} - {*other.get(source, ())})) for source, names in one.items()
    }
    return _filled(found)


def _sorted_names(names: Names, sources: Collection[Digest]) -> tuple[Variable, ...]:
    return tuple(sorted({name for source in sources for name in names.get(source, ())}))


def _filled(mapping: Mapping[Digest, _Value]) -> dict[Digest, _Value]:
    return {key: value for key, value in mapping.items() if value}


def _sorted(names: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(names))
