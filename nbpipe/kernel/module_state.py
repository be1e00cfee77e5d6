"""What modules of the project keep in their globals and classes, as values: counters, registries.

A module beside the notebook is loaded anew in each step's kernel, as if nothing had happened to
it. So data that a step changed in it is stored, under the name `@module.NAME`, and set again in
later steps once they import the module. What holds data is a module, its classes, and its
functions (`module_places`). An entry is a place, followed by `=` when the step put another object
there: a name that was imported from the module then still stands for the one before.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

from nbpipe.kernel.imports import WATCH
from nbpipe.kernel.module_places import place_in, places_in
from nbpipe.store.alias_groups import find_alias_groups
from nbpipe.store.values import fingerprints

PREFIX: Final = "@module."

# Behind the place of an entry: another object is there than before.
_ANEW: Final = "="

# Values without state: their text tells all, and costs no pickling.
ATOMS: Final = (bool, int, float, complex, str, bytes, type(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """Of a place: its content, the places that share state with it, and the object there."""

    content: str
    shared_with: frozenset[str]
    value: Any = field(compare=False)


class ModuleStates:
    """The data of all modules of the project that are loaded, as one step finds and leaves it."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._before: dict[str, Mapping[str, _Mark]] = {}
        self._restored: dict[str, Mapping[str, Any]] = {}
        self._shared: dict[str, set[str]] = {}

    def mark(self) -> None:
        """Take the data as it is now for what the step's code begins with."""
        self._before = {}
        for module in project_modules():
            self.mark_loaded(module)

    def mark_loaded(self, module: ModuleType) -> None:
        """Take the data of a module that has just been loaded for what the step begins with."""
        self._before[module.__name__] = _marks(module)

    def note_loaded(self, module: ModuleType) -> None:
        """Take note of a module that has just been loaded; loading it once more is a change."""
        if module.__name__ not in self._before:
            self.mark_loaded(module)

    def restore(self, name: str, entries: Mapping[str, Any]) -> None:
        """Set entries of a module, once it is loaded, as an earlier step left them."""
        module_name = name.removeprefix(PREFIX)
        self._restored[module_name] = entries

        def set_entries(module: ModuleType) -> None:
            for entry, value in entries.items():
                place = place_in(module, entry.removesuffix(_ANEW))
                if place is None:
                    continue
                before = place.read()
                place.write(value)
                if not entry.endswith(_ANEW):
                    self._rename(before, value)
            self.mark_loaded(module)

        WATCH.after_import(module_name, set_entries)

    def take(self, name: str, entries: Mapping[str, Any]) -> None:
        """Take entries of a module for what earlier steps left: they are set already."""
        self._restored[name.removeprefix(PREFIX)] = entries

    def reading(self, name: str) -> Mapping[str, object] | None:
        """Give the data of a module, by place; None if it is not loaded."""
        module = sys.modules.get(name.removeprefix(PREFIX))
        return None if module is None else places_in(module)

    def changed(self) -> Iterator[str]:
        """Name the modules whose data the step changed."""
        for module in project_modules():
            if self._changes(module):
                yield f"{PREFIX}{module.__name__}"

    def shared_with(self, names: Iterable[str], *, definitions: frozenset[str]) -> tuple[str, ...]:
        """Name the modules whose data shares mutable state with variables; `value` gives it."""
        places = {
            f"{PREFIX}{module.__name__} {place}": value
            for module in project_modules()
            for place, value in _mutable(places_in(module)).items()
        }
        # What this step does not import is there all the same, for those behind it.
        places |= {
            f"{PREFIX}{module} {entry}": value
            for module, entries in self._restored.items()
            if not WATCH.is_loaded(module)
            for entry, value in _mutable(entries).items()
        }
        self._shared = {}
        if not places:
            return ()
        variables = {name: self._namespace[name] for name in names}
        found = find_alias_groups(
            variables | places, [*variables, *places], definitions=definitions
        )
        for group in found.groups:
            if variables.keys() & {*group}:
                for module, _, place in (each.partition(" ") for each in places.keys() & {*group}):
                    self._shared.setdefault(module, set()).add(place)
        return tuple(sorted(self._shared))

    def value(self, name: str) -> dict[str, Any]:
        """Give the entries of a module that were changed, here or earlier, or are shared."""
        module_name = name.removeprefix(PREFIX)
        entries = dict(self._restored.get(module_name, {}))
        module = sys.modules.get(module_name)
        if module is None:
            return entries
        values, before = places_in(module), self._before.get(module_name, {})
        anew = {entry.removesuffix(_ANEW) for entry in entries if entry.endswith(_ANEW)}
        found: dict[str, Any] = {}
        places = {entry.removesuffix(_ANEW) for entry in entries} | {*self._changes(module)}
        places |= self._shared.get(name, set())
        for place in sorted(places & values.keys()):
            is_anew = place in anew or (
                place not in before or before[place].value is not values[place]
            )
            found[f"{place}{_ANEW}" if is_anew else place] = values[place]
        return found

    def _changes(self, module: ModuleType) -> list[str]:
        before = self._before.get(module.__name__)
        if before is None:
            return []
        now = _marks(module)
        changed = [entry for entry, mark in now.items() if before.get(entry) != mark]
        # What two immediate fingerprints do not agree on cannot be compared.
        again = _marks(module) if changed else {}
        return [entry for entry in changed if again.get(entry) == now[entry]]

    def _rename(self, before: object, value: object) -> None:
        """Let names that were imported from the module stand for its data as it is now."""
        if before is value or isinstance(before, ATOMS):
            return
        for name in _names_of(before, self._namespace):
            self._namespace[name] = value
        for module in project_modules():
            names = _names_of(before, vars(module))
            for name in names:
                setattr(module, name, value)
            if names and module.__name__ in self._before:
                marks = _marks(module)
                fresh = {name: marks[name] for name in names if name in marks}
                self._before[module.__name__] = {**self._before[module.__name__], **fresh}


def _names_of(value: object, names: Mapping[str, Any]) -> list[str]:
    return [name for name, each in names.items() if each is value]


def project_modules() -> list[ModuleType]:
    """Give the modules that are loaded and came neither with Python nor with a distribution."""
    found = []
    for name, module in list(sys.modules.items()):
        if _of_others.get(name) is not module and WATCH.is_loaded(name):
            if _is_of_project(name, module):
                found.append(module)
            else:
                _of_others[name] = module
    return sorted(found, key=lambda module: module.__name__)


# Modules that are not of the project: there are thousands, and they are asked for at each cell.
_of_others: dict[str, ModuleType] = {}


def _is_of_project(name: str, module: ModuleType) -> bool:
    path = getattr(module, "__file__", None)
    return (
        isinstance(path, str)
        # Libraries make modules up, and what they call a file may not be one: `_ops.py` of torch.
        and os.path.isabs(path)  # noqa: PTH117 - text, of thousands of modules.
        and WATCH.is_of_project(path)
        and name not in {"__main__", "__mp_main__"}
        and name.partition(".")[0] != "nbpipe"
    )


def _marks(module: ModuleType) -> dict[str, _Mark]:
    values = places_in(module)
    found = {
        place: _Mark(
            content=f"{type(value).__name__} {value!r}",
            shared_with=frozenset({place}),
            value=value,
        )
        for place, value in values.items()
        if isinstance(value, ATOMS)
    }
    others = sorted(values.keys() - found.keys())
    for group, content in fingerprints(values, others).items():
        if content is not None:
            found |= {
                place: _Mark(content=content, shared_with=group, value=values[place])
                for place in group
            }
    return found


def _mutable(values: Mapping[str, Any]) -> dict[str, Any]:
    return {place: value for place, value in values.items() if not isinstance(value, ATOMS)}
