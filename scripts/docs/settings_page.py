"""docs/reference/settings.md, from the settings and from the environment variables in the code."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Final

from markdown_text import block, code, page, table

from nbpipe.settings import Settings

_INTRODUCTION: Final = """
Settings stand in the table `[tool.nbpipe]` of the nearest `pyproject.toml`, looked for from the
notebook's directory upwards. An environment variable goes over the file, and an option of a command
over both. An unknown setting, or a value of the wrong type, is an error.
"""

_EXAMPLE: Final = """[tool.nbpipe]
store = "build/store"  # a relative path counts from this file
jobs = 4"""

# Variables that a person may set. The test of the documentation finds one that is missing here.
VARIABLES: Final = {
    "NBPIPE_STORE": "Where the store is, instead of `.nbpipe` beside the notebook. A relative path "
    "counts from the current directory.",
    "NBPIPE_JOBS": "How many steps run at the same time.",
    "NBPIPE_REUSE_UNVERIFIED": "`1` reuses results of steps that may have read files unseen, `0` "
    "does not.",
    "NBPIPE_LIVE_CACHE": "`0` lets [live kernels](../explanation/live-kernels.md) neither store "
    "nor reuse results, `1` does.",
    "NBPIPE_OUTPUT_LIMIT": "How many bytes of printed text are kept of a cell: the first and the "
    "last half of them. 10,000,000 when not set.",
    "NBPIPE_NATIVE_TRACING": "`0` leaves the library for tracing native code and child processes "
    "out of the kernels of steps; see [what a trace sees](../explanation/what-a-trace-sees.md).",
    "NBPIPE_TRUST_STORE": "`1` trusts every store without asking. For containers whose store is "
    "their own; see [why a store is code](../explanation/a-store-is-code.md).",
    "NBPIPE_DATA_DIR": "Where nbpipe keeps what belongs to you rather than to a project: the list "
    "of trusted stores. The usual directory of your system for such things when not set.",
    "NO_COLOR": "Any value turns colour and live progress off.",
    "PYTHONHASHSEED": "Passed on to the kernels of steps; `0` there when not set, so that the "
    "order of sets does not change from run to run.",
}
# Variables that are nobody's to set: parts of nbpipe talk through them, or only builds read them.
INTERNAL: Final = frozenset(
    {
        *("NBPIPE_REQUEST", "NBPIPE_TRACE_FILE", "NBPIPE_TRACE_SKIP"),
        *("NBPIPE_COMPLETE", "NBPIPE_SKIP_LABEXTENSION", "NBPIPE_SKIP_TRACER"),
    }
)


def settings_page(_root: Path) -> str:
    """Make the page."""
    meanings = _attributes(inspect.getdoc(Settings) or "")
    rows = []
    for field in fields(Settings):
        default = getattr(Settings(), field.name)
        rows.append(
            (
                code(field.name.replace("_", "-")),
                type(default).__name__,
                code(repr(default).replace("'", '"')),
                meanings[field.name],
            )
        )
    return page(
        "Settings",
        _INTRODUCTION,
        table(("setting", "type", "default", "meaning"), rows),
        block(_EXAMPLE, "toml"),
        "## Environment variables",
        table(("variable", "meaning"), [(code(name), text) for name, text in VARIABLES.items()]),
    )


def _attributes(docstring: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, text in re.findall(r"^ +(\w+): (.+(?:\n {8,}.+)*)", docstring, re.MULTILINE):
        meaning = " ".join(text.split())
        found[name] = meaning[0].upper() + meaning[1:]
    return found
