"""Hooks around the cells of a live kernel; what they do is in `live_cells`, loaded when needed."""

from __future__ import annotations

import ast
import importlib
import os
import threading
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
        self._thread = threading.get_ident()
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
        if threading.get_ident() != self._thread:
            self._give_up("cells ran at the same time")
            return
        self._depth += 1
        self._is_interrupted = False
        if self._depth > 1 or self._cells is None:
            return
        try:
            source = info.raw_cell or ""
            shell: Any = self._shell
            python = getattr(info, "transformed_cell", None) or shell.transform_cell(source)
            self._cells.before(info.cell_id or "", source, python)
        except KeyboardInterrupt:
            self._is_interrupted = True
            self._cells.abandon()
        except Exception as error:  # noqa: BLE001 - see the docstring of the class.
            self._give_up(_reason(error))

    def cell_ended(self, result: Any) -> None:  # noqa: ANN401 - as above.
        """Do what is to be done after a cell, and get ready after the first."""
        if threading.get_ident() != self._thread:
            return
        # An empty cell ends without having begun, and so does the one that loads the extension.
        is_seen = self._depth > 0
        self._depth -= is_seen
        if self._depth:
            return
        try:
            if self._cells is not None and is_seen:
                # There is no result of a cell that was cancelled.
                succeeded = result is not None and result.success and not self._is_interrupted
                self._cells.after(succeeded=succeeded)
            elif self._cells is None and not self._is_off:
                self._start()
        except KeyboardInterrupt:
            pass  # Somebody does not want to wait for it: nothing is kept of this cell.
        except Exception as error:  # noqa: BLE001 - as above.
            self._give_up(_reason(error))

    def visit(self, node: ast.AST) -> ast.AST:
        """Leave out what need not run; IPython calls this with the tree of each cell."""
        if self._depth != 1 or not isinstance(node, ast.Module):
            return node
        if self._is_interrupted:
            return ast.parse("raise KeyboardInterrupt")
        if self._cells is not None and self._cells.is_restored:
            return ast.Module(body=[], type_ignores=[])
        return node

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

    def _give_up(self, reason: str) -> None:
        if self._cells is None and self._is_off:
            return
        self._turn_off()
        text = f"nbpipe: no results of steps are kept or reused any more: {reason}"
        self._shell.display_pub.publish({"text/plain": text}, {})

    def _turn_off(self) -> None:
        cells, self._cells, self._is_off = self._cells, None, True
        if cells is not None:
            cells.close()


def _reason(error: Exception) -> str:
    return getattr(error, "message", "") or f"{type(error).__name__}: {error}"
