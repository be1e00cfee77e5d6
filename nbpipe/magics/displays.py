"""What a cell shows, noted while it is shown.

Nothing is put between the cell and its front end: the methods that send are surrounded, and what
they were given goes on unchanged. Messages are noted where all of them leave the kernel, whatever
thread they come from; printed text where it is written, since it leaves later.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from IPython.core.interactiveshell import InteractiveShell

# As JSON of a notebook: its author's tools may put anything there.
Output = dict[str, Any]

_MOST_TEXT: Final = 10_000_000
_CHANGING: Final = "its outputs change after they are shown"
_LIVE: Final = "application/vnd.jupyter.widget-view+json"
# What each kind of message says about keeping the outputs of the cell; others say nothing.
_WHY_NOT: Final = {
    "update_display_data": _CHANGING,
    "clear_output": _CHANGING,
    "comm_open": _CHANGING,
    "comm_msg": _CHANGING,
    "input_request": "it asks for input",
    # The cell itself did not end with it, or nobody would ask.
    "error": "it shows an exception",
}


class DisplayRecorder:
    """Notes what a shell's front end is sent while a cell runs.

    Attributes:
        outputs: in the form that notebooks keep them.
        lost: why `outputs` is not all that was shown; empty when it is.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._undo = ExitStack()
        self._text = 0
        self.outputs: list[Output] = []
        self.lost = ""

    @staticmethod
    def fits(shell: InteractiveShell) -> bool:
        """Say whether what this shell shows can be noted: it belongs to a kernel."""
        return hasattr(_kernel_of(shell), "session") and hasattr(shell.displayhook, "session")

    def start(self) -> None:
        """Begin to note."""
        surround = self._undo.enter_context
        surround(_surrounded(_kernel_of(self._shell).session, "send", before=self._sent))
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            surround(
                _surrounded(stream, "write", before=lambda text, name=name: self._wrote(name, text))
            )

    def stop(self) -> None:
        """Note nothing any more."""
        self._undo.close()

    def _sent(self, _socket: Any, message: Any, content: Any = None, *_: Any, **__: Any) -> None:  # noqa: ANN401 - as `Session.send`.
        is_whole = isinstance(message, dict)
        kind = message["header"]["msg_type"] if is_whole else message
        content = message.get("content") if is_whole else content
        if kind in _WHY_NOT:
            self.lost = _WHY_NOT[kind]
        elif kind in {"display_data", "execute_result"}:
            if _LIVE in content["data"] or content.get("transient"):
                self.lost = _CHANGING
            shown = {"output_type": kind, **_shown(content)}
            self.outputs.append(
                shown if kind == "display_data" else {**shown, "execution_count": None}
            )

    def _wrote(self, name: str, text: Any) -> None:  # noqa: ANN401 - whatever an author writes.
        if not isinstance(text, str) or not text:
            return
        self._text += len(text)
        if self._text > _MOST_TEXT:
            self.lost = "it prints very much"
            return
        last = self.outputs[-1] if self.outputs else {}
        if last.get("name") == name:
            last["text"].append(text)
        else:
            self.outputs.append({"output_type": "stream", "name": name, "text": [text]})


@contextmanager
def silenced(shell: InteractiveShell) -> Iterator[None]:
    """Show nothing of what runs: neither what it prints nor what it displays."""
    with ExitStack() as undo:
        for name in ("stdout", "stderr"):
            undo.enter_context(_replaced(getattr(sys, name), "write", _count))
        undo.enter_context(_replaced(shell.display_pub, "publish", lambda *_, **__: None))
        yield


def _count(text: str) -> int:
    return len(text)


def _kernel_of(shell: InteractiveShell) -> Any:  # noqa: ANN401 - of ipykernel, or none.
    return getattr(shell, "kernel", None)


def _surrounded(owner: Any, name: str, *, before: Callable[..., None]) -> Any:  # noqa: ANN401 - parts of IPython.
    original = getattr(owner, name)

    def noted(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as above.
        before(*arguments, **options)
        return original(*arguments, **options)

    return _replaced(owner, name, noted)


@contextmanager
def _replaced(owner: Any, name: str, method: Callable[..., Any]) -> Iterator[None]:  # noqa: ANN401 - as above.
    """Give one object another method, as long as nobody else gives it one."""
    is_own, own = name in vars(owner), vars(owner).get(name)
    owner.__dict__[name] = method
    try:
        yield
    finally:
        if owner.__dict__.get(name) is method:
            if is_own:
                owner.__dict__[name] = own
            else:
                del owner.__dict__[name]


def _shown(content: Mapping[str, Any]) -> Output:
    return {
        "data": copy.deepcopy(content["data"]),
        "metadata": copy.deepcopy(content.get("metadata") or {}),
    }
