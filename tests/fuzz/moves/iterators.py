"""Iterators that are used up bit by bit; generators, which cannot be stored, apart."""

from tests.fuzz.moves.topic import Topic

ITERATORS = Topic(
    name="iterators",
    imports="import itertools",
    definitions={
        "take": "def take(it, n=1):\n    return list(itertools.islice(it, n))",
        "Steps": "class Steps:\n    def __init__(self, n):\n        self.n = n\n    def __iter__(self):\n        return self\n"
        "    def __next__(self):\n        self.n -= 1\n        if self.n < 0:\n            raise StopIteration\n        return self.n",
    },
    variables={
        "iterator": {
            "it1": ("it1 = iter([1, 2, 3, 4])", "it1 = iter(l1)", "it1 = enumerate('abcd')"),
            "it2": (
                "it2 = it1",
                "it2 = zip(l1, 'abc')",
                "it2 = iter(range(9))",
                "it2 = itertools.count()",
            ),
            "it3": (
                "it3 = itertools.chain(l1, it2)",
                "it3 = map(str, it1)",
                "it3 = reversed([1, 2, 3])",
                "it3 = itertools.cycle(l1)",
            ),
            "it4": (
                "it4 = Steps(5)",
                "it4 = filter(None, [0, 1, 2])",
                "it4 = iter({'a': 1, 'b': 2})",
            ),
        }
    },
    shows={"iterator": "list(itertools.islice($_, 1))"},
    moves=(
        "next($iterator, None)",
        "$number = len(take($iterator, 2))",
        "$list = take($iterator)",
        "$list.extend(take($iterator, $k))",
        "$iterator = $iterator2",
        "$iterator = iter($list)",
        "$iterator = itertools.chain([$k], $iterator2)",
        "$iterator = iter(take($iterator2, 3))",
        "$iterator = zip($iterator2, range($k))",
        "$iterator = map(str, $iterator2)",
        "$iterator = itertools.islice($iterator2, $k)",
        "$iterator = iter(tuple($list))",
        "for each in $iterator:\n    if each != $k:\n        break",
        "first_, *_ = [*take($iterator, 2), 0]\n$list.append(str(first_))",
        "$iterator, other = itertools.tee($iterator2)\nnext(other, None)",
        "$dict['it'] = $iterator",
        "held = $dict.get('it')\n$number = len(take(held)) if held is not None else $k",
        "$number = sum(1 for _ in itertools.islice($iterator, $k))",
        "$list = [each for each, _ in zip('xyz', $iterator)]",
        "$number = $k in itertools.islice($iterator, 3)",
    ),
)

GENERATORS = Topic(
    name="generators",
    imports="import itertools",
    definitions={
        "counting": "def counting(n):\n    while True:\n        yield n\n        n += 1",
        "echo": "def echo(into):\n    while True:\n        into.append((yield len(into)))",
    },
    variables={
        "generator": {
            "gen1": ("gen1 = counting(1)", "gen1 = (i * i for i in itertools.count())"),
            "gen2": ("gen2 = counting(5)", "gen2 = gen1", "gen2 = (each for each in l1)"),
        }
    },
    shows={"generator": "list(itertools.islice($_, 1))"},
    moves=(
        "next($generator, None)",
        "$number = next($generator, -1)",
        "$list = list(itertools.islice($generator, 2))",
        "$generator = counting($k)",
        "$generator = (each + 1 for each in itertools.islice($generator2, 5))",
        "$generator = $generator2",
        "gen3 = echo($list)\nnext(gen3)\ngen3.send($k)",
        "for each in $generator:\n    if not isinstance(each, int) or each >= $k:\n        break",
        "$number = sum(each for each in range($k))",
        "$list = list(counting_ for counting_, _ in zip($generator, range(2)))",
        "$dict['gen'] = $generator",
    ),
)
