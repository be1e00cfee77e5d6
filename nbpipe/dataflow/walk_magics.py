"""Magics and strings of code: what IPython, `exec` and `eval` make of a text.

Some texts are Python (`%time f(x)`), some name variables in passing (`!ls {folder}`), and some
may do anything at all.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Callable, Sequence

from nbpipe.dataflow import ipython_syntax as ipython
from nbpipe.dataflow.recorder import Recorder
from nbpipe.model.flow import Bind, Delete, Trouble
from nbpipe.model.names import Variable


class MagicWalker:
    """Walks the calls of `get_ipython()` that stand for IPython's syntax, and text that is code.

    `walk` walks Python from its text, and gives what it wrote down.
    """

    def __init__(self, record: Recorder, *, walk: Callable[[str], Recorder]) -> None:
        self._record = record
        self._walk = walk

    def call(self, method: str, arguments: Sequence[object]) -> bool:
        """Walk a call of a method of IPython's; say whether it is one of those known here."""
        match method, arguments:
            case "run_line_magic", [str(name), str(rest), *_]:
                self._line_magic(name, rest)
            case "run_cell_magic", [str(name), str(rest), str(body)]:
                self._cell_magic(name, rest, body)
            case "system" | "getoutput" | "getoutput_pipe", [str(command), *_]:
                self._interpolate(command)
            case "run_cell" | "ex", [str(source), *_]:
                self.run_python(source)
            case "run_cell" | "ex" | "ev" | "push" | "reset" | "del_var" | "safe_execfile", _:
                self._record.opaque(f"get_ipython().{method}()")
            case _:
                return False
        return True

    def run_python(self, source: str, *, own_names: bool = False) -> None:
        """Walk Python that stands in a string. `own_names`: its bindings stay inside it."""
        try:
            inner = self._walk(ipython.to_python(source))
        except SyntaxError as error:
            self._trouble(
                "NBP120",
                f"this line holds code that is not valid Python: {error.msg}.",
                help="Mend the line.",
            )
            return
        self._record.note_modules(inner.take_modules())
        offset = self._record.line - 1
        self._record.troubles += [
            dataclasses.replace(trouble, line=trouble.line + offset) for trouble in inner.troubles
        ]
        events = inner.take()
        bound = {e.name for e in events if isinstance(e, Bind)} if own_names else set()
        for event in events:
            if getattr(event, "name", None) not in bound:
                self._record.note(dataclasses.replace(event, line=event.line + offset))

    def _line_magic(self, name: str, rest: str) -> None:
        if name in ipython.PYTHON_LINE_MAGICS:
            self.run_python(_without_options(name, rest), own_names=name == "timeit")
        elif name in ("pinfo", "pinfo2"):
            self._interpolate("{" + re.split(r"[.\[]", rest, maxsplit=1)[0] + "}")
        elif name == "pylab":
            self._record.import_star("pylab")
        elif name == "xdel":
            for word in rest.split():
                if word.isidentifier():
                    self._record.note(Delete(name=Variable(word), line=self._record.line))
        elif name in ("run", "reset", "reset_selective", "load", "store", "px"):
            self._record.opaque(f"%{name}")
        elif name in ("system", "sx", "sc", "env", "set_env", "cd"):
            self._interpolate(rest)
        elif name not in ipython.HARMLESS_MAGICS:
            self._unknown(f"%{name}")

    def _cell_magic(self, name: str, rest: str, body: str) -> None:
        if name in ("timeit", "memit"):
            # The rest of the line is setup for the body, in one scope of their own.
            self.run_python(f"{_without_options(name, rest)}\n{body}", own_names=True)
        elif name in ipython.PYTHON_CELL_MAGICS:
            if name == "capture":
                words = [word for word in rest.split() if not word.startswith("-")]
                if words and words[0].isidentifier():
                    self._record.bind(words[0])
            self._record.line += 1
            self.run_python(body)
        elif name in ipython.FOREIGN_CELL_MAGICS:
            self._interpolate(rest)
            for option in ("out", "err"):
                match = re.search(rf"--{option}[ =](\w+)", rest)
                if match:
                    self._record.bind(match[1])
            if name in ("!", "sx", "system"):
                self._interpolate(body)
        else:
            self._unknown(f"%%{name}")

    def _interpolate(self, command: str) -> None:
        """Read the names in `{…}` and `$name`, as IPython fills them in."""
        names = re.findall(r"\$([A-Za-z_]\w*)", command)
        for text in re.findall(r"\{([^{}]+)\}", command):
            try:
                tree = ast.parse(text.strip(), mode="eval")
            except (SyntaxError, ValueError):
                continue
            names += [n.id for n in ast.walk(tree) if isinstance(n, ast.Name)]
        for name in names:
            self._record.ask(name)

    def _unknown(self, magic: str) -> None:
        self._trouble(
            "NBP213",
            f"{magic} is not known here; it is taken to read and change any variable.",
            help="If it does not, put it in a cell of its own and tag that %%skip.",
        )
        self._record.opaque(magic)

    def _trouble(self, code: str, message: str, *, help: str) -> None:
        self._record.troubles.append(
            Trouble(code=code, message=message, line=self._record.line, help=help)
        )


def _without_options(magic: str, rest: str) -> str:
    """Drop the options before the code of `%timeit -n 10 …`, `%prun -s cumulative …`."""
    takes_value = ipython.OPTIONS_WITH_VALUES.get(magic, "")
    while match := re.match(r"\s*-([a-zA-Z])(\S*)(\s+|\Z)", rest):
        rest = rest[match.end() :]
        if match[1] in takes_value and not match[2]:
            rest = re.sub(r"\A\s*\S+\s*", "", rest)
    return re.sub(r"\A(?:\s*--[\w-]+\s+)*", "", rest).strip()
