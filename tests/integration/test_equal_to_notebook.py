"""The contract: every cell of a pipeline run shows what the notebook shows in one kernel."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.builders import notebook_json
from tests.integration.plain_runs import plainly, shown

pytestmark = pytest.mark.slow

LIBRARY = """
def clean(df):
    df["b"] = df["b"].fillna(0)
    df.sort_values("a", inplace=True)


def note(items, item):
    items.append(item)
"""
TABLE = "a,b\n3,1.5\n1,\n2,0.5\n"


@dataclass(frozen=True)
class Case:
    cells: tuple[str, ...]
    files: dict[str, str] = field(default_factory=dict)
    surprises: bool = False


CASES = {
    "a frame changed in place; by a library, unseen": Case(
        (
            "import pandas as pd\nimport lib",
            "#| step: load\ndf = pd.read_csv('table.csv')\ndf['c'] = 1\nseen = []\ndf",
            "#| step: drop\ndf.drop(columns='c', inplace=True)",
            "#| step: clean\nlib.clean(df)\nlib.note(seen, 'clean')",
            "#| step: use\nprint(df['b'].isna().sum(), seen)\nprint(df.sum())\ndf",
        ),
        {"table.csv": TABLE, "lib.py": LIBRARY},
        surprises=True,
    ),
    "state that is shared: names, views, helpers, a log, branches": Case(
        (
            "import numpy as np\ndef helper(d):\n    d['c'] = 1\n"
            "def push(item):\n    log.append(item)",
            "#| step: make\na = [1]\nb = a\narr = np.arange(4)\nv = arr[1:]\nd = {}\nlog = []\n"
            "results = {}",
            "#| step: left\nb.append(1)\nv[0] = 5\nhelper(d)\npush(3)\nresults['left'] = 1",
            "#| step: right\nresults['right'] = len(a) * 5",
            "#| step: show\nprint(a, arr.sum(), d, log)\na is b, np.shares_memory(v, arr), results",
        )
    ),
    "a task goes on when its step ends": Case(
        (
            "import asyncio\nasync def later():\n    await asyncio.sleep(0.2)\n    kept.append(2)",
            "#| step: begin\nkept = [1]\n_task = asyncio.create_task(later())",
            "#| step: wait\nawait asyncio.sleep(1)",
            "#| step: use\nprint(kept)",
        ),
        surprises=True,
    ),
    "a thread goes on when its step ends, one of a pool only waits": Case(
        (
            "import threading, time\nfrom concurrent.futures import ThreadPoolExecutor\n"
            "def later():\n    time.sleep(0.5)\n    kept.append(2)",
            "#| step: pool\nn = list(ThreadPoolExecutor(1).map(abs, [-1]))",
            "#| step: begin\nkept = [1]\nthreading.Thread(target=later).start()",
            "#| step: use\ntime.sleep(1)\nprint(kept, n)",
        ),
        surprises=True,
    ),
    "a model that is fitted": Case(
        (
            "import numpy as np\nfrom sklearn.linear_model import LogisticRegression",
            "#| step: data\nX = np.arange(20.0).reshape(10, 2)\ny = (X[:, 0] > 9).astype(int)\n"
            "model = LogisticRegression()",
            "#| step: fit\nmodel.fit(X, y)",
            "#| step: score\nprint(model.score(X, y), model.coef_.round(6))\nmodel",
        )
    ),
    "seeded draws over three steps": Case(
        (
            "import random\nimport numpy as np\nimport pandas as pd",
            "#| step: seed\nnp.random.seed(0)\nrandom.seed(1)\nnp.random.rand(2)",
            "#| step: draw\ndf = pd.DataFrame({'a': np.random.rand(5)})\nrandom.random()",
            "#| step: sample\ndf.sample(2)",
            "#| step: last\nprint(np.random.rand(), random.random())\ndf.sample(3)",
        )
    ),
    "settings and places, a seed among them": Case(
        (
            "import os\nimport warnings\nimport numpy as np\nimport pandas as pd\n"
            "np.random.seed(7)\nnp.set_printoptions(precision=3)",
            "#| step: first\npd.set_option('display.precision', 2)\nos.chdir('data')\n"
            "os.environ['MODE'] = 'fast'\nwarnings.filterwarnings('ignore')\n"
            "a = np.random.rand(3)\na",
            "#| step: second\nnp.random.shuffle(a)\ndf = pd.read_csv('table.csv') / 7\ndf",
            "#| step: third\nprint(os.path.basename(os.getcwd()), os.environ['MODE'])\n"
            "warnings.warn('loud')\nprint(a, np.random.randint(100))\ndf",
        ),
        {"data/table.csv": TABLE},
    ),
    "settings right behind the imports, in a step": Case(
        (
            "#| step: first\nimport numpy as np\nimport pandas as pd\n"
            "pd.options.display.max_rows = 4\nimport sklearn\n"
            "sklearn.set_config(transform_output='pandas')\nnp.set_printoptions(precision=2)\n"
            "import matplotlib.pyplot as plt\nplt.rc('figure', figsize=(3, 3))",
            "#| step: second\ntable = pd.DataFrame({'a': range(20)})\ntable",
            "#| step: third\nfrom sklearn.preprocessing import StandardScaler\n"
            "print(np.array([1 / 3]), plt.rcParams['figure.figsize'])\n"
            "StandardScaler().fit_transform(table)",
        )
    ),
    "settings made in a function, a loop, of a value; undone again": Case(
        (
            "import os, sys, warnings, logging, decimal\nimport numpy as np\nimport pandas as pd\n"
            "def prepare(n):\n    pd.set_option('display.max_rows', n)\n"
            "    np.set_printoptions(precision=n)\n    os.environ['N'] = str(n)\n"
            "    logging.basicConfig(level=logging.INFO, stream=sys.stdout)\n"
            "    decimal.getcontext().prec = n\n    warnings.simplefilter('ignore')",
            "#| step: one\nn = len('abcd')\nprepare(n)\nos.chdir('data')\nsys.path.insert(0, 'x')",
            "#| step: two\nlogging.info('hello')\nwarnings.warn('not shown')\n"
            "print(os.path.basename(os.getcwd()), os.environ['N'], sys.path[0])\n"
            "print(np.array([1 / 3]), decimal.Decimal(1) / 3)\npd.DataFrame({'a': range(20)})",
            "#| step: three\nos.environ.pop('N', None)\nfor k in ['display.max_rows']:\n"
            "    pd.set_option(k, 6)\ndf = pd.read_csv('table.csv')\nif len(df):\n"
            "    warnings.resetwarnings()\n    np.seterr(all='ignore')",
            "#| step: four\nprint('N' in os.environ, pd.get_option('display.max_rows'))\n"
            "warnings.warn('shown')\nprint(df, os.path.basename(os.getcwd()), np.float64(1) / 0)\n"
            "pd.DataFrame({'a': range(20)})",
        ),
        {"data/table.csv": TABLE},
        surprises=True,
    ),
    "a module beside the notebook that remembers": Case(
        (
            "import lib\nfrom lib import registry",
            "#| step: one\nlib.bump()",
            "#| step: two\nprint(lib.bump(), lib.counter, registry, lib.registry is registry)",
            "#| step: three\nlib.Config.level += 1\nlib.counter = 100",
            "#| step: four\nprint(lib.bump(), lib.Config.level, registry)",
        ),
        {
            "lib.py": "counter, registry = 0, []\nclass Config:\n    level = 1\ndef bump():\n"
            "    global counter\n    counter += 1\n    registry.append(counter)\n"
            "    return counter\n"
        },
        surprises=True,
    ),
    "a connection and a generator: steps that run as one": Case(
        (
            "import sqlite3",
            "#| step: connect\nconn = sqlite3.connect(':memory:')\nother = 5\n"
            "g = (i * i for i in range(9))\nnext(g)",
            "#| step: fill\nconn.execute('create table t (a int)').fetchall()\n"
            "conn.executemany('insert into t values (?)', [(i,) for i in range(5)])\nnext(g)",
            "#| step: aside\nprint(other * 2)",
            "#| step: count\nn = conn.execute('select count(*) from t').fetchone()[0]\nprint(n)",
            "#| step: report\nprint(n + other, sum(g))",
        ),
    ),
    "a class that counts, a default that remembers, cells of two steps in turn": Case(
        (
            "class Node:\n    made = 0\n    def __init__(self):\n        Node.made += 1\n"
            "def collect(x, seen=[]):\n    seen.append(x)\n    return list(seen)",
            "#| step: a\nx = Node()\nt = 1",
            "#| step: b\ny = Node()\nprint(Node.made, collect(1))\nt += 1",
            "#| step: c\nprint(collect(2))",
            "#| step: a\nt *= 5\nz = Node.made * 3",
            "#| step: e\nprint(z, y.made, t)",
        ),
    ),
    "the current figure, which no variable holds": Case(
        (
            "import matplotlib.pyplot as plt",
            "#| step: draw\nplt.plot([1, 2])\nplt.title('one')\nprint(len(plt.gca().lines))",
            "#| step: look\nprint(len(plt.gca().lines), plt.gca().get_title(), plt.get_fignums())",
            "#| step: again\nplt.plot([3, 4])\nplt.plot([5, 6])\nprint(len(plt.gca().lines))",
        )
    ),
    "magics": Case(
        (
            "%matplotlib inline\nimport matplotlib.pyplot as plt\nfrom math import *",
            "%%step list\nfiles = !ls\nfiles",
            "%%step timed\n%time total = sum(range(10))\nprint(total)",
            "#| step: timed\nif (n := len(files)) > 1:\n    print(n, floor(pi))",
            "%%step bash\n%%time\nm = n * 2\nprint(m)",
            "#| step: bash\n!echo {m}\nfig, ax = plt.subplots()\nax.plot([n, total])",
            "#| step: title\nax.set_title('T')\nprint(len(ax.lines), ax.get_title())",
        ),
        {"a.txt": "", "b.txt": ""},
    ),
    "names: global, deleted, perhaps not there; classes of the notebook": Case(
        (
            "from dataclasses import dataclass, field",
            "@dataclass\nclass Account:\n    owner: str\n"
            "    log: list = field(default_factory=list)\n    def add(self, amount):\n"
            "        self.log.append(amount)\n        return self",
            "#| step: a\ndef count():\n    global n\n    n = n + 1\nn = 0\ncount()\n"
            "mine = Account('me')\nothers = {'mine': mine}",
            "#| step: b\ncount()\nold = n\ndel n\nmine.add(5).add(7)",
            "#| step: c\ntry:\n    n\nexcept NameError:\n    print('no n')\n    n = 10",
            "#| step: d\ntry:\n    cfg\nexcept NameError:\n    cfg = {'n': n}\nprint(cfg, old)",
            "#| step: d\nprint(sum(others['mine'].log), type(mine) is Account)\nmine",
        )
    ),
    "a cell that raises": Case(
        (
            "def divide(a, b):\n    return a / b",
            "#| step: a\nx = 0\nprint('a')",
            "#| step: b\nprint('b')\ny = divide(1, x)",
            "#| step: c\nprint('never', y)",
        )
    ),
}


def laid_out(directory: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_pipeline_shows_what_the_notebook_shows(shell, tmp_path, monkeypatch, case):
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    monkeypatch.setenv("PYTHONPATH", shell.environ["PYTHONPATH"])
    notebook = notebook_json("%load_ext nbpipe", *case.cells)
    laid_out(shell.directory, case.files)
    path = shell.directory / "book.ipynb"
    path.write_text(json.dumps(notebook))
    process = shell.start("run", "book.ipynb", "--json")
    alone = laid_out(tmp_path / "plain", {"book.ipynb": "", **case.files})
    expected = plainly(alone, notebook)
    out, err = process.communicate(timeout=120)
    lines = [json.loads(line) for line in out.splitlines()]
    summary = lines[-1]
    failed = any(part[0] == "error" for parts in expected for part in parts)
    assert process.returncode == (1 if failed else 0), err + out
    executed = json.loads(Path(summary["executed_notebook"]).read_text())
    assert in_the_pipeline(shown(executed["cells"]), case) == in_the_pipeline(expected, case)
    surprises = [line for line in lines if line["event"] == "pipeline-revised"]
    # How many depends on which steps happen to run beside each other.
    assert bool(surprises) == case.surprises, surprises
    if failed:
        return
    again = shell("run", "book.ipynb", "--json")
    assert set(again.states.values()) == {"reused"}
    assert shown(shell.executed(again)) == shown(executed["cells"])


def in_the_pipeline(cells: list[Any], case: Case) -> list[Any]:
    """Leave out cells that are exploration: no step, and so without outputs in a run."""
    tags = ("#| step", "%%step")
    return [
        parts
        for source, parts in zip(case.cells, cells[1:], strict=True)
        if source.startswith(tags)
    ]


def test_a_value_that_cannot_travel_is_refused_by_name_when_asked(shell):
    """With --strict: the variable, its type, who reads it, what to do. Else steps run as one."""
    shell.write(
        "book.ipynb",
        "#| step: connect\nimport sqlite3\nconn = sqlite3.connect(':memory:')",
        "#| step: query\nprint(conn.execute('SELECT 1').fetchall())",
    )
    failed = shell("run", "book.ipynb", "--strict")
    assert failed.code == 1
    assert "Cannot store 'conn' (sqlite3.Connection)" in failed.err
    assert "'conn' is needed by query" in failed.err
    assert "put the cells that use it into one step" in failed.err
