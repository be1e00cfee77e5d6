"""A notebook in one kernel, without nbpipe, and what its cells show."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

TIMES = re.compile(r"^(CPU times|Wall time): .*\n", re.MULTILINE)


def shown(cells: list[dict[str, Any]]) -> list[list[tuple[str, ...]]]:
    """What each cell shows: text by stream, values as text and HTML, exceptions."""
    found = []
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        parts: list[tuple[str, ...]] = []
        for output in cell.get("outputs", []):
            if output["output_type"] == "stream":
                # Warnings name the file of a cell, and with it the process id of its kernel.
                text = re.sub(r"ipykernel_\d+", "ipykernel", "".join(output["text"]))
                text = text.replace("\r\n", "\n")  # How a shell ends its lines in a terminal.
                if parts and parts[-1][0] == output["name"]:
                    parts[-1] = (output["name"], parts[-1][1] + text)
                else:
                    parts.append((output["name"], text))
            elif output["output_type"] == "error":
                parts.append(("error", output["ename"], output["evalue"]))
            else:
                data = output["data"]
                plain, html = ("".join(data.get(kind, "")) for kind in ("text/plain", "text/html"))
                parts.append((output["output_type"], without_addresses(plain), numbered(html)))
        if "%time" in "".join(cell["source"]):
            parts = [(name, *(TIMES.sub("", text) for text in texts)) for name, *texts in parts]
        found.append(parts)
    return found


def without_addresses(text: str) -> str:
    return re.sub(r"0x[0-9a-f]{6,}", "0x…", text)


def numbered(html: str) -> str:
    """scikit-learn numbers the pictures of its models, counting from 1 in each kernel."""
    return re.sub(r"sk-(container-id|estimator-id)-[\w-]+", r"sk-\1", html)


def plainly(directory: Path, notebook: dict[str, Any]) -> list[list[tuple[str, ...]]]:
    """What the notebook shows when its tagged cells, and what they need, run in one kernel."""
    node = nbformat.reads(json.dumps(notebook), as_version=4)
    client = NotebookClient(
        node, kernel_name="python3", allow_errors=False, resources={"metadata": {"path": directory}}
    )
    # What a cell raises is shown below it.
    with contextlib.suppress(CellExecutionError):
        client.execute()
    return shown(node["cells"])
