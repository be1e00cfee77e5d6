"""Distinct types for the strings that must not be mixed up, and the rules for step names."""

from __future__ import annotations

import re
from typing import Final, NewType

CellId = NewType("CellId", str)
StepName = NewType("StepName", str)
PipelineName = NewType("PipelineName", str)
Variable = NewType("Variable", str)
RunId = NewType("RunId", str)

LONGEST_STEP_NAME: Final = 64
_STEP_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:-[A-Za-z0-9_]+)*\Z")

# Names that Windows keeps for devices, whatever their ending: a bundle must unpack everywhere.
_RESERVED: Final = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)}
)


def why_not_a_step_name(text: str) -> str | None:
    """Say why `text` cannot name a step, or None when it can.

    A step name becomes a file name and a node of the DAG: an ASCII identifier or kebab-case, at
    most `LONGEST_STEP_NAME` characters, and no device name of any operating system.
    """
    if len(text) > LONGEST_STEP_NAME:
        return f"it has {len(text)} characters, {LONGEST_STEP_NAME} at most"
    if not _STEP_NAME.match(text):
        return "use letters, digits, '_' and '-', starting with a letter or '_'"
    if text.lower() in _RESERVED:
        return "operating systems keep this name for a device"
    return None


def step_name_from(title: str, *, taken: frozenset[str] = frozenset()) -> StepName:
    """Give a valid, unused step name that reads like `title` (a Markdown heading, a file name)."""
    words = re.findall(r"[A-Za-z0-9]+", title.lower())
    name = "_".join(words)[:48].strip("_") or "step"
    if name[0].isdigit():
        name = f"step_{name}"
    if name in _RESERVED:
        name = f"step_{name}"
    unused, number = name, 2
    while unused in taken:
        unused, number = f"{name}_{number}", number + 1
    return StepName(unused)


# A step that names an index in place changes this: no state that is stored, but news.
INDEX_NAMES: Final = Variable("@index names")

_STATES: Final = {
    "@cwd": "working directory",
    "@decimal": "decimal context",
    INDEX_NAMES: "names of indexes",
    "@environ": "environment variables",
    "@interpreter": "interpreter settings",
    "@locale": "locale",
    "@logging": "logging settings",
    "@matplotlib": "matplotlib settings",
    "@numpy": "numpy settings",
    "@pandas": "pandas options",
    "@running": "threads and tasks that go on",
    "@sklearn": "scikit-learn settings",
    "@sys.path": "module search path",
    "@warnings": "warning filters",
}


def is_state(name: str) -> bool:
    """Say whether a name stands for state of the process, not for a variable of the author's."""
    return name.startswith("@")


def spoken(name: str) -> str:
    """Give a variable, or state of the process, as people know it."""
    if not is_state(name):
        return name
    if name.startswith("@module."):
        return f"data of module {name.removeprefix('@module.')}"
    return _STATES.get(name, f"{name[1:]} stream")


def normal_distribution(name: str) -> str:
    """Give the one spelling of a distribution's name that parts use."""
    return re.sub(r"[-_.]+", "_", name).lower()
