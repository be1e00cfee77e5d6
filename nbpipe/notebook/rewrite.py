"""Tag cells in the text of an `.ipynb` file: only what a tag adds changes, byte for byte.

Reading JSON and writing it again would reorder keys, change indentation and escape sequences, and
drown a one-line change in a diff of the whole file. So the text is scanned for the places of the
cells, and edited there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]  # not in the stubs
from typing import Final

from nbpipe.model.names import StepName
from nbpipe.model.notebook import Cell, Notebook, Spelling

# Cells have ids from format 4.5 on.
_FIRST_MINOR_WITH_IDS: Final = 5
_SPACE: Final = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class _Value:
    """A JSON value in a text: where it begins and ends, and its members if it has some."""

    start: int
    end: int
    members: Mapping[str, _Value] | None = None
    items: tuple[_Value, ...] = ()


def prevailing_spelling(notebook: Notebook) -> Spelling:
    """Give the spelling that most tags of the notebook use; the magic when there are none."""
    used = [cell.tag.spelling for cell in notebook.cells if cell.tag]
    return max(Spelling, key=used.count) if used else Spelling.MAGIC


# ---- rewriting --------------------------------------------------------------------------------


def add_tags(
    text: str, notebook: Notebook, steps: Mapping[int, StepName], *, spelling: Spelling
) -> str:
    """Tag cells, given by position among all cells, in the text of a notebook file.

    With magics, a first cell that loads the extension is added unless there is one. A cell that
    begins with a cell magic cannot carry a comment tag; it gets a cell tag.

    Raises:
        ValueError: when the text is not the notebook's.
    """
    root = _scan(text)
    cells = (root.members or {})["cells"].items
    if len(cells) < len(notebook.cells):
        raise ValueError("the text does not hold the notebook's cells")
    edits: list[tuple[int, int, str]] = []
    for position, name in steps.items():
        cell, value = notebook.cells[position], cells[position]
        used = spelling
        if used is Spelling.COMMENT and cell.source.lstrip().startswith("%%"):
            used = Spelling.CELL_TAG
        if used is Spelling.CELL_TAG:
            edits.append(_metadata_edit(text, value, f"step:{name}"))
        else:
            line = f"%%step {name}" if used is Spelling.MAGIC else f"#| step: {name}"
            edits.append(_source_edit(text, value, line))
    if spelling is Spelling.MAGIC and steps and not _loads_extension(notebook.cells):
        edits.append(_first_cell_edit(text, root))
    return _apply(text, edits)


def rename_step(text: str, notebook: Notebook, old: StepName, new: StepName) -> str:
    """Give a step another name in every cell that carries it, in that cell's own spelling."""

    def change(cell: Cell, source: str) -> str:
        assert cell.tag is not None
        pattern = {
            Spelling.MAGIC: rf"(?m)\A(\s*%%step\s+){re.escape(old)}(?![\w-])",
            Spelling.COMMENT: rf"(?m)^(#\|\s*step\s*:\s*){re.escape(old)}(?![\w-])",
            Spelling.CELL_TAG: r"(?!)",
        }[cell.tag.spelling]
        return re.sub(pattern, rf"\g<1>{new}", source, count=1)

    return _rewrite_tagged(text, notebook, old, change, lambda _tag: f"step:{new}")


def remove_tag(text: str, notebook: Notebook, step: StepName) -> str:
    """Take the tag of a step off every cell that carries it."""

    def change(cell: Cell, source: str) -> str:
        assert cell.tag is not None
        if cell.tag.spelling is Spelling.MAGIC:
            return "\n".join(source.split("\n")[cell.tag.lines :])
        if cell.tag.spelling is Spelling.COMMENT:
            return re.sub(r"(?m)^#\|\s*step\s*:.*\n?", "", source, count=1)
        return source

    return _rewrite_tagged(text, notebook, step, change, lambda _tag: None)


def _rewrite_tagged(
    text: str,
    notebook: Notebook,
    step: StepName,
    change_source: Callable[[Cell, str], str],
    change_tag: Callable[[str], str | None],
) -> str:
    cells = (_scan(text).members or {})["cells"].items
    edits: list[tuple[int, int, str]] = []
    for cell, value in zip(notebook.cells, cells, strict=True):
        if cell.tag is None or cell.tag.step != step:
            continue
        members = value.members or {}
        if cell.tag.spelling is Spelling.CELL_TAG:
            metadata = members["metadata"]
            facts = json.loads(text[metadata.start : metadata.end])
            renamed = [change_tag(t) if t == f"step:{step}" else t for t in facts["tags"]]
            facts["tags"] = [tag for tag in renamed if tag is not None]
            edits.append((metadata.start, metadata.end, _dumped(facts, text, metadata)))
        else:
            source = members["source"]
            edits.append((source.start, source.end, _new_source(text, source, cell, change_source)))
    return _apply(text, edits)


def _new_source(text: str, value: _Value, cell: Cell, change: Callable[[Cell, str], str]) -> str:
    changed = change(cell, cell.source)
    if text[value.start] == '"':
        return json.dumps(changed, ensure_ascii=False)
    lines = changed.splitlines(keepends=True)
    return _dumped(lines, text, value)


def _loads_extension(cells: Sequence[Cell]) -> bool:
    return any(re.search(r"(?m)^\s*%(?:re)?load_ext\s+nbpipe\b", cell.source) for cell in cells)


def _source_edit(text: str, cell: _Value, line: str) -> tuple[int, int, str]:
    source = (cell.members or {})["source"]
    tag = json.dumps(line + "\n", ensure_ascii=False)
    if text[source.start] == '"':
        return source.start + 1, source.start + 1, tag[1:-1]
    if not source.items:
        return source.start, source.end, f"[{tag}]"
    first = source.items[0].start
    gap = text[source.start + 1 : first]
    return first, first, f"{tag},{gap}"


def _metadata_edit(text: str, cell: _Value, tag: str) -> tuple[int, int, str]:
    metadata = (cell.members or {}).get("metadata")
    if metadata is None:
        return cell.start + 1, cell.start + 1, f'"metadata": {{"tags": [{json.dumps(tag)}]}}, '
    facts = json.loads(text[metadata.start : metadata.end])
    facts["tags"] = [*facts.get("tags", []), tag]
    return metadata.start, metadata.end, _dumped(facts, text, metadata)


def _first_cell_edit(text: str, root: _Value) -> tuple[int, int, str]:
    members = root.members or {}
    cells = members["cells"]
    cell: dict[str, object] = {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": ["%load_ext nbpipe"],
    }
    minor = members.get("nbformat_minor")
    if minor is not None and int(text[minor.start : minor.end]) >= _FIRST_MINOR_WITH_IDS:
        cell = {"cell_type": "code", "execution_count": None, "id": "load-nbpipe"} | cell
    if not cells.items:
        return cells.start, cells.end, json.dumps([cell])
    first = cells.items[0]
    gap = text[cells.start + 1 : first.start]
    return first.start, first.start, _dumped(cell, text, first) + "," + gap


def _dumped(value: object, text: str, place: _Value) -> str:
    """Write a value with the indentation that the text has around `place`."""
    line_start = text.rfind("\n", 0, place.start) + 1
    margin = text[line_start : place.start]
    margin = margin[: len(margin) - len(margin.lstrip())]
    if line_start == 0 or "\n" not in text[place.start : place.end]:
        return json.dumps(value, ensure_ascii=False)
    inner = re.match(r"[\[{]\s*?\n([ \t]*)", text[place.start : place.end])
    unit = inner[1][len(margin) :] if inner and inner[1].startswith(margin) else " "
    dumped = json.dumps(value, ensure_ascii=False, indent=unit or " ")
    return dumped.replace("\n", "\n" + margin)


def _apply(text: str, edits: Sequence[tuple[int, int, str]]) -> str:
    for start, end, replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text


# ---- scanning ---------------------------------------------------------------------------------


def _scan(text: str) -> _Value:
    value, _ = _scan_value(text, _skip(text, 1 if text.startswith("\ufeff") else 0))
    return value


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _scan_value(text: str, at: int) -> tuple[_Value, int]:
    """Scan one value of valid JSON; nested ones are kept, scalars only skipped."""
    opening = text[at]
    if opening == '"':
        _, end = scanstring(text, at + 1, False)  # noqa: FBT003 - C, by position
        return _Value(at, end), end
    if opening not in "{[":
        match = re.compile(r"[^\s,\]}]+").match(text, at)
        end = match.end() if match else at + 1
        return _Value(at, end), end
    members: dict[str, _Value] = {}
    items: list[_Value] = []
    position = _skip(text, at + 1)
    while text[position] not in "}]":
        if opening == "{":
            name, position = scanstring(text, position + 1, False)  # noqa: FBT003 - as above
            position = _skip(text, _skip(text, position) + 1)
            members[name], position = _scan_value(text, position)
        else:
            item, position = _scan_value(text, position)
            items.append(item)
        position = _skip(text, position)
        if text[position] == ",":
            position = _skip(text, position + 1)
    end = position + 1
    return _Value(at, end, members if opening == "{" else None, tuple(items)), end
