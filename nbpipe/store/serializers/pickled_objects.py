"""Everything else, as a pickle of protocol 5: any object, any alias group."""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nbpipe.errors import NotFoundError
from nbpipe.model.artifact import Format
from nbpipe.store.serializers import rebuild
from nbpipe.store.serializers.notebook_pickler import NotebookPickler, Sharing
from nbpipe.store.serializers.protocol import Serialized

FORMAT: Final = Format(name="pickle", revision=1)
BUFFERS_FROM_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Pickled:
    """A pickled value.

    Attributes:
        definitions: names of notebook functions and classes that the bytes refer to.
        owner: keeps the memory that `serialized` points to alive.
    """

    serialized: Serialized
    definitions: tuple[str, ...]
    owner: object


def dump_objects(
    value: object,
    *,
    namespace: Mapping[str, object],
    definitions: frozenset[str],
    buffers_from_bytes: int = BUFFERS_FROM_BYTES,
) -> Pickled:
    """Pickle a value, with pieces of memory from `buffers_from_bytes` on as buffers.

    Raises:
        Exception: whatever the value's own reduction raises; pickle's errors are of many types.
    """
    first = _dump(value, namespace, definitions, buffers_from_bytes, Sharing())
    sharing = first.owner.found_sharing()
    if not sharing:
        return first.pickled()
    # `first` stays alive until the second pass is done, so that temporary objects of the first
    # cannot have left their addresses to others.
    return _dump(value, namespace, definitions, buffers_from_bytes, sharing).pickled()


def load_objects(
    head: memoryview, buffers: Sequence[memoryview], namespace: dict[str, Any]
) -> tuple[object, frozenset[str]]:
    """Give the pickled value, and the names of the definitions it took from `namespace`.

    Raises:
        NotFoundError: a definition is not in `namespace`.
        Exception: whatever the value's own state setting raises.
    """
    unpickler = _NotebookUnpickler(head, buffers, namespace)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = unpickler.load()
    return value, frozenset(unpickler.definitions)


@dataclass(frozen=True, slots=True)
class _Pass:
    head: memoryview
    buffers: list[memoryview]
    owner: NotebookPickler

    def pickled(self) -> Pickled:
        return Pickled(
            serialized=Serialized(head=[self.head], buffers=self.buffers),
            definitions=tuple(sorted(self.owner.definitions)),
            owner=self.owner,
        )


def _dump(
    value: object,
    namespace: Mapping[str, object],
    definitions: frozenset[str],
    buffers_from_bytes: int,
    sharing: Sharing,
) -> _Pass:
    buffers: list[memoryview] = []

    def stays_inside(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < buffers_from_bytes:
            return True
        buffers.append(view)
        return False

    file = io.BytesIO()
    pickler = NotebookPickler(
        file,
        namespace=namespace,
        shipped=definitions,
        sharing=sharing,
        buffer_callback=stays_inside,
    )
    # Iterators and old objects warn that pickling them will end some day; the author of a
    # notebook can do nothing about it here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pickler.dump(value)
    return _Pass(memoryview(file.getvalue()), buffers, pickler)


class _Reading:
    """Memory as the file that an unpickler wants; `io.BytesIO` would copy all of it first."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._position = 0

    def read(self, size: int) -> bytes:
        self._position += size
        return bytes(self._memory[self._position - size : self._position])

    def readinto(self, target: memoryview) -> int:
        size = len(target)
        target[:] = self._memory[self._position : self._position + size]
        self._position += size
        return size

    def readline(self) -> bytes:
        # Only opcodes of old protocols end with a line; these lines are short.
        end = self._position
        while end < len(self._memory) and self._memory[end] != _LINE_END:
            end += 1
        return self.read(end + 1 - self._position)


_LINE_END: Final = 10


class _NotebookUnpickler(pickle.Unpickler):
    def __init__(
        self, head: memoryview, buffers: Sequence[memoryview], namespace: dict[str, Any]
    ) -> None:
        super().__init__(_Reading(head), buffers=buffers)
        self.definitions: set[str] = set()
        self._namespace = namespace

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - pickle's signature
        if module == "__main__":
            return self._definition(name)
        if module == rebuild.__name__ and name == rebuild.definition.__name__:
            return self._definition
        if module == rebuild.__name__ and name == rebuild.notebook_globals.__name__:
            return lambda: self._namespace
        return super().find_class(module, name)

    def _definition(self, path: str) -> object:
        root, *rest = path.split(".")
        if root not in self._namespace:
            raise NotFoundError(
                f"It needs {root!r}, which the notebook does not define here.",
                hint=f"Put the cell that defines {root!r} before the first step that uses it.",
            )
        self.definitions.add(root)
        found: Any = self._namespace[root]
        for name in rest:
            found = getattr(found, name)
        return found
