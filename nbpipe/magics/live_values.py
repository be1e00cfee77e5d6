"""What is known of the values in a live kernel: which cell made them, which stored value they are.

A value counts as what it was only if it is the same object, with the same content, that shares
state with the same others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any, Final

from IPython.core.interactiveshell import InteractiveShell

from nbpipe.kernel.live_exchange import Advice
from nbpipe.kernel.process_state import ProcessState
from nbpipe.kernel.step_io import identity_of
from nbpipe.model.artifact import StoredValue
from nbpipe.model.names import Variable, is_state, spoken
from nbpipe.store.alias_groups import find_alias_groups
from nbpipe.store.values import companions_of, fingerprints

# What Python and pickle note on a class when it is used.
_BOOKKEEPING: Final = frozenset({"__slotnames__", "__abstractmethods__", "_abc_impl"})
_ASKED: Final = "what is asked about"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Imprint:
    """How a variable was left: by its object, its content, and what shares state with it.

    `origin` is the source of the cell that replayed code is taken from, or the content digest of
    a stored value.
    """

    origin: str
    is_same: Callable[[object], bool]
    content: str | None
    shared_with: frozenset[str] = frozenset()


class LiveValues:
    """The values of one shell, as its cells left them."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._setup: dict[str, _Imprint] = {}
        self._stored: dict[str, _Imprint] = {}

    def note_setup(self, names: Iterable[str], source: str) -> None:
        """Take note of what a cell made that steps take code from without running it."""
        namespace = self._shell.user_ns
        for name in names:
            self._setup.pop(name, None)
            if name in namespace:
                self._setup[name] = _Imprint(
                    origin=source,
                    is_same=identity_of(namespace[name]),
                    content=self._content(name, namespace),
                )

    def note_stored(self, outputs: Mapping[Variable, StoredValue], state: ProcessState) -> None:
        """Take note of variables that are now what the store has of them."""
        namespace = self._with_states(outputs, state)
        names = [name for name in outputs if name in namespace]
        shared = self._groups(names, namespace)
        for name in names:
            self._stored[name] = _Imprint(
                origin=outputs[name].content,
                is_same=_anything if is_state(name) else identity_of(namespace[name]),
                content=self._content(name, namespace),
                shared_with=shared[name],
            )

    def objection(self, advice: Advice, state: ProcessState) -> str:
        """Say which value that a step depends on is not what the pipeline gives; or nothing."""
        return self._objection_to_setup(advice) or self._objection_to_inputs(advice, state)

    def _objection_to_setup(self, advice: Advice) -> str:
        namespace = self._shell.user_ns
        authors = self.names_of_author()
        for name in advice.absent:
            if name in authors and name not in advice.setup:
                return f"'{name}' has a value here, and none in the pipeline"
        for name, source in advice.setup.items():
            imprint = self._setup.get(name)
            if imprint is None or imprint.origin.rstrip() != source.rstrip():
                return f"'{name}' does not come from the cell that the pipeline takes it from"
            if not self._is_as_left(name, imprint, namespace):
                return f"'{name}' is not what its cell made"
        return ""

    def _objection_to_inputs(self, advice: Advice, state: ProcessState) -> str:
        wanted = {name: value for name, value in advice.inputs.items() if value is not None}
        namespace = self._with_states(wanted, state)
        for name in advice.inputs.keys() - wanted.keys():
            if name in namespace:
                return f"'{name}' has a value, and the pipeline leaves it unbound"
        shared = self._groups([name for name in wanted if name in namespace], namespace)
        for name, value in wanted.items():
            called = f"the {spoken(name)}" if is_state(name) else f"'{name}'"
            imprint = self._stored.get(name)
            if (
                imprint is None
                or imprint.origin != value.content
                or not self._is_as_left(name, imprint, namespace)
                or imprint.shared_with & {*wanted} != shared[name]
            ):
                is_one = not is_state(name) or "stream" in called or "directory" in called
                return f"{called} {'is' if is_one else 'are'} not what the pipeline gives"
            for other in companions_of(value):
                if other.variable.split()[0] not in wanted:
                    return f"{called} shares state with '{other.variable.split()[0]}'"
        return ""

    def share_state_outside(
        self, names: set[Variable], known: set[Variable], doubtful: set[Variable]
    ) -> bool:
        """Say whether anything besides known variables shares state with some variables.

        `Out` counts as far as it cannot be told whether it should have what is new (`bind`).
        """
        authors = self.names_of_author()
        if not names & authors.keys():
            return False
        values = {name: value for name, value in authors.items() if type(value) is not ModuleType}
        clear = [values[name] for name in (names - doubtful) & values.keys()]
        values |= {
            f"Out {number}": value
            for number, value in self._shell.user_ns.get("_oh", {}).items()
            if not any(value is each for each in clear)
        }
        groups = find_alias_groups(values, sorted(values), definitions=frozenset()).groups
        return any(names & {*group} and {*group} - known for group in groups)

    def bind(self, values: Mapping[Variable, object], in_place: Collection[Variable]) -> None:
        """Bind variables to new objects.

        Where these stand for the old ones, changed in place, `Out` and its like get them, too.
        """
        namespace = self._shell.user_ns
        for name, value in values.items():
            old = namespace.get(name)
            namespace[name] = value
            if old is not None and name in in_place:
                self._exchange_in_history(old, value)

    def _exchange_in_history(self, old: object, value: object) -> None:
        shell = self._shell
        results = shell.user_ns.get("_oh", {})
        results |= {number: value for number, each in results.items() if each is old}
        for names in (shell.user_ns, shell.user_ns_hidden, vars(shell.displayhook)):
            names |= {
                name: value for name, each in names.items() if each is old and _is_of_history(name)
            }

    def names_of_author(self) -> dict[str, Any]:
        """Give the variables, without those that IPython put there."""
        hidden = self._shell.user_ns_hidden
        return {
            name: value
            for name, value in self._shell.user_ns.items()
            if name not in hidden or hidden[name] is not value
        }

    @property
    def definitions(self) -> frozenset[str]:
        """Names of the notebook's own functions and classes."""
        return frozenset(
            name
            for name, value in self._shell.user_ns.items()
            if isinstance(value, FunctionType | type) and value.__module__ == "__main__"
        )

    def _is_as_left(self, name: str, imprint: _Imprint, namespace: dict[str, Any]) -> bool:
        return (
            name in namespace
            and imprint.is_same(namespace[name])
            and imprint.content is not None
            and self._content(name, namespace) == imprint.content
        )

    def _content(self, name: str, namespace: dict[str, Any]) -> str | None:
        value = namespace[name]
        if isinstance(value, ModuleType):
            return f"module {id(value)}"
        if isinstance(value, type):
            return repr([(key, self._part(each)) for key, each in sorted(_data_of(value))])
        if isinstance(value, FunctionType):
            kept = (value.__defaults__, value.__kwdefaults__, value.__dict__)
            return f"function {id(value)} {self._part(kept) if any(kept) else ''}"
        return self._fingerprint(name, namespace)

    def _part(self, value: object) -> str:
        """Give the content of something that a function or a class holds; at least, which it is."""
        if callable(value) or isinstance(value, classmethod | staticmethod | property):
            return str(id(value))
        found = self._fingerprint(_ASKED, {**self._shell.user_ns, _ASKED: value})
        return found or str(id(value))

    def _fingerprint(self, name: str, namespace: dict[str, Any]) -> str | None:
        (content,) = fingerprints(namespace, [name], definitions=self.definitions).values()
        return content

    def _groups(self, names: Iterable[str], namespace: dict[str, Any]) -> dict[str, frozenset[str]]:
        found = find_alias_groups(namespace, sorted(names), definitions=self.definitions)
        return {name: frozenset(group) for group in found.groups for name in group}

    def _with_states(self, names: Iterable[str], state: ProcessState) -> dict[str, Any]:
        """Give the variables, with the states of the process that are asked for among them."""
        states = {name: state.reading(name) for name in names if is_state(name)}
        return {**self._shell.user_ns, **{n: s for n, s in states.items() if s is not None}}


def _data_of(cls: type) -> list[tuple[str, object]]:
    return [(key, each) for key, each in vars(cls).items() if key not in _BOOKKEEPING]


def _is_of_history(name: str) -> bool:
    return not name.strip("_") or (name.startswith("_") and name[1:].isdigit())


def _anything(_value: object) -> bool:
    return True
