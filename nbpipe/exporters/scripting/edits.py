"""Changes of source text that leave all other text as its author wrote it."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

_INDENT: Final = "    "
_LAYOUT_TOKENS: Final = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
)


@dataclass(frozen=True, slots=True)
class Edit:
    """Characters `start` to `end` of a text become `text`."""

    start: int
    end: int
    text: str


class Places:
    """Translates the places of syntax nodes (line, column in UTF-8 bytes) into characters."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = text.split("\n")
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line) + 1)

    def offset(self, line: int, column: int) -> int:
        """Give the index of the character at `line` (from 1) and `column` (bytes, from 0)."""
        before = self._lines[line - 1].encode()[:column].decode(errors="ignore")
        return self._starts[line - 1] + len(before)

    def span(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        """Give where a node begins and ends."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self.offset(node.lineno, node.col_offset),
            self.offset(node.end_lineno, node.end_col_offset),
        )

    def text(self, node: ast.stmt | ast.expr) -> str:
        """Give the source of a node."""
        start, end = self.span(node)
        return self._text[start:end]

    def replace(self, node: ast.stmt | ast.expr, text: str) -> Edit:
        """Give the edit that puts `text` in the place of a node."""
        return Edit(*self.span(node), text)


def edited(text: str, edits: Iterable[Edit]) -> str:
    """Apply edits; of two that overlap the outer one counts, and insertions come first."""
    kept: list[Edit] = []
    for edit in sorted(edits, key=lambda e: (e.start, e.start != e.end, -e.end)):
        if not kept or edit.start >= kept[-1].end:
            kept.append(edit)
    for edit in reversed(kept):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def indented(text: str) -> str:
    """Indent code by four spaces; lines inside a string that spans lines stay as they are."""
    inside = _lines_inside_strings(text)
    return "\n".join(
        line if number in inside or not line.strip() else _INDENT + line
        for number, line in enumerate(text.split("\n"), start=1)
    )


def is_silenced(text: str) -> bool:
    """Say whether a semicolon at the end keeps the last expression from being shown."""
    last = ""
    for token in tokens(text):
        if token.type not in _LAYOUT_TOKENS:
            last = token.string
    return last == ";"


def comment_on(text: str, line: int) -> str:
    """Give the comment behind the code of a line, without its mark; empty when there is none."""
    for token in tokens(text):
        if token.type == tokenize.COMMENT and token.start[0] == line:
            return token.string.lstrip("#").strip()
    return ""


def tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    """Give the tokens of valid Python."""
    lines = iter([line + "\n" for line in text.split("\n")])
    return tokenize.generate_tokens(lambda: next(lines, ""))


def _lines_inside_strings(text: str) -> set[int]:
    # Python 3.12 and later give f-strings as many tokens, from a start to an end.
    starts = {getattr(tokenize, name, -1) for name in ("FSTRING_START", "TSTRING_START")}
    ends = {getattr(tokenize, name, -1) for name in ("FSTRING_END", "TSTRING_END")}
    inside: set[int] = set()
    opened: list[int] = []
    for token in tokens(text):
        if token.type == tokenize.STRING:
            inside.update(range(token.start[0] + 1, token.end[0] + 1))
        elif token.type in starts:
            opened.append(token.start[0])
        elif token.type in ends:
            inside.update(range(opened.pop() + 1, token.end[0] + 1))
    return inside
