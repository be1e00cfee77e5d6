"""Shows outputs in the running cell: those of an earlier run once more, and lines of nbpipe's."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from IPython.core.interactiveshell import InteractiveShell


class NotKept:
    """Stands in `_` and `Out` for a value of which only the display was kept."""

    def __repr__(self) -> str:
        """Say what to do."""
        return "<not kept: run the cell with --force for its value>"


def show_again(
    shell: InteractiveShell, outputs: Sequence[Mapping[str, Any]], value: object
) -> None:
    """Send outputs to the front end, as those of the running cell.

    `value` is that of its last expression: what `_` and `Out` are to hold.
    """
    results = [output for output in outputs if output["output_type"] == "execute_result"]
    for output in outputs:
        match output["output_type"]:
            case "stream":
                text = output["text"]
                stream = sys.stderr if output["name"] == "stderr" else sys.stdout
                stream.write(text if isinstance(text, str) else "".join(text))
            case "execute_result":
                _show_result(shell, output, value if output is results[-1] else NotKept())
            case "display_data":
                shell.display_pub.publish(_joined(output["data"]), output.get("metadata") or {})


def show_line(shell: InteractiveShell, text: str) -> None:
    """Show a line of nbpipe's own."""
    shell.display_pub.publish({"text/plain": text}, {})


def _show_result(shell: InteractiveShell, output: Mapping[str, Any], value: object) -> None:
    """Do what IPython's display hook does for a value, but for making its display."""
    hook: Any = shell.displayhook
    data = _joined(output["data"])
    hook.check_for_underscore()
    hook.start_displayhook()
    hook.write_output_prompt()
    hook.update_user_ns(value)
    hook.write_format_data(data, dict(output.get("metadata") or {}))
    hook.log_output(data)
    hook.finish_displayhook()


def _joined(data: Mapping[str, Any]) -> dict[str, Any]:
    """Give the data in the form of a message: notebooks may keep text in lines."""
    return {
        kind: "".join(value)
        if isinstance(value, list) and all(isinstance(line, str) for line in value)
        else value
        for kind, value in data.items()
    }
