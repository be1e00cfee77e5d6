"""The per-step seed of the global random generators.

Covered are the generators a process has one of: `random`, and NumPy's legacy one (which pandas,
SciPy and scikit-learn fall back on). NumPy is not imported for this: where it is not loaded yet,
its generator is seeded the moment it comes to life. Not covered are generators that a step makes
itself without a seed (`np.random.default_rng()`), and those of other libraries (torch).
"""

from __future__ import annotations

import random
from types import ModuleType

from nbpipe.kernel.imports import WATCH
from nbpipe.kernel.random_streams import mark_stream, mark_streams


def seed_generators(seed: int) -> None:
    """Seed what is loaded now, and NumPy's generator when it is loaded later."""

    def seed_numpy(module: ModuleType) -> None:
        module.seed(seed)
        mark_stream("@numpy.random")

    random.seed(seed)
    mark_streams()
    WATCH.start()
    WATCH.after_import("numpy.random", seed_numpy)
