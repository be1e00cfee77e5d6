"""Diagnostics as they are found: the table of codes, and a collector that says each thing once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from nbpipe.model.diagnostic import Diagnostic, Severity, Span
from nbpipe.model.names import StepName
from nbpipe.model.notebook import Cell

_ERROR, _WARNING, _INFO = Severity.ERROR, Severity.WARNING, Severity.INFO


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of finding: how grave it is, and the page of the reference about it."""

    severity: Severity
    title: str
    explanation: str


RULES: Final[dict[str, Rule]] = {
    "NBP101": Rule(_ERROR, "not a readable notebook", "The file is not JSON, is cut off, or has no list of cells."),
    "NBP102": Rule(_ERROR, "unknown notebook format", "nbpipe reads notebook formats 1 to 4; old ones are converted in memory."),
    "NBP103": Rule(_ERROR, "not a Python notebook", "The dataflow analysis knows Python only."),
    "NBP104": Rule(_ERROR, "no steps", "No cell of the notebook is tagged as a step; `nbpipe tag` can tag it."),
    "NBP105": Rule(_WARNING, "a cell without a known type", "The cell is neither code, Markdown nor raw; it is left out."),
    "NBP110": Rule(_ERROR, "a tag that cannot be read", "An option is unknown, misspelt, or has a value of the wrong kind."),
    "NBP111": Rule(_ERROR, "not a step name", "A step name becomes a file name and a node of the DAG on every operating system."),
    "NBP112": Rule(_ERROR, "options that disagree", "Cells of one step give an option different values, or two step names differ only by case."),
    "NBP113": Rule(_ERROR, "two pipelines", "One notebook makes one pipeline."),
    "NBP114": Rule(_ERROR, "two tags on a cell", "A cell is tagged in two spellings that disagree."),
    "NBP115": Rule(_ERROR, "a tag in the wrong place", "A cell magic works on the first line of a cell only."),
    "NBP116": Rule(_ERROR, "a parameter that is no literal", "Parameters are set from outside, so their defaults must be plain values."),
    "NBP117": Rule(_ERROR, "unknown step", "`--after` names a step that does not exist, or one that stands later."),
    "NBP120": Rule(_ERROR, "not valid Python", "Python cannot compile the cell."),
    "NBP201": Rule(_ERROR, "undefined name", "No cell before this one gives the name a value."),
    "NBP202": Rule(_ERROR, "a value of an untagged cell", "A step needs a value that is computed in a cell outside the pipeline."),
    "NBP203": Rule(_ERROR, "deleted name", "The name was deleted before it is read."),
    "NBP205": Rule(_WARNING, "interleaved steps", "Steps need each other's intermediate values; as wholes they have no order that equals the notebook, so they run as one."),
    "NBP206": Rule(_ERROR, "interactive history", "`_`, `Out` and `In` depend on what was run before in the session."),
    "NBP207": Rule(_WARNING, "a definition patched with a computed value", "Such a change of a class or function cannot be stored or replayed, so the steps that use it run as one."),
    "NBP208": Rule(_ERROR, "a prelude that needs a step", "The prelude is replayed before steps run, so it cannot read what they compute."),
    "NBP210": Rule(_ERROR, "changed by an untagged cell", "In the notebook an untagged cell changes the value that a step reads; in the pipeline it does not run."),
    "NBP211": Rule(_WARNING, "code that cannot be analysed", "`exec`, `globals()` and their kind may read and write any variable, so the step depends on all of them."),
    "NBP212": Rule(_INFO, "star import", "The names it brings are not known before it runs; it is replayed in every later step."),
    "NBP213": Rule(_WARNING, "unknown magic", "The magic may do anything; the step depends on all variables."),
    "NBP214": Rule(_WARNING, "a name that nothing defines", "A function reads a name that no cell gives a value; it fails if that line runs."),
    "NBP215": Rule(_ERROR, "unknown variable in an option", "`--out`, `--in` or `--metrics` names a variable that the step does not have."),
    "NBP216": Rule(_INFO, "a line that is not run", "Installation lines are left to the environment; the pipeline does not run them."),
    "NBP217": Rule(_INFO, "absolute path", "The path exists on this machine only; the pipeline will not find it elsewhere."),
    "NBP219": Rule(_WARNING, "a setting with a computed value", "This setting reaches later steps only by being made again there, which works for constants and parameters; so they all run as one."),
    "NBP220": Rule(_WARNING, "a changed module", "The change is made in its own step only; it cannot be repeated safely elsewhere."),
    "NBP221": Rule(_ERROR, "too deep to follow", "Functions that call each other in a very long chain cannot be followed."),
    "NBP222": Rule(_WARNING, "a definition that keeps state", "A function or class changes itself when it is used (an attribute, a mutable default), and several steps use it. Each would have a copy of its own, so they run as one."),
    "NBP223": Rule(_INFO, "a value that cannot be stored", "Later steps read a value that cannot be stored, a generator or what a run found to be so; they run as one with the step that makes it."),
    "NBP218": Rule(_WARNING, "a setting that is not run", "Settings and seeds in an untagged cell count only when the cell holds nothing but setup."),
}  # fmt: skip


class Findings:
    """Collects diagnostics; the same one about the same line counts once.

    Attributes:
        fusions: steps that must run as one, each with the finding that says why.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], Diagnostic] = {}
        self.fusions: dict[frozenset[StepName], Diagnostic] = {}

    def add(  # noqa: PLR0913 - a finding, its place, and what is done about it
        self,
        code: str,
        message: str,
        cell: Cell | None = None,
        line: int = 1,
        *,
        help: str = "",
        fuse: Iterable[StepName] = (),
    ) -> None:
        """Note a finding of rule `code`; `line` is a line of the cell's body.

        `fuse` are steps that have to run as one because of it.
        """
        span = None
        if cell is not None:
            span = Span(cell=cell.id, cell_number=cell.number, line=line + cell.first_line - 1)
        finding = Diagnostic(
            code=code, severity=RULES[code].severity, message=message, span=span, help=help
        )
        self._found.setdefault((code, message, span), finding)
        together = frozenset(fuse)
        if together:
            self.fusions.setdefault(together, finding)

    def sorted(self) -> tuple[Diagnostic, ...]:
        """Give the findings in notebook order, those without a place first."""
        return in_order(self._found.values())


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Give findings in notebook order, those without a place first, each once."""
    return tuple(
        sorted(
            dict.fromkeys(diagnostics),
            key=lambda d: (d.span.cell_number, d.span.line, d.code) if d.span else (0, 0, d.code),
        )
    )
