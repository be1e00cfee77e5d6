"""The promise, on random notebooks: equal to the notebook or refused; never silently wrong.

`python -m tests.fuzz` does the same with as many notebooks as wanted, and finds the smallest one
that shows a fault: `--seed NUMBER --show`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fuzz.campaign import WRONG
from tests.fuzz.case import case_of
from tests.fuzz.generate import generate
from tests.fuzz.judge import Outcome, judge, judge_in_kernels, judge_names_only
from tests.fuzz.processes import ForkingExecutor
from tests.fuzz.shrink import shrink

# The second dozen waits for the whole suite.
SEEDS = [*range(12), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(12, 24))]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_notebook_is_never_silently_wrong(judged, seed):
    case = generate(seed)
    verdict = judged(case, again=seed % 4 == 0)
    assert verdict.outcome not in WRONG, f"{verdict.why}\n\n{case}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 5])
def test_forks_stand_in_for_kernels(judged, elsewhere, seed):
    """What a campaign says of a notebook, papermill and real kernels say, too."""
    case = generate(seed)
    assert elsewhere(judge_in_kernels, case) == judged(case)


def test_the_same_number_gives_the_same_notebook():
    assert [generate(seed) for seed in range(40)] == [generate(seed) for seed in range(40)]
    assert len({str(generate(seed)) for seed in range(40)}) == 40


@pytest.mark.parametrize(
    ("bodies", "names_only"),
    [
        (("a = [1]", "a = a + [2]", "print(a)"), Outcome.EQUAL),
        (("a = [1]", "a.append(2)", "print(a)"), Outcome.SILENT),
        (("a = [1]", "del a", "a = [2]", "for a in a: pass", "print(a)"), Outcome.EQUAL),
        (("f = lambda: 1", "print(f())"), Outcome.RAISED),
    ],
)
def test_the_yardstick_is_wrong_where_names_are_not_enough(judged, elsewhere, bodies, names_only):
    case = case_of(*(f"#| step: s{number}\n{body}" for number, body in enumerate(bodies)))
    assert elsewhere(judge_names_only, case) is names_only
    assert judged(case).outcome is Outcome.EQUAL


class LosesEverything(ForkingExecutor):
    """Runs steps in which nothing is ever appended."""

    async def execute(self, request):
        body = tuple(
            replace(part, source=part.source.replace("a.append(2)", "pass"))
            for part in request.step.body
        )
        return await super().execute(replace(request, step=replace(request.step, body=body)))


def test_a_pipeline_that_is_wrong_is_called_wrong(elsewhere):
    case = case_of("#| step: s1\na = [1]", "#| step: s2\na.append(2)", "#| step: s3\nprint(a)")
    verdict = elsewhere(_judge_a_liar, case)
    assert verdict.outcome is Outcome.SILENT
    assert verdict.why == ("cell 3 shows '[1]\\n' for '[1, 2]\\n'",)


def _judge_a_liar(case):
    return judge(case, executor=LosesEverything())


def test_shrinking_keeps_what_matters():
    case = generate(3)
    small = shrink(case, lambda smaller: "print(" in str(smaller))
    assert str(small).count("\n") < 3
    assert "print(" in str(small)
