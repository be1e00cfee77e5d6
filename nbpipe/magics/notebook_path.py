"""Where the notebook is that a kernel belongs to. A kernel is not told; front ends leave traces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path


def notebook_path(environ: Mapping[str, str], namespace: Mapping[str, object]) -> Path | None:
    """Give the notebook's file, or None when no trace leads to one.

    Jupyter sets `JPY_SESSION_NAME`, a path that is absolute or begins at the server's root; VS Code
    puts `__vsc_ipynb_file__` into the namespace.
    """
    for candidate in _candidates(environ.get("JPY_SESSION_NAME"), namespace):
        if candidate.suffix == ".ipynb" and candidate.is_file():
            return candidate.resolve()
    return None


def _candidates(session: str | None, namespace: Mapping[str, object]) -> Iterator[Path]:
    if session:
        # Drives of JupyterLab stand before a colon, as in `RTC:notebook.ipynb`.
        without_drive = session.partition(":")[2] if ":" in session else session
        yield Path(session)
        yield Path(without_drive)
        # A kernel starts in the folder of its notebook.
        yield Path(Path(without_drive).name)
    vscode = namespace.get("__vsc_ipynb_file__")
    if isinstance(vscode, str):
        yield Path(vscode)
