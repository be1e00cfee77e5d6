"""Turn notebooks into pipelines: a run equals the notebook, or nbpipe says why not.

The public names are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbpipe.api.python import compile, load, open_store, run
    from nbpipe.errors import NbpipeError

_PUBLIC = {
    "compile": "nbpipe.api.python",
    "load": "nbpipe.api.python",
    "open_store": "nbpipe.api.python",
    "run": "nbpipe.api.python",
    "NbpipeError": "nbpipe.errors",
    "__version__": "nbpipe._version",
}

__all__ = ["NbpipeError", "__version__", "compile", "load", "open_store", "run"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the module's own names, of any type
    if name not in _PUBLIC:
        raise AttributeError(f"module 'nbpipe' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Bring the magics into a notebook: `%load_ext nbpipe`."""
    from nbpipe.magics.extension import load_ipython_extension as load_extension  # noqa: PLC0415

    load_extension(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take the magics out again: `%unload_ext nbpipe`."""
    from nbpipe.magics.extension import unload_ipython_extension as unload  # noqa: PLC0415

    unload(shell)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Tell JupyterLab where the built extension lies, for development installs."""
    return [{"src": "_labextension", "dest": "jupyterlab-nbpipe"}]
