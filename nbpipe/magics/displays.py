"""What a cell shows, noted while it is shown, and shown once more.

Nothing is put between the cell and its front end: the methods that send are surrounded, and what
they were given goes on unchanged.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from IPython.core.interactiveshell import InteractiveShell

# As JSON of a notebook: its author's tools may put anything there.
Output = dict[str, Any]

_MOST_TEXT: Final = 10_000_000
_CHANGING: Final = "its outputs change after they are shown"
_LIVE: Final = "application/vnd.jupyter.widget-view+json"


class DisplayRecorder:
    """Notes what a shell's front end is sent while a cell runs.

    Attributes:
        outputs: in the form that notebooks keep them.
        lost: why `outputs` is not all that was shown; empty when it is.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._undo: list[Callable[[], None]] = []
        self._text = 0
        self.outputs: list[Output] = []
        self.lost = ""

    @staticmethod
    def fits(shell: InteractiveShell) -> bool:
        """Say whether what this shell shows can be noted: it belongs to a kernel."""
        return hasattr(shell.display_pub, "register_hook") and hasattr(shell.displayhook, "session")

    def start(self) -> None:
        """Begin to note."""
        # Those of a kernel, which have more than IPython's own: see `fits`.
        publisher: Any = self._shell.display_pub
        hook: Any = self._shell.displayhook
        publisher.register_hook(self._published)
        self._undo.append(lambda: publisher.unregister_hook(self._published))
        self._surround(hook, "finish_displayhook", before=self._note_result)
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            self._surround(stream, "write", before=lambda text, name=name: self._wrote(name, text))

    def stop(self) -> None:
        """Note nothing any more."""
        while self._undo:
            self._undo.pop()()

    def _surround(self, owner: Any, name: str, *, before: Callable[..., None]) -> None:  # noqa: ANN401 - parts of IPython.
        original = getattr(owner, name)

        def noted(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as above.
            before(*arguments)
            return original(*arguments, **options)

        def undo() -> None:
            with suppress(AttributeError):
                del owner.__dict__[name]

        owner.__dict__[name] = noted
        self._undo.append(undo)

    def _published(self, message: Output) -> Output:
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "display_data" and _LIVE not in content["data"] and not content.get("transient"):
            self._note({"output_type": kind, **_shown(content)})
        else:
            self.lost = _CHANGING
        return message

    def _note_result(self) -> None:
        hook: Any = self._shell.displayhook
        message = hook.msg
        if message and message["content"]["data"]:
            content = message["content"]
            if _LIVE in content["data"]:
                self.lost = _CHANGING
            shown = _shown(content)
            self._note({"output_type": "execute_result", "execution_count": None, **shown})

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
            self._note({"output_type": "stream", "name": name, "text": [text]})

    def _note(self, output: Output) -> None:
        self.outputs.append(output)


def show_again(shell: InteractiveShell, outputs: Sequence[Mapping[str, Any]]) -> None:
    """Send outputs to the front end, as those of the running cell."""
    for output in outputs:
        match output["output_type"]:
            case "stream":
                text = output["text"]
                stream = sys.stderr if output["name"] == "stderr" else sys.stdout
                stream.write(text if isinstance(text, str) else "".join(text))
            case "execute_result":
                _send_result(shell, output)
            case "display_data":
                shell.display_pub.publish(_joined(output["data"]), output.get("metadata") or {})


def show_line(shell: InteractiveShell, text: str) -> None:
    """Show a line of nbpipe's own."""
    shell.display_pub.publish({"text/plain": text}, {})


def _send_result(shell: InteractiveShell, output: Mapping[str, Any]) -> None:
    hook: Any = shell.displayhook
    sys.stdout.flush()
    sys.stderr.flush()
    content = {
        "data": _joined(output["data"]),
        "metadata": dict(output.get("metadata") or {}),
        "execution_count": hook.prompt_count,
    }
    # What it was the value of is not there: no value is better than an older one.
    shell.user_ns.pop("_", None)
    message = hook.session.msg("execute_result", content, parent=hook.parent_header)
    hook.session.send(hook.pub_socket, message, ident=hook.topic)


def _shown(content: Mapping[str, Any]) -> Output:
    return {
        "data": copy.deepcopy(content["data"]),
        "metadata": copy.deepcopy(content.get("metadata") or {}),
    }


def _joined(data: Mapping[str, Any]) -> Output:
    """Give the data in the form of a message: notebooks may keep text in lines."""
    return {
        kind: "".join(value)
        if isinstance(value, list) and all(isinstance(line, str) for line in value)
        else value
        for kind, value in data.items()
    }
