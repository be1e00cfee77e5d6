"""Compile notebooks, and tag those that have no tags yet."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from nbpipe._version import __version__
from nbpipe.api.locking import locked_environment
from nbpipe.compiler.bundle import bundle_files
from nbpipe.compiler.propose import propose_tags
from nbpipe.errors import ConfigurationError, StoreUnavailableError
from nbpipe.model.names import StepName
from nbpipe.model.notebook import Role, Spelling
from nbpipe.notebook.parse import parse_notebook
from nbpipe.notebook.rewrite import add_tags, prevailing_spelling
from nbpipe.workspace import BUNDLE_ENDING, Workspace, read_notebook

_BYTE_ORDER_MARK: Final = "\ufeff"


def bundle_path(workspace: Workspace) -> Path:
    """Say where a notebook's bundle goes by default: `NAME.nbpipe` beside it."""
    return workspace.directory / f"{workspace.pipeline.name}{BUNDLE_ENDING}"


def bundle_texts(workspace: Workspace) -> Mapping[str, str]:
    """Give the texts of a bundle by relative path, the environment included."""
    pipeline = workspace.pipeline
    own = {step.own for step in pipeline.steps}
    learned = workspace.learned.about(own)
    files = bundle_files(pipeline, workspace.notebook, compiler=__version__, learned=learned)
    for name, text in locked_environment(workspace).items():
        files[f"environment/{name}"] = text
    return files


def write_bundle(workspace: Workspace, directory: Path) -> Path:
    """Write the bundle; one that was there is replaced as a whole.

    Raises:
        CompilationError: the notebook does not compile.
        ConfigurationError: something that is no bundle is in the way.
    """
    files = bundle_texts(workspace)
    is_bundle = (directory / "pipeline.json").is_file()
    is_empty = directory.is_dir() and not any(directory.iterdir())
    if directory.exists() and not is_bundle and not is_empty:
        raise ConfigurationError(
            f"{directory} exists and is no bundle; it is left alone.",
            hint="Choose another place with -o.",
        )
    write_tree(files, directory)
    return directory


def write_tree(files: Mapping[str, str], directory: Path) -> None:
    """Write files below `directory` so that a crash leaves the old tree or the new one.

    Raises:
        StoreUnavailableError: the place cannot be written.
    """
    directory = directory.resolve()
    fresh = directory.with_name(f".{directory.name}.new")
    old = directory.with_name(f".{directory.name}.old")
    try:
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
        for name, text in files.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        if directory.exists():
            directory.rename(old)
        fresh.rename(directory)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise StoreUnavailableError(
            f"{directory} cannot be written: {error.strerror}.", hint="Choose another place."
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagging:
    """The text of a notebook with tags, and which steps they make (with their cell numbers)."""

    text: str
    steps: Mapping[StepName, tuple[int, ...]]


def tag_notebook(path: Path, *, by: str, spelling: Spelling | None = None) -> Tagging:
    """Propose tags for a notebook and write them into its text; the file is not touched.

    Raises:
        NotFoundError: there is no such file.
        CompilationError: it is no notebook.
        ConfigurationError: it has steps already, or `by` is unknown.
    """
    content = read_notebook(path)
    # Not as text: that would turn every line break into one kind.
    text = path.read_bytes().decode("utf-8")
    if json.loads(text.removeprefix(_BYTE_ORDER_MARK)) != content:
        raise ConfigurationError(
            f"{path.name} has an old notebook format, which nbpipe reads but does not write.",
            hint="Open it in a current Jupyter and save it again.",
        )
    notebook, _ = parse_notebook(content, name=path.stem)
    if len(notebook.cells) != len(cast("list[object]", content["cells"])):
        raise ConfigurationError(
            f"{path.name} has cells of no known type.",
            hint="Open and save the notebook in Jupyter, then tag it.",
        )
    if any(cell.tag is not None and cell.tag.role is Role.STEP for cell in notebook.cells):
        raise ConfigurationError(
            f"{path.name} has steps already.", hint="Edit its tags, or start from a copy without."
        )
    try:
        proposed = propose_tags(notebook, by=by)
    except ValueError as error:
        raise ConfigurationError(f"--by: {error}.") from None
    if not proposed:
        raise ConfigurationError(
            f"{path.name} has no cell that could be a step: only imports, definitions and settings."
        )
    tagged = add_tags(text, notebook, proposed, spelling=spelling or prevailing_spelling(notebook))
    steps: dict[StepName, tuple[int, ...]] = {}
    for position, name in proposed.items():
        steps[name] = (*steps.get(name, ()), notebook.cells[position].number)
    return Tagging(text=tagged, steps=steps)
