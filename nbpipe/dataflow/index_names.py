"""Which code may name an index of pandas in place, or give it a frequency: `df.index.name = "day"`.

All frames that have the index see its new name. The kernel notices when code does it that does not
look like it, so this need not be complete; it may be wrong where something else has a name.
"""

from __future__ import annotations

import re
from typing import Final

# Not of `self`: classes name themselves.
_NAMING: Final = re.compile(
    r"""(?<! \b self) \. _? (?: names? | freq ) \s* = (?!=)
        | \b set_names \s* \(
        | \. rename \s* \( [^()]* \b inplace \b
        | \b setattr \s* \( [^()]* \b (?: names? | freq ) \b""",
    re.VERBOSE,
)


def may_name_indexes(source: str) -> bool:
    """Say whether the source of a cell looks like naming an index in place."""
    return _NAMING.search(source) is not None
