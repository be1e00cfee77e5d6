"""Puts a stored result in the place of running a cell."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from IPython.core.interactiveshell import InteractiveShell

from nbpipe.errors import NbpipeError
from nbpipe.kernel.live_exchange import Advice, ReadyResult
from nbpipe.kernel.process_state import ProcessState
from nbpipe.magics.displays import silenced
from nbpipe.magics.live_values import LiveValues
from nbpipe.magics.showing import NotKept, show_again, show_line
from nbpipe.model.names import Variable, is_state
from nbpipe.store.blobs.local import LocalBlobs
from nbpipe.store.values import load_values

_MINUTE: Final = 60
_MOST_NAMED: Final = 3
_SHOWN: Final = Variable("@shown")
_RUN_ALL_THE_SAME: Final = (
    ast.Import,
    ast.ImportFrom,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
)


class Restoring:
    """Restores cells of one shell."""

    def __init__(self, shell: InteractiveShell, values: LiveValues) -> None:
        self._shell = shell
        self._values = values

    def restore(self, advice: Advice, ready: ReadyResult, source: str, python: str) -> bool:
        """Do what the cell would have done; False where that cannot be, and nothing was done."""
        namespace = self._shell.user_ns
        if any(name in namespace for name in ready.kept):
            return False
        changed = {name for name in advice.inputs if name in ready.left}
        if self._values.share_state_outside(changed, {*ready.left}, {*ready.doubtful}):
            return False  # Those would keep what the step changed as it was.
        if not self._run_definitions(ready, source, python):
            return False
        loaded = self._load(advice, ready)
        if loaded is None:
            return False
        shown = loaded.pop(_SHOWN, NotKept())
        states = {name: value for name, value in loaded.items() if is_state(name)}
        values = {name: value for name, value in loaded.items() if name not in states}
        self._values.bind(values, in_place=values.keys() - {*ready.bound})
        for name in (*ready.unbound, *ready.missing):
            namespace.pop(name, None)
        state = ProcessState(namespace)
        for name, value in states.items():
            state.restore(name, value)
        if ready.shown_name:
            shown = namespace.get(ready.shown_name, shown)
        show_again(self._shell, json.loads(ready.displays), shown)
        show_line(self._shell, _line(advice.step, ready))
        self._values.note_stored(ready.outputs, state)
        return True

    def _run_definitions(self, ready: ReadyResult, source: str, python: str) -> bool:
        """Run imports and definitions, without what they show: that was kept, too."""
        if not ready.lines:
            return True
        shell: Any = self._shell
        name = shell.compile.cache(python, shell.execution_count - 1, raw_code=source)
        try:
            statements = _statements(ast.parse(python, name), ready.lines)
            if len(statements.body) != len(ready.lines):
                return False
            code = shell.compile(shell.transform_ast(statements), name, "exec")
            with silenced(shell), shell.builtin_trap:
                exec(code, shell.user_global_ns, shell.user_ns)  # noqa: S102 - the author's code.
        except Exception:  # noqa: BLE001 - the cell runs, and shows it.
            return False
        return True

    def _load(self, advice: Advice, ready: ReadyResult) -> dict[Variable, object] | None:
        states = {name: value for name, value in ready.outputs.items() if is_state(name)}
        wanted = [*ready.left.values(), *states.values()]
        if ready.shown is not None and not ready.shown_name:
            wanted.append(replace(ready.shown, variable=_SHOWN))
        try:
            found: Mapping[str, object] = load_values(
                LocalBlobs(Path(advice.store) / "objects"),
                wanted,
                self._shell.user_ns,
                trusted=advice.trusted,
            )
        except NbpipeError:
            return None
        return {Variable(name): value for name, value in found.items()}


def _statements(tree: ast.Module, lines: Iterable[int]) -> ast.Module:
    """Give the statements of a cell that begin at some lines."""
    first = {*lines}
    kept: list[ast.stmt] = [
        node
        for node in tree.body
        if isinstance(node, _RUN_ALL_THE_SAME) and _first_line(node) in first
    ]
    return ast.Module(body=kept, type_ignores=tree.type_ignores)


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])


def _line(step: str, ready: ReadyResult) -> str:
    """Say that a cell was not run, when it was, and what is not there now."""
    made = datetime.fromisoformat(ready.made).astimezone()
    today = made.date() == datetime.now().astimezone().date()
    day = "" if today else f" on {made:%Y-%m-%d}"
    more = len(ready.missing) - _MOST_NAMED
    names = ", ".join(ready.missing[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    without = f", without {names}" if names else ""
    return (
        f"reused from {made:%H:%M}{day}, saved {_duration(ready.seconds)}{without}; "
        f"%%step {step} --force to run"
    )


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
