"""Moves that are known to come out wrong, each with a case in `test_known_wrong.py`.

A move goes home to its topic when its defect is mended.
"""

from tests.fuzz.moves.topic import Topic

OPEN_DEFECTS = Topic(
    name="open_defects",
    imports="import contextlib\nimport functools\nimport random\nimport sys\nimport numpy as np",
    seeds="random.seed(0)\nnp.random.seed(0)",
    definitions={
        "cached": "@functools.lru_cache\ndef cached(x):\n    log.append(x)\n    return x * 2",
    },
    variables={"saved": {"saved1": ("saved1 = random.getstate()",)}},
    shows={"saved": "len($_)"},
    moves=(
        "saved1 = random.getstate()",
        "random.setstate(saved1)",
        "kept = np.random.get_state()\nnp.random.rand()\nnp.random.set_state(kept)",
        "$number = random.random()",
        "setattr(sys.modules['__main__'], '$number', $k)",
        "import __main__\n__main__.$text = 'main$k'",
        "with contextlib.suppress(IndexError):\n    $list[9] = $k\n    $number = $k",
        "cached($k)",
        "$number = cached($k) + cached.cache_info().hits",
        "cached.cache_clear()",
        "$index.name = 'x$k'",
        "$index = $frame.index",
        "globals()['made_up'] = [$k]",
        "if 'made_up' in globals():\n    del made_up",
        "$list.append($k)",
        "$number += 1",
    ),
)
