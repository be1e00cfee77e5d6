"""Cells that are tagged as parameters → the parameters of a pipeline, with their defaults."""

from __future__ import annotations

import ast

from nbpipe.compiler.findings import Findings
from nbpipe.dataflow.ipython_syntax import parse
from nbpipe.model.names import Variable
from nbpipe.model.notebook import Cell, Notebook, Role
from nbpipe.model.pipeline import Parameter, is_parameter_value


def find_parameters(notebook: Notebook, findings: Findings) -> dict[Variable, Parameter]:
    """Give the parameters by name, in the order of their lines."""
    found: dict[Variable, Parameter] = {}
    for cell in notebook.code_cells:
        if cell.tag is None or cell.tag.role is not Role.PARAMS:
            continue
        try:
            tree = parse(cell.body)
        except SyntaxError:
            continue  # reported with the other cells
        for node in tree.body:
            parameter = _parameter(node, cell)
            if parameter is not None:
                found[parameter.name] = parameter
            elif not _is_bare(node):
                findings.add(
                    "NBP116",
                    "a parameters cell holds only lines such as `alpha = 0.1`: a name and a "
                    "plain value (number, string, True, None, or a list or dict of those).",
                    cell,
                    node.lineno,
                    help="Move other code to another cell.",
                )
    return found


def _is_bare(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def _parameter(node: ast.stmt, cell: Cell) -> Parameter | None:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            pass
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            pass
        case _:
            return None
    try:
        default = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    if not is_parameter_value(default):
        return None
    return Parameter(name=Variable(name), default=default, cell=cell.id, line=node.lineno)
