"""With the cache a kernel shows what it shows without, but for lines of nbpipe's own.

Each notebook runs in a kernel without the cache, in one that stores, and in one that reuses; all
that a front end sees is compared, and in the end `In`, `Out`, `_` and the variables.
"""

from __future__ import annotations

import json
import re

import pytest

from tests.magics.test_live_cache import LOAD, Desk

pytestmark = pytest.mark.slow

PROBE = """
import json as _json
print(_json.dumps([
    In[1:-1], {number: repr(value) for number, value in Out.items()},
    [repr(globals().get(name)) for name in ("_", "__", "___")],
    sorted(name for name in globals() if not name.startswith("_")),
]))
"""
NEVER_THE_SAME = re.compile(
    r"\x1b\[[0-9;]*m|0x[0-9a-f]+|object at [0-9a-f]{6,}|ipykernel_\d+|(?:CPU times|Wall time)[^\n]*"
)

NOTEBOOKS = {
    "values of cells": (
        "import pandas as pd\nfrom IPython.display import HTML",
        "%%step a\nx = [1, 2]\nprint('p')\nx",
        "%%step b\ny = sum(x)\ny + 1",
        "_ + 1",
        "%%step c\nx.append(y)\nx",
        "Out[3] is x, Out[6] is x, __",
        "%%step d\ndf = pd.DataFrame({'a': x})\ndf.head()",
        "%%step e\ndf['b'] = df.a * 2\ndf;",
        "%%step f\nHTML('<b>f</b>')",
        "%%step g\ndf.describe()",
        "_.shape, df.shape",
    ),
    "new objects and changed ones": (
        "%%step a\nxs = [1]\nn = 1\nys = [5]\nxs",
        "%%step a2\nys",
        "1",
        "%%step b\nxs.append(2)\nn = n + 1\nys = [*ys, 6]\nxs",
        "Out[2], Out[3], Out[4], n, ys, Out[2] is xs",
        "%%step c\nxs += [3]\nxs",
        "Out[2], Out[2] is xs",
    ),
    "cells of one step": (
        "%%step a\nx = [1]\nalso = x\nprint('one')\nx",
        "%%step a\nx.append(2)\nalso",
        "%%step b\nsum(x)",
        "x is also, Out[2] is x",
    ),
    "what libraries print": (
        "%%step a\nimport this\nimport logging\nx = 1",
        "%%step b\nimport warnings\nwarnings.warn('so')\ny = 2",
    ),
    "threads and system": (
        "import os, threading",
        "%%step a\nfrom IPython.display import display\ndef show():\n    display('shown')\n"
        "    print('printed')\nt = threading.Thread(target=show)\nt.start()\nt.join()\n"
        "del t\nx = 1",
        "%%step b\n!echo from the shell\nfiles = !echo hi\nfiles",
    ),
    "outputs that change": (
        "from IPython.display import display, clear_output",
        "%%step a\nhandle = display('first', display_id='d')\ndel handle\nx = 1",
        "%%step b\nprint('gone')\nclear_output()\nprint('kept')\ny = 2",
        "x, y",
    ),
    "exceptions": (
        "import os",
        "%%step a\nx = [1]\nx.append(2)\n1 / 0",
        "%%step b\nx = os.environ['NO_SUCH_VARIABLE']",
        "os.environ[3]",
        "%%step c\ndel os.environ['NO_SUCH_VARIABLE']",
        "%%step d\nimport no_such_module",
        "%%step e\nimport broken",
        "%%step f\nif x\n    y = 1",
    ),
    "exceptions of displays": (
        "%%step a\nclass A:\n    def __repr__(self):\n        raise ValueError('r')\na = 1\nA()",
        "%%step b\nclass B:\n    def _repr_html_(self):\n        return 1 / 0\n"
        "    def __repr__(self):\n        return 'B'\nb = 2\nB()",
    ),
    "functions of a reused cell": (
        "%%step a\ndef f(a):\n    b = a + 1\n    return b / 0\nclass P:\n    pass\np = P()\nx = 1",
        "%%step b\ny = f(x)",
        "import inspect\nprint(inspect.getsource(f))\ntype(p) is P",
    ),
    "magics": (
        "%%step a\n%%time\nx = 5\nx",
        "%%step b\n%time y = x + 1\ny",
        "%%step c\n%%capture captured\nprint('hidden')\nz = 2",
        "captured.stdout",
        "%%step d\n%run script.py\nv = made",
        "get_ipython().run_cell('x = 6')\nx",
        "%%step e\nw = x\nw",
        "%reset -f",
        "1 + 1",
    ),
    "work that goes on": (
        "import asyncio",
        "%%step a\nx = await asyncio.sleep(0.01, 5)\nx",
        "%%step b\nresults = []\nasync def later():\n    await asyncio.sleep(0.05)\n"
        "    results.append(1)\ntask = asyncio.ensure_future(later())",
        "%%step c\nawait asyncio.sleep(0.3)\nlen(results)",
    ),
    "names that stay": (
        "n = 1",
        "q = 'old'",
        "%%step a\nif n > 5:\n    q = 1\nr = 2",
        "%%step b\ns = r",
        "q",
    ),
    "underscore of an author": (
        "%%step a\n_ = str.upper\nx = _('hi')\nx",
        "%%step b\ny = x + '!'\ny",
        "y",
    ),
    "figures": (
        "import matplotlib.pyplot as plt",
        "%%step a\nx = [1, 2]\nplt.plot(x, x)\nplt.show()",
        "%%step b\nfig, ax = plt.subplots()\nax.plot(x);",
    ),
}


@pytest.mark.parametrize("cells", NOTEBOOKS.values(), ids=NOTEBOOKS.keys())
def test_a_kernel_with_the_cache_shows_what_one_without_shows(tmp_path, cells):
    shown = {}
    for cache in (False, True):
        folder = tmp_path / str(cache)
        folder.mkdir()
        (folder / "broken.py").write_text("x = 1\nraise ValueError('in a module')\n")
        (folder / "script.py").write_text("made = 3\n")
        desk = Desk(folder)
        desk.write(*cells)
        for turn in ("first", "second"):
            if cache or turn == "first":
                client = desk.kernel(NBPIPE_LIVE_CACHE=str(int(cache)))
                try:
                    shown[cache, turn] = [
                        seen(client, cell, folder) for cell in (LOAD, *cells, PROBE)
                    ]
                finally:
                    client.close()
    assert [shown[True, "first"], shown[True, "second"]] == [shown[False, "first"]] * 2


def seen(client, cell, folder):
    """What a front end sees of a cell, without lines of nbpipe's and what is never the same."""
    reply, messages = client.run(cell)
    found = [("cell", cell, reply["status"], reply["execution_count"])]
    for kind, content in messages:
        data = content.get("data", {})
        if data.get("text/plain", "").startswith(("nbpipe:", "reused from")):
            continue
        text = content.get("text") or content.get("traceback") or data
        if kind != "stream":
            text = json.dumps(text, sort_keys=True).replace("\\u001b", "\x1b")
        text = NEVER_THE_SAME.sub("", text).replace(str(folder), "FOLDER")
        name = content.get("name") or content.get("ename")
        if kind == "stream" and found[-1][:2] == (kind, name):
            text = found.pop()[2] + text
        found.append((kind, name, text, content.get("execution_count")))
    return found
