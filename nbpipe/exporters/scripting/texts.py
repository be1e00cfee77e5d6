"""Python literals for the texts of commands, with what IPython fills into them."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from dataclasses import dataclass
from string import Formatter
from typing import Final

# As IPython finds `$name`: not between single quotes, and `$$name` is the text `$name`.
_DOLLAR: Final = re.compile(r"(.*?)\$(\$?[\w\.]+)(?=([^']*'[^']*')*[^']*$)")


@dataclass(frozen=True, slots=True)
class _Field:
    expression: str
    conversion: str


def literal(text: str) -> str:
    """Give a string literal: triple-quoted where a text of many lines reads best so."""
    plain = text.replace("\n", "").isprintable() and '"""' not in text and "\\" not in text
    if "\n" in text and plain and not text.rstrip("\n").endswith('"'):
        return f'"""\\\n{text}"""'
    shown = repr(text)
    return f'"{text}"' if shown == f"'{text}'" and '"' not in text else shown


def filled_in(text: str, known: Collection[str]) -> str:
    """Give an expression for a command in which IPython fills in `{expression}` and `$name`.

    It fills in everything or nothing: a name that is not known keeps the text as it is.
    """
    parts = _parts(text, known)
    if parts is None or not any(isinstance(part, _Field) for part in parts):
        return literal(text if parts is None else "".join(map(str, parts)))
    fields = [part for part in parts if isinstance(part, _Field)]
    if any(re.search(r"[\"\\#\n]|^\{|\}$", field.expression) for field in fields):
        template = "".join(
            _in_template(part) if isinstance(part, str) else f"{{{part.conversion}}}"
            for part in parts
        )
        return f"{literal(template)}.format({', '.join(field.expression for field in fields)})"
    return 'f"' + "".join(map(_in_f_string, parts)) + '"'


def _in_template(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _in_f_string(part: str | _Field) -> str:
    if isinstance(part, str):
        # With a double quote in front, `repr` puts single ones around, whatever else it meets.
        escaped = repr('"' + part)[2:-1].replace("\\'", "'").replace('"', '\\"')
        return _in_template(escaped)
    expression = part.expression
    if re.search(r"[:!=]", expression):
        expression = f"({expression})"
    return f"{{{expression}{part.conversion}}}"


def _parts(text: str, known: Collection[str]) -> list[str | _Field] | None:
    parts: list[str | _Field] = []
    try:
        for words, name, spec, conversion in Formatter().parse(text):
            rest = 0
            for match in _DOLLAR.finditer(words):
                parts.append(match[1])
                if match[2].startswith("$"):
                    parts.append(match[2])
                else:
                    parts.append(_Field(match[2], ""))
                rest = match.end()
            parts.append(words[rest:])
            if name is not None:
                expression = f"{name}:{spec}" if spec else name
                parts.append(_Field(expression.strip(), f"!{conversion}" if conversion else ""))
    except ValueError:
        return None
    fields = [part for part in parts if isinstance(part, _Field)]
    return parts if all(_can_be_read(field.expression, known) for field in fields) else None


def _can_be_read(expression: str, known: Collection[str]) -> bool:
    try:
        tree = ast.parse(expression, mode="eval")
    except (SyntaxError, ValueError):
        return False
    stored = {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    return all(n.id in known or n.id in stored for n in ast.walk(tree) if isinstance(n, ast.Name))
