"""Random notebooks out of the tables of moves: small, valid, and the same for the same number."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Sequence
from random import Random
from string import Template

from tests.fuzz.case import Case, Cell
from tests.fuzz.moves import TOPICS, Topic

_NAME = re.compile(r"[A-Za-z_]\w*")
# Values that setup cells may hold: later steps make them anew.
_CONSTANT = re.compile(
    r"\w+ = ([\[{\d]|(list|dict|set|deque|Counter|OrderedDict|bytearray)\("
    r"|np\.(array|arange|zeros|ones|linspace)\(|pd\.(DataFrame|Series)\()"
)
_BY_NAME = {topic.name: topic for topic in TOPICS}

DEFINITIONS = {name: text for topic in TOPICS for name, text in topic.definitions.items()}
WAYS = {
    name: ways
    for topic in TOPICS
    for names in topic.variables.values()
    for name, ways in names.items()
}
KINDS = {kind: list(names) for topic in TOPICS for kind, names in topic.variables.items()}
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names}
SHOWS = {kind: text for topic in TOPICS for kind, text in topic.shows.items()}
_HOME = {
    name: topic.name
    for topic in TOPICS
    for names in (topic.definitions, *topic.variables.values())
    for name in names
}

# By kind, values that a constant may be set to later: plain, and of another constant.
_ANEW = {
    "number": ("5", "{} + 1"),
    "list": ("[7]", "[{}, 7]"),
    "dict": ("{'new': [8]}", "{{'new': {}}}"),
    "set": ("{9}", "{{{}}}"),
}
_IS_SETUP = re.compile(r"\w+ = ([\[{\d]|(list|dict|set)\()")


def generate(seed: int, *, without: Iterable[str] = ()) -> Case:
    """Make the notebook with this number; `without` names topics that it must not touch."""
    return _Notebook(Random(seed), frozenset(without), Random(f"setup {seed}")).made()


class _Notebook:
    def __init__(self, random: Random, without: frozenset[str], of_setup: Random) -> None:
        self._random = random
        self._of_setup = of_setup
        topics = [topic for topic in TOPICS if topic.name not in without]
        self._topics = random.sample(topics, k=min(len(topics), random.randint(1, 3)))
        self._without = without

    def made(self) -> Case:
        bodies = [self._body() for _ in range(self._random.randint(4, 9))]
        wanted = self._wanted(bodies)
        variables = [name for name in WAYS if name in wanted]
        shows = list(self._shows(variables))
        wanted |= self._wanted(shows)
        topics = self._topics_of(wanted)
        definitions = [DEFINITIONS[name] for name in DEFINITIONS if name in wanted]
        imports = dict.fromkeys(
            line for topic in topics for line in topic.imports.splitlines() if line
        )
        starts = dict.fromkeys(self._ways[name] for name in WAYS if name in wanted)
        seeds = [topic.seeds for topic in topics if topic.seeds]
        constants = self._constants(starts)
        cells = self._tagged(
            setup=["\n".join(imports), *self._grouped(definitions, most=4, between="\n\n")],
            constants=constants,
            seeds=seeds,
            steps=[
                *self._grouped([each for each in starts if each not in constants], most=4),
                *bodies,
                *shows,
            ],
        )
        files = {name: text for topic in topics for name, text in topic.files.items()}
        return Case(cells=tuple(cells), files=files)

    # ---- what cells do

    def _body(self) -> str:
        moves = [self._move() for _ in range(self._random.randint(1, 3))]
        if self._random.random() < 0.35:
            known = [name for name in WAYS if name in _names_in(moves) and KIND_OF[name] in SHOWS]
            if known:
                name = self._random.choice(known)
                text = _filled(SHOWS[KIND_OF[name]], name)
                moves.append(text if self._random.random() < 0.5 else f"print({text})")
        return "\n".join(moves)

    def _move(self) -> str:
        while True:
            topic = self._random.choice(self._topics)
            move = self._fill(self._random.choice(topic.moves))
            if not self._without.intersection(_HOME.get(name, "") for name in _names_in([move])):
                return move

    def _fill(self, move: str) -> str:
        chosen: dict[str, str] = {"k": str(self._random.randint(0, 3))}
        for place in Template(move).get_identifiers():
            if place != "k":
                kind = place.removesuffix("2")
                chosen[place] = self._random.choice(KINDS[kind])
        return Template(move).substitute(chosen)

    def _shows(self, variables: Sequence[str]) -> Iterable[str]:
        """Show at the end what every variable has become, and which are one."""
        if self._random.random() < 0.2:
            return
        lines = [
            f"print({_filled(SHOWS[KIND_OF[name]], name)})"
            for name in variables
            if KIND_OF[name] in SHOWS
        ]
        self._random.shuffle(lines)
        yield from self._grouped(lines, most=6)
        pairs = [
            f"{one} is {other}"
            for place, one in enumerate(variables)
            for other in variables[place + 1 :]
            if KIND_OF[one] == KIND_OF[other] and KIND_OF[one] not in {"number", "text"}
        ]
        if pairs:
            yield f"print({', '.join(pairs)})"

    # ---- what that takes

    def _wanted(self, sources: Iterable[str]) -> set[str]:
        """Give all names of ours that these sources, and what they name, need."""
        self._ways = getattr(self, "_ways", {})
        wanted: set[str] = set()
        open_names = sorted(_names_in(sources) & {*DEFINITIONS, *WAYS})
        while open_names:
            name = open_names.pop()
            if name in wanted:
                continue
            wanted.add(name)
            if name in WAYS:
                self._ways.setdefault(name, self._random.choice(WAYS[name]))
            text = self._ways[name] if name in WAYS else DEFINITIONS[name]
            open_names += sorted(_names_in([text]) & {*DEFINITIONS, *WAYS})
        return wanted

    def _topics_of(self, wanted: set[str]) -> list[Topic]:
        homes = {_HOME[name] for name in wanted} | {topic.name for topic in self._topics}
        return [topic for topic in TOPICS if topic.name in homes]

    def _constants(self, starts: Iterable[str]) -> list[str]:
        """Choose what setup holds, rather than a step: variables of plain content."""
        if self._of_setup.random() < 0.5:
            return []
        chosen: list[str] = []
        named: set[str] = set()
        for start in starts:
            name, _, content = start.partition(" = ")
            others = _names_in([content]) & {*DEFINITIONS, *WAYS}
            if _CONSTANT.match(start) and others <= named and self._of_setup.random() < 0.7:
                chosen.append(start)
                named.add(name)
        return chosen

    # ---- cells

    def _grouped(self, lines: list[str], *, most: int, between: str = "\n") -> list[str]:
        groups = []
        while lines:
            count = self._random.randint(1, most)
            groups.append(between.join(lines[:count]))
            lines = lines[count:]
        return groups

    def _tagged(
        self,
        *,
        setup: Sequence[str],
        constants: Sequence[str],
        seeds: Sequence[str],
        steps: Sequence[str],
    ) -> Iterable[Cell]:
        style = self._random.choice(["%%step {}", "#| step: {}"])
        defines_in_steps = self._random.random() < 0.15
        seeds_in_setup = self._random.random() < 0.5
        yield Cell(source=setup[0] or "pass", tag=self._random.choice(["", "", "%%prelude"]))
        if constants:
            yield Cell(source="\n".join(constants), tag=self._tag_of_constants(constants))
        in_steps = [] if seeds_in_setup else list(seeds)
        if seeds_in_setup:
            yield from (Cell(source=seed) for seed in seeds)
        if defines_in_steps:
            in_steps = [*setup[1:], *in_steps]
        else:
            yield from (Cell(source=source) for source in setup[1:])
        number = 0
        before: list[str] = []
        for source in [*in_steps, *steps]:
            if number == 0 or self._random.random() < 0.8:
                number += 1
            chosen = number
            if number > 2 and self._random.random() < 0.03:
                chosen = number - 1  # A step whose cells do not stand together.
            if number > 2 and self._of_setup.random() < 0.04:
                chosen = self._of_setup.randint(1, number - 1)
            yield Cell(source=source, tag=style.format(f"s{chosen}"))
            before.append(source)
            if self._of_setup.random() < 0.12:
                yield from self._set_anew(constants, before)

    def _tag_of_constants(self, constants: Sequence[str]) -> str:
        if all(_is_literal(each) for each in constants) and self._of_setup.random() < 0.4:
            return "%%params"
        if all(_IS_SETUP.match(each) for each in constants):
            return self._of_setup.choice(["", "", "%%prelude"])
        return "%%prelude"

    def _set_anew(self, constants: Sequence[str], before: Sequence[str]) -> Iterable[Cell]:
        """Give a constant another value, in the middle of the notebook.

        It may be made of a number that no step before has named.
        """
        names = [each.partition(" = ")[0] for each in constants]
        names = [name for name in names if KIND_OF[name] in _ANEW]
        numbers = [name for name in names if KIND_OF[name] == "number"]
        if not names:
            return
        name = self._of_setup.choice(names)
        value, of_other = _ANEW[KIND_OF[name]]
        others = [each for each in numbers if each not in {name, *_names_in(before)}]
        if others and self._of_setup.random() < 0.6:
            value = of_other.format(self._of_setup.choice(others))
        yield Cell(source=f"{name} = {value}")


def _is_literal(start: str) -> bool:
    try:
        json.dumps(ast.literal_eval(start.partition(" = ")[2]))
    except (ValueError, TypeError, SyntaxError):
        return False
    return True


def _names_in(sources: Iterable[str]) -> set[str]:
    return {name for source in sources for name in _NAME.findall(source)}


def _filled(text: str, name: str) -> str:
    return Template(text).substitute(_=name)
