"""Plain Python values as JSON.

Only what comes back exactly: the builtin types themselves and none of their subclasses,
dictionaries whose keys are strings, no container that occurs twice. Dictionaries keep their order.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from nbpipe.model.artifact import Format
from nbpipe.store.serializers.protocol import Serialized

# Beyond these a pickle is smaller and faster, and nobody reads the JSON.
_MOST_VALUES: Final = 10_000
_MOST_CHARACTERS: Final = 1_000_000
_DEEPEST: Final = 100
# CPython refuses to turn longer integers into text.
_LONGEST_INTEGER_BITS: Final = 10_000
_PLAIN_NAN: Final = struct.pack("<d", float("nan"))


class JsonValues:
    """The format `json`."""

    format: Final = Format(name="json", revision=1)

    def accepts(self, value: object) -> bool:
        """Say whether the value is of a type that JSON has."""
        return value is None or type(value) in _TYPES

    def dump(self, value: object) -> Serialized | None:
        """Give canonical JSON, or None when the value holds anything that JSON would change."""
        if not _Inspection().finds_exact(value, depth=0):
            return None
        text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
        return Serialized(head=[text.encode("ascii")])

    def load(self, head: memoryview, buffers: Sequence[memoryview]) -> object:  # noqa: ARG002
        """Give the value."""
        return json.loads(bytes(head))


_TYPES: Final = frozenset({bool, int, float, str, list, dict})


class _Inspection:
    """One walk through a value; it ends at the first thing that JSON would not keep."""

    def __init__(self) -> None:
        self._values = 0
        self._characters = 0
        self._containers: set[int] = set()

    def finds_exact(self, value: object, *, depth: int) -> bool:
        self._values += 1
        if self._values > _MOST_VALUES or depth > _DEEPEST:
            return False
        if value is None or type(value) is bool:
            return True
        if type(value) is int:
            return value.bit_length() <= _LONGEST_INTEGER_BITS
        if type(value) is float:
            return value == value or struct.pack("<d", value) == _PLAIN_NAN  # noqa: PLR0124
        if type(value) is str:
            return self._finds_exact_text(value)
        if type(value) in (list, dict):
            if id(value) in self._containers:
                return False
            self._containers.add(id(value))
            return self._finds_exact_content(value, depth=depth + 1)
        return False

    def _finds_exact_content(self, container: object, *, depth: int) -> bool:
        if isinstance(container, dict):
            return all(
                type(key) is str
                and self._finds_exact_text(key)
                and self.finds_exact(value, depth=depth)
                for key, value in container.items()
            )
        assert isinstance(container, list)
        return all(self.finds_exact(value, depth=depth) for value in container)

    def _finds_exact_text(self, text: str) -> bool:
        self._characters += len(text)
        if self._characters > _MOST_CHARACTERS:
            return False
        # JSON spells a character beyond U+FFFF as two surrogates, so two lone surrogates that
        # happen to stand side by side would come back as one character.
        return text.isascii() or not _has_lone_pair(text)


def _has_lone_pair(text: str) -> bool:
    return any(
        "\ud800" <= first <= "\udbff" and "\udc00" <= second <= "\udfff"
        for first, second in pairwise(text)
    )
