"""Notebooks that a pipeline gets wrong, most of them silently: each as small as it gets.

A case that passes fails here (`xfail` is strict). Then it moves to `test_once_wrong.py`.
"""

from __future__ import annotations

import pytest

from tests.fuzz.case import Case, case_of, steps_of
from tests.fuzz.judge import Outcome
from tests.fuzz.moves.process_state import MODULES

# Topic: why it is wrong: the notebook.
WRONG: dict[str, dict[str, Case]] = {
    "modules": {
        "a name imported from a module that is loaded again": steps_of(
            "import lib\nfrom lib import items",
            "lib.items.append(1)",
            "from importlib import reload\nlib = reload(lib)",
            "print(items, lib.items)",
            files=dict(MODULES.files),
        ),
        "a name imported from a module in a step": steps_of(
            "import lib",
            "lib.bump()",
            "from lib import counter\nprint(counter, lib.counter)",
            "lib.bump()\nprint(counter)",
            files=dict(MODULES.files),
        ),
        "a number is imported after a step changed it, in an untagged cell": case_of(
            "import lib",
            "#| step: a\nlib.bump()",
            "from lib import counter",
            "#| step: b\nprint(counter, lib.counter)",
            files=dict(MODULES.files),
        ),
        "a function of a module remembers results": steps_of(
            "import lib",
            "lib.f(1)",
            "print(lib.f(1), lib.log)",
            files={
                "lib.py": "import functools\nlog = []\n@functools.cache\ndef f(x):\n"
                "    log.append(x)\n    return x\n"
            },
        ),
    },
}


@pytest.mark.xfail(strict=True, reason="known to be wrong; the case says why")
@pytest.mark.parametrize(
    ("topic", "why"), [(topic, why) for topic, cases in WRONG.items() for why in cases]
)
def test_a_notebook_that_is_known_to_come_out_wrong(judged, topic, why):
    assert judged(WRONG[topic][why]).outcome in {Outcome.EQUAL, Outcome.REFUSED}
