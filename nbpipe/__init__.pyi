from IPython.core.interactiveshell import InteractiveShell

from nbpipe._version import __version__ as __version__
from nbpipe.api.python import compile as compile  # noqa: A004 - nbpipe.compile
from nbpipe.api.python import load as load
from nbpipe.api.python import open_store as open_store
from nbpipe.api.python import run as run
from nbpipe.errors import NbpipeError as NbpipeError

__all__ = ["NbpipeError", "__version__", "compile", "load", "open_store", "run"]

def load_ipython_extension(shell: InteractiveShell) -> None: ...
def unload_ipython_extension(shell: InteractiveShell) -> None: ...
def _jupyter_labextension_paths() -> list[dict[str, str]]: ...
