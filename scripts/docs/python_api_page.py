"""docs/reference/python-api.md, from signatures, fields and docstrings."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from markdown_text import block, code, page, table

import nbpipe
from nbpipe import errors
from nbpipe.api.runs import RunOptions
from nbpipe.model.artifact import ArtifactKey, ArtifactVersion, Format, StoredValue, Summary
from nbpipe.model.diagnostic import Compilation, Diagnostic, Severity, Span
from nbpipe.model.pipeline import Edge, Input, Output, Parameter, Pipeline, Step
from nbpipe.model.run import Run, RunState, StepFailure, StepRun, StepState
from nbpipe.store.artifacts import ArtifactStore

_INTRODUCTION: Final = """
The names below are what `nbpipe` exports. They are loaded on first use, so `import nbpipe` is
cheap. What the functions give are frozen values of `nbpipe.model`; their fields are listed further
down.
"""

_ERRORS: Final = """
All errors that nbpipe raises on purpose. Each has a `message`, a `hint` that says what to do about
it, a `code`, and an `exit_code` that the command line ends with.
"""

_TYPES: Final = """
`StepName`, `Variable`, `RunId`, `Digest` and their like are texts, kept apart for the type checker.
"""

_EXAMPLE: Final = """
import nbpipe

compilation = nbpipe.compile("report.ipynb")
for finding in compilation.diagnostics:
    print(finding)

run = nbpipe.run("report.ipynb", parameters={"rows": 100})
print(run.state, {step.step: step.state.value for step in run.steps})

total = nbpipe.load("total")        # the newest version, or nbpipe.load("total", 1)
store = nbpipe.open_store()
print([version.reference for version in store.versions()])
"""

# What options and results are made of, by the module they are imported from.
_VALUES: Final[tuple[type, ...]] = (
    RunOptions, Compilation, Diagnostic, Severity, Span, Pipeline, Step, Input, Output, Edge,
    Parameter, Run, RunState, StepRun, StepState, StepFailure, ArtifactVersion, ArtifactKey,
    StoredValue, Summary, Format,
)  # fmt: skip
# The others are for the runner: they record what happens in a run.
_FOR_PEOPLE: Final = frozenset(
    """open close runs run versions find_version latest_outputs pin unpin tag untag
    collect_garbage""".split()
)
_SENTENCES: Final = re.compile(r"\n(?=(?:Attributes|Args|Raises|Returns):\n)")


def python_api_page(_root: Path) -> str:
    """Make the page."""
    parts = [_INTRODUCTION, block(_EXAMPLE.strip("\n"), "python"), "## Functions"]
    for name in sorted(nbpipe.__all__):
        value = getattr(nbpipe, name)
        if inspect.isfunction(value):
            parts.append(f"### nbpipe.{name}")
            parts += _function(name, value)
    parts += [
        "`nbpipe.__version__` is the version, as text; all errors are a `nbpipe.NbpipeError`.",
        "## Errors",
        _ERRORS,
        block(_tree()),
        "## The store",
        *_class(ArtifactStore),
    ]
    for name, member in vars(ArtifactStore).items():
        function = member.__func__ if isinstance(member, classmethod) else member
        if name in _FOR_PEOPLE and inspect.isfunction(function):
            parts.append(f"### ArtifactStore.{name}")
            parts += _function(name, function)
    parts += ["## Values", _TYPES]
    for value in _VALUES:
        parts.append(f"### {value.__name__}")
        parts += _class(value)
    return page("Python API", *parts)


def _function(name: str, function: Callable[..., object]) -> list[str]:
    signature = inspect.signature(function)
    kept = [p for p in signature.parameters.values() if p.name not in {"self", "cls"}]
    lines = [f"    {parameter}," for parameter in _written(kept)]
    returned = signature.return_annotation
    whole = f"{name}({', '.join(_written(kept))}) -> {returned}"
    if len(whole) > 88:
        whole = "\n".join([f"{name}(", *lines, f") -> {returned}"])
    return [block(whole, "text"), *_prose(function)]


def _written(parameters: list[inspect.Parameter]) -> Iterator[str]:
    is_keyword_only = False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not is_keyword_only:
            is_keyword_only = True
            yield "*"
        written = f"{parameter.name}: {parameter.annotation}"
        yield (
            written
            if parameter.default is parameter.empty
            else (f"{written} = {parameter.default!r}")
        )


def _class(kind: type) -> list[str]:
    parts = [f"`from {kind.__module__} import {kind.__name__}`", *_prose(kind)]
    if issubclass(kind, enum.Enum):
        return [*parts, "One of " + ", ".join(f"`{member.value}`" for member in kind) + "."]
    if not dataclasses.is_dataclass(kind):
        return parts
    meanings = _attributes(inspect.getdoc(kind) or "")
    rows = [
        (code(field.name), code(str(field.type)), meanings.get(field.name, ""))
        for field in dataclasses.fields(kind)
    ]
    for name, member in vars(kind).items():
        if isinstance(member, property) and not name.startswith("_"):
            assert member.fget is not None
            returned = str(inspect.signature(member.fget).return_annotation)
            rows.append((code(name), code(returned), inspect.getdoc(member) or ""))
    if not any(meaning for _, _, meaning in rows):
        return [*parts, table(("field", "type"), [row[:2] for row in rows])]
    return [*parts, table(("field", "type", "meaning"), rows)]


def _prose(thing: object) -> list[str]:
    """Give a docstring as paragraphs; attributes go into the table of fields instead."""
    parts = []
    for section in _SENTENCES.split(inspect.getdoc(thing) or ""):
        title, _, body = section.partition(":\n")
        if title == "Attributes" and dataclasses.is_dataclass(thing):
            continue
        if title in {"Attributes", "Args"}:
            rows = _attributes(section)
            parts.append("\n".join(f"- `{name}`: {text}" for name, text in rows.items()))
        elif title == "Raises":
            raised = _attributes(section, names=r"[\w, ]+")
            parts.append(
                "Raises " + "; ".join(f"`{n}`: {t.rstrip('.')}" for n, t in raised.items()) + "."
            )
        elif title == "Returns":
            text = " ".join(body.split())
            parts.append(f"Returns {text[0].lower()}{text[1:]}")
        else:
            parts += [" ".join(paragraph.split()) for paragraph in section.strip().split("\n\n")]
    return parts


def _attributes(text: str, names: str = r"\w+") -> dict[str, str]:
    found = re.findall(rf"^ {{4}}({names}): (.+(?:\n {{8,}}.+)*)", text, re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in found}


def _tree() -> str:
    drawing = re.search(r"::\n\n(.*?)\n\n\S", errors.__doc__ or "", re.DOTALL)
    assert drawing is not None
    return inspect.cleandoc(drawing[1])
