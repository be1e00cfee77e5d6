"""What functions and classes hold, and when it counts as changed."""

from __future__ import annotations

import copyreg
import functools
from typing import Any

import pytest

from nbpipe.kernel.definition_state import states_of

COUNTED = """
def counted(f):
    n = 0
    def call(*args):
        nonlocal n
        n += 1
        return f(*args)
    return call
@counted
def f(x): return x
"""


def namespace_of(source: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "__main__", "functools": functools}
    exec(source, namespace)
    return namespace


def states(namespace: dict[str, Any], *, steady: bool) -> dict[str, str]:
    names = [name for name in ("f", "C") if name in namespace]
    return states_of(namespace, names, definitions=frozenset(names), steady=steady)


@pytest.mark.parametrize(
    ("source", "use"),
    [
        ("def f(): pass\nf.calls = 0", "f.calls += 1"),
        ("def f(x=[]): x.append(1)", "f()"),
        ("def f(*, x=[]): x.append(1)", "f()"),
        (COUNTED, "f(1)"),
        ("class C:\n    n = 0", "C.n = 1"),
        ("class C:\n    n = []", "C().n.append(1)"),
        ("class C:\n    def m(self): return 1", "C.m = lambda self: 2"),
        ("class C: pass", "C.new = 1"),
    ],
)
def test_what_a_definition_holds_is_seen_to_change(source, use):
    namespace = namespace_of(source)
    before = states(namespace, steady=True)
    exec(use, namespace)
    assert before
    assert states(namespace, steady=False) != before


@pytest.mark.parametrize(
    ("source", "use"),
    [
        ("def f(x=1): return x", "f()"),
        (COUNTED.replace("n += 1", "pass"), "f(1)"),
        ("@functools.wraps(len)\ndef f(x): return x", "f(1)"),
        ("class C:\n    n = 0\n    def m(self): self.n = 1", "C().m()"),
        ("import abc\nclass C(abc.ABC): pass", "isinstance(1, C)"),
        ("import enum\nclass C(enum.Enum):\n    A = 1", "C(1), C['A']"),
        ("import enum\nclass C(enum.Flag):\n    A = 1\n    B = 2", "C(3)"),
        ("import dataclasses\n@dataclasses.dataclass\nclass C:\n    x: int = 0", "repr(C())"),
        ("import typing\nclass C(typing.Generic[typing.TypeVar('T')]): pass", "C[int]"),
    ],
)
def test_using_a_definition_is_no_change(source, use):
    namespace = namespace_of(source)
    before = states(namespace, steady=True)
    exec(use, namespace)
    assert states(namespace, steady=False) == before


def test_that_an_instance_was_pickled_is_no_change():
    namespace = namespace_of("class C:\n    n = 0")
    before = states(namespace, steady=True)
    assert copyreg._slotnames(namespace["C"]) == []
    assert states(namespace, steady=False) == before


def test_functions_that_hold_nothing_are_left_out():
    assert states(namespace_of("def f(x): return x"), steady=True) == {}
