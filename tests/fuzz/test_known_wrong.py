"""Notebooks that a pipeline gets wrong, most of them silently: each as small as it gets.

A case that passes fails here (`xfail` is strict). Then it moves to `test_once_wrong.py`, and its
move from `moves/open_defects.py`, if it has one, to its topic.
"""

from __future__ import annotations

import pytest

from tests.fuzz.case import Case, case_of
from tests.fuzz.judge import Outcome
from tests.fuzz.moves.process_state import MODULES


def steps(setup: str, *bodies: str, files: dict[str, str] | None = None) -> Case:
    """A setup cell, and steps of a cell each."""
    tagged = [f"#| step: s{number}\n{body}" for number, body in enumerate(bodies, start=1)]
    return case_of(*([setup] if setup else []), *tagged, files=files)


# Topic: why it is wrong: the notebook.
WRONG: dict[str, dict[str, Case]] = {
    "names": {
        "a `with` can end its body early, and then what it was to bind is what it was": steps(
            "import contextlib",
            "n = 1",
            "with contextlib.suppress(IndexError):\n    [][9]\n    n = 2",
            "print(n)",
        ),
        "a variable that text made is there again after it was deleted": steps(
            "",
            "globals()['made'] = [3]",
            "if 'made' in globals():\n    del made",
            "print([name for name in ('made', 'never') if name in globals()])",
        ),
        "an attribute of `__main__` is a variable, and nobody sees that": steps(
            "", "a = 1", "import __main__\n__main__.a = 5", "print(a)"
        ),
        "nor in `setattr(sys.modules['__main__'], …)`": steps(
            "import sys", "a = 1", "setattr(sys.modules['__main__'], 'a', 5)", "print(a)"
        ),
    },
    "randomness": {
        "`getstate` reads the stream, and is not linked to who drew from it": steps(
            "import random\nrandom.seed(0)",
            "random.random()",
            "print(random.getstate()[1][-1])",
        ),
        "a state that is put back is not the one that was there": steps(
            "import random\nrandom.seed(0)",
            "x = random.getstate()",
            "random.random()",
            "random.setstate(x)",
            "print(random.random())",
        ),
    },
    "frames": {
        "an index that a variable holds is its frame's, and is renamed": steps(
            "import pandas as pd",
            "f = pd.DataFrame({'a': [1]})",
            "i = f.index",
            "i.name = 'x'",
            "print(f.index.name)",
        ),
    },
    "functions": {
        "what `lru_cache` remembers is lost, and with it that the function need not run": steps(
            "import functools\n@functools.lru_cache\ndef f(x):\n    log.append(x)",
            "log = []",
            "f(0)",
            "f(0)\nprint(log)",
        ),
    },
    "modules": {
        "a function of a module changes a global of it": steps(
            "import lib", "lib.bump()", "print(lib.counter)", files=dict(MODULES.files)
        ),
        "the same by an imported name": steps(
            "from lib import bump", "bump()", "print(bump())", files=dict(MODULES.files)
        ),
        "a list of a module grows": steps(
            "import lib", "lib.items.append(1)", "print(lib.items)", files=dict(MODULES.files)
        ),
        "the same by an imported name, of the list": steps(
            "from lib import items", "items.append(1)", "print(items)", files=dict(MODULES.files)
        ),
        "a class of a module counts": steps(
            "import lib",
            "x = lib.Thing()",
            "y = lib.Thing()\nprint(x, y)",
            files=dict(MODULES.files),
        ),
        "a default argument in a module grows": steps(
            "import lib2", "lib2.remember(1)", "print(lib2.remember(1))", files=dict(MODULES.files)
        ),
        "a star import brings a list, which grows": steps(
            "", "from stars import *\nstars.append(2)", "print(stars)", files=dict(MODULES.files)
        ),
    },
    "settings": {
        "an option is set inside a function": steps(
            "import pandas as pd\ndef f():\n    pd.set_option('display.precision', 1)",
            "df = pd.DataFrame({'a': [1 / 3]})\nf()",
            "print(df)",
        ),
        "an option is set by another name": steps(
            "import numpy as np",
            "p = np.set_printoptions\np(precision=2)\nx = np.array([1 / 3])",
            "print(x)",
        ),
        "an option is set under a condition": steps(
            "import numpy as np",
            "n = len('ab')\nx = np.array([1 / 3])",
            "if n > 1:\n    np.set_printoptions(precision=2)",
            "print(x)",
        ),
        "a warning filter is set inside a function": steps(
            "import warnings\ndef f():\n    warnings.simplefilter('ignore')",
            "f()",
            "warnings.warn('x')\nprint(1)",
        ),
        "an environment variable is set inside a function": steps(
            "import os\ndef f(**variables):\n    os.environ.update(variables)",
            "f(MODE='a')",
            "print(os.environ.get('MODE'))",
        ),
        "the working directory changes inside a function": steps(
            "import os\ndef f(name):\n    os.makedirs(name)\n    os.chdir(name)",
            "f('d')",
            "print(os.path.basename(os.getcwd()) == 'd')",
        ),
        "Matplotlib's settings change inside a function": steps(
            "import matplotlib.pyplot as plt\ndef f():\n    plt.rcParams['lines.linewidth'] = 4",
            "f()",
            "print(plt.rcParams['lines.linewidth'])",
        ),
    },
    "files": {
        "a file is written by a computed path": steps(
            "import os",
            "n = str(5)",
            "open(n + '.txt', 'w').write('a')",
            "print(os.path.exists('5.txt'))",
        ),
        "a directory is listed before a later step writes into it": steps(
            "import os",
            "open('o.txt', 'w').write('1')",
            "print([os.listdir('.').count(name) for name in ('o.txt', 'p.txt')])",
            "open('p.txt', 'w').write('1')",
        ),
    },
}


@pytest.mark.xfail(strict=True, reason="known to be wrong; the case says why")
@pytest.mark.parametrize(
    ("topic", "why"), [(topic, why) for topic, cases in WRONG.items() for why in cases]
)
def test_a_notebook_that_is_known_to_come_out_wrong(judged, topic, why):
    assert judged(WRONG[topic][why]).outcome in {Outcome.EQUAL, Outcome.REFUSED}
