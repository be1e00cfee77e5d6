"""Selected pieces → the text of the script."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nbpipe.dataflow.ipython_syntax import parse
from nbpipe.exporters.findings import finding, span_of
from nbpipe.exporters.paths import named_files
from nbpipe.exporters.scripting import layout
from nbpipe.exporters.scripting.edits import comment_on
from nbpipe.exporters.scripting.emitting import function_text, module_text, parameters_text
from nbpipe.exporters.scripting.figures import drawing_names, draws, imported, keeps_figures
from nbpipe.exporters.scripting.layout import Block, Function
from nbpipe.exporters.scripting.naming import FreeNames, module_name
from nbpipe.exporters.scripting.pieces import Origin, Piece
from nbpipe.exporters.scripting.placing import Placement, imports_future, place
from nbpipe.exporters.scripting.selecting import Selection
from nbpipe.exporters.scripting.support import SUPPORT
from nbpipe.exporters.scripting.variables import Traffic, Unit, traffic_of, units_of
from nbpipe.model.diagnostic import Diagnostic
from nbpipe.model.names import CellId
from nbpipe.model.notebook import CellKind, Notebook
from nbpipe.model.pipeline import Parameter, Pipeline

_SHOW_FIGURES = "_show_figures()"


def name_conflicts(selection: Selection) -> Iterator[Diagnostic]:
    """Find names of the notebook's that mean something else in the script."""
    reserved = {*SUPPORT} - {"display"}
    for piece in selection.pieces:
        taken = piece.facts.bound & reserved
        if "os" in selection.helpers and "os" in piece.facts.bound:
            imports_it = all(s.imports.get("os") == "os" for s in piece.statements)
            taken = taken if imports_it else taken | {"os"}
        for name in sorted(taken):
            yield finding(
                "NBP302",
                f"the script needs the name {name!r} for itself.",
                span=span_of(piece.cell, piece.lines.start - piece.cell.first_line + 1),
                help="Give the variable another name.",
            )


def script_text(
    notebook: Notebook, pipeline: Pipeline, selection: Selection, *, version: str
) -> str:
    """Give the text of the module."""
    used = {"os"} & selection.helpers
    placement = place(selection.pieces, used)
    units = units_of(placement)
    wanted = {o.variable for step in pipeline.steps for o in step.outputs if o.required}
    traffic = traffic_of(placement, units, wanted)
    names = FreeNames({*SUPPORT, *_names_in(selection.pieces)})
    main = names.take("main", "run_pipeline")
    reader = names.take("read_parameters", "read_arguments")
    loop = names.take("run_steps", "run_all")
    style = _style_of(notebook, selection.pieces)
    functions = _functions(units, traffic, names, style, pipeline)
    sections = [
        *(layout.function_text(function) for function in functions),
        layout.parameters_function(reader, pipeline.name, _commented(pipeline, placement)),
        layout.main_function(main, reader, loop, functions),
    ]
    support = _support(sections, selection.pieces)
    sections[-2:-2] = [SUPPORT[name].source.rstrip() for name in support]
    modules = {"argparse"}.union(*(SUPPORT[name].modules for name in support))
    modules |= {"asyncio"} & {"asyncio" for function in functions if function.is_async}
    modules |= used
    imports, renamed = _imports(modules, placement, selection.pieces)
    ours = len(sections) - 2 - len(support)
    sections[ours:] = [_renamed(section, renamed) for section in sections[ours:]]
    top = [
        _header(pipeline, version),
        "\n".join(piece.text for piece in placement.module if imports_future(piece)),
        "\n".join(imports),
        layout.module_level(list(_module_blocks(placement, style, pipeline))),
    ]
    start = f'if __name__ == "__main__":\n    {main}()'
    return "\n\n\n".join(["\n\n".join(filter(None, top)), *sections, start]) + "\n"


def _names_in(pieces: Sequence[Piece]) -> set[str]:
    """Give the names that the notebook uses; code in texts may use any word there is."""
    names = set[str]().union(*(piece.facts.mentioned for piece in pieces))
    if any(piece.facts.sees_all for piece in pieces):
        names |= {word for piece in pieces for word in re.findall(r"[^\W\d]\w*", piece.text)}
    return names


def _header(pipeline: Pipeline, version: str) -> str:
    name = module_name(pipeline)
    return f'''"""The pipeline {pipeline.name}, as a program that needs no Jupyter.

Made by nbpipe {version} from the notebook. It gives the values of the notebook, run from top to
bottom. Relative paths in it start in the folder of the notebook: run it there.

    python {name}.py --help
"""'''


# ---- module level -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Style:
    """What decides about texts: imports by name, how figures behave, headings by cell."""

    modules: Mapping[str, str]
    figures: bool
    drawing: frozenset[str]
    headings: Mapping[CellId, str]


def _style_of(notebook: Notebook, pieces: Sequence[Piece]) -> _Style:
    return _Style(
        modules=imported(pieces),
        figures=not keeps_figures(notebook),
        drawing=drawing_names(pieces),
        headings=_headings(notebook, {piece.cell.id for piece in pieces}),
    )


def _headings(notebook: Notebook, chosen: set[CellId]) -> dict[CellId, str]:
    """Give for each cell the last Markdown heading between it and the chosen cell before it."""
    found: dict[CellId, str] = {}
    heading = ""
    for cell in notebook.cells:
        if cell.kind is CellKind.MARKDOWN:
            for line in cell.source.split("\n"):
                if match := re.match(r"#{1,6}\s+(.+?)\s*#*\s*\Z", line):
                    heading = match[1]
        elif cell.id in chosen:
            found[cell.id] = heading
            heading = ""
    return found


def _module_blocks(placement: Placement, style: _Style, pipeline: Pipeline) -> Iterator[Block]:
    parameters = {str(parameter.name): parameter for parameter in pipeline.parameters}
    for piece in placement.module:
        if imports_future(piece):
            continue
        if piece.origin is Origin.PARAMETERS:
            text = parameters_text(piece, parameters)
        else:
            text = module_text(piece, modules=style.modules, figures=style.figures)
        if text.strip():
            yield Block(cell=piece.cell.id, text=text, gap=piece.gap, kinds=piece.kinds)


def _commented(pipeline: Pipeline, placement: Placement) -> list[tuple[Parameter, str]]:
    """Give the parameters, each with the comment behind its default."""
    comments: dict[str, str] = {}
    for piece in placement.module:
        if piece.origin is Origin.PARAMETERS:
            for node in parse(piece.text).body:
                for target in ast.walk(node):
                    if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store):
                        comments[target.id] = comment_on(piece.text, node.end_lineno or 1)
    return [(parameter, comments.get(parameter.name, "")) for parameter in pipeline.parameters]


# ---- functions --------------------------------------------------------------------------------


def _functions(
    units: Sequence[Unit],
    traffic: Sequence[Traffic],
    names: FreeNames,
    style: _Style,
    pipeline: Pipeline,
) -> list[Function]:
    functions: list[Function] = []
    parts: dict[str, int] = {}
    for unit, border in zip(units, traffic, strict=True):
        word = str(unit.step or "setup").replace("-", "_")
        parts[word] = parts.get(word, 0) + 1
        if parts[word] > 1:
            name = names.take(f"{word}_{parts[word]}")
        else:
            name = names.take(word, f"{word}_step")
        functions.append(
            Function(
                name=name,
                title=_title(unit, parts[word]),
                arguments=border.arguments,
                results=border.results,
                globals=border.globals,
                files=named_files(step for step in pipeline.steps if step.name == unit.step),
                body=tuple(_body_blocks(unit, border, style)),
                is_async=unit.facts.awaits,
            )
        )
    return functions


def _title(unit: Unit, part: int) -> str:
    numbers = sorted({piece.cell.number for piece in unit.pieces if piece.statements})
    cells = f"cell {numbers[0]}" if len(numbers) == 1 else f"cells {_numbers(numbers)}"
    if unit.step is None:
        return f"Prepare what later steps use: {cells} of the notebook."
    return f"Step {unit.step}{f', part {part}' if part > 1 else ''}: {cells} of the notebook."


def _numbers(numbers: Sequence[int]) -> str:
    """Give `2, 3 and 5`, or `2 to 5` when none is missing."""
    first, *between, last = numbers
    if between and last - first == len(between) + 1:
        return f"{first} to {last}"
    return f"{', '.join(map(str, [first, *between]))} and {last}"


def _body_blocks(unit: Unit, border: Traffic, style: _Style) -> Iterator[Block]:
    for cell, group in itertools.groupby(unit.pieces, key=lambda piece: piece.cell.id):
        heading = style.headings.get(cell, "") if unit.step else ""
        unshown: list[Piece] = []
        for piece in group:
            text = function_text(
                piece,
                module_level=frozenset(border.globals),
                modules=style.modules,
                figures=style.figures,
            )
            unshown.append(piece)
            if text.endswith(_SHOW_FIGURES):
                unshown.clear()
            if text.strip():
                yield Block(cell=cell, text=text, gap=piece.gap, heading=heading)
                heading = ""
        if style.figures and unit.step and draws(unshown, style.drawing):
            yield Block(cell=cell, text=_SHOW_FIGURES)


# ---- what the script brings along -------------------------------------------------------------


def _support(sections: Sequence[str], pieces: Sequence[Piece]) -> list[str]:
    """Give the names of the functions that the script calls and the notebook does not define."""
    text = "\n".join(sections)
    bound = set[str]().union(*(piece.facts.bound for piece in pieces))
    mentioned = set[str]().union(*(piece.facts.mentioned for piece in pieces))
    return [
        name
        for name in SUPPORT
        if name not in bound
        and re.search(rf"(?<![\w.]){name}\b", text)
        and (name != "display" or name in mentioned)
    ]


def _imports(
    modules: Iterable[str], placement: Placement, pieces: Sequence[Piece]
) -> tuple[list[str], dict[str, str]]:
    """Give import lines, and other names for modules whose name the notebook uses otherwise."""
    lines: list[str] = []
    renamed: dict[str, str] = {}
    present = imported(placement.module)
    for module in sorted(modules):
        binders = [piece for piece in pieces if module in piece.facts.bound]
        if any(imported([piece]).get(module) != module for piece in binders):
            renamed[module] = f"{module}_module"
            lines.append(f"import {module} as {renamed[module]}")
        elif present.get(module) != module:
            lines.append(f"import {module}")
    return lines, renamed


def _renamed(text: str, names: Mapping[str, str]) -> str:
    for name, other in names.items():
        text = re.sub(rf"(?<![\w.]){name}\.", f"{other}.", text)
    return text
