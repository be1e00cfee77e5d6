"""Where in its cell did the author's code raise?"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from nbpipe.kernel.exchange import CellError
from nbpipe.kernel.problems import StepNotebookError

# The file name that IPython gives to the code below a `%%time` line.
_TIMED: Final = "<timed exec>"


class CellErrorWatch:
    """Report the exception that ends a cell, once, however many cells were nested in it."""

    def __init__(self, shell: Any, report: Callable[[CellError], None]) -> None:  # noqa: ANN401
        # IPython's shell and results have no types of their own; hence `Any` here.
        self._shell = shell
        self._report = report
        self._last: BaseException | None = None
        shell.events.register("post_run_cell", self._cell_ended)

    def _cell_ended(self, result: Any) -> None:  # noqa: ANN401
        error = result.error_before_exec or result.error_in_exec
        if error is None or error is self._last or isinstance(error, StepNotebookError):
            return
        self._last = error
        source = result.info.raw_cell if result.info is not None else ""
        self._report(
            CellError(
                name=type(error).__name__,
                message=_message(error),
                line=_line_of(error, self._shell.user_ns, parsed=result.error_before_exec is None),
                source=source,
            )
        )


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as unprintable:  # noqa: BLE001 - an author's `__str__` may raise anything.
        return f"<message cannot be shown: {type(unprintable).__name__}>"


def _line_of(error: BaseException, namespace: dict[str, object], *, parsed: bool) -> int | None:
    """Give the innermost line, in the cell that was running, on the way to the exception."""
    if not parsed and isinstance(error, SyntaxError):
        return error.lineno
    frames = list(traceback.walk_tb(error.__traceback__))
    cell_file = next((_file(f) for f, _ in frames if _is_cell(f, namespace)), None)
    timed = [line for frame, line in frames if _file(frame) == _TIMED]
    if timed:
        return timed[-1] + 1
    return next((line for f, line in reversed(frames) if _file(f) == cell_file), None)


def _is_cell(frame: FrameType, namespace: dict[str, object]) -> bool:
    return frame.f_globals is namespace and frame.f_code.co_name.startswith("<")


def _file(frame: FrameType) -> str:
    return frame.f_code.co_filename
