"""Content addresses: BLAKE3 over bytes, and over structures in one canonical, framed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NewType

from blake3 import blake3

Digest = NewType("Digest", str)


def digest_bytes(*parts: bytes | memoryview) -> Digest:
    """Give the BLAKE3 digest (64 hex digits) of the parts, read as one run of bytes."""
    hasher = blake3()
    for part in parts:
        hasher.update(part)
    return Digest(hasher.hexdigest())


def digest_structure(value: object) -> Digest:
    """Give the digest of nested builtin values.

    Every piece is framed by a type mark and its length, so that `1` and `"1"`, `["ab"]` and
    `["a", "b"]`, a list and a tuple never meet. Sets and mappings are sorted by the framed bytes.

    Raises:
        TypeError: for anything but None, bool, int, float, str, bytes, and sequences, sets and
            mappings of them.
    """
    return digest_bytes(_framed(value))


def _framed(value: object) -> bytes:
    match value:
        case None:
            return b"n;"
        case bool():
            return b"b1;" if value else b"b0;"
        case int():
            return b"i%d;" % value
        case float():
            return b"f" + value.hex().encode() + b";"
        case str():
            return _frame(b"s", value.encode("utf-8", "surrogatepass"))
        case bytes():
            return _frame(b"y", value)
        case Mapping():
            pairs = sorted(_framed(key) + _framed(item) for key, item in value.items())
            return _frame(b"m", b"".join(pairs))
        case AbstractSet():
            return _frame(b"e", b"".join(sorted(map(_framed, value))))
        case tuple():
            return _frame(b"t", b"".join(map(_framed, value)))
        case Sequence():
            return _frame(b"l", b"".join(map(_framed, value)))
        case _:
            raise TypeError(f"{type(value).__name__} has no canonical form")


def _frame(mark: bytes, content: bytes) -> bytes:
    return mark + b"%d:" % len(content) + content
