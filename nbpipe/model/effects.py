"""Learned effects: what runs found out about steps although their code does not show it.

All is kept by the digest of a step's own cells, so that it is forgotten when these change.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TypeVar

from nbpipe.model.digest import Digest
from nbpipe.model.names import Variable

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

    def __sub__(self, other: FileEffects) -> FileEffects:
        """Give what this says and the other does not."""
        return FileEffects(
            reads=_sorted({*self.reads} - {*other.reads}),
            lists=_sorted({*self.lists} - {*other.lists}),
            writes=_sorted({*self.writes} - {*other.writes}),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedEffects:
    """What is known of steps, by the digest of their own cells.

    Attributes:
        changes: variables that a step changes in place.
        files: files that a step touches and another one writes, or the other way round.
    """

    changes: Mapping[Digest, tuple[Variable, ...]] = field(default_factory=dict)
    files: Mapping[Digest, FileEffects] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Say whether anything is known."""
        return bool(self.changes or self.files)

    def __or__(self, other: LearnedEffects) -> LearnedEffects:
        """Give what either knows."""
        changes = {
            source: tuple(sorted({*self.changes.get(source, ()), *other.changes.get(source, ())}))
            for source in (*self.changes, *other.changes)
        }
        files = {
            source: self.files.get(source, FileEffects()) | other.files.get(source, FileEffects())
            for source in (*self.files, *other.files)
        }
        return LearnedEffects(changes=_filled(changes), files=_filled(files))

    def __sub__(self, other: LearnedEffects) -> LearnedEffects:
        """Give what this knows and the other does not."""
        changes = {
            source: tuple(sorted({*names} - {*other.changes.get(source, ())}))
            for source, names in self.changes.items()
        }
        files = {
            source: effects - other.files.get(source, FileEffects())
            for source, effects in self.files.items()
        }
        return LearnedEffects(changes=_filled(changes), files=_filled(files))

    def about(self, sources: Collection[Digest]) -> LearnedEffects:
        """Give what is known of these steps only."""
        return LearnedEffects(
            changes={s: names for s, names in self.changes.items() if s in sources},
            files={s: effects for s, effects in self.files.items() if s in sources},
        )


def lies_below(name: str, directory: str) -> bool:
    """Say whether a file named as in `FileEffects` lies somewhere below a directory."""
    return (directory == "." and not name.startswith(("/", "~/", "../"))) or (
        PurePosixPath(directory) in PurePosixPath(name).parents
    )


def _filled(mapping: Mapping[Digest, _Value]) -> dict[Digest, _Value]:
    return {key: value for key, value in mapping.items() if value}


def _sorted(names: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(names))
