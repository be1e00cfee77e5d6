"""Notebooks that a pipeline gets wrong, most of them silently: each as small as it gets.

A case that passes fails here (`xfail` is strict). Then it moves to `test_once_wrong.py`, and its
move from `moves/open_defects.py`, if it has one, to its topic.
"""

from __future__ import annotations

import pytest

from tests.fuzz.case import Case, steps_of
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
    },
}


@pytest.mark.xfail(strict=True, reason="known to be wrong; the case says why")
@pytest.mark.parametrize(
    ("topic", "why"), [(topic, why) for topic, cases in WRONG.items() for why in cases]
)
def test_a_notebook_that_is_known_to_come_out_wrong(judged, topic, why):
    assert judged(WRONG[topic][why]).outcome in {Outcome.EQUAL, Outcome.REFUSED}
