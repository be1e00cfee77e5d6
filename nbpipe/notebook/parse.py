"""`.ipynb` text → `Notebook`: what is no Python notebook becomes a diagnostic, no exception."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from nbpipe.model.diagnostic import Diagnostic, Severity, Span
from nbpipe.model.names import CellId
from nbpipe.model.notebook import Cell, CellKind, CellTag, Notebook, PipelineOptions, Spelling
from nbpipe.notebook.tags import (
    TagError,
    parse_cell_tags,
    parse_comments,
    parse_magic,
    parse_pipeline_facts,
    parse_pipeline_magic,
    pipeline_name,
)

_PYTHON: Final = frozenset({"python", "python3", "ipython"})


class NotANotebookError(ValueError):
    """The text is not a notebook that can be read; `diagnostic` says why."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


def notebook_json(text: str | bytes) -> dict[str, object]:
    """Give the notebook as nbformat 4 JSON; older formats are converted.

    Raises:
        NotANotebookError: for text that is no notebook, or one of a format not known here.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _unreadable(f"it is not UTF-8 text (byte {error.start})") from None
    if not text.strip():
        raise _unreadable("the file is empty")
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        what = f"{error.msg} at line {error.lineno}, column {error.colno}"
        if error.pos >= len(text.rstrip()) - 1 or "Unterminated" in error.msg:
            what += "; the file looks cut off"
        raise _unreadable(f"it is not JSON: {what}") from None
    except RecursionError:
        raise _unreadable("it is nested too deeply") from None
    if not isinstance(content, dict):
        raise _unreadable("its JSON is not an object")
    version = content.get("nbformat")
    if version in (1, 2, 3):
        content = _converted(content, text)
    elif version != 4:  # noqa: PLR2004 - the format that Jupyter writes
        found = "has no format number" if version is None else f"has format {version!r}"
        raise _unreadable(
            f"it {found}; nbpipe reads notebook formats 1 to 4",
            help="Open it in a current Jupyter and save it again.",
            code="NBP102",
        )
    if not isinstance(content.get("cells"), list):
        raise _unreadable("it has no list of cells")
    return dict(content)


def _unreadable(
    what: str, *, help: str = "Check the file, or restore it.", code: str = "NBP101"
) -> NotANotebookError:
    return NotANotebookError(
        Diagnostic(
            code=code,
            severity=Severity.ERROR,
            message=f"this is not a readable notebook: {what}.",
            help=help,
        )
    )


def _converted(content: dict[str, object], text: str) -> dict[str, object]:
    # nbformat costs a second to import in some environments, and old notebooks are rare.
    import nbformat  # noqa: PLC0415 - see above

    try:
        converted = nbformat.reads(text, as_version=4)
    except Exception as error:  # noqa: BLE001 - whatever a foreign converter raises on bad input
        raise _unreadable(
            f"it has format {content['nbformat']} and cannot be converted ({error})",
            code="NBP102",
        ) from None
    result: dict[str, object] = json.loads(json.dumps(converted))
    return result


def parse_notebook(
    content: Mapping[str, object], *, name: str
) -> tuple[Notebook, tuple[Diagnostic, ...]]:
    """Read nbformat 4 JSON into values. Bad tags and cells become diagnostics and are left out.

    Args:
        content: what `notebook_json` gives.
        name: the file's name without its ending.
    """
    found: list[Diagnostic] = []
    raw_metadata = content.get("metadata")
    metadata = raw_metadata if isinstance(raw_metadata, Mapping) else {}
    kernel, language = _kernel_of(metadata)
    if language.lower() not in _PYTHON:
        found.append(
            Diagnostic(
                code="NBP103",
                severity=Severity.ERROR,
                message=f"the notebook's language is {language}; nbpipe compiles Python notebooks.",
                help="Choose a Python kernel for the notebook, or leave it to its own tools.",
            )
        )
    options: list[tuple[PipelineOptions, Span | None]] = []
    try:
        facts = parse_pipeline_facts(metadata.get("nbpipe"))
        if facts:
            options.append((facts, None))
    except TagError as error:
        found.append(_diagnostic(error, None))
    cells: list[Cell] = []
    taken: set[str] = set()
    raw_cells = content.get("cells")
    number = 0
    for position, raw in enumerate(raw_cells if isinstance(raw_cells, list) else []):
        if not isinstance(raw, Mapping) or raw.get("cell_type") not in list(CellKind):
            found.append(
                Diagnostic(
                    code="NBP105",
                    severity=Severity.WARNING,
                    message=f"cell {position + 1} of the file has no known type; it is left out.",
                    help="Open and save the notebook in Jupyter.",
                )
            )
            continue
        kind = CellKind(str(raw["cell_type"]))
        number += kind is CellKind.CODE
        cell_id = _unique_id(raw.get("id"), position, taken)
        source = _text_of(raw.get("source"))
        span = Span(cell=cell_id, cell_number=number)
        tag = None
        if kind is CellKind.CODE:
            try:
                tag, pipeline = _read_tag(raw, source)
                options += [
                    (o, dataclasses.replace(span, line=n)) for o, n in _pipelines(source, pipeline)
                ]
            except TagError as error:
                found.append(_diagnostic(error, dataclasses.replace(span, line=error.line)))
            found += _misplaced_tags(source, span, tag)
        cells.append(
            Cell(
                id=cell_id,
                kind=kind,
                source=source,
                number=number if kind is CellKind.CODE else 0,
                tag=tag,
                may_raise="raises-exception" in _cell_tags(raw),
            )
        )
    pipeline_options, conflicts = _one_pipeline(options)
    found += conflicts
    return (
        Notebook(
            name=name,
            kernel=kernel,
            language=language,
            cells=tuple(cells),
            options=pipeline_options,
        ),
        tuple(found),
    )


def _kernel_of(metadata: Mapping[str, object]) -> tuple[str, str]:
    spec = metadata.get("kernelspec")
    info = metadata.get("language_info")
    spec = spec if isinstance(spec, Mapping) else {}
    info = info if isinstance(info, Mapping) else {}
    language = info.get("name") or spec.get("language") or "python"
    return str(spec.get("name") or "python3"), str(language)


def _text_of(source: object) -> str:
    if isinstance(source, str):
        return source
    if isinstance(source, list):
        return "".join(part for part in source if isinstance(part, str))
    return ""


def _unique_id(raw: object, position: int, taken: set[str]) -> CellId:
    wanted = raw if isinstance(raw, str) and raw else f"cell-{position}"
    unused, count = wanted, 1
    while unused in taken:
        count += 1
        unused = f"{wanted}-{count}"
    taken.add(unused)
    return CellId(unused)


def _diagnostic(error: TagError, span: Span | None) -> Diagnostic:
    return Diagnostic(
        code=error.code, severity=Severity.ERROR, message=error.message, span=span, help=error.help
    )


def _read_tag(raw: Mapping[str, object], source: str) -> tuple[CellTag | None, str | None]:
    in_metadata = parse_cell_tags(_cell_tags(raw), _metadata(raw).get("nbpipe"))
    first = _first_line(source)
    below_magic = first is not None and first[1].startswith("%%")
    commented = "\n".join(source.split("\n")[first[0] :]) if first and below_magic else source
    in_comments, pipeline = parse_comments(commented)
    in_magic = None
    if first is not None:
        number, line = first
        try:
            in_magic = parse_magic(line)
        except TagError as error:
            error.line = number
            raise
        if in_magic:
            in_magic = dataclasses.replace(in_magic, lines=number)
    spelled = [tag for tag in (in_magic, in_comments, in_metadata) if tag]
    if not spelled:
        return None, pipeline
    chosen = spelled[0]
    if any((tag.role, tag.step) != (chosen.role, chosen.step) for tag in spelled):
        raise TagError(
            "this cell is tagged twice, and the tags disagree.",
            help="Keep one of the tags: the magic, the comment, or the cell tag.",
            code="NBP114",
        )
    return chosen, pipeline


def _metadata(raw: Mapping[str, object]) -> Mapping[str, object]:
    metadata = raw.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def _cell_tags(raw: Mapping[str, object]) -> list[str]:
    tags = _metadata(raw).get("tags")
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []


def _first_line(source: str) -> tuple[int, str] | None:
    for number, line in enumerate(source.split("\n"), start=1):
        if line.strip():
            return number, line
    return None


def _pipelines(source: str, comment: str | None) -> list[tuple[PipelineOptions, int]]:
    options = [(PipelineOptions(name=pipeline_name(comment)), 1)] if comment is not None else []
    if "%pipeline" in source:
        for number, line in enumerate(source.split("\n"), start=1):
            try:
                parsed = parse_pipeline_magic(line)
            except TagError as error:
                error.line = number
                raise
            if parsed:
                options.append((parsed, number))
    return options


_TAG_LINE = re.compile(r"\s*%%(step|params|prelude|skip)\b")


def _misplaced_tags(source: str, span: Span, tag: CellTag | None) -> list[Diagnostic]:
    """Find `%%step` lines that IPython would not take for a magic: not on the first line."""
    if "%%" not in source:
        return []
    first = _first_line(source)
    # Below another cell magic (`%%writefile`) a `%%step` line is text, not a tag.
    if first and first[1].startswith("%%") and (tag is None or tag.spelling is not Spelling.MAGIC):
        return []
    return [
        Diagnostic(
            code="NBP115",
            severity=Severity.ERROR,
            message=f"%%{match[1]} must stand on the first line of its cell.",
            span=dataclasses.replace(span, line=number),
            help="Move it to the top of the cell, above any comment, or start a new cell there.",
        )
        for number, line in enumerate(source.split("\n"), start=1)
        if (match := _TAG_LINE.match(line)) and not (first and number == first[0])
    ]


def _one_pipeline(
    options: Sequence[tuple[PipelineOptions, Span | None]],
) -> tuple[PipelineOptions, list[Diagnostic]]:
    """Settle on the first `%pipeline`; a second one that differs is an error."""
    if not options:
        return PipelineOptions(), []
    first = options[0][0]
    conflicts = [
        Diagnostic(
            code="NBP113",
            severity=Severity.ERROR,
            message=(
                f"one notebook makes one pipeline, and this one names two: "
                f"{first.name!r} and {other.name!r}."
                if other.name != first.name
                else f"the options of pipeline {first.name!r} are given twice and differ."
            ),
            span=span,
            help="Keep one %pipeline line, or split the notebook.",
        )
        for other, span in options[1:]
        if other != first
    ]
    return first, conflicts
