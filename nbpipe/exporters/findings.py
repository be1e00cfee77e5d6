"""The table of what exporters have to say; `nbpipe.compiler.findings` has the compiler's."""

from __future__ import annotations

from typing import Final

from nbpipe.compiler.findings import Rule
from nbpipe.model.diagnostic import Diagnostic, Severity, Span
from nbpipe.model.notebook import Cell

_ERROR, _WARNING, _INFO = Severity.ERROR, Severity.WARNING, Severity.INFO

EXPORT_RULES: Final[dict[str, Rule]] = {
    "NBP301": Rule(
        _ERROR,
        "a line that only IPython understands",
        "A script runs without IPython; magics without a counterpart in Python cannot be exported.",
    ),
    "NBP302": Rule(
        _ERROR,
        "a name that the script needs",
        "The notebook uses a name for something else that stands for a helper in the script.",
    ),
    "NBP303": Rule(
        _INFO,
        "random streams are carried",
        "The pipeline seeds each step by itself; a script runs in one process, as the notebook.",
    ),
    "NBP311": Rule(
        _ERROR,
        "no lock to install from",
        "An image needs the Python version and the pinned distributions of the bundle.",
    ),
    "NBP312": Rule(
        _WARNING,
        "a file outside of the notebook's folder",
        "A path that is absolute, or leads out of the folder, does not exist in a container.",
    ),
}


def finding(code: str, message: str, *, span: Span | None = None, help: str = "") -> Diagnostic:
    """Give a finding of rule `code`."""
    severity = EXPORT_RULES[code].severity
    return Diagnostic(code=code, severity=severity, message=message, span=span, help=help)


def span_of(cell: Cell, line: int) -> Span:
    """Give the place of a line of the cell's body."""
    return Span(cell=cell.id, cell_number=cell.number, line=line + cell.first_line - 1)
