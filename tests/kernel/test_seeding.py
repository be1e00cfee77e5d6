from __future__ import annotations

import subprocess
import sys


def drawn(script: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", "from nbpipe.kernel.seeding import seed_generators\n" + script],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_numpy_is_seeded_whether_it_is_loaded_before_or_after():
    before = drawn("import numpy as np\nseed_generators(7)\nprint(np.random.rand())")
    after = drawn("seed_generators(7)\nimport numpy as np\nprint(np.random.rand())")
    by_pandas = drawn("seed_generators(7)\nimport pandas, numpy as np\nprint(np.random.rand())")
    direct = drawn("import numpy as np\nnp.random.seed(7)\nprint(np.random.rand())")
    assert before == after == by_pandas == direct


def test_seeding_loads_no_numpy_and_leaves_no_trace_in_it():
    assert drawn("seed_generators(7)\nimport sys\nprint('numpy' in sys.modules)") == "False\n"
    assert (
        drawn(
            "seed_generators(7)\nimport sys, numpy\n"
            "print(type(numpy.random.__spec__.loader).__name__, "
            "any('Seed' in type(f).__name__ for f in sys.meta_path))"
        )
        == "SourceFileLoader False\n"
    )


def test_the_standard_generator_is_seeded():
    assert drawn("import random\nseed_generators(7)\nprint(random.random())") == drawn(
        "import random\nrandom.seed(7)\nprint(random.random())"
    )
