"""One step, as its kernel sees it: inputs come in, the body runs, outputs go out.

Inputs are fingerprinted when they were loaded and again when the step saves: one that differs, or
shares state with other inputs than before, was changed in place, whatever the analysis said, and
is stored as a new version. What two immediate fingerprints do not agree on (its pickle depends on
the moment) is left out of this, and so is a name that the step bound to another object.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from nbpipe.errors import NbpipeError, StoreUnavailableError
from nbpipe.kernel.definition_state import states_of
from nbpipe.kernel.exchange import CellError, KernelProblem, KernelReport, Unstorable
from nbpipe.kernel.module_state import ATOMS
from nbpipe.kernel.optional_values import is_worth_keeping
from nbpipe.kernel.problems import StepNotebookError
from nbpipe.kernel.process_state import ProcessState
from nbpipe.model.artifact import StoredValue
from nbpipe.model.names import INDEX_NAMES, Variable, is_state
from nbpipe.model.trace import Trace
from nbpipe.store.alias_groups import AliasGroups, find_alias_groups
from nbpipe.store.blobs.protocol import BlobStore
from nbpipe.store.values import (
    OpenedBundles,
    StoredValues,
    companions_of,
    fingerprints,
    load_values,
    steady_fingerprints,
    store_values,
)

# What the step works on: names to the values of an author, of any type.
Namespace = dict[str, Any]


class _Fingerprints(Protocol):
    """`fingerprints` or `steady_fingerprints`."""

    def __call__(
        self,
        namespace: Namespace,
        names: Sequence[str],
        *,
        definitions: frozenset[str],
        names_indexes: bool,
    ) -> dict[frozenset[str], str | None]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Imprint:
    """What can be compared of an input: its content, and the inputs that it shares state with."""

    content: str | None
    shared_with: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """An input as it was when it came in; `is_same` recognises the object."""

    imprint: _Imprint
    is_same: Callable[[object], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSide:
    """Where inputs come from and reports go: the driver's files, or the store itself.

    Attributes:
        trace: ends the tracing of the step, and gives what was seen.
        watched_files: those of which the report says whether the step made them.
    """

    blobs: BlobStore
    trusted: bool
    inputs: Callable[[Mapping[str, str]], Mapping[Variable, StoredValue | None]]
    deliver: Callable[[KernelReport], None]
    trace: Callable[[], Trace]
    watched_files: tuple[str, ...] = ()


class StepIo:
    """Loads and saves for one step in one kernel."""

    def __init__(
        self,
        side: StepSide,
        namespace: Namespace,
        *,
        definitions: Iterable[str],
        names_indexes: bool = False,
    ) -> None:
        self._side = side
        self._namespace = namespace
        self._definitions = frozenset(definitions)
        self._names_indexes = names_indexes
        self._index_labels: list[tuple[weakref.ref[Any], tuple[Hashable, ...]]] = []
        self._loaded: dict[Variable, _Loaded] = {}
        self._inputs: set[Variable] = set()
        self._constants: set[Variable] = set()
        self._apart: set[Variable] = set()
        self._loaded_beside: dict[str, Any] = {}
        self._definition_states: dict[str, str] = {}
        self._opened: OpenedBundles = {}
        self._asked: set[str] = set()
        self._companions: dict[str, Any] = {}
        self._companion_marks: dict[str, str] = {}
        self._state = ProcessState(namespace)
        self._state.mark()

    def note_error(self, error: CellError) -> None:
        """Report an exception of the author's."""
        self._side.deliver(KernelReport(error=error))

    def load(self, upstream: Mapping[str, str]) -> None:
        """Put inputs into the namespace; those that the upstream step left unbound stay unbound."""
        with self._problems_reported("input"):
            found = self._side.inputs(upstream)
            values = [value for value in found.values() if value is not None]
            self._asked |= {f"{value.variable} of {value.bundle}" for value in values}
            companions = {
                each.variable: each
                for value in values
                for each in companions_of(value)
                if each.variable not in self._asked
            }
            for name in self._companions.keys() & self._asked:
                del self._companions[name]
            loaded = load_values(
                self._side.blobs,
                [*values, *companions.values()],
                self._namespace,
                trusted=self._side.trusted,
                opened=self._opened,
            )
            for name, value in loaded.items():
                if name in companions:
                    self._companions[name] = value
                elif is_state(name):
                    self._state.restore(name, value)
                else:
                    self._namespace[name] = value
            self._state.mark()
            self._note_inputs([v.variable for v in values if not is_state(v.variable)])

    def take(self, names: Iterable[Variable], states: Mapping[str, Any]) -> None:
        """Take variables that the namespace holds already for the inputs, as they are now.

        `states` are states of the process as earlier steps left them, which stand so already.
        """
        with self._problems_reported("input"):
            for name, state in states.items():
                self._state.take(name, state)
            self._state.mark()
            self._note_inputs(sorted(names))

    def watch(self, constants: Iterable[str], *, apart: Iterable[str] = ()) -> None:
        """Take variables that replayed code bound for inputs, too: the step may change them.

        What they hold is the step's own copy, which later steps do not see. No later step uses
        those in `apart`: they are not stored, and it is only noted what would have been.
        """
        with self._problems_reported("input"):
            names = {name for name in map(Variable, constants) if self._may_change(name)}
            self._inputs.update(names)
            self._constants.update(names)
            self._apart.update(names.intersection(apart))
            self._imprint(names)

    def _may_change(self, name: str) -> bool:
        return not isinstance(self._namespace.get(name), ATOMS)

    def _note_inputs(self, names: Sequence[Variable]) -> None:
        self._loaded_beside = {
            name: self._namespace[name] for name in self._definitions if name in self._namespace
        }
        self._definition_states = self._states_of_definitions(steady=True)
        self._inputs.update(names)
        self._companion_marks = self._marks_of_companions(steady_fingerprints)
        # Those of an earlier load may share with the new ones.
        self._imprint(self._inputs)

    def _imprint(self, new: Collection[Variable]) -> None:
        """Note what inputs are like as the step's own code begins."""
        there = sorted(name for name in self._inputs if name in self._namespace)
        names = [name for name in there if name in new]
        if not names:
            return
        imprints = self._imprints(there, steady_fingerprints)
        if self._watches_indexes:
            self._index_labels += [
                (weakref.ref(index), _labels_of(index))
                for index in self._groups(self._namespace, names).indexes
            ]
        for name in names:
            if imprints[name].content is not None:
                self._loaded[name] = _Loaded(
                    imprint=imprints[name], is_same=identity_of(self._namespace[name])
                )

    def changed(self) -> tuple[str, ...]:
        """Name the states of the process that the step has changed so far."""
        return self._state.changed()

    def changed_inputs(self) -> tuple[Variable, ...]:
        """Name the inputs that the step has changed in place so far."""
        return tuple(self._changed_inputs())

    def save(self, required: Sequence[str], optional: Sequence[str]) -> None:
        """Store what is bound, and report it."""
        trace = self._side.trace()
        states = {*self._state.changed(), *self._states_shared([*required, *optional])}
        with self._problems_reported("output"), self._states_as_variables({*required, *states}):
            bound = [Variable(name) for name in required if name in self._namespace]
            kept = [
                Variable(name)
                for name in optional
                if name in self._namespace and is_worth_keeping(name, self._namespace[name])
            ]
            changed = [
                name
                for name in (*self._changed_inputs(), *map(Variable, sorted(states)))
                if name not in {*bound, *kept}
            ]
            changed += self._shared_inputs({*bound, *changed}, self._inputs)
            if kept:
                # What nobody reads today, somebody may once more is known.
                changed += self._shared_inputs({*bound, *kept, *changed}, self._constants)
            apart = self._apart.intersection(changed)
            changed = [name for name in changed if name not in apart]
            stale = self._stale_companions([*bound, *changed])
            unlike = sorted({*self._changed_definitions()} - {*bound, *kept, *changed, *stale})
            stored = self._store([*bound, *changed], kept)
            trace = replace(
                trace,
                parts_indexes=self._parts_indexes(stored.values),
                parts_constants=tuple(sorted(apart)),
            )
            unstorable = [name for name in bound if name in stored.failures]
            if unstorable:
                raise StepNotebookError(self._unstorable(unstorable, stored), trace)
            self._side.deliver(
                KernelReport(
                    saved=True,
                    outputs=stored.values,
                    unbound=tuple(
                        Variable(name)
                        for name in (*required, *optional)
                        if name not in self._namespace
                    ),
                    changed=(*changed, *stale, *unlike, *self._indexes_named()),
                    notes=tuple(
                        f"'{name}' changed in place and cannot be stored: "
                        f"{stored.failures[name].message}"
                        for name in changed
                        if name in stored.failures
                    ),
                    files_written=_products(trace, self._side.watched_files),
                    trace=trace,
                )
            )

    def _states_shared(self, names: Iterable[str]) -> tuple[str, ...]:
        """Name the states that share objects with what may be stored: variables, and inputs."""
        there = sorted({*names, *self._inputs} & self._namespace.keys())
        return self._state.shared_with(there, definitions=self._definitions)

    @contextmanager
    def _states_as_variables(self, names: Iterable[str]) -> Iterator[None]:
        """Let the state of the process stand among the variables while it is stored."""
        states = self._state.values(sorted(filter(is_state, names)))
        self._namespace.update(states)
        try:
            yield
        finally:
            for name in states:
                self._namespace.pop(name, None)

    def _store(self, wanted: Sequence[Variable], kept: Sequence[Variable]) -> StoredValues:
        stored = self._store_together([*wanted, *kept])
        if kept and any(name in stored.failures for name in wanted):
            # An unasked-for value that shares state with a wanted one must not stand in its way.
            return self._store_together(wanted)
        return stored

    def _store_together(self, names: Sequence[Variable]) -> StoredValues:
        return store_values(
            self._side.blobs,
            self._namespace,
            names,
            definitions=self._definitions,
            names_indexes=self._names_indexes,
        )

    def _changed_inputs(self) -> Iterator[Variable]:
        names = [
            name
            for name, loaded in self._loaded.items()
            if name in self._namespace and loaded.is_same(self._namespace[name])
        ]
        with self._definitions_as_loaded():
            imprints = self._imprints(names, fingerprints)
        for name in names:
            now, before = imprints[name], self._loaded[name].imprint
            if now.content != before.content or now.shared_with != before.shared_with & {*names}:
                yield name

    def _changed_definitions(self) -> Iterator[Variable]:
        """Name the functions and classes that hold something else than when the step began."""
        now = self._states_of_definitions(steady=False)
        for name, state in self._definition_states.items():
            if now.get(name) != state:
                yield Variable(name)

    def _states_of_definitions(self, *, steady: bool) -> dict[str, str]:
        there = {**self._namespace, **self._loaded_beside}
        return states_of(there, self._loaded_beside, definitions=self._definitions, steady=steady)

    @contextmanager
    def _definitions_as_loaded(self) -> Iterator[None]:
        """Let definitions be what they were: a new one of a name changes no value of the old."""
        now = {n: self._namespace[n] for n in self._loaded_beside if n in self._namespace}
        self._namespace.update(self._loaded_beside)
        try:
            yield
        finally:
            self._namespace.update(now)
            for name in self._loaded_beside.keys() - now.keys():
                del self._namespace[name]

    def _shared_inputs(self, stored: set[Variable], all_inputs: set[Variable]) -> list[Variable]:
        """Name the inputs that share state with what is stored: only together do they keep it."""
        inputs = {name for name in all_inputs if name in self._namespace} - stored
        if not inputs or not stored:
            return []
        groups = self._groups(self._namespace, sorted({*inputs, *stored}))
        return sorted(
            Variable(name)
            for group in groups.groups
            if stored.intersection(group)
            for name in group
            if name in inputs
        )

    def _parts_indexes(self, stored: Iterable[Variable]) -> bool:
        """Say whether what is stored has an index of something else, and loses it."""
        there = sorted({*self._inputs & self._namespace.keys(), *stored})
        return self._watches_indexes and self._groups(self._namespace, there).share_indexes

    def _indexes_named(self) -> Iterator[Variable]:
        """Tell of an index that came in and has another name now, when nobody expects that."""
        indexes = ((reference(), labels) for reference, labels in self._index_labels)
        if any(index is not None and _labels_of(index) != labels for index, labels in indexes):
            yield INDEX_NAMES

    @property
    def _watches_indexes(self) -> bool:
        """True where indexes do not link frames, and there can be any: to look takes a walk."""
        return not self._names_indexes and "pandas" in sys.modules

    def _groups(self, namespace: Namespace, names: Sequence[str]) -> AliasGroups:
        return find_alias_groups(
            namespace, names, definitions=self._definitions, names_indexes=self._names_indexes
        )

    def _stale_companions(self, stored: Sequence[Variable]) -> list[Variable]:
        """Name variables that share state with what is stored, but that the step did not ask for.

        What was loaded of them may be out of date, so they are not stored: the step must have
        them as inputs.
        """
        if not self._companions:
            return []
        now = self._marks_of_companions(fingerprints)
        changed = {name for name, mark in self._companion_marks.items() if now.get(name) != mark}
        together = {name: self._namespace[name] for name in stored} | self._companions
        groups = self._groups(together, sorted(together))
        shared = {
            name
            for group in groups.groups
            if not self._companions.keys() >= set(group)
            for name in group
            if name in self._companions
        }
        return sorted({Variable(name.split()[0]) for name in shared | changed} - {*stored})

    def _marks_of_companions(self, take: _Fingerprints) -> dict[str, str]:
        """Give a text for the content of each that differs when the content does."""
        names = sorted(self._companions)
        marks = take(
            self._companions,
            names,
            definitions=self._definitions,
            names_indexes=self._names_indexes,
        )
        return {n: mark for group, mark in marks.items() if mark is not None for n in group}

    def _imprints(self, names: Sequence[Variable], take: _Fingerprints) -> dict[Variable, _Imprint]:
        def taken(names: Sequence[str]) -> dict[frozenset[str], str | None]:
            return take(
                self._namespace,
                names,
                definitions=self._definitions,
                names_indexes=self._names_indexes,
            )

        found: dict[Variable, _Imprint] = {}
        for group, together in taken(names).items():
            for name in group:
                # By itself, so that it can still be compared when another of the group is gone.
                alone = taken([name])[frozenset({name})] if len(group) > 1 else together
                found[Variable(name)] = _Imprint(content=alone, shared_with=group)
        return found

    def _unstorable(self, names: Sequence[Variable], stored: StoredValues) -> KernelProblem:
        found = [
            Unstorable(
                variable=name,
                type=stored.failures[name].type,
                reason=stored.failures[name].message,
            )
            for name in names
        ]
        listed = ", ".join(f"'{each.variable}' ({each.type})" for each in found)
        return KernelProblem(
            kind="output",
            message=f"Cannot store {listed}: {found[0].reason}",
            hint=stored.failures[names[0]].hint,
            unstorable=tuple(found),
        )

    @contextmanager
    def _problems_reported(self, kind: str) -> Iterator[None]:
        try:
            yield
        except StepNotebookError as error:
            self._side.deliver(KernelReport(problem=error.problem, trace=error.trace))
            raise
        except StoreUnavailableError as error:
            raise self._reported("store", error) from error
        except NbpipeError as error:
            raise self._reported(kind, error) from error

    def _reported(self, kind: str, error: NbpipeError) -> StepNotebookError:
        problem = KernelProblem(kind=kind, message=error.message, hint=error.hint)
        self._side.deliver(KernelReport(problem=problem))
        return StepNotebookError(problem)


def _labels_of(index: Any) -> tuple[Hashable, ...]:  # noqa: ANN401 - pandas is optional
    """Give what can change of an index: its names and its frequency."""
    return (*index.names, str(getattr(index, "freq", "")))


def _products(trace: Trace, watched: Iterable[str]) -> tuple[str, ...]:
    """Give the watched files that the step wrote before it read them, if it did."""
    made = {*trace.files_written} - {*trace.files_read}
    return tuple(sorted(path for path in watched if os.path.abspath(path) in made))  # noqa: PTH100


def identity_of(value: object) -> Callable[[object], bool]:
    """Give a test for being `value` that does not keep it alive."""
    try:
        reference = weakref.ref(value)
    except TypeError:
        # Lists, dicts and numbers allow no weak reference; a rebound name then still has another
        # id, because both objects exist at the moment of binding.
        known = id(value)
        return lambda other: id(other) == known
    return lambda other: reference() is other
