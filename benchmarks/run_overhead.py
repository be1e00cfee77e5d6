"""What does a step cost that does nothing, and a run with nothing to do?"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

STEPS = 10


def notebook() -> dict[str, object]:
    sources = ["%%step s0\nx = 0", *(f"%%step s{n}\nx = x + 1" for n in range(1, STEPS))]
    return {
        "cells": [
            {"cell_type": "code", "id": f"c{n}", "metadata": {}, "outputs": [],
             "execution_count": None, "source": source}
            for n, source in enumerate(sources)
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "p", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }  # fmt: skip


def timed(*command: str, cwd: Path) -> float:
    start = perf_counter()
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)
    return perf_counter() - start


def main() -> None:
    nbpipe = (sys.executable, "-m", "nbpipe")
    forced, idle, plain = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        cwd = Path(folder)
        (cwd / "n.ipynb").write_text(json.dumps(notebook()))
        timed(*nbpipe, "compile", "n.ipynb", cwd=cwd)
        for _ in range(3):
            forced.append(timed(*nbpipe, "run", "n.ipynb", "--force", "-j", "1", cwd=cwd))
            idle.append(timed(*nbpipe, "run", "n.ipynb", cwd=cwd))
            start = perf_counter()
            for n in range(3):
                step = f"n.nbpipe/steps/s{n}.ipynb"
                timed(sys.executable, "-m", "papermill", step, "out.ipynb", cwd=cwd)
            plain.append((perf_counter() - start) / 3)
    ours, nothing, papermill = median(forced) / STEPS, median(idle), median(plain)
    print(f"a step that does nothing: {ours:.2f} s; plain papermill, one process each: "
          f"{papermill:.2f} s ({papermill / ours:.1f} ×)")  # fmt: skip
    print(f"a run of {STEPS} steps with nothing to do: {nothing:.2f} s for the whole process")


if __name__ == "__main__":
    main()
