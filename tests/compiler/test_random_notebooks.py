"""Random notebooks, compiled and run step by step: equal to the notebook, or refused, never wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.random_notebooks import random_notebook, tagged
from tests.simulate import RefusedError, run_notebook, run_plain

SEEDS = range(12)


@pytest.mark.filterwarnings("ignore")  # What pandas thinks of the random code does not matter.
@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_notebook_gives_the_same_as_a_pipeline(seed: int, tmp_path: Path) -> None:
    notebook = random_notebook(seed)
    plain = run_plain(notebook)
    try:
        shown, _ = run_notebook(tagged(notebook, seed), tmp_path)
    except RefusedError:
        return  # Said aloud, which is always allowed.
    # The first cell is setup: it shows nothing, and is no step.
    assert [shown.get(number) for number in range(2, len(plain) + 1)] == plain[1:]
