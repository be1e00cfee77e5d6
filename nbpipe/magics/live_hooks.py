"""Hooks around the cells of a live kernel; what they do is in `live_cells`, loaded when needed."""

from __future__ import annotations

import ast
import importlib
import os
from typing import TYPE_CHECKING, Any, Final

from IPython.core.interactiveshell import InteractiveShell

from nbpipe.magics.notebook_path import notebook_path

if TYPE_CHECKING:
    from nbpipe.magics.live_cells import LiveCells

# In the kernels of runs. What `kernel.exchange` calls it would have to be imported for this.
_REQUEST: Final = "NBPIPE_REQUEST"


class LiveHooks(ast.NodeTransformer):
    """Hooks of one shell. Whatever goes wrong in them, the author's cells run as ever."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._environ = dict(os.environ)
        self._depth = 0
        self._is_off = False
        self._is_interrupted = False
        self._cells: LiveCells | None = None
        hidden = shell.user_ns_hidden
        names = {name for name in shell.user_ns if not name.startswith("_") and name not in hidden}
        self._is_late = bool(names - {"In", "Out"}) or shell.execution_count > self._first(shell)

    def register(self) -> None:
        """Begin."""
        events = self._shell.events
        events.register("pre_run_cell", self.cell_begins)
        events.register("post_run_cell", self.cell_ended)
        # Not the input transformer: only once a cell is about to run is it known what runs of it.
        self._shell.ast_transformers.append(self)

    def unregister(self) -> None:
        """End."""
        events = self._shell.events
        events.unregister("pre_run_cell", self.cell_begins)
        events.unregister("post_run_cell", self.cell_ended)
        self._shell.ast_transformers.remove(self)
        self._turn_off()

    def cell_begins(self, info: Any) -> None:  # noqa: ANN401 - IPython's, and without a type.
        """Do what is to be done before a cell; inside of others, cells are theirs."""
        self._depth += 1
        self._is_interrupted = False
        if self._depth > 1 or self._cells is None:
            return
        try:
            self._cells.before(info.cell_id or "", info.raw_cell or "")
        except KeyboardInterrupt:
            self._is_interrupted = True
            self._turn_off()
        except Exception as error:  # noqa: BLE001 - see the docstring of the class.
            self._give_up(error)

    def cell_ended(self, result: Any) -> None:  # noqa: ANN401 - as above.
        """Do what is to be done after a cell, and get ready after the first."""
        self._depth = max(0, self._depth - 1)
        if self._depth:
            return
        try:
            if self._cells is not None:
                self._cells.after(succeeded=result.success)
            elif not self._is_off:
                self._start()
        except KeyboardInterrupt:
            self._turn_off()
        except Exception as error:  # noqa: BLE001 - as above.
            self._give_up(error)

    def visit(self, node: ast.AST) -> ast.AST:
        """Leave out what need not run; IPython calls this with the tree of each cell."""
        if self._depth != 1 or not isinstance(node, ast.Module):
            return node
        if self._is_interrupted:
            return ast.parse("raise KeyboardInterrupt")
        lines = None if self._cells is None else self._cells.statements_to_run
        if lines is None:
            return node
        live_cells = importlib.import_module("nbpipe.magics.live_cells")
        kept: ast.AST = live_cells.kept_statements(node, lines)
        return kept

    def _first(self, shell: InteractiveShell) -> int:
        """Give the number that the shell has while its first cell runs."""
        manager = shell.history_manager
        return 1 if manager is None or len(manager.input_hist_raw) < 1 else 2

    def _start(self) -> None:
        path = notebook_path(os.environ, self._shell.user_ns)
        if path is None or _REQUEST in os.environ:
            return
        self._is_off = True
        live_cells = importlib.import_module("nbpipe.magics.live_cells")
        self._cells = live_cells.start(self._shell, path, self._environ, is_late=self._is_late)
        self._is_off = self._cells is None

    def _give_up(self, error: Exception) -> None:
        self._turn_off()
        reason = getattr(error, "message", "") or f"{type(error).__name__}: {error}"
        text = f"nbpipe: no results of steps are kept or reused any more: {reason}".rstrip(": ")
        self._shell.display_pub.publish({"text/plain": text}, {})

    def _turn_off(self) -> None:
        cells, self._cells, self._is_off = self._cells, None, True
        if cells is not None:
            cells.close()
