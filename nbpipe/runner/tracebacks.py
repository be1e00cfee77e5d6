"""Tracebacks as the author should see them: the notebook's cells and lines, no frames of ours.

IPython hands a traceback over as strings, about one a frame, coloured. In a step notebook its
cells are counted as they ran there; here every `Cell In[3], line 2`, and every line number in the
listing below it, becomes what it is in the author's notebook.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class CellPlace:
    """Where a cell of a step notebook comes from: `lines[i]` is the author's line of line i + 1."""

    number: int
    lines: tuple[int, ...]
    source: str

    def line(self, line: int) -> int:
        """Give the author's line for a line of the step notebook's cell."""
        if not self.lines:
            return line
        return self.lines[min(max(line, 1), len(self.lines)) - 1]


_ANSI: Final = r"(?:\x1b\[[0-9;]*m)*"
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_CELL: Final = re.compile(rf"(Cell{_ANSI} {_ANSI}In\[)(\d+)(\]{_ANSI}, line )(\d+)")
_LISTED: Final = re.compile(rf"^({_ANSI})([- ]*>? *)({_ANSI})(\d+)(?=\x1b| |$)", re.MULTILINE)
_OURS: Final = re.compile(
    r"\s*File .*[/\\]"
    r"(?:IPython|ipykernel|papermill|nbclient|nbpipe[/\\](?:kernel|store|model))[/\\]"
)
_TIMED: Final = re.compile(r"\s*File <timed exec>:(\d+)")
_MAGIC_CALL: Final = "get_ipython().run_cell_magic("


def author_traceback(traceback: Sequence[str], places: Mapping[int, CellPlace]) -> tuple[str, ...]:
    """Give the traceback with the author's cells and lines; `places` is by execution count.

    Colours stay. Frames of nbpipe, papermill and IPython are left out, and the one that stands
    for the body of a `%%time` cell becomes that cell's.
    """
    kept: list[str] = []
    timed_cell: CellPlace | None = None
    for frame in traceback:
        text = without_colours(frame)
        if _OURS.match(text):
            continue
        cell = _CELL.search(frame)
        if cell is not None and _MAGIC_CALL in text:
            timed_cell = places.get(int(cell[2]))
            if timed_cell is not None:
                continue
        timed = _TIMED.match(text)
        if timed is not None and timed_cell is not None:
            kept.append(_timed_frame(timed_cell, int(timed[1]) + 1))
        elif cell is not None and int(cell[2]) in places:
            kept.append(_renumbered(frame, places[int(cell[2])]))
        else:
            kept.append(frame)
    return tuple(kept)


def traceback_text(traceback: Sequence[str]) -> str:
    """Give a traceback as plain text."""
    lines = [without_colours(frame).rstrip("\n") for frame in traceback]
    if lines and not lines[0].strip("-"):
        del lines[0]
    return "\n".join(lines)


def without_colours(text: str) -> str:
    """Give `text` without terminal colour codes."""
    return _COLOUR.sub("", text)


def _renumbered(frame: str, place: CellPlace) -> str:
    def heading(match: re.Match[str]) -> str:
        return f"{match[1]}{place.number}{match[3]}{place.line(int(match[4]))}"

    def listed(match: re.Match[str]) -> str:
        number = str(place.line(int(match[4])))
        margin = match[2]
        surplus = len(number) - len(match[4])
        if surplus > 0 and len(margin) > surplus:
            margin = margin[surplus:]
        elif surplus < 0:
            margin = (margin[:1] or " ") * -surplus + margin
        return f"{match[1]}{margin}{match[3]}{number}"

    first, newline, rest = frame.partition("\n")
    return _CELL.sub(heading, first) + newline + _LISTED.sub(listed, rest)


def _timed_frame(cell: CellPlace, line: int) -> str:
    lines = cell.source.split("\n")
    code = lines[line - 1] if line <= len(lines) else ""
    shown = cell.line(line)
    return f"Cell In[{cell.number}], line {shown}\n----> {shown} {code}\n"
