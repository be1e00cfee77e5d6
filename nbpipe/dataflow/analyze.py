"""Cell source → `CellFlow` (start here).

One walk over the syntax tree in the order of evaluation, writing down events:

- `walk_statements` walks blocks and definitions,
- `walk_expressions` evaluates, and gives the origin of each object (`origins`),
- `walk_calls` and `walk_magics` know what calls and texts of code do;
- all of them write to one `recorder.Recorder`.
"""

from __future__ import annotations

from nbpipe.dataflow import ipython_syntax as ipython
from nbpipe.dataflow.recorder import Recorder
from nbpipe.dataflow.scopes import module_table
from nbpipe.dataflow.statements import statement
from nbpipe.dataflow.walk_statements import StatementWalker
from nbpipe.model.flow import CellFlow, Statement, Trouble


def analyze(source: str) -> CellFlow:
    """Say what a cell does. Code that Python cannot compile gives a trouble and no statements."""
    try:
        # As Python reads source: any line end is a line end.
        python = ipython.to_python(source.replace("\r\n", "\n").replace("\r", "\n"))
        tree = ipython.parse(python)
        record = Recorder(module_table(python))
    except SyntaxError as error:
        return _not_valid(error.msg, error.lineno or 1)
    walker = StatementWalker(record)
    lines = python.split("\n")
    statements: list[Statement] = []
    for node in tree.body:
        try:
            walker.statement(node)
        except RecursionError:
            return _not_valid("the code is nested too deeply", node.lineno)
        statements.append(statement(node, lines, record.take(), record.take_modules()))
    return CellFlow(statements=tuple(statements), troubles=tuple(record.troubles))


def _not_valid(reason: str, line: int) -> CellFlow:
    trouble = Trouble(
        code="NBP120",
        message=f"this cell is not valid Python: {reason}.",
        line=line,
        help="Mend the cell, or tag it %%skip.",
    )
    return CellFlow(statements=(), troubles=(trouble,))
