"""Loading the extension costs a user's kernel next to nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys, time
from IPython.core.interactiveshell import InteractiveShell
before = set(sys.modules)
start = time.perf_counter()
import nbpipe.magics.extension
seconds = time.perf_counter() - start
print(json.dumps([seconds, sorted(set(sys.modules) - before)]))
"""


def loaded():
    """How long loading takes, and the modules that it imports."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_loading_imports_nothing_but_the_magics_and_tags():
    _, modules = loaded()
    ours = {name for name in modules if name.startswith("nbpipe")}
    allowed = ("nbpipe.magics", "nbpipe.model", "nbpipe.notebook", "nbpipe.errors")
    assert {name for name in ours if name != "nbpipe" and not name.startswith(allowed)} == set()
    foreign = {name.split(".")[0] for name in modules} - {"nbpipe"}
    assert foreign - set(sys.stdlib_module_names) == set()
    assert not foreign & {"asyncio", "sqlite3", "multiprocessing"}


@pytest.mark.slow
def test_loading_is_quick():
    assert min(loaded()[0] for _ in range(5)) < 0.150
