"""The parts of the script as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nbpipe.exporters.scripting.edits import indented
from nbpipe.exporters.scripting.texts import literal
from nbpipe.model.flow import StatementKind
from nbpipe.model.pipeline import Parameter

WIDTH: Final = 88
_INDENT: Final = "    "


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Text of one cell, or of one statement of it. `gap`: blank lines above it in its cell."""

    cell: str
    text: str
    gap: int = 0
    kinds: frozenset[StatementKind] = frozenset()
    heading: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function that runs a step, or a part of one."""

    name: str
    title: str
    arguments: tuple[str, ...]
    results: tuple[str, ...]
    globals: tuple[str, ...]
    files: tuple[str, ...]
    body: tuple[Block, ...]
    is_async: bool

    @property
    def heading(self) -> str:
        """The Markdown heading above its first cell."""
        return next((block.heading for block in self.body if block.heading), "")


def module_level(blocks: Sequence[Block]) -> str:
    """Give the text of imports, definitions, constants and settings."""
    parts: list[str] = []
    previous: Block | None = None
    for block in blocks:
        if previous is not None:
            parts += [""] * _blank_lines(previous, block)
        parts.append(block.text)
        previous = block
    return "\n".join(parts)


def _blank_lines(previous: Block, block: Block) -> int:
    if StatementKind.DEFINITION in previous.kinds | block.kinds:
        return 2
    imports = [part.kinds == {StatementKind.IMPORT} for part in (previous, block)]
    if previous.cell == block.cell and len(set(imports)) == 1:
        return block.gap
    return 0 if all(imports) else 1


def function_text(function: Function) -> str:
    """Give the definition of a function."""
    keyword = "async def" if function.is_async else "def"
    heading = [f"# {function.heading}"] if function.heading else []
    inside = [
        *(f"global {row}" for row in _rows(function.globals, WIDTH - 12)),
        _body(function),
    ]
    if function.results:
        inside.append(_with_names("return ", function.results, "", WIDTH - 4))
    return "\n".join(
        [
            *heading,
            _with_names(f"{keyword} {function.name}(", function.arguments, "):", WIDTH),
            textwrap.indent(_docstring(function), _INDENT),
            *(indented(part) for part in inside),
        ]
    )


def call_text(function: Function) -> str:
    """Give the line of main() that calls a function."""
    opening = f"{'await ' if function.is_async else ''}{function.name}("
    if not function.results:
        return _with_names(opening, function.arguments, ")", WIDTH - 4)
    target = _with_names("", function.results, " = ", WIDTH // 2)
    room = WIDTH - 4 - len(target.split("\n")[-1])
    return target + _with_names(opening, function.arguments, ")", room)


def parameters_function(
    name: str, pipeline: str, parameters: Sequence[tuple[Parameter, str]]
) -> str:
    """Give the function that reads the command line; each parameter comes with its comment."""
    description = literal(f"The pipeline {pipeline}: its steps, in the order of the notebook.")
    given = "parser.parse_args(arguments)"
    inside = [
        '"""Take the parameters from the command line."""',
        _with_parts(
            "parser = argparse.ArgumentParser(",
            [f"description={description}", "allow_abbrev=False"],
            ")",
        ),
        *(
            _with_parts("parser.add_argument(", _option(parameter, comment), ")")
            for parameter, comment in parameters
        ),
        f"globals().update(vars({given}))" if parameters else given,
    ]
    return "\n".join([f"def {name}(arguments=None):", *(indented(part) for part in inside)])


def main_function(name: str, reader: str, loop: str, functions: Sequence[Function]) -> str:
    """Give main(), and with it the function that runs the steps when one of them awaits."""
    calls = [indented(call_text(function)) for function in functions]
    opening = [
        f"def {name}(arguments=None):",
        '    """Run the steps in the order of the notebook."""',
        f"    {reader}(arguments)",
    ]
    if not any(function.is_async for function in functions):
        return "\n".join([*opening, *calls])
    steps = [
        f"async def {loop}():",
        '    """Run the steps in one event loop, as the notebook does."""',
        *calls,
    ]
    return "\n".join([*steps, "", "", *opening, f"    asyncio.run({loop}())"])


def _option(parameter: Parameter, comment: str) -> list[str]:
    name = str(parameter.name)
    flag = f"--{name.replace('_', '-')}" if not name.startswith("_") else f"--{name}"
    words = dict.fromkeys([literal(flag), literal(f"--{name}")])
    if name == "help":
        words = {'"--help-value"': None}
    parts = [*words, f"dest={literal(name)}"]
    match parameter.default:
        case None:
            parts.append("type=_anything")
        case bool():
            parts.append("action=argparse.BooleanOptionalAction")
        case list() | dict():
            parts.append(f"type=_json({parameter.type})")
        case _:
            parts.append(f"type={parameter.type}")
    parts.append(f"default={name}")
    text = f"{comment} (default: %(default)s)" if comment else "default: %(default)s"
    parts.append(f"help={literal(comment.replace('%', '%%') + text[len(comment) :])}")
    return parts


# ---- functions --------------------------------------------------------------------------------


def _docstring(function: Function) -> str:
    facts = {
        "Takes": function.arguments,
        "Gives": function.results,
        "Sets": function.globals,
        "Files": function.files,
    }
    told = [
        textwrap.fill(f"{word}: {', '.join(names)}.", WIDTH - 4, subsequent_indent=_INDENT)
        for word, names in facts.items()
        if names
    ]
    lines = ['"""' + function.title, "", *told, '"""'] if told else [f'"""{function.title}"""']
    return "\n".join(lines).replace("\\", "\\\\")


def _body(function: Function) -> str:
    lines = [""] if function.globals else []
    previous: Block | None = None
    for block in function.body:
        if previous is not None and previous.cell != block.cell:
            lines.append("")
            if block.heading:
                lines.append(f"# {block.heading}")
        elif previous is not None:
            lines += [""] * min(block.gap, 1)
        lines.append(block.text)
        previous = block
    return "\n".join(lines)


# ---- lines ------------------------------------------------------------------------------------


def _with_names(opening: str, names: Sequence[str], closing: str, room: int) -> str:
    """Put names between `opening` and `closing`, on lines of their own where there is no room."""
    line = f"{opening}{', '.join(names)}{closing}"
    if len(line) <= room:
        return line
    rows = [f"{_INDENT}{row}," for row in _rows(names, WIDTH - 12)]
    left, right = ("", "") if opening.endswith("(") else ("(", ")")
    return "\n".join([opening + left, *rows, right + closing])


def _with_parts(opening: str, parts: Sequence[str], closing: str) -> str:
    line = f"{opening}{', '.join(parts)}{closing}"
    if len(line) <= WIDTH - 4:
        return line
    return "\n".join([opening, *(f"{_INDENT}{part}," for part in parts), closing])


def _rows(names: Sequence[str], width: int) -> list[str]:
    if not names:
        return []
    text = textwrap.fill(", ".join(names), width, break_long_words=False, break_on_hyphens=False)
    return [row.removesuffix(",") for row in text.split("\n")]
