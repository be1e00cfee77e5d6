"""SIGKILL at any moment leaves a store that is whole, and the next run is right."""

from functools import partial

import pytest

from tests.fuzz.case import case_of
from tests.fuzz.crashes import states_when_the_clock_goes_back, survives

CASE = case_of(
    "import numpy as np\nimport random\nrandom.seed(0)",
    "#| step: make\na = [1]\nb = a\nx = np.arange(100_000)\ny = x[1:]",
    "#| step: change\ngetattr(b, 'append')(2)\ny[0] = 7\nr = random.random()",
    "#| step: show\nprint(a, a is b, x[:2], r)",
    "#| step: again\na.append(random.random())\nprint(a, b)",
)


@pytest.mark.parametrize("seed", range(4))
def test_runs_that_are_killed_leave_a_whole_store(elsewhere, seed):
    assert elsewhere(partial(survives, seed=seed), CASE) == []


def test_results_are_reused_when_the_clock_went_back(elsewhere):
    assert elsewhere(states_when_the_clock_goes_back, CASE) == ["reused"] * 4
