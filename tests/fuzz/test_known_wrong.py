"""Notebooks that a pipeline gets wrong, most of them silently: each as small as it gets.

A case that passes fails here (`xfail` is strict). Then it moves to `test_once_wrong.py`.
"""

from __future__ import annotations

import pytest

from tests.fuzz.case import Case, steps_of
from tests.fuzz.judge import Outcome

# Topic: why it is wrong: the notebook.
WRONG: dict[str, dict[str, Case]] = {
    "modules": {
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
