"""The promise, on notebooks small enough to read: a pipeline shows what the notebook shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import pipeline_of
from tests.simulate import run_pipeline, run_plain

NOTEBOOKS: dict[str, list[str]] = {
    "alias": ["a = [1]; b = a", "b.append(1)", "a"],
    "view": ["import numpy as np\narr = np.arange(4)\nv = arr[1:]", "v[0] = 9", "arr.tolist()"],
    "branches": ["r = {}", "r['lr'] = 1", "r['rf'] = 2", "r"],
    "helper": ["def h(d):\n    d['c'] = 1\nx = {}", "h(x)", "x"],
    "helper returns its argument": [
        "def h(d):\n    return d\nx = [1]\ny = h(x)",
        "y.append(2)",
        "x",
    ],
    "global counter": ["n = 0\ndef up():\n    global n\n    n += 1", "up()\nup()", "n"],
    "closure over a later global": ["def f(): return k", "k = len('ab')", "f()", "k = 7", "f()"],
    "lambda in a dict": ["d = {}\nk = len('a')\nd['f'] = lambda x: x + k", "d['f'](1)"],
    "class with state": [
        "class C:\n    def __init__(self, r): self.r = r\n    def grow(self): self.r.append(0)",
        "rows = [1]\nc = C(rows)",
        "c.grow()",
        "rows, c.r is rows",
    ],
    "old class, new class": [
        "class S:\n    n = 3\n    def tell(self): return 'old'\ns = S()",
        "class S:\n    n = 4\n    def tell(self): return 'new'\nt = S()",
        "s.tell(), t.tell(), s.n, t.n, isinstance(s, S), isinstance(t, S)",
    ],
    "instance check": ["class P: pass\np = P()", "isinstance(p, P)"],
    "star import over a name": ["pi = len('abc')", "from math import *", "pi > 3"],
    "star import under a name": ["from math import *", "pi = len('abc')", "pi"],
    "seeded stream": ["import random\nrandom.seed(3)", "random.random()", "random.random()"],
    "generator": ["import random\nrng = random.Random(3)", "rng.random()", "rng.random()"],
    "iterator": ["it = iter([1, 2, 3])", "next(it)", "list(it)"],
    "shared rows": ["row = [0]\ngrid = [row, row]", "grid[0].append(1)", "grid, row"],
    "frames in a list": [
        "import pandas as pd\na = pd.DataFrame({'x': [1]})\nb = pd.DataFrame({'x': [2]})\nfs = [a, b]",
        "for f in fs:\n    f['y'] = 5",
        "a.columns.tolist(), b.columns.tolist()",
    ],
    "del in a branch": ["x = 1\nflag = len('')", "if flag:\n    del x", "x"],
    "empty loop": ["name = 'start'\nrows = list('')", "for name in rows: pass", "name"],
    "try name error": ["try:\n    cfg\nexcept NameError:\n    cfg = {'a': 1}", "cfg"],
    "walrus in a comprehension": ["v = [last := i for i in range(3)]", "last, v"],
    "decorated by the notebook": [
        "def twice(f):\n    def g(*a): return f(*a) * 2\n    return g",
        "@twice\ndef one(): return k\nk = len('a')",
        "one()",
    ],
    "closures that share a cell": [
        "def counter():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n        return n\n"
        "    def now(): return n\n    return up, now\nup, now = counter()",
        "up()",
        "now()",
    ],
    "exec of text": ["code = 'made = 1 + 1'", "exec(code)", "made"],
    "a patched class": ["class Cfg:\n    rate = 1", "Cfg.rate = 5", "Cfg.rate"],
    "default argument is early": ["k = 1\ndef f(x=k): return x", "k = 2", "f()"],
    "class attribute list": ["class L:\n    rows = []\nl = L()", "l.rows = [1]", "l.rows"],
    "recursion": ["def fact(n): return 1 if n < 2 else n * fact(n - 1)\nx = len('abc')", "fact(x)"],
    "method on a subclass": [
        "class A:\n    def go(self): self.x = 1\nclass B(A): pass\nb = B()",
        "b.go()",
        "b.x",
    ],
    "property setter": [
        "class T:\n    def __init__(self): self._v = 0\n    @property\n    def v(self): return self._v\n"
        "    @v.setter\n    def v(self, x): self._v = x",
        "t = T()",
        "t.v = 4",
        "t.v",
    ],
    "tuple of aliases": ["a = [1]\np = (a, a)", "a.append(2)", "p"],
    "conditional import": [
        "try:\n    import json\nexcept ImportError:\n    json = None",
        "json.dumps([1])",
    ],
    "enum and dataclass": [
        "from enum import Enum\nfrom dataclasses import dataclass\nclass E(Enum):\n    A = 1\n"
        "@dataclass\nclass D:\n    e: E",
        "d = D(E.A)",
        "d, d.e is E.A",
    ],
    "namedtuple": [
        "from collections import namedtuple\nP = namedtuple('P', 'x y')",
        "p = P(1, 2)",
        "p.x, p",
    ],
}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_pipeline_shows_what_the_notebook_shows(name: str, tmp_path: Path) -> None:
    cells = NOTEBOOKS[name]
    plain = run_plain(cells)
    pipeline = pipeline_of(*(f"%%step s{i}\n{cell}" for i, cell in enumerate(cells)))
    shown = run_pipeline(pipeline, tmp_path)
    assert [shown.get(number) for number in range(1, len(plain) + 1)] == plain
