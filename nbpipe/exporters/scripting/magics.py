"""What each line of IPython's own syntax is in plain Python."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, TypeAlias

from nbpipe.dataflow.ipython_syntax import INSTALL_MAGICS, OWN_MAGICS
from nbpipe.exporters.scripting.edits import indented
from nbpipe.exporters.scripting.texts import filled_in

# They arrange an interactive session, show something about it, or draw: a script does without.
DROPPED_MAGICS: Final = INSTALL_MAGICS | frozenset(
    """matplotlib config load_ext reload_ext unload_ext autoreload precision colors xmode pdb
        debug pinfo pinfo2 psource pdoc pfile pdef pprint who who_ls whos lsmagic magic quickref
        history hist page man less more autosave notebook store_history doctest_mode autoawait
        autocall automagic alias_magic bookmark gui tb watermark connect_info qtconsole clear
        dhist dirs lk ll lf ldir tensorboard""".split()
)
# They time their code, or profile it, and run it: the script only runs it.
_PAYLOAD_MAGICS: Final = frozenset({"time", "timeit", "prun", "memit"})
_OPTIONS_WITH_VALUES: Final = {"timeit": "nrp", "prun": "lsTD", "memit": "rti"}
# IPython's aliases of shell commands that do something.
_SHELL_ALIASES: Final = frozenset({"ls", "cat", "cp", "mv", "rm", "mkdir", "rmdir"})
# The name of the function that runs what `%timeit` ran.
TIMED: Final = "_timed"
_INSTALLATION: Final = re.compile(r"\s*(?:python3? -m )?(?:pip3?|conda|mamba|uv)\s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Python that does the same. `expression`: it is one, and its value is the line's.

    `helpers` are the names of functions that it calls, and of modules that it uses.
    """

    text: str
    expression: bool = True
    helpers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Dropped:
    """The line means nothing in a script; `unmentioned`: not even to a reader."""

    unmentioned: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The line cannot be exported."""

    message: str
    help: str = "Write it in plain Python, or put it in a cell that is tagged %%skip."


Translation: TypeAlias = Code | Dropped | Refused
Plain = Callable[[str], str | Refused]


def line_magic(name: str, rest: str, known: Collection[str], plain: Plain) -> Translation:
    """Translate `%name rest`; `plain` translates code that stands in `rest`."""
    if name in _PAYLOAD_MAGICS:
        return _payload(name, rest, plain)
    if name in OWN_MAGICS or (name, rest) == ("load_ext", "nbpipe"):
        return Dropped(unmentioned=True)
    if name in DROPPED_MAGICS:
        return Dropped()
    if name in _SHELL_ALIASES:
        return shell(f"{name} {rest}", known)
    match name:
        case "env" | "set_env":
            return _environment(rest, known)
        case "cd":
            return _directory(rest, known)
        case "pwd":
            return Code(text="os.getcwd()", helpers=frozenset({"os"}))
        case "system" | "sx":
            return shell_lines(rest, known)
        case _:
            return Refused(f"%{name} works in IPython only.")


def shell(command: str, known: Collection[str]) -> Translation:
    """Translate `!command`."""
    if _INSTALLATION.match(command + " "):
        return Dropped()
    return Code(
        text=f"_shell({filled_in(command, known)})",
        expression=False,
        helpers=frozenset({"_shell"}),
    )


def shell_lines(command: str, known: Collection[str]) -> Code:
    """Translate the right side of `x = !command`."""
    return Code(
        text=f"_shell_lines({filled_in(command, known)})", helpers=frozenset({"_shell_lines"})
    )


def is_expression(text: str) -> bool:
    """Say whether code is one expression."""
    try:
        ast.parse(text.strip(), mode="eval")
    except SyntaxError:
        return False
    return True


def without_options(name: str, rest: str) -> str:
    """Drop the options before the code of `%timeit -n 10 …`."""
    takes_value = _OPTIONS_WITH_VALUES.get(name, "")
    while match := re.match(r"\s*-(-[\w-]+|[a-zA-Z]\S*)(?:\s+|\Z)", rest):
        rest = rest[match.end() :]
        if len(match[1]) == 1 and match[1] in takes_value:
            rest = re.sub(r"\A\s*\S+\s*", "", rest)
    return rest.strip()


def timed_function(text: str) -> str:
    """Give code that runs as `%timeit` runs it: what it assigns is gone afterwards."""
    return f"def {TIMED}():\n{indented(text or 'pass')}\n\n{TIMED}()"


def _payload(name: str, rest: str, plain: Plain) -> Translation:
    code = plain(without_options(name, rest))
    if isinstance(code, Refused):
        return code
    code = code.strip()
    if name == "time":
        return Code(text=code, expression=is_expression(code))
    if is_expression(code):
        # These show no value; the semicolon says so to whoever shows the last one of a cell.
        return Code(text=f"{code};", expression=False)
    return Code(text=timed_function(code) if name == "timeit" else code, expression=False)


def _environment(rest: str, known: Collection[str]) -> Translation:
    os = frozenset({"os"})
    name, equals, value = rest.strip().partition("=")
    if not equals:
        name, _, value = rest.strip().partition(" ")
    name, value = name.strip(), value.strip()
    if not name:
        return Code(text="dict(os.environ)", helpers=os)
    if not equals and not value:
        return Code(text=f"os.environ[{filled_in(name, known)}]", helpers=os)
    assignment = f"os.environ[{filled_in(name, known)}] = {filled_in(value, known)}"
    return Code(text=assignment, expression=False, helpers=os)


def _directory(rest: str, known: Collection[str]) -> Translation:
    folder = re.sub(r"\A-q\s*", "", rest.strip()).strip("'\"")
    if folder.startswith("-"):
        return Refused(f"%cd {folder} works in IPython only.", "Name the folder.")
    path = filled_in(folder or "~", known)
    if folder.startswith("~") or not folder:
        path = f"os.path.expanduser({path})"
    return Code(text=f"os.chdir({path})", expression=False, helpers=frozenset({"os"}))
