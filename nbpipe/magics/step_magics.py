"""The cell magics `%%step`, `%%params`, `%%prelude`, `%%skip`.

They are there to be listed, completed and explained. A valid tag never reaches them: see
`tag_lines`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from IPython.core.error import UsageError

from nbpipe.model.notebook import Role
from nbpipe.notebook.tags import STEP_OPTIONS, TagError, parse_magic

CellMagic = Callable[[str, str], None]

_MEANINGS: Final = {
    Role.PARAMS: """%%params

    Makes the names assigned in this cell the parameters of the pipeline.

    The cell holds lines such as `alpha = 0.1`: a name and a plain value (a number, a string, True,
    None, or a list or dict of those). `nbpipe run NOTEBOOK -p alpha=0.2` sets another value.
    """,
    Role.PRELUDE: """%%prelude

    Repeats this cell in every later step that needs it.

    Cells that hold only imports, definitions, constants and settings need no tag for that.
    """,
    Role.SKIP: """%%skip

    Keeps this cell out of the pipeline; no step may need what it computes.
    """,
}


def cell_magics() -> dict[str, CellMagic]:
    """Give the cell magics by name."""
    return {role.value: _cell_magic(role) for role in Role}


def _cell_magic(role: Role) -> CellMagic:
    def magic(line: str, cell: str) -> None:
        del cell  # A cell whose tag is wrong does not run.
        raise UsageError(_trouble(role, line))

    magic.__name__ = magic.__qualname__ = role.value
    magic.__doc__ = _MEANINGS.get(role) or _step_help()
    return magic


def _trouble(role: Role, line: str) -> str:
    try:
        parse_magic(f"%%{role.value} {line}")
    except TagError as error:
        return f"%%{role.value}: {error.message} {error.help}".rstrip()
    return f"%%{role.value} stands alone on the first line of a cell, and a cell has one tag."


def _step_help() -> str:
    options = [(f"--{name} {option.takes}", option) for name, option in STEP_OPTIONS.items()]
    width = max(len(usage) for usage, _ in options)
    listed = "\n".join(f"      {usage:<{width}}  {option.meaning}" for usage, option in options)
    return f"""%%step NAME [options]

    Makes this cell a step of the pipeline, and runs it as any other cell.

    Cells with one NAME form one step, in the order of the notebook. NAME is a Python identifier
    or kebab-case.

    Options:
{listed}
    """
