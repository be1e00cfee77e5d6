"""Plug-ins: things found by name, built in or brought by another distribution.

Nothing is imported before it is asked for, and one broken plug-in leaves all others usable. The
built-in ones are there even when nbpipe is not installed as a distribution.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Generic, TypeGuard, TypeVar

from nbpipe.errors import NotFoundError, PluginError

T = TypeVar("T")

_OURS = "jupyterlab-nbpipe"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSource:
    """Where a plug-in comes from: `reference` is `module:attribute`, `package` who brings it."""

    name: str
    reference: str
    package: str

    def __str__(self) -> str:
        return f"{self.name} = {self.reference} ({self.package})"


def installed_sources(group: str) -> tuple[PluginSource, ...]:
    """Give what installed distributions register for an entry point group, by package and name."""
    found = {
        PluginSource(
            name=point.name,
            reference=point.value,
            package=point.dist.name if point.dist is not None else "an unknown package",
        )
        for point in metadata.entry_points(group=group)
    }
    return tuple(sorted(found, key=lambda source: (source.package, source.name, source.reference)))


class Registry(Generic[T]):
    """The plug-ins of one kind.

    A plug-in's attribute is called without arguments, as a class is, and must give something that
    `accepts` accepts. A built-in name cannot be taken by a plug-in; of two plug-ins with one name
    the first by package name wins, and `broken` tells about the other.

    Args:
        kind: what one of them is called, such as `exporter`.
        group: the entry point group.
        builtin: `module:attribute` by name.
        accepts: says whether an object is of this kind.
        installed: what distributions register; read on first use.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        *,
        builtin: Mapping[str, str],
        accepts: Callable[[object], TypeGuard[T]],
        installed: Callable[[str], Iterable[PluginSource]] = installed_sources,
    ) -> None:
        self._kind = kind
        self._group = group
        self._accepts = accepts
        self._installed = installed
        self._sources = {
            name: PluginSource(name=name, reference=reference, package=_OURS)
            for name, reference in builtin.items()
        }
        self._conflicts: list[PluginError] = []
        self._made: dict[str, T] = {}
        self._complete = False

    @property
    def names(self) -> tuple[str, ...]:
        """Every name, in alphabetical order; whether they load is not known yet."""
        return tuple(sorted(self._all_sources()))

    def get(self, name: str) -> T:
        """Give the one called `name`, the same object each time.

        Raises:
            NotFoundError: there is none of this name.
            PluginError: it cannot be loaded, or is not what it says.
        """
        if name not in self._made:
            source = self._sources.get(name) or self._all_sources().get(name)
            if source is None:
                raise NotFoundError.among(self._kind, name, self.names)
            self._made[name] = self._make(source)
        return self._made[name]

    def working(self) -> dict[str, T]:
        """Give all that can be loaded, by name; `broken` tells about the others."""
        found: dict[str, T] = {}
        for name in self.names:
            try:
                found[name] = self.get(name)
            except PluginError:
                continue
        return found

    def broken(self) -> tuple[PluginError, ...]:
        """Say what is wrong with those that cannot be used, each naming package and entry point."""
        problems: list[PluginError] = []
        for name in self.names:
            try:
                self.get(name)
            except PluginError as error:
                problems.append(error)
        return (*problems, *self._conflicts)

    def _all_sources(self) -> dict[str, PluginSource]:
        if not self._complete:
            for source in self._installed(self._group):
                first = self._sources.setdefault(source.name, source)
                # Ours stand in the metadata too, once for each place they are installed in.
                if first.reference != source.reference:
                    self._conflicts.append(
                        PluginError(
                            f"The {self._kind} {source} in entry point group {self._group!r} "
                            f"takes a name that {first} has already.",
                            hint=f"Give it another name, or uninstall {source.package}.",
                        )
                    )
            self._complete = True
        return self._sources

    def _make(self, source: PluginSource) -> T:
        module, _, attribute = source.reference.partition("[")[0].partition(":")
        try:
            made: object = importlib.import_module(module.strip())
            for part in filter(None, attribute.strip().split(".")):
                made = getattr(made, part)
            if callable(made):
                made = made()
        except (Exception, SystemExit) as error:
            raise self._error(source, f"{type(error).__name__}: {error}") from error
        if not self._accepts(made):
            raise self._error(source, f"a {type(made).__name__} is not one")
        return made

    def _error(self, source: PluginSource, reason: str) -> PluginError:
        return PluginError(
            f"The {self._kind} {source.name!r} cannot be loaded: {reason}. It is the entry point "
            f"{source.name} = {source.reference} of group {self._group!r} in package "
            f"{source.package!r}.",
            hint=f"Upgrade or uninstall {source.package}; the other {self._kind}s work.",
        )
