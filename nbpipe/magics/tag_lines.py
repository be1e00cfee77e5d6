"""Takes the tag line out of a cell, so that IPython runs the rest as it runs any cell.

A cell magic that ran its body itself would have to imitate all that IPython does for a cell:
display of the last expression, `_` and `Out`, `await`, line numbers, interrupts, history. Instead
this runs among IPython's input transformers, before cell magics are looked for. A line that is no
valid tag stays, and ends up in the cell magic of its name, which says what is wrong with it.
"""

from __future__ import annotations

from nbpipe.notebook.tags import TagError, parse_magic


def without_tag_line(lines: list[str]) -> list[str]:
    """Give the lines of a cell with its tag line blank, so that line numbers stay.

    Where another cell magic follows, it must stand on the first line: there the tag is dropped.
    """
    if not lines or not _is_tag(lines[0]):
        return lines
    rest = lines[1:]
    first = next((number for number, line in enumerate(rest) if line.strip()), None)
    if first is not None and rest[first].startswith("%%"):
        return rest[first:]
    return ["\n", *rest]


def _is_tag(line: str) -> bool:
    try:
        return parse_magic(line) is not None
    except TagError:
        return False
