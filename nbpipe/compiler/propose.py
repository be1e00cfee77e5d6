"""Which cells of an untagged notebook could be which steps."""

from __future__ import annotations

import re
from typing import Final

from nbpipe.dataflow.analyze import analyze
from nbpipe.dataflow.settings import is_setting, random_stream
from nbpipe.model.flow import StatementKind
from nbpipe.model.names import StepName, step_name_from
from nbpipe.model.notebook import CellKind, Notebook

_SETUP: Final = frozenset(
    {
        StatementKind.IMPORT,
        StatementKind.DEFINITION,
        StatementKind.CONSTANT,
        StatementKind.GENERATOR,
        StatementKind.TEXT,
        StatementKind.NOTHING,
    }
)


def propose_tags(notebook: Notebook, *, by: str) -> dict[int, StepName]:
    """Propose a step for each code cell that is not setup, by position among all cells.

    Args:
        notebook: a notebook without tags.
        by: `heading` (a step for each Markdown heading), `cell` (one for each cell), or a number
            of steps of about equal size.

    Raises:
        ValueError: when `by` is none of these.
    """
    wanted = [
        position
        for position, cell in enumerate(notebook.cells)
        if cell.kind is CellKind.CODE and cell.tag is None and not looks_like_setup(cell.source)
    ]
    titles = _titles(notebook)
    groups: list[list[int]] = []
    if by == "heading":
        sections: dict[int, list[int]] = {}
        for position in wanted:
            sections.setdefault(titles[position][0], []).append(position)
        groups = list(sections.values())
    elif by == "cell":
        groups = [[position] for position in wanted]
    elif re.fullmatch(r"[1-9]\d*", by):
        size = max(1, -(-len(wanted) // int(by)))
        groups = [wanted[i : i + size] for i in range(0, len(wanted), size)]
    else:
        raise ValueError(f"{by!r} is neither 'heading', 'cell' nor a number of steps")
    proposed: dict[int, StepName] = {}
    taken: set[str] = set()
    for group in groups:
        name = step_name_from(titles[group[0]][1] or "start", taken=frozenset(taken))
        taken.add(name)
        proposed.update(dict.fromkeys(group, name))
    return proposed


def looks_like_setup(source: str) -> bool:
    """Say whether a cell, taken alone, holds only imports, definitions, constants and settings."""
    flow = analyze(source)
    if flow.troubles:
        return False
    modules: dict[str, str] = {}
    for statement in flow.statements:
        modules.update(statement.imports)
        if statement.kind in _SETUP:
            continue
        root, _, rest = statement.target.partition(".")
        path = f"{modules.get(root, _USUAL_ALIASES.get(root, root))}.{rest}" if rest else root
        stream = random_stream(path)
        if not statement.target or not (is_setting(path) or (stream and stream[1])):
            return False
    return True


# When a settings cell stands apart from the imports, these names mean what everybody means.
_USUAL_ALIASES: Final = {
    "np": "numpy",
    "pd": "pandas",
    "plt": "matplotlib.pyplot",
    "mpl": "matplotlib",
    "sns": "seaborn",
    "tf": "tensorflow",
}


def _titles(notebook: Notebook) -> list[tuple[int, str]]:
    """Give for each cell the section it stands in: its number and its heading."""
    section, title = 0, ""
    found = []
    for cell in notebook.cells:
        if cell.kind is CellKind.MARKDOWN:
            headings = re.findall(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", cell.source, re.MULTILINE)
            if headings:
                section, title = section + 1, headings[-1]
        found.append((section, title))
    return found
