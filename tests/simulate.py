"""Runs a compiled pipeline without kernels: each step in a namespace of its own, values through a
real blob store. Fast enough for thousands of notebooks; what it shares with a real run is the
compiler, the order of fragments and loads, and the store.
"""

from __future__ import annotations

import ast
import contextlib
import io
import random
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from nbpipe.model.artifact import StoredValue
from nbpipe.model.names import StepName, Variable
from nbpipe.model.pipeline import Fragment, Load, Pipeline
from nbpipe.store.blobs.local import LocalBlobs
from nbpipe.store.values import load_values, store_values

Outputs = list[str]


@contextlib.contextmanager
def main_module() -> Iterator[dict[str, Any]]:
    """A fresh `__main__`, as a kernel has one: classes of the notebook live there."""
    before = sys.modules["__main__"]
    module = ModuleType("__main__")
    sys.modules["__main__"] = module
    try:
        yield module.__dict__
    finally:
        sys.modules["__main__"] = before


def run_cell(source: str, namespace: dict[str, Any]) -> str:
    """Run a cell as IPython does: the value of a last expression is shown. An error is its name."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            tree = ast.parse(source)
            last = tree.body[-1] if tree.body else None
            shown = isinstance(last, ast.Expr) and not source.rstrip().endswith(";")
            body = ast.Module(tree.body[:-1] if shown else tree.body, [])
            exec(compile(body, "<cell>", "exec"), namespace)
            if shown and isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace)
                if value is not None:
                    print(repr(value))
        except Exception as error:
            print(f"{type(error).__name__}: {error}")
            raise
    return printed.getvalue()


def run_plain(cells: list[str]) -> Outputs:
    """The oracle: one namespace, top to bottom, up to the first exception."""
    outputs: Outputs = []
    with main_module() as namespace:
        for cell in cells:
            try:
                outputs.append(run_cell(cell, namespace))
            except Exception as error:
                outputs.append(f"{type(error).__name__}: {error}")
                break
    return outputs


def run_pipeline(pipeline: Pipeline, directory: Path) -> Mapping[int, str]:
    """Run step after step; gives what each of the author's cells shows, by cell number."""
    blobs = LocalBlobs(directory / "objects")
    stored: dict[StepName, Mapping[Variable, StoredValue]] = {}
    shown: dict[int, str] = {}
    for step in pipeline.steps:
        with main_module() as namespace:
            random.seed(step.name)
            for part in (*step.setup, *step.body):
                if isinstance(part, Load):
                    values = [
                        stored[i.upstream][i.variable]
                        for i in part.inputs
                        if i.variable in stored[i.upstream]
                    ]
                    loaded = load_values(blobs, values, namespace, trusted=True)
                    for name, value in loaded.items():
                        if name == "@random":
                            random.setstate(value)  # type: ignore[arg-type]
                        else:
                            namespace[name] = value
                elif isinstance(part, Fragment):
                    try:
                        text = run_cell(part.source, namespace)
                    except Exception as error:
                        shown[part.cell_number] = f"{type(error).__name__}: {error}"
                        return shown
                    if part.kind.value == "body":
                        shown[part.cell_number] = text
            saved = dict(namespace) | {"@random": random.getstate()}
            names = [o.variable for o in step.outputs if o.variable in saved]
            # Functions look their globals up in the dict they were defined in.
            namespace["@random"] = saved["@random"]
            result = store_values(
                blobs, namespace, names, definitions=frozenset(step.definitions)
            )
            required = {o.variable for o in step.outputs if o.required}
            failed = {n: f for n, f in result.failures.items() if n in required}
            if failed:
                raise UnstorableError(str(failed))
            stored[step.name] = result.values
    return shown


class UnstorableError(Exception):
    """A required output cannot be stored: a refusal, said aloud."""
