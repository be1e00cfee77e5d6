"""Random streams: the global ones, seeded, and generators of the notebook's own."""

from tests.fuzz.moves.topic import Topic

RANDOMNESS = Topic(
    name="randomness",
    imports="import random\nimport numpy as np\nimport pandas as pd\nfrom sklearn.model_selection import train_test_split\n"
    "from sklearn.utils import shuffle",
    # A stream that nobody seeds differs from run to run, and has no answer to compare with.
    seeds="random.seed(0)\nnp.random.seed(0)",
    definitions={
        "shuffled": "def shuffled(items):\n    random.shuffle(items)\n    return items",
        "draw": "def draw(n=2):\n    return [float(x) for x in np.random.rand(n)]",
        "Dice": "class Dice:\n    def __init__(self, rng=random):\n        self.rolled = [rng.randint(1, 6)]\n"
        "    def roll(self):\n        self.rolled.append(random.randint(1, 6))\n        return self.rolled[-1]",
        "reseed": "def reseed(n):\n    random.seed(n)\n    np.random.seed(n)",
    },
    variables={
        "rng": {
            "rng1": ("rng1 = random.Random(1)",),
            "rng2": ("rng2 = rng1", "rng2 = random.Random(2)"),
        },
        "generator_": {
            "gn1": ("gn1 = np.random.default_rng(1)",),
            "gn2": ("gn2 = gn1", "gn2 = np.random.default_rng(2)"),
        },
        "state": {"rs1": ("rs1 = np.random.RandomState(3)",)},
        "dice": {"dice1": ("dice1 = Dice()", "dice1 = Dice(rng1)")},
    },
    shows={
        "rng": "$_.random()",
        "generator_": "$_.random()",
        "state": "$_.rand()",
        "dice": "$_.rolled",
    },
    moves=(
        "$number = random.random()",
        "$number = random.randint(0, 99)",
        "$number = float(np.random.rand())",
        "$number = int(np.random.randint(100))",
        "random.shuffle($list)",
        "shuffled($list)",
        "np.random.shuffle($array)",
        "$array = np.random.permutation($array2.ravel())",
        "$list = draw()",
        "$list = random.sample(range(50), 3)",
        "$list.append(random.choice('abc'))",
        "random.seed($k)",
        "np.random.seed($k)",
        "reseed($k)",
        "random.random(); random.random()",
        "$frame = $frame2.sample(frac=1)",
        "$frame['r'] = np.random.rand(len($frame))",
        "$series = $series2.sample(2)",
        "left, right = train_test_split(list(range(9)))\n$list = left",
        "$list = shuffle(list(range(5)))",
        "$number = rng1.random()",
        "$rng.shuffle($list)",
        "$rng = random.Random($k)",
        "$rng = $rng2",
        "$number = float($generator_.random())",
        "$generator_.shuffle($array)",
        "$frame = $frame2.sample(2, random_state=$generator_, replace=True)",
        "$generator_ = $generator_2",
        "$generator_ = np.random.default_rng($k)",
        "$number = float($state.rand())",
        "dice1.roll()",
        "$number = dice1.roll()",
        "dice1 = Dice(rng1)",
        "$dict['rng'] = rng1",
        "held = $dict.get('rng')\n$number = held.random() if hasattr(held, 'random') else $k",
        "$number = random.Random($k).random()",
        "$list = [random.random() for _ in range($k)]",
        "unlucky = random.random() < 0.5\n$list.append(unlucky)",
    ),
)
