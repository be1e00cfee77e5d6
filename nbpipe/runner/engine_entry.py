"""What papermill's entry point loads: the engine `nbpipe`, imported when it is first used.

papermill loads its engines in the middle of its own import. Whoever imports our engine first
would thus have it loaded while it is half made; so this stands in, and imports nothing.
"""

from __future__ import annotations

from typing import Any


class NbpipeEngine:
    """Stands for `papermill_engine.NbpipeEngine`; the methods are those that papermill calls."""

    @classmethod
    def execute_notebook(cls, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - papermill's
        """Execute a notebook."""
        return _engine().execute_notebook(*arguments, **options)

    @classmethod
    def nb_kernel_name(cls, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - papermill's
        """Give the name of a notebook's kernel."""
        return _engine().nb_kernel_name(*arguments, **options)

    @classmethod
    def nb_language(cls, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - papermill's
        """Give a notebook's language."""
        return _engine().nb_language(*arguments, **options)


def _engine() -> Any:  # noqa: ANN401 - papermill is untyped
    from nbpipe.runner.papermill_engine import NbpipeEngine as Engine  # noqa: PLC0415 - see above

    return Engine
