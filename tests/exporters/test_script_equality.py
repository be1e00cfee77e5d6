"""The promise of the script: it prints what the cells print, run from top to bottom."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.exporters.exporting import (
    cells_to_run,
    printed_by_cells,
    printed_by_script,
    script_of,
)
from tests.random_notebooks import random_notebook, tagged

# Plain Python, run in this process. A name says what a wrong script would get wrong.
CASES: dict[str, list[str]] = {
    "a helper reads a global": [
        "k = 2\ndef f(x):\n    return x * k",
        "%%step a\nprint(f(1))\nk = 5\nprint(f(1))",
        "%%step b\nk += 1\nf(2)",
    ],
    "a lambda is bound late": [
        "%%step a\nk = 1\ng = lambda x: x + k\nfs = [lambda: k]",
        "%%step b\nk = 10\nprint(g(1), fs[0]())",
    ],
    "a generator is bound late": [
        "%%step a\nk = 1\nit = (x * k for x in range(3))",
        "%%step b\nk = 10\nprint(list(it))",
    ],
    "a lambda keeps what nobody rebinds": [
        "%%step a\nn = 3\nrows = [[n * j for j in range(2)] for i in range(2)]",
        "%%step b\nfs = [lambda v=v: v + n for v in range(2)]",
        "%%step c\nprint(rows, [f() for f in fs])",
    ],
    "a loop may leave its names unbound": [
        "%%step a\nfor i in range(3):\n    y = i * 2",
        "%%step b\nprint(i, y)\nfor i in range(2):\n    z = i\n    print(z)",
        "%%step c\nprint(z, i)",
    ],
    "a branch may leave a name unbound": [
        "%%step a\nc = False\nif c:\n    x = 1",
        "%%step b\ntry:\n    print(x)\nexcept NameError:\n    print('none')\n    x = 3",
        "%%step c\nx",
    ],
    "the other branch reads the earlier value": [
        "%%step a\nx = 5",
        "%%step b\nif x == 6:\n    x = 1\nelse:\n    print(x)",
        "%%step c\nprint(x)",
    ],
    "a builtin is read before it is hidden": [
        "%%step a\nprint(sum([1, 2]))\nsum = sum([3, 4])",
        "%%step b\nprint(sum)",
    ],
    "a method reads a global": [
        "class A:\n    def inc(self, n):\n        return n + STEP",
        "%%step a\nSTEP = 2\na = A()\nprint(a.inc(1))",
        "%%step b\nSTEP = 3\na.inc(1)",
    ],
    "a method changes its class": [
        "%%step a\nclass A:\n    n = 0\n    def inc(self):\n        A.n += 1\n        return A.n\n"
        "a = A()\nprint(a.inc(), a.inc())",
        "%%step b\nprint([(lambda: k)() for k in range(2)])",
    ],
    "a class body reads the global of its own name": [
        "%%step a\nx = 1\nclass A:\n    x = x\n    y = x\nprint(A.x, A.y)",
        "%%step b\nx = 2\nprint(A.x)",
    ],
    "setup defines a function anew": [
        "def f(): return 1",
        "%%step a\nprint(f())",
        "def f(): return 2",
        "%%step b\nprint(f())",
    ],
    "a step defines a function anew": [
        "%%step a\ndef f(): return 1\nprint(f())",
        "%%step b\ndef f(): return 2\nprint(f())",
    ],
    "setup sets a constant anew": [
        "LIMIT = 1",
        "%%step a\nprint(LIMIT)",
        "LIMIT = 2",
        "%%step b\nprint(LIMIT)",
    ],
    "a name is deleted and comes back": [
        "%%step a\nx = [1]\ny = x\ndel x",
        "%%step b\nx = 7\nprint(x, y)",
    ],
    "walrus": [
        "%%step a\nif (n := 10) > 5:\n    print(n)\nxs = [y := i for i in range(3)]",
        "%%step b\nprint(n, y, xs)\n(m := 3)",
    ],
    "what is shown": [
        "%%step a\n1, 2",
        "%%step b\n(1, 2), 3",
        "%%step c\n(1, 2)",
        "%%step d\n'a'  # c;",
        "%%step e\nx = 3; x",
        "%%step f\n(x\n + 1)",
        "%%step g\nNone",
        "%%step h\nif x:\n    x",
    ],
    "a setting, a seed and a generator stay at their place": [
        "import random\nrandom.seed(1)\nrng = random.Random(3)",
        "%%step a\nprint(random.random(), rng.random())",
        "random.seed(5)",
        "%%step b\nprint(random.random(), rng.random())",
    ],
    "a seed counts though no draw is seen": [
        "import random\nimport uuid\nrandom.seed(1)",
        "%%step a\nx = getattr(random, 'random')()",
        "%%step b\nx",
    ],
    "star import at the top": [
        "from math import *",
        "%%step a\nprint(floor(2.5), pi)\npi = 3",
        "%%step b\nprint(pi, ceil(2.1))",
    ],
    "star import in the middle": [
        "%%step a\nx = pow(2, 2)\nprint(x)",
        "%%step b\nfrom math import *\nprint(pow(2, 2), x)",
        "%%step c\nprint(floor(2.5), x)",
    ],
    "parameters": [
        "%%params\nalpha = 0.1\nn = 3\nopt = None",
        "scale = n * 10\ndef f(a=alpha):\n    return a + alpha",
        "%%step a\nprint(f(), scale, opt)\nn = n + 1",
        "%%step b\nprint(n)",
    ],
    "setup hides a parameter": [
        "%%params\nalpha = 1",
        "alpha = 2",
        "%%step a\nprint(alpha)",
    ],
    "steps take turns": [
        "%%step a\nx = 1\nlog = []",
        "%%step b\nlog.append(x)\ny = 1",
        "%%step a\nz = 5",
        "%%step c\nprint(x, z, log, y)",
    ],
    "strings of many lines keep their margin": [
        "%%step a\nt = '''one\n  two\nthree'''\nprint(f'''{t}\n x''')\nif t:\n    u = '\\\n  v'\nu"
    ],
    "text as code": [
        "%%step a\nx = 1\nexec('y = x + 1')",
        "y = 7",
        "%%step b\nprint(y, eval('x + y'))\nprint('x' in globals(), 'x' in locals())",
    ],
    "text as code that names a step": [
        "%%step load\nexec('load = 3')",
        "%%step show\nprint(eval('load + 1'))",
    ],
    "the namespace as a whole": [
        "%%step a\nx = 1\nglobals()['w'] = 5",
        "%%step b\nprint(w, sorted(k for k in globals() if k in ('x', 'w')))",
    ],
    "annotations": [
        "def f():\n    return total",
        "%%step a\ntotal: int = 5\nother: list[int] = [1]\nlate: str\nprint(f())",
        "%%step b\nprint(other)",
    ],
    "global statements": [
        "%%step a\nglobal x\nx = 1\ndef f():\n    global count\n    count = 3\nf()",
        "%%step b\nprint(x, count)",
    ],
    "names of the script's own": [
        "%%step main\ndef main():\n    return 3\njson = main()\nargparse = 5\nread_parameters = 1",
        "%%step print\nprint(json, argparse, read_parameters)",
        "%%step class\nif __name__ == '__main__':\n    print('yes')",
    ],
    "steps named as variables": [
        "def load(x):\n    return x * 2",
        "%%step load\ndata = load(3)",
        "%%step data\nprint(data)",
    ],
    "a prelude runs once": [
        "%%prelude\nprint('once')\ncfg = {'a': 1}\ncfg['b'] = 2",
        "%%step a\nprint(cfg)\ncfg['c'] = 3",
        "%%step b\nprint(cfg)",
    ],
    "setup that depends on parameters": [
        "%%params\nseed = 3",
        "import random\nrandom.seed(seed)\nfrom pathlib import Path\nROOT = Path('x') / str(seed)",
        "LATE = 15",
        "%%step a\nprint(random.random(), ROOT, LATE)",
    ],
    "the end of an object prints": [
        "class Last:\n    def __del__(self):\n        print('gone')",
        "%%step a\nx = Last()",
        "%%step b\nprint('still there')",
        "%%step c\nx = None",
    ],
    "a query reads a variable": [
        "%%step a\nimport pandas as pd\ndf = pd.DataFrame({'a': [1, 2, 3]})\nk = 1",
        "%%step b\nprint(df.query('a > @k').a.tolist())",
    ],
    "annotations of the future": [
        "%%step a\nfrom __future__ import annotations\ndef f(x: int) -> str:\n    return x",
        "%%step b\nprint(f.__annotations__)",
    ],
    "decorators of the notebook's": [
        "made = []\ndef register(f):\n    made.append(f.__name__)\n    return f",
        "%%step a\nprint(made)\n@register\ndef one(): return 1",
        "%%step b\nprint(made)\n@register\ndef two(): return 2\nprint(made, one())",
    ],
    "a default that draws": [
        "%%step a\nimport random\nrandom.seed(0)\nprint(random.random())",
        "%%step b\ndef f(x=random.random()):\n    return x\nprint(f(), random.random())",
    ],
    "a default that changes before": [
        "%%step a\nrows = [1]\nrows.append(2)",
        "%%step b\ndef f(n=len(rows)):\n    return n\nprint(f())",
    ],
    "a function in a branch": [
        "%%step a\nflag = True\nif flag:\n    def f(): return v\nv = 1\nprint(f())",
        "%%step b\nv = 2\nprint(f())",
    ],
    "try, except, finally": [
        "%%step a\ntry:\n    v = 1\nfinally:\n    w = 2",
        "%%step b\ntry:\n    raise ValueError('q')\nexcept ValueError as e:\n    msg = str(e)",
        "%%step c\nprint(v, w, msg)",
    ],
    "an exception that is swallowed": [
        "%%step a\nfrom contextlib import suppress\nwith suppress(TypeError):\n    y = 1 + ''",
        "%%step b\ntry:\n    y\nexcept NameError:\n    print('unbound')",
    ],
    "match": [
        "%%step a\nmatch {'a': 1, 'b': 2}:\n    case {'a': q, **rest}:\n        pass",
        "%%step b\nprint(q, rest)",
    ],
    "statements on one line": [
        "%%step a\nimport os; x = 1; print(x)\ndef f(): return 1; \nprint(f())",
        "%%step b\nprint(os.sep, f())",
    ],
    "imports again and again": [
        "import math",
        "%%step a\nimport math\nprint(math.pi)",
        "%%step b\nimport math as m\nfrom math import pi\nprint(m.pi, pi)",
        "%%step c\nfrom math import pi, e\nprint(pi, e)",
    ],
    "an import hides a value and the other way round": [
        "import math",
        "%%step a\nprint(math.pi)\nmath = 3",
        "%%step b\nprint(math)\nimport math\nprint(math.pi)",
    ],
    "identity": [
        "%%step a\ntotal = 0\nitems = [1]\nalias = items",
        "%%step b\ntotal += 5\nitems += [2]",
        "%%step c\nprint(total, items, alias is items)",
    ],
    "steps without code": ["%%step a\n# nothing", "%%step b\ndef f(): return 2", "%%step c\nf()"],
    "a cell that fails": ["%%step a\nprint(1)", "%%step b\n1 / 0", "%%step c\nprint(2)"],
}


@pytest.mark.parametrize("cells", CASES.values(), ids=CASES.keys())
def test_a_script_prints_what_the_cells_print(cells):
    assert printed_by_script(script_of(*cells)) == printed_by_cells(cells_to_run(*cells))


@pytest.mark.parametrize("seed", range(40))
def test_a_script_prints_what_a_random_notebook_prints(seed):
    cells = tagged(random_notebook(seed), seed)
    if seed % 2:
        # Code in texts makes every variable a global; without it, most are handed on.
        cells = [
            "\n".join(line for line in cell.split("\n") if "exec(" not in line) for cell in cells
        ]
    assert printed_by_script(script_of(*cells)) == printed_by_cells(cells_to_run(*cells))


# What only IPython can run: each case in two processes, one with a shell and one with the script.
IN_A_SHELL: dict[str, list[str]] = {
    "magics": [
        "%%step a\n%matplotlib inline\nx = sum(range(10))\n%time y = x + 1\nx, y",
        "%%step b\n%time x + 1",
        "%%step c\n%%time\nz = x + 1\nz",
        "%%step d\n%timeit -n1 -r1 q = z\n'q' in globals()",
        "%%step e\n%%capture out\nprint('hidden', z)\nkept = z\nz",
        "%%step f\nprint(out.stdout, kept)",
    ],
    "commands": [
        "%%step a\nword = 'hi'\n!echo {word} $word",
        "%%step b\nlines = !echo one; echo two\nprint(len(lines), lines[1])",
        "%%step c\n%%bash\necho from bash\n",
        "%%step d\n%%writefile made.py\nVALUE = 3\n",
        "%%step e\nimport made\nprint(made.VALUE)",
        "%%step f\n%env NBPIPE_TEST=5\nimport os\nos.environ['NBPIPE_TEST']",
    ],
    "silence": ["%%step a\n[1, 2];", "%%step b\nx = 4; x;  # bye", "%%step c\n';'"],
    "await": [
        "import asyncio\nasync def slowly(x):\n    await asyncio.sleep(0)\n    return x + k",
        "%%step a\nk = 1\nr = await slowly(2)\nr",
        "%%step b\ntask = asyncio.create_task(slowly(r))",
        "%%step c\nawait task",
    ],
    "display": [
        "from IPython.display import display",
        "%%step a\ndef tell(x):\n    display(x)\ndisplay(3, 'a')\ntell(None)",
    ],
    "figures": [
        "import matplotlib.pyplot as plt",
        "%%step a\nplt.plot([1, 2])\nplt.show()\nplt.plot([3])\nlen(plt.gca().lines)",
        "%%step b\nplt.plot([1, 2])\nprint(len(plt.gca().lines))\nfig = plt.gcf()",
        "%%step c\nprint(len(plt.get_fignums()), len(fig.axes))",
    ],
    "the end of an object has an effect": [
        "%%step a\nimport tempfile, os\ntmp = tempfile.TemporaryDirectory()\npath = tmp.name",
        "%%step b\nos.path.exists(path)",
    ],
    "pickling": [
        "%%step a\nimport pickle\nclass T:\n    z = 1\nt = pickle.loads(pickle.dumps(T()))",
        "%%step b\nif t:\n    def g(): return 1\nprint(pickle.loads(pickle.dumps(g))(), t.z)",
    ],
}
SHELL = """
import asyncio, json, re, sys
from IPython.core.displayhook import DisplayHook
from IPython.core.interactiveshell import InteractiveShell

class Hook(DisplayHook):
    def __call__(self, result=None):
        if result is not None and not self.quiet():
            print(repr(result))

class Shell(InteractiveShell):
    displayhook_class = Hook
    def enable_gui(self, gui=None):
        pass

def display(*values):
    for value in values:
        print(repr(value))

async def main():
    shell = Shell.instance()
    sys.path.insert(0, "")
    for cell in json.load(open("cells.json")):
        cell = shell.transform_cell(cell)
        result = await shell.run_cell_async(cell, store_history=True, transformed_cell=cell)
        result.raise_error()
        shell.user_ns["display"] = display
        if pyplot := sys.modules.get("matplotlib.pyplot"):
            # As in a notebook, where figures are shown inline.
            pyplot.close("all")
            pyplot.show = lambda: pyplot.close("all")

asyncio.run(main())
"""


@pytest.mark.parametrize("cells", IN_A_SHELL.values(), ids=IN_A_SHELL.keys())
def test_a_script_prints_what_a_shell_prints(cells, tmp_path):
    (tmp_path / "shell").mkdir()
    (tmp_path / "shell" / "cells.json").write_text(json.dumps(cells_to_run(*cells)))
    expected = printed_by("-c", SHELL, folder=tmp_path / "shell")
    (tmp_path / "script.py").write_text(script_of(*cells))
    printed = printed_by("script.py", folder=tmp_path)
    assert printed.split("\n") == [
        line
        for line in expected.split("\n")
        if not line.startswith(("CPU times", "Wall time", "env: ")) and " per loop " not in line
    ]


def printed_by(*arguments: str, folder: Path) -> str:
    """What Python prints in a folder, without the markers of IPython's paths."""
    done = subprocess.run(
        [sys.executable, "-u", *arguments],
        cwd=folder,
        env=os.environ | {"MPLBACKEND": "agg", "IPYTHONDIR": str(folder / ".ipython")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
