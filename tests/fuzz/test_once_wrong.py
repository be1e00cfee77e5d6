"""Notebooks that a pipeline got silently wrong once, as small as they were found."""

from __future__ import annotations

import pytest

from tests.fuzz.case import case_of, steps_of
from tests.fuzz.judge import Outcome
from tests.fuzz.moves.process_state import MODULES

CASES = {
    "a lambda under two names": case_of(
        "#| step: a\nf = lambda x: [x]", "#| step: b\ng = f", "#| step: c\nprint(f is g)"
    ),
    "a definition replaced while an old value of it is at hand": case_of(
        "#| step: a\nf = lambda x: [x]",
        "#| step: b\ng = f\nfs = [f]",
        "#| step: c\nf = lambda x: 1\nprint(g is f)",
        "#| step: d\nprint(g(1), f(1), fs[0](2), fs[0] is g)",
    ),
    "an element of a structured array is a window on it": case_of(
        "import numpy as np",
        "#| step: a\nr = np.zeros(3, dtype=[('a', 'i4'), ('b', 'f8')])",
        "#| step: b\nrecord = r[1]",
        "#| step: c\nr['a'] += 3",
        "#| step: d\nprint(record)\nrecord['a'] = 9",
        "#| step: e\nprint(r, record)",
    ),
    "a figure changed where nobody sees it": case_of(
        "import matplotlib.pyplot as plt",
        "#| step: a\nfig, ax = plt.subplots()\nplt.close(fig)",
        "#| step: b\ngetattr(ax, 'pl' + 'ot')([1, 2]);",
        "#| step: c\nprint(len(ax.lines), len(fig.axes[0].lines), fig.axes[0] is ax)",
    ),
    "a function of a module changes a global of it": steps_of(
        "import lib", "lib.bump()", "print(lib.counter)", files=dict(MODULES.files)
    ),
    "a function of a module, by an imported name, changes a global of it": steps_of(
        "from lib import bump", "bump()", "print(bump())", files=dict(MODULES.files)
    ),
    "a list of a module grows": steps_of(
        "import lib", "lib.items.append(1)", "print(lib.items)", files=dict(MODULES.files)
    ),
    "a list of a module grows by an imported name": steps_of(
        "from lib import items", "items.append(1)", "print(items)", files=dict(MODULES.files)
    ),
    "a class of a module counts": steps_of(
        "import lib",
        "x = lib.Thing()",
        "y = lib.Thing()\nprint(x, y)",
        files=dict(MODULES.files),
    ),
    "a star import brings a list, which grows": steps_of(
        "", "from stars import *\nstars.append(2)", "print(stars)", files=dict(MODULES.files)
    ),
    "an option is set inside a function": steps_of(
        "import pandas as pd\ndef f():\n    pd.set_option('display.precision', 1)",
        "df = pd.DataFrame({'a': [1 / 3]})\nf()",
        "print(df)",
    ),
    "an option is set by another name": steps_of(
        "import numpy as np",
        "p = np.set_printoptions\np(precision=2)\nx = np.array([1 / 3])",
        "print(x)",
    ),
    "an option is set under a condition": steps_of(
        "import numpy as np",
        "n = len('ab')\nx = np.array([1 / 3])",
        "if n > 1:\n    np.set_printoptions(precision=2)",
        "print(x)",
    ),
    "a warning filter is set inside a function": steps_of(
        "import warnings\ndef f():\n    warnings.simplefilter('ignore')",
        "f()",
        "warnings.warn('x')\nprint(1)",
    ),
    "an environment variable is set inside a function": steps_of(
        "import os\ndef f(**variables):\n    os.environ.update(variables)",
        "f(MODE='a')",
        "print(os.environ.get('MODE'))",
    ),
    "the working directory changes inside a function": steps_of(
        "import os\ndef f(name):\n    os.makedirs(name)\n    os.chdir(name)",
        "f('d')",
        "print(os.path.basename(os.getcwd()) == 'd')",
    ),
    "Matplotlib's settings change inside a function": steps_of(
        "import matplotlib.pyplot as plt\ndef f():\n    plt.rcParams['lines.linewidth'] = 4",
        "f()",
        "print(plt.rcParams['lines.linewidth'])",
    ),
    "a file is written by a computed path": steps_of(
        "import os",
        "n = str(5)",
        "open(n + '.txt', 'w').write('a')",
        "print(os.path.exists('5.txt'))",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_notebook_that_once_came_out_wrong(judged, name):
    verdict = judged(CASES[name])
    assert (verdict.outcome, verdict.why) == (Outcome.EQUAL, ())
