"""What modules of the project keep in their globals and classes, as values: counters, registries.

A module beside the notebook is loaded anew in each step's kernel, as if nothing had happened to
it. So data that a step changed in it is stored, under the name `@module.NAME`, and set again in
later steps once they import the module. Entries are names of data, `Class.attribute` among them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any, Final

from nbpipe.kernel.imports import WATCH
from nbpipe.store.values import fingerprints

PREFIX: Final = "@module."

_NO_DATA: Final = (
    ModuleType,
    FunctionType,
    classmethod,
    staticmethod,
    property,
    type(len),
    type(str.join),
    type(int.__dict__["real"]),
)


# Values without state: their text tells all, and costs no pickling.
_ATOMS: Final = (bool, int, float, complex, str, bytes, type(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """Of an entry: its content, and the entries that share state with it."""

    content: str
    shared_with: frozenset[str]


class ModuleStates:
    """The data of all modules of the project that are loaded, as one step finds and leaves it."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._before: dict[str, Mapping[str, _Mark]] = {}
        self._restored: dict[str, Mapping[str, Any]] = {}

    def mark(self) -> None:
        """Take the data as it is now for what the step's code begins with."""
        self._before = {}
        for module in project_modules():
            self.mark_loaded(module)

    def mark_loaded(self, module: ModuleType) -> None:
        """Take the data of a module that has just been loaded for what the step begins with."""
        self._before[module.__name__] = _marks(module)

    def restore(self, name: str, entries: Mapping[str, Any]) -> None:
        """Set entries of a module, once it is loaded, as an earlier step left them."""
        module_name = name.removeprefix(PREFIX)
        self._restored[module_name] = entries

        def set_entries(module: ModuleType) -> None:
            for entry, value in entries.items():
                owner, attribute = _owner(module, entry)
                if owner is not None:
                    before = vars(owner).get(attribute)
                    setattr(owner, attribute, value)
                    self._rename(before, value)
            self.mark_loaded(module)

        WATCH.after_import(module_name, set_entries)

    def take(self, name: str, entries: Mapping[str, Any]) -> None:
        """Take entries of a module for what earlier steps left: they are set already."""
        self._restored[name.removeprefix(PREFIX)] = entries

    def reading(self, name: str) -> Mapping[str, object] | None:
        """Give the data of a module, by entry; None if it is not loaded."""
        module = sys.modules.get(name.removeprefix(PREFIX))
        return None if module is None else dict(_entries(module))

    def changed(self) -> Iterator[str]:
        """Name the modules whose data the step changed."""
        for module in project_modules():
            if self._changes(module):
                yield f"{PREFIX}{module.__name__}"

    def value(self, name: str) -> dict[str, Any]:
        """Give the entries of a module that this step or earlier ones changed."""
        module_name = name.removeprefix(PREFIX)
        found = dict(self._restored.get(module_name, {}))
        module = sys.modules.get(module_name)
        if module is not None:
            now = dict(_entries(module))
            entries = sorted({*found, *self._changes(module)})
            found |= {entry: now[entry] for entry in entries if entry in now}
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
        if before is None or before is value:
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
        and WATCH.is_of_project(path)
        and name not in {"__main__", "__mp_main__"}
        and name.partition(".")[0] != "nbpipe"
    )


def _marks(module: ModuleType) -> dict[str, _Mark]:
    entries = dict(_entries(module))
    found = {
        entry: _Mark(content=f"{type(value).__name__} {value!r}", shared_with=frozenset({entry}))
        for entry, value in entries.items()
        if isinstance(value, _ATOMS)
    }
    others = sorted(entries.keys() - found.keys())
    for group, content in fingerprints(entries, others).items():
        if content is not None:
            found |= dict.fromkeys(group, _Mark(content=content, shared_with=group))
    return found


def _entries(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name, value in list(vars(module).items()):
        if _is_data(name, value):
            yield name, value
        elif isinstance(value, type) and value.__module__ == module.__name__:
            for attribute, inner in list(vars(value).items()):
                if _is_data(attribute, inner) and not isinstance(inner, type):
                    yield f"{name}.{attribute}", inner


def _is_data(name: str, value: object) -> bool:
    if name.startswith("__") or isinstance(value, (*_NO_DATA, type, MappingProxyType)):
        return False
    return not (callable(value) and getattr(value, "__module__", None) in sys.modules)


def _owner(module: ModuleType, entry: str) -> tuple[Any, str]:
    """Give what holds an entry, and under which name; None when the class is gone."""
    class_name, _, attribute = entry.rpartition(".")
    return (getattr(module, class_name, None) if class_name else module), attribute
