"""Turn notebooks into pipelines: a run equals the notebook, or nbpipe says why not.

The public names are loaded on first use, so that importing the package costs nothing. They are
named as text, not imported: every module of the package imports this one first, and it must not
drag the whole of it along. Type checkers read `__init__.pyi`.
"""

import importlib

_PUBLIC = {
    "compile": "nbpipe.api.python",
    "load": "nbpipe.api.python",
    "open_store": "nbpipe.api.python",
    "run": "nbpipe.api.python",
    "NbpipeError": "nbpipe.errors",
    "__version__": "nbpipe._version",
    "load_ipython_extension": "nbpipe.magics.extension",
    "unload_ipython_extension": "nbpipe.magics.extension",
}

__all__ = ["NbpipeError", "__version__", "compile", "load", "open_store", "run"]


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'nbpipe' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Tell JupyterLab where the built extension lies, for development installs."""
    return [{"src": "_labextension", "dest": "jupyterlab-nbpipe"}]
