"""What a topic of moves is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Topic:
    """Things that notebooks do, of one kind.

    In a move `$list` stands for some variable of the kind `list`, `$list2` for another (or the
    same), and `$k` for a small number. What a move names, the notebook gets: definitions and
    variables are only there when something uses them.

    Attributes:
        imports: lines of the first cell, if the topic is chosen.
        definitions: functions and classes by name.
        variables: by kind, each name with one or more ways to make it.
        moves: statements that always work.
        shows: by kind, an expression that tells all about a variable `$_`.
        files: text by name of the files beside the notebook.
        seeds: a cell after the first, if the topic is chosen.
    """

    name: str
    imports: str = ""
    definitions: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    moves: tuple[str, ...] = ()
    shows: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    seeds: str = ""
