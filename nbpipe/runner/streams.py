"""What a cell prints, kept in bounded memory and linear time.

Text arrives in many small pieces. Consecutive pieces of one stream become one output, as in
JupyterLab; carriage returns and backspaces are applied, so that a progress bar is one line. Of
more text than the limit, the first half and the last half are kept, across all streams of the
cell, and a line says how much is left out between them.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, MutableSequence
from dataclasses import dataclass, field
from typing import Any, Final

DEFAULT_LIMIT: Final = 10_000_000

# A cell that alternates between stdout and stderr a million times gets so many outputs, no more.
_MOST_OUTPUTS: Final = 2_000
# A line longer than this is passed on unfinished; a carriage return no longer takes it back.
_LONGEST_LINE: Final = 65_536

_BACKSPACE: Final = re.compile(r"[^\n]\x08")


@dataclass(slots=True)
class _Stream:
    """One stream output: `line` is unfinished, `head` and `tail` are kept pieces before it."""

    output: dict[str, Any]
    line: str = ""
    head: list[str] = field(default_factory=list)
    tail: deque[str] = field(default_factory=deque)
    left_out: int = 0


class StreamCollector:
    """The stream outputs of one cell."""

    def __init__(
        self,
        limit: int = DEFAULT_LIMIT,
        *,
        new_output: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    ) -> None:
        self._limit = limit
        self._new_output = new_output
        self.forget()

    def forget(self) -> None:
        """Start anew, because the cell's outputs were cleared."""
        self._streams: list[_Stream] = []
        self._last_by_name: dict[str, _Stream] = {}
        self._head_left = self._limit // 2
        self._tail: deque[_Stream] = deque()
        self._tail_size = 0

    @property
    def bytes_left_out(self) -> int:
        """How much was dropped."""
        return sum(stream.left_out for stream in self._streams)

    def add(self, name: str, text: str, outputs: MutableSequence[Any]) -> None:
        """Take text of the stream `name`, and append an output to `outputs` where it needs one."""
        current = self._last_by_name.get(name)
        is_last = current is not None and bool(outputs) and outputs[-1] is current.output
        if current is not None and (is_last or len(self._streams) >= _MOST_OUTPUTS):
            self._extend(current, text)
            return
        stream = _Stream(self._new_output({"output_type": "stream", "name": name, "text": ""}))
        outputs.append(stream.output)
        self._streams.append(stream)
        self._last_by_name[name] = stream
        self._extend(stream, text)

    def settle(self) -> None:
        """Write the text collected so far into the outputs; more may follow."""
        for stream in self._streams:
            gap = _gap(stream.left_out, self._limit) if stream.left_out else ""
            stream.output["text"] = "".join([*stream.head, gap, *stream.tail, stream.line])

    def _extend(self, stream: _Stream, text: str) -> None:
        if "\r" in text or "\b" in text or stream.line.endswith("\r"):
            text = _applied(stream.line + text)
        else:
            text = stream.line + text
        end = text.rfind("\n") + 1
        if len(text) - end > _LONGEST_LINE:
            end = len(text)
        stream.line = text[end:]
        if end:
            self._keep(stream, text[:end])

    def _keep(self, stream: _Stream, text: str) -> None:
        first, rest = text[: self._head_left], text[self._head_left :]
        self._head_left -= len(first)
        if first:
            stream.head.append(first)
        if not rest:
            return
        room = self._limit - self._limit // 2
        stream.left_out += _size(rest[:-room])
        kept = rest[-room:]
        stream.tail.append(kept)
        self._tail.append(stream)
        self._tail_size += len(kept)
        while self._tail_size > room:
            oldest = self._tail.popleft()
            piece = oldest.tail.popleft()
            surplus = self._tail_size - room
            self._tail_size -= len(piece)
            oldest.left_out += _size(piece[:surplus])
            if len(piece) > surplus:
                oldest.tail.appendleft(piece[surplus:])
                self._tail.appendleft(oldest)
                self._tail_size += len(piece) - surplus


def _applied(text: str) -> str:
    """Apply carriage returns and backspaces as a terminal does; a final return has yet to act."""
    while _BACKSPACE.search(text):
        text = _BACKSPACE.sub("", text)
    text = text.replace("\b", "")
    lines = re.sub(r"\r+\n", "\n", text).split("\n")
    return "\n".join(map(_overwritten, lines))


def _overwritten(line: str) -> str:
    if "\r" not in line:
        return line
    pending = "\r" if line.endswith("\r") else ""
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return shown + pending


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _gap(left_out: int, limit: int) -> str:
    return (
        f"\n… {left_out:,} bytes left out here: of a cell's text the first and last part are kept, "
        f"{limit:,} bytes in all (NBPIPE_OUTPUT_LIMIT) …\n"
    )
