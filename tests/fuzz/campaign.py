"""Many notebooks, judged by several processes at once, and counted."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.fuzz.case import Case
from tests.fuzz.crashes import survives
from tests.fuzz.generate import generate
from tests.fuzz.judge import Outcome, Verdict, judge, judge_in_kernels, judge_names_only
from tests.fuzz.processes import warm_up
from tests.fuzz.shrink import shrink

WRONG = frozenset({Outcome.SILENT, Outcome.CRASH, Outcome.RAISED})


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of the notebook with a number."""

    seed: int
    verdict: Verdict
    names_only: Outcome | None = None


def workers(count: int) -> ProcessPoolExecutor:
    """Give processes that have everything imported, and one hash seed, as kernels of ours have."""
    os.environ["PYTHONHASHSEED"] = "0"
    return ProcessPoolExecutor(
        count, mp_context=multiprocessing.get_context("spawn"), initializer=warm_up
    )


def run(
    seeds: Iterable[int],
    *,
    without: tuple[str, ...] = (),
    jobs: int = 2,
    yardstick: bool = True,
    kernels: bool = False,
) -> Iterator[Result]:
    """Judge the notebooks with these numbers, in their order; `kernels` are real ones, and slow."""
    # Not `with`: that would take back that nothing more is to be started.
    pool = workers(jobs)
    try:
        for future in [pool.submit(_judged, seed, without, yardstick, kernels) for seed in seeds]:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _judged(seed: int, without: tuple[str, ...], yardstick: bool, kernels: bool) -> Result:
    case = generate(seed, without=without)
    # Every fourth runs twice: a result that is reused must show the same.
    verdict = judge_in_kernels(case) if kernels else judge(case, again=seed % 4 == 0)
    is_measured = yardstick and verdict.outcome is not Outcome.INVALID
    return Result(
        seed=seed, verdict=verdict, names_only=judge_names_only(case) if is_measured else None
    )


def survives_killing(seed: int) -> list[str]:
    """Kill runs of the notebook with this number, if it is one whose pipeline equals it."""
    case = generate(seed, without=("files", "modules", "settings"))
    return survives(case, seed=seed) if judge(case).outcome is Outcome.EQUAL else []


def shrunk(case: Case, outcome: Outcome) -> tuple[Case, Verdict]:
    """Give the smallest notebook found that comes to the same outcome, and what it comes to."""
    small = shrink(case, lambda smaller: judge(smaller).outcome is outcome)
    return small, judge(small)


@dataclass(kw_only=True)
class Tally:
    """Results, counted."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    names_only: Counter[Outcome] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    surprised: int = 0
    repeated: int = 0
    wrong: list[Result] = field(default_factory=list)

    def add(self, result: Result) -> None:
        verdict = result.verdict
        self.outcomes[verdict.outcome] += 1
        if verdict.outcome is Outcome.INVALID:
            return
        if result.names_only is not None:
            self.names_only[result.names_only] += 1
        if verdict.outcome is Outcome.REFUSED:
            self.refusals.update(verdict.why)
        if verdict.outcome in WRONG:
            self.wrong.append(result)
        self.surprised += verdict.outcome is Outcome.EQUAL and verdict.surprises > 0
        self.repeated += verdict.outcome is Outcome.EQUAL and verdict.repeats > 0

    @property
    def valid(self) -> int:
        """How many notebooks there were to be compared."""
        return sum(self.outcomes.values()) - self.outcomes[Outcome.INVALID]

    def table(self) -> str:
        """Give the counts as text, beside those of the yardstick."""
        measured = sum(self.names_only.values())
        lines = [f"{self.valid} notebooks {'':38}nbpipe      names only"]
        for outcome in (o for o in Outcome if o is not Outcome.INVALID):
            ours = _share(self.outcomes[outcome], self.valid)
            theirs = _share(self.names_only[outcome], measured)
            lines.append(f"  {outcome.value:50} {ours:>14} {theirs:>14}")
            if outcome is Outcome.EQUAL:
                surprised = _share(self.surprised, self.valid)
                repeated = _share(self.repeated, self.valid)
                lines.append(f"    {'after a surprise':48} {surprised:>14}")
                lines.append(f"    {'in which a step ran again':48} {repeated:>14}")
            if outcome is Outcome.REFUSED:
                lines += [f"    {why:48} {n:>6}" for why, n in self.refusals.most_common()]
        return "\n".join(lines)


def _share(count: int, total: int) -> str:
    return f"{count} {100 * count / total:5.1f} %" if total else "-"
