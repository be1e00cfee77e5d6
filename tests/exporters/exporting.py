"""Exports of small notebooks, and what runs of them print."""

from __future__ import annotations

import ast
import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Any

from nbpipe.compiler.bundle import stripped
from nbpipe.compiler.compile import compile_notebook
from nbpipe.exporters.protocol import Export, Exporter, ExportSource
from nbpipe.exporters.script import ScriptExporter
from nbpipe.model.notebook import Role
from nbpipe.notebook.parse import parse_notebook
from tests.builders import notebook_json

SNAPSHOTS = Path(__file__).parents[1] / "snapshots" / "exporters"


def source_of(content: dict[str, Any], *, name: str = "demo", **changes: Any) -> ExportSource:
    """What an exporter gets for a notebook that compiles."""
    notebook, diagnostics = parse_notebook(content, name=name)
    compilation = compile_notebook(notebook, earlier=diagnostics)
    assert compilation.pipeline is not None, compilation.diagnostics
    facts: dict[str, Any] = {
        "pipeline": compilation.pipeline,
        "notebook": stripped(content),
        "environment": {
            "requirements.lock": "numpy==2.4.6\npandas==3.1.1\n",
            "python-version": "3.11\n",
            "platform": "linux x86_64 cpython\n",
        },
        "version": "1.2.3",
    }
    return ExportSource(**(facts | changes))


def exported(exporter: Exporter, *cells: str, name: str = "demo", **changes: Any) -> Export:
    """The export of cells that compile."""
    return exporter.export(source_of(notebook_json(*cells), name=name, **changes))


def script_of(*cells: str, name: str = "demo") -> str:
    """The text of the script; fails when there is none."""
    return script_of_notebook(notebook_json(*cells), name=name)


def script_of_notebook(content: dict[str, Any], *, name: str) -> str:
    """The text of the script for a whole notebook."""
    export = ScriptExporter().export(source_of(content, name=name))
    assert not export.errors, export.errors
    (text,) = export.files.values()
    return text


def assert_snapshot(name: str, text: str) -> None:
    """Compare with the file; UPDATE_SNAPSHOTS=1 writes it, for review in the diff."""
    path = SNAPSHOTS / name
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def cells_to_run(*cells: str) -> list[str]:
    """The bodies of the cells that a kernel would run up to the last step."""
    notebook, _ = parse_notebook(notebook_json(*cells), name="demo")
    code = notebook.code_cells
    last = max(n for n, cell in enumerate(code) if cell.tag and cell.tag.role is Role.STEP)
    return [cell.body for cell in code[: last + 1] if not (cell.tag and cell.tag.role is Role.SKIP)]


def printed_by_cells(bodies: list[str]) -> str:
    """What cells of plain Python print, one after the other in one namespace."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        try:
            for body in bodies:
                _run_cell(body, namespace)
        except Exception as error:  # noqa: BLE001 - authors' cells raise what they like
            output.write(f"{_named(error)}\n")
    return output.getvalue()


def _run_cell(body: str, namespace: dict[str, Any]) -> None:
    tree = ast.parse(body)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), namespace)
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace)
        if value is not None:
            sys.stdout.write(f"{value!r}\n")


def printed_by_script(text: str) -> str:
    """What a script prints when it runs as the main program, in this process."""
    output = io.StringIO()
    words, sys.argv = sys.argv, ["script.py"]
    try:
        with contextlib.redirect_stdout(output):
            exec(compile(text, "<script>", "exec"), {"__name__": "__main__"})
    except Exception as error:  # noqa: BLE001 - as above
        output.write(f"{_named(error)}\n")
    finally:
        sys.argv = words
    return output.getvalue()


def _named(error: Exception) -> str:
    # In a function, an unbound name is a kind of NameError.
    return "NameError" if isinstance(error, NameError) else type(error).__name__
