"""Random notebooks that do what breaks pipelines: change things in place, alias them, hide them in
containers, closures, views and helpers, rebind names, draw random numbers, run text as code.

Every notebook is valid Python, and most run without an exception.
"""

from __future__ import annotations

from random import Random

PRELUDE = """
import copy
import random
import numpy as np
import pandas as pd
"""

HELPERS = [
    "def push(target, value):\n    target.append(value)",
    "def grow(target, value=1):\n    push(target, value)\n    return target",
    "def first(things):\n    return things[0]",
    "def note(value):\n    log.append(value)\n    return len(log)",
    "def count():\n    global counter\n    counter += 1\n    return counter",
    "def widen(frame, name='w'):\n    frame[name] = scale\n    return frame.shape",
    "def fill(array, value):\n    array[:] = value",
    "def scaled(x):\n    return x * scale",
    "def make_adder(n):\n    total = [n]\n    def add(x):\n        total[0] += x\n        return total[0]\n"
    "    return add",
    "def pair(a, b):\n    return {'a': a, 'b': b}",
    "def shuffled(items):\n    random.shuffle(items)\n    return items",
    "def quietly(thing):\n    getattr(thing, 'append')(99)",
    "class Box:\n    made = 0\n    def __init__(self, content):\n        self.content = content\n"
    "    def put(self, value):\n        self.content.append(value)\n        return self\n"
    "    def swap(self, other):\n        self.content, other.content = other.content, self.content\n"
    "    def __repr__(self):\n        return f'Box({self.content})'",
    "class Tally(dict):\n    def hit(self, key):\n        self[key] = self.get(key, 0) + 1\n"
    "        return self[key]",
]

LISTS = ["l1", "l2", "l3"]
DICTS = ["d1", "d2"]
ARRAYS = ["x1", "x2", "x3"]
FRAMES = ["f1", "f2"]
SERIES = ["s1"]
NUMBERS = ["n1", "n2", "counter", "scale"]
BOXES = ["b1", "b2"]
SETS = ["t1"]
FUNCTIONS = ["add1", "add2"]
TALLIES = ["y1"]


def start(random: Random) -> list[str]:
    """The cells that give every name a value."""
    return [
        "l1 = [1, 2]; l2 = [3]; l3 = l1"
        if random.random() < 0.5
        else "l1 = [1]; l2 = l1; l3 = [l1, l2]",
        "d1 = {'k': l1, 'n': 0}; d2 = {}",
        "x1 = np.arange(6); x2 = x1[2:]; x3 = np.ones((2, 3))",
        "f1 = pd.DataFrame({'a': [1, 2, 3], 'b': [0.5, 1.5, 2.5]}); f2 = f1.copy(); s1 = f1['a']",
        "n1 = 1; n2 = 2.5; counter = 0; scale = 3; log = []",
        "b1 = Box(l2); b2 = Box([7])",
        "t1 = {1, 2}; y1 = Tally(); add1 = make_adder(1); add2 = make_adder(2)",
    ]


def operation(r: Random) -> str:
    """One statement or two."""
    a, b = r.choice(LISTS), r.choice(LISTS)
    d, x, y = r.choice(DICTS), r.choice(ARRAYS), r.choice(ARRAYS)
    f, n, box = r.choice(FRAMES), r.choice(NUMBERS), r.choice(BOXES)
    k = r.randint(0, 3)
    choices = [
        f"{a}.append({k})",
        f"{a} = {b}",
        f"{a} = list({b})",
        f"{a} = {a} + [{k}]",
        f"{a} += [{k}]",
        f"{a}[:1] = [{k}]",
        f"{a}.extend({b}[:2])",
        f"del {a}[1:]",
        f"push({a}, {k})",
        f"grow({a}).append({k})",
        f"{b} = grow({a}, {k})",
        f"quietly({a})",
        f"[item for item in map({a}.append, [{k}])]",
        f"for item in ({a}, {b}):\n    item.append({k})",
        f"copied = copy.deepcopy({a}); copied.append({k}); {b} = copied",
        f"{d}['k'] = {a}",
        f"{d}['n'] = {n}",
        f"{d}.setdefault('m', []).append({k})",
        f"for value in list({d}.values()):\n    if isinstance(value, list):\n        value.append({k})",
        f"{d} = dict({d}, z={k})",
        f"{d}.update(k={a})",
        f"held = {d}.get('k', {a}); held.append({k})",
        f"{d}['self'] = {r.choice(DICTS)}.get('n')",
        f"{x}[0] = {k}",
        f"{x}.flat[1] = {k}",
        f"{x} = {x} * 1",
        f"{x} = {y}[:]",
        f"{x} = {y}.reshape(-1)",
        f"fill({x}, {k})",
        f"{x} += 1",
        f"np.add({x}, 1, out={x})",
        f"view = {x}[1:]; view[...] = {k}",
        f"np.random.shuffle({x}.reshape(-1))" if r.random() < 0.3 else f"{x}.sort()",
        f"{f}['c{k}'] = {n}",
        f"{f}.loc[0, 'b'] = {k}",
        f"{f}.drop(columns=[c for c in {f} if c.startswith('c')], inplace=True)",
        f"{f} = {f}.assign(d={k})",
        f"{f} = {r.choice(FRAMES)}",
        f"widen({f})",
        f"widen({f}, 'v{k}')",
        f"s1 = {f}['b'].copy(); s1.iloc[0] = {k}",
        f"{f}.insert(0, 'i' + str({f}.shape[1]), {k})",
        f"{n} = {n} + 1",
        f"{n} += {k}",
        f"{n} = scaled({k})",
        "count()",
        "counter = 0",
        f"scale = {k + 1}",
        f"note({n})",
        f"note({a})",
        "log = []",
        f"{box}.put({k})",
        f"{box} = Box({a})",
        f"{box}.content = {a}",
        f"{box}.swap({r.choice(BOXES)})",
        f"{a} = {box}.content",
        f"Box.made = {k}",
        f"t1.add({k})",
        f"t1 = t1 | {{{k}}}",
        f"y1.hit('{k}')",
        f"{r.choice(FUNCTIONS)}({k})",
        f"add1 = make_adder({k})",
        "add2 = add1",
        f"exec('{a}.append({k})')",
        f"exec('n1 = ' + str({k}))",
        f"globals()['n2'] = {k}",
        f"if {n} > {k}:\n    {a} = [{k}]",
        f"if len({a}) > {k}:\n    {a}.append({k})\nelse:\n    {b} = []",
        f"try:\n    {a}.remove({k})\nexcept ValueError:\n    {n} = {k}",
        f"while len({a}) > 6:\n    {a}.pop()",
        f"both = pair({a}, {x}); both['a'].append({k})",
        f"({a}, {b}) = ({b}, {a})",
        f"first([{a}, {b}]).append({k})",
        f"shuffled({a})" if r.random() < 0.2 else f"{a}.reverse()",
        "np.random.seed(1)" if r.random() < 0.1 else f"{n} = {k}",
        f"{n} = float(np.random.rand())" if r.random() < 0.2 else f"{n} = -{k}",
        f"lambda_ = lambda v: {a}.append(v); lambda_({k})",
        f"last = [({n} := item) for item in [{k}, {k + 1}]]",
        f"nested = [{a}, [{b}]]; nested[1][0].append({k})",
        f"match {d}:\n    case {{'k': [*_]}}:\n        {d}['k'].append({k})\n    case _:\n        {d}['new'] = {k}",
        f"def scaled(x):\n    return x * scale + {k}",
        f"a1, *rest = {a} + [0]; rest.append({k}); {b} = rest",
        f"it = iter({a}); next(it, None); {b} = list(it)",
        f"with_names = {{name: value for name, value in {d}.items() if name != 'self'}}; {d} = with_names",
    ]
    return r.choice(choices)


SHOW = (
    "print(l1, l2, l3, d1, d2, log, n1, n2, counter, scale, b1, b2, sorted(t1), sorted(y1.items()))",
    "print(x1.tolist(), x2.tolist(), x3.tolist())",
    "print(f1.to_dict(), f2.to_dict(), s1.tolist())",
    "print(l1 is l2, l1 is l3, l2 is l3, b1.content is l1, d1.get('k') is l1, f1 is f2, x1 is x2)",
    "print(add1(0), add2(0), Box.made, scaled(2))",
)


def random_notebook(seed: int, *, cells: int = 8) -> list[str]:
    """The sources of a notebook: setup, values, operations in cells, and the values shown."""
    r = Random(seed)
    helpers = HELPERS[:]
    notebook = [PRELUDE.strip() + "\n\n" + "\n\n".join(helpers)]
    # A stream that nobody seeds differs from run to run, and has no answer to compare with.
    notebook.append("np.random.seed(0)\nrandom.seed(0)")
    notebook += start(r)
    for _ in range(cells):
        lines = [operation(r) for _ in range(r.randint(1, 3))]
        if r.random() < 0.4:
            lines.append(r.choice(SHOW))
        notebook.append("\n".join(lines))
    return [*notebook, *SHOW]


def tagged(notebook: list[str], seed: int) -> list[str]:
    """The notebook with steps: each cell one, or neighbours in one; the first cell stays setup."""
    r = Random(seed)
    number, tagged_cells = 0, [notebook[0]]
    for cell in notebook[1:]:
        if number == 0 or r.random() < 0.75:
            number += 1
        tagged_cells.append(f"%%step s{number}\n{cell}")
    return tagged_cells
