"""How often is a pipeline silently wrong? `python -m tests.fuzz --count 1000 --seed 0`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress

from tests.fuzz.campaign import WRONG, Result, Tally, run, shrunk, survives_killing, workers
from tests.fuzz.generate import generate
from tests.fuzz.judge import Outcome, judge
from tests.fuzz.moves import TOPICS


def main() -> int:
    """Judge random notebooks, and print the table; 1 when a pipeline was wrong."""
    asked = _asked()
    if asked.show:
        case = generate(asked.seed, without=asked.without)
        with workers(1) as pool:
            outcome = pool.submit(judge, case).result().outcome
            small, verdict = pool.submit(shrunk, case, outcome).result()
        print(case if asked.whole else small, *verdict.why, verdict.outcome, sep="\n\n")
        return 0
    if asked.crashes:
        return _kill_runs(asked.crashes, asked.jobs)
    tally = Tally()
    seeds = range(asked.seed, asked.seed + asked.count)
    results = run(
        seeds,
        without=asked.without,
        jobs=asked.jobs,
        yardstick=not asked.no_yardstick,
        kernels=asked.kernels,
    )
    # Whoever ends a long campaign early still wants to know.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        _count(results, tally)
    print(tally.table())
    return 1 if tally.wrong else 0


def _count(results: Iterable[Result], tally: Tally) -> None:
    for result in results:
        tally.add(result)
        verdict = result.verdict
        if verdict.outcome in {*WRONG, Outcome.REFUSED}:
            print(f"{result.seed}: {verdict.outcome}: {verdict.why[0][:300]}", flush=True)
        elif tally.valid % 100 == 0:
            print(f"… {tally.valid}", flush=True)


def _kill_runs(count: int, jobs: int) -> int:
    faults = 0
    with workers(jobs) as pool:
        futures = {seed: pool.submit(survives_killing, seed) for seed in range(count)}
        for seed, future in futures.items():
            for fault in future.result():
                print(f"{seed}: {fault}", flush=True)
                faults += 1
    print(f"{count} notebooks, four runs of each killed: {faults} faults")
    return 1 if faults else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="how many notebooks")
    parser.add_argument("--seed", type=int, default=0, help="number of the first notebook")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    parser.add_argument(
        "--without",
        type=lambda text: tuple(text.split(",")),
        default=(),
        help="topics to leave out: " + ", ".join(topic.name for topic in TOPICS),
    )
    parser.add_argument("--no-yardstick", action="store_true", help="leave out names only")
    parser.add_argument("--kernels", action="store_true", help="real kernels: slow, as for users")
    parser.add_argument("--crashes", type=int, default=0, help="kill runs of so many notebooks")
    parser.add_argument("--show", action="store_true", help="one notebook, as small as it gets")
    parser.add_argument("--whole", action="store_true", help="with --show: as it was made")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
