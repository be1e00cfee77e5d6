import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbpipe.store.serializers.json_values import JsonValues
from tests.store.namespaces import comes_back, format_name

texts = st.text(st.characters(exclude_categories=()))  # Lone surrogates, too.
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=30
)


def same(one: object, other: object) -> bool:
    """Equal to the last bit, with the same types, in the same order."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(same, one.values(), other.values()))
    return one == other


@given(values)
def test_what_json_takes_comes_back_to_the_last_bit(value):
    serialized = JsonValues().dump(value)
    if serialized is not None:
        head = memoryview(b"".join(serialized.head))
        assert same(JsonValues().load(head, ()), value)


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -1, 2**53 + 1, 10**1000, 1.5, -0.0, math.inf, -math.inf, math.nan, "", "é",
        "\ud800", "😀", [], {}, [[], {}], {"b": 1, "a": [1.0, None]}, [1, True, "1"],
    ],
    ids=repr,
)  # fmt: skip
def test_plain_values_are_kept_as_json(value):
    assert format_name(value) == "json"
    assert same(comes_back(value), value)


class Text(str):
    __slots__ = ()


shared = [1]
cyclic: list[object] = []
cyclic.append(cyclic)
deep: list[object] = []
for _ in range(150):
    deep = [deep]


@pytest.mark.parametrize(
    "value",
    [
        (1, 2), {1: 2}, {1, 2}, b"bytes", 1j, Text("a"), [shared, shared], cyclic, deep,
        "\ud83d\ude00", 10**5000, struct.unpack("<d", b"\1" + b"\0" * 5 + b"\xf8\x7f")[0],
        list(range(20_000)), "x" * 2_000_000,
    ],
    ids=lambda value: f"{type(value).__name__}",
)  # fmt: skip
def test_what_json_would_change_is_pickled(value):
    assert JsonValues().dump(value) is None or not JsonValues().accepts(value)


def test_a_pair_of_lone_surrogates_does_not_become_one_character():
    assert comes_back("\ud83d\ude00") == "\ud83d\ude00"
    assert len(comes_back("\ud83d\ude00")) == 2
