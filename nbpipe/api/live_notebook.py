"""The notebook of a live kernel, as it is on disk and as it is in the kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from nbpipe.model.effects import LearnedEffects
from nbpipe.model.notebook import Cell, Notebook, Role
from nbpipe.notebook.parse import parse_notebook
from nbpipe.notebook.tags import TagError, parse_magic
from nbpipe.workspace import Workspace, effects_path, open_workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenNotebook:
    """The notebook as it is now."""

    workspace: Workspace
    notebook: Notebook

    def cell_of(self, name: str, source: str) -> Cell | None:
        """Find a cell by its id, or else by its source, if there is one like it."""
        same = [cell for cell in self.notebook.code_cells if is_same(cell.source, source)]
        by_name = next((cell for cell in same if cell.id == name), None) if name else None
        return by_name or (same[0] if len(same) == 1 else None)


class NotebookFile:
    """Opens a notebook anew whenever its file, or what is learned of its steps, has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: object = None
        self._opened: OpenNotebook | None = None
        # Cells that ran with another source than they have in the file, until that is saved.
        self._unsaved: dict[str, str] = {}
        self._changed: tuple[Mapping[str, str], OpenNotebook] | None = None

    def open(self, cell: str, source: str) -> OpenNotebook:
        """Give the notebook, with cells as they ran; one with this id and source is about to run.

        Raises:
            NbpipeError: it cannot be opened.
        """
        opened = self._opened
        if opened is None or self._stamp != self._stamp_of(opened.workspace):
            self._unsaved.clear()
            self._opened, self._changed = None, None
            workspace = open_workspace(self._path)
            self._stamp = self._stamp_of(workspace)
            opened = self._opened = _opened(workspace)
        known = {str(each.id): each.source for each in opened.notebook.code_cells}
        if cell in known:
            self._unsaved.pop(cell, None)
            if not is_same(known[cell], source):
                self._unsaved[cell] = source
        return self._with_unsaved(opened) if self._unsaved else opened

    def _with_unsaved(self, opened: OpenNotebook) -> OpenNotebook:
        if self._changed is None or self._changed[0] != self._unsaved:
            notebook = dict(opened.workspace.notebook)
            cells: list[dict[str, object]] = notebook["cells"]  # type: ignore[assignment]
            notebook["cells"] = [
                {**each, "source": self._unsaved.get(str(each.get("id")), each["source"])}
                for each in cells
            ]
            workspace = replace(opened.workspace, notebook=notebook)
            self._changed = (
                dict(self._unsaved),
                _opened(workspace.with_learned(LearnedEffects())),
            )
        return self._changed[1]

    def _stamp_of(self, workspace: Workspace) -> object:
        """Give what changes with the notebook, and with what runs find out about its steps."""
        learned = effects_path(workspace.store_path, workspace.effects_name)
        return _facts(self._path), _facts(learned)


def is_same(source: str, other: str) -> bool:
    """Say whether two sources are those of one cell."""
    return source.rstrip() == other.rstrip()


def is_step(cell: Cell) -> bool:
    """Say whether a cell is tagged as a step's."""
    return cell.tag is not None and cell.tag.role is Role.STEP


def is_tagged_as_step(source: str) -> bool:
    """Say whether a source has the tag of a step in its first line."""
    try:
        tag = parse_magic(source.partition("\n")[0])
    except TagError:
        return False
    return tag is not None and tag.role is Role.STEP


def _opened(workspace: Workspace) -> OpenNotebook:
    notebook, _ = parse_notebook(workspace.notebook, name=workspace.path.stem)
    return OpenNotebook(workspace=workspace, notebook=notebook)


def _facts(path: Path) -> tuple[int, ...] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return (facts.st_mtime_ns, facts.st_size, facts.st_ino)
