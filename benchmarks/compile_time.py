"""What does it cost to compile a notebook, and does the cost grow with its length alone?"""

from __future__ import annotations

import ast
import gc
import symtable
from time import process_time

from nbpipe.compiler.compile import compile_notebook
from nbpipe.notebook.parse import parse_notebook

CELL = """%%step s{n}
df{n} = load({n}, previous=df{p})
df{n}["total"] = df{n}["a"] + df{n}["b"] * {n}
rows = [row for row in df{n}.rows if row > {n}]
for key, value in df{n}.items():
    totals[key] = totals.get(key, 0) + value
model = fit(df{n}, alpha=0.1 * {n})
print(model.score(df{n}), len(rows))"""
DEFINITION = "def load{n}(n, previous=None):\n    return previous"


def cells(count: int) -> list[str]:
    first = "from lib import load, fit\n\ndf0 = None\ntotals = {}"
    return [
        "%%step start\n" + first,
        *(CELL.format(n=n, p=n - 1) if n % 10 else DEFINITION.format(n=n) + f"\ndf{n} = None"
          for n in range(1, count)),
    ]  # fmt: skip


def notebook_json(sources: list[str]) -> dict[str, object]:
    return {
        "cells": [
            {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": source}
            for n, source in enumerate(sources)
        ],
        "metadata": {},
        "nbformat": 4,
    }


def floor(sources: list[str]) -> float:
    plain = [s.partition("\n")[2] if s.startswith("%%") else s for s in sources]
    gc.disable()
    start = process_time()
    for source in plain:
        ast.parse(source)
        symtable.symtable(source, "<cell>", "exec")
    seconds = process_time() - start
    gc.enable()
    return seconds


def ours(sources: list[str]) -> float:
    content = notebook_json(sources)
    start = process_time()
    notebook, diagnostics = parse_notebook(content, name="bench")
    compile_notebook(notebook, earlier=diagnostics)
    return process_time() - start


def main() -> None:
    print(f"{'cells':>7}  {'compile':>9}  {'floor':>9}  {'ratio':>6}  {'per cell':>9}")
    for count in (100, 1_000, 3_000):
        sources = cells(count)
        mine, least = min(ours(sources) for _ in range(2)), min(floor(sources) for _ in range(2))
        print(
            f"{count:>7,}  {mine:>8.2f}s  {least:>8.2f}s  {mine / least:>6.1f}  "
            f"{mine / count * 1e6:>7.0f}µs"
        )


if __name__ == "__main__":
    main()
