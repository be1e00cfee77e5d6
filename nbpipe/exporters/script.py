"""Pipeline → one Python module that runs without Jupyter and gives the notebook's values.

The module runs in one process and in the order of the notebook, so it may hold the cells nearly as
they are. In turn:

1. cells become plain Python, and are cut into pieces (`cells`, `pieces`, `selecting`);
2. each piece is put at module level or into a function (`placing`);
3. each variable is handed on as an argument, or is a module global (`variables`);
4. the parts become text (`emitting`, `layout`).
"""

from __future__ import annotations

import builtins
from typing import Final

from nbpipe.dataflow.analyze import analyze
from nbpipe.exporters.findings import finding, span_of
from nbpipe.exporters.protocol import Export, ExportSource
from nbpipe.exporters.scripting.assembling import name_conflicts, script_text
from nbpipe.exporters.scripting.naming import module_name
from nbpipe.exporters.scripting.selecting import select
from nbpipe.model.notebook import Notebook, RandomPolicy
from nbpipe.notebook.parse import parse_notebook

_BUILTINS: Final = frozenset(dir(builtins))


class ScriptExporter:
    """Writes `NAME.py`."""

    @property
    def target(self) -> str:
        """The name it is asked for by."""
        return "script"

    @property
    def summary(self) -> str:
        """One line about it."""
        return "one Python module that runs without Jupyter: a function for each step, and main()"

    def export(self, source: ExportSource) -> Export:
        """Give the module, or say which lines cannot be exported."""
        notebook, _ = parse_notebook(source.notebook, name=source.pipeline.name)
        selection = select(notebook, source.pipeline, _names_bound_in(notebook) | _BUILTINS)
        diagnostics = [
            finding("NBP301", problem.message, span=span_of(cell, problem.line), help=problem.help)
            for cell, problem in selection.problems
        ]
        diagnostics += name_conflicts(selection)
        if source.pipeline.random is RandomPolicy.PER_STEP:
            diagnostics.append(
                finding(
                    "NBP303",
                    "the script carries random streams from step to step, as the notebook does; "
                    "the pipeline seeds each step by itself.",
                )
            )
        without_files = Export(files={}, diagnostics=tuple(diagnostics))
        if without_files.errors:
            return without_files
        text = script_text(notebook, source.pipeline, selection, version=source.version)
        return Export(
            files={f"{module_name(source.pipeline)}.py": text},
            diagnostics=without_files.diagnostics,
        )


def _names_bound_in(notebook: Notebook) -> frozenset[str]:
    return frozenset(
        str(name)
        for cell in notebook.code_cells
        for statement in analyze(cell.body).statements
        for name in statement.binds
    )
