"""Cell → plain Python. Only lines in IPython's own syntax change."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, TypeGuard

from nbpipe.dataflow.ipython_syntax import parse, to_python
from nbpipe.exporters.scripting.edits import Edit, Places, edited, indented
from nbpipe.exporters.scripting.magics import (
    Code,
    Dropped,
    Refused,
    Translation,
    line_magic,
    shell,
    shell_lines,
    timed_function,
    without_options,
)
from nbpipe.exporters.scripting.texts import filled_in, literal

_DISPLAYS: Final = frozenset("html HTML javascript js latex markdown svg SVG".split())
_INTERPRETERS: Final = frozenset("bash sh perl ruby python python3 pypy".split())
_MAGIC_METHODS: Final = {"run_line_magic", "magic", "system", "getoutput", "getoutput_pipe"}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a line cannot be exported; `line` counts from 1 in the cell's body."""

    line: int
    message: str
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainCell:
    """A cell as plain Python.

    Attributes:
        text: without blank lines at either end.
        first_line: the line of the cell's body that is line 1 of `text`.
        helpers: functions and modules that `text` needs besides the author's own.
        shows: whether the value of the last expression is shown.
    """

    text: str
    first_line: int
    helpers: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()
    shows: bool = True


def plain_cell(body: str, known: Collection[str]) -> PlainCell:
    """Translate a cell; `known` are the names that commands may have filled in."""
    text, first_line = _trimmed(body)
    python = to_python(text)
    call = _only_call(python)
    if call is not None and _called_method(call) == "run_cell_magic":
        name, rest, content = (_constant(argument) for argument in call.args)
        return _cell_magic(name, rest, content, known, first_line)
    return _plain_lines(python, known, first_line)


def _trimmed(body: str) -> tuple[str, int]:
    """Leave out blank lines and `#|` options at the top; give the number of the line then first."""
    lines = body.replace("\r\n", "\n").rstrip().split("\n")
    first = 0
    while first < len(lines) and (not lines[first].strip() or lines[first].startswith("#|")):
        first += 1
    return "\n".join(lines[first:]), first + 1


# ---- lines ------------------------------------------------------------------------------------


def _plain_lines(python: str, known: Collection[str], first_line: int) -> PlainCell:
    places = Places(python)
    edits: list[Edit] = []
    helpers: set[str] = set()
    problems: list[Problem] = []
    tree = parse(python)
    statements = {id(node.value): node for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if _imports_display(node):
            helpers.add("display")
            edits.append(places.replace(node, "pass" if node.col_offset else ""))
    for call in _magic_calls(tree):
        statement = statements.get(id(call))
        translation = _translated(call, known)
        if isinstance(translation, Code) and statement is None and not translation.expression:
            translation = Refused("the value of this line exists in IPython only.")
        match translation:
            case Code(text=text):
                helpers |= translation.helpers
                margin = "\n" + " " * call.col_offset
                edits.append(places.replace(call, text.replace("\n", margin)))
            case Dropped(unmentioned=unmentioned) if statement is not None:
                comment = "" if unmentioned else f"# {_spelled(call)}"
                nested = "pass  " if call.col_offset else ""
                edits.append(places.replace(call, (nested + comment).rstrip()))
            case Dropped():
                edits.append(places.replace(call, "None"))
            case Refused(message=message, help=help):
                problems.append(Problem(first_line + call.lineno - 1, message, help))
    text = edited(python, edits)
    above = re.match(r"(?:[ \t]*\n)*", text)
    return PlainCell(
        text=text.strip("\n").rstrip(),
        first_line=first_line + (above[0].count("\n") if above else 0),
        helpers=frozenset(helpers),
        problems=tuple(problems),
    )


def _translated(call: ast.Call, known: Collection[str]) -> Translation:
    def plain(code: str) -> str | Refused:
        try:
            cell = _plain_lines(to_python(code), known, 1)
        except SyntaxError as error:
            return Refused(f"this is not valid Python: {error.msg}.", "Mend the line.")
        if cell.problems:
            return Refused(cell.problems[0].message, cell.problems[0].help)
        return cell.text

    method = _called_method(call)
    arguments = [_constant(argument) for argument in call.args]
    if method == "magic":
        method, arguments = "run_line_magic", [*f"{arguments[0]} ".split(" ", 1)]
    match method:
        case "run_line_magic":
            return line_magic(arguments[0], arguments[1].strip(), known, plain)
        case "system":
            return shell(arguments[0], known)
        case _:
            return shell_lines(arguments[0], known)


def _spelled(call: ast.Call) -> str:
    """Give the line as its author wrote it, as far as it can be told."""
    words = [_constant(argument) for argument in call.args]
    match _called_method(call), words:
        case "run_line_magic", ["pinfo" | "pinfo2" as name, word]:
            return word + "?" * (1 + (name == "pinfo2"))
        case "run_line_magic", [name, rest, *_]:
            return f"%{name} {rest}".rstrip()
        case "system", [command, *_]:
            return f"!{command}"
        case _:
            return "%" + " ".join(words)


def _imports_display(node: ast.AST) -> TypeGuard[ast.ImportFrom]:
    """A script has a `display` of its own, which needs no IPython."""
    match node:
        case ast.ImportFrom(module=module, names=[ast.alias(name="display", asname=None)]):
            return (module or "").startswith("IPython")
        case _:
            return False


def _magic_calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and _called_method(node) in _MAGIC_METHODS
            and all(isinstance(argument, ast.Constant) for argument in node.args)
        ):
            yield node


def _called_method(call: ast.Call) -> str:
    match call.func:
        case ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=method):
            return method
        case _:
            return ""


def _constant(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""


def _only_call(python: str) -> ast.Call | None:
    match parse(python).body:
        case [ast.Expr(value=ast.Call() as call)]:
            return call
        case _:
            return None


# ---- cell magics ------------------------------------------------------------------------------


def _cell_magic(
    name: str, rest: str, content: str, known: Collection[str], first_line: int
) -> PlainCell:
    """Translate a cell below `%%name rest`."""

    def code(text: str, *helpers: str, shows: bool = False) -> PlainCell:
        return PlainCell(text=text, first_line=first_line, helpers=frozenset(helpers), shows=shows)

    if name in ("time", "prun", "memit", "debug"):
        return _moved(plain_cell(content, known), first_line, shows=name in ("time", "debug"))
    if name == "timeit":
        setup = without_options(name, rest)
        inner = plain_cell(f"{setup}\n{content}" if setup else content, known)
        moved = _moved(inner, first_line, shows=False)
        return _wrapped(moved, timed_function(moved.text))
    if name == "capture":
        return _captured(_moved(plain_cell(content, known), first_line, shows=False), rest)
    if name in _DISPLAYS:
        return code(f"# %%{name} {rest}".rstrip())
    if name in _INTERPRETERS and not rest.strip():
        program = "python3" if name == "python" else name
        return code(f"_run_script([{literal(program)}], {literal(content)})", "_run_script")
    if name == "script" and rest.strip() and "--" not in rest:
        words = ", ".join(filled_in(word, known) for word in shlex.split(rest))
        return code(f"_run_script([{words}], {literal(content)})", "_run_script")
    if name in ("writefile", "file"):
        return _written(rest, content, known, first_line)
    if name in ("!", "sx", "system"):
        lines = shell_lines(content, known)
        return code(lines.text, *lines.helpers, shows=True)
    problem = Problem(
        first_line,
        f"%%{name}{' with options' if rest.strip() else ''} works in IPython only.",
        "Write it in plain Python, or tag the cell %%skip.",
    )
    return PlainCell(text="pass", first_line=first_line, problems=(problem,))


def _moved(inner: PlainCell, first_line: int, *, shows: bool) -> PlainCell:
    """A cell magic's content begins one line below the magic."""
    return PlainCell(
        text=inner.text,
        first_line=inner.first_line + first_line,
        helpers=inner.helpers,
        problems=tuple(
            Problem(problem.line + first_line, problem.message, problem.help)
            for problem in inner.problems
        ),
        shows=shows and inner.shows,
    )


def _wrapped(inner: PlainCell, text: str, *helpers: str) -> PlainCell:
    return PlainCell(
        text=text,
        first_line=inner.first_line - 1,
        helpers=inner.helpers | set(helpers),
        problems=inner.problems,
        shows=False,
    )


def _captured(inner: PlainCell, rest: str) -> PlainCell:
    words = rest.split()
    names = [word for word in words if not word.startswith("-")]
    target = f" as {names[0]}" if names and names[0].isidentifier() else ""
    kept = [w for w in ("stdout", "stderr") if f"--no-{w}" in words]
    arguments = ", ".join(f"{stream}=False" for stream in kept)
    opening = f"with _Captured({arguments}){target}:"
    return _wrapped(inner, f"{opening}\n{indented(inner.text or 'pass')}", "_Captured")


def _written(rest: str, content: str, known: Collection[str], first_line: int) -> PlainCell:
    append = bool(re.match(r"\s*(?:-a|--append)\s", rest))
    path = re.sub(r"\A\s*(?:-a|--append)\s+", "", rest).strip().strip("'\"")
    mode = ', mode="a"' if append else ""
    return PlainCell(
        text=f"_write_file({filled_in(path, known)}, {literal(content)}{mode})",
        first_line=first_line,
        helpers=frozenset({"_write_file"}),
        shows=False,
    )
