"""Runs a compiled pipeline without kernels: each step in a namespace of its own, its values through
a real blob store, by the very code that runs in kernels. Fast enough for thousands of notebooks;
what it leaves out of a real run is papermill, processes and the scheduler.
"""

from __future__ import annotations

import ast
import contextlib
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from nbpipe.kernel import module_state
from nbpipe.kernel.exchange import KernelReport
from nbpipe.kernel.problems import StepNotebookError
from nbpipe.kernel.seeding import seed_generators
from nbpipe.kernel.step_io import StepIo, StepSide
from nbpipe.model.artifact import StoredValue
from nbpipe.model.effects import LearnedEffects
from nbpipe.model.names import StepName, Variable
from nbpipe.model.pipeline import Fragment, Load, Pipeline, Step
from nbpipe.model.trace import Trace
from nbpipe.store.blobs.local import LocalBlobs
from tests.builders import compile_cells

Outputs = list[str]


class RefusedError(Exception):
    """The pipeline says that it cannot equal the notebook: the answer that is always allowed."""


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
    """Run a cell as IPython does: the value of a last expression is shown."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        tree = ast.parse(source)
        last = tree.body[-1] if tree.body else None
        shown = isinstance(last, ast.Expr) and not source.rstrip().endswith(";")
        body = ast.Module(tree.body[:-1] if shown else tree.body, [])
        exec(compile(body, "<cell>", "exec"), namespace)
        if shown and isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace)
            if value is not None:
                print(repr(value))
    return printed.getvalue()


def run_plain(cells: Sequence[str], *, seed: int = 0) -> Outputs:
    """The oracle: one namespace, top to bottom, up to the first exception."""
    outputs: Outputs = []
    with main_module() as namespace:
        seed_generators(seed)
        for cell in cells:
            try:
                outputs.append(run_cell(cell, namespace))
            except Exception as error:
                outputs.append(f"{type(error).__name__}: {error}")
                break
    return outputs


def run_pipeline(pipeline: Pipeline, directory: Path) -> Mapping[int, str]:
    """Run step after step; gives what each of the author's cells shows, by cell number.

    Raises:
        RefusedError: a value cannot be stored.
    """
    shown, _ = _run_once(pipeline, directory)
    return shown


def run_notebook(cells: Sequence[str], directory: Path) -> tuple[Mapping[int, str], int]:
    """Compile and run, compiling anew with what was found out until nothing new is found.

    Returns:
        What each cell shows, and how many times the pipeline was revised.

    Raises:
        RefusedError: the notebook does not compile, or a value cannot be stored.
    """
    learned = LearnedEffects()
    for revision in range(len(cells) * 4 + 1):
        compilation = compile_cells(*cells, learned=learned)
        if compilation.pipeline is None:
            raise RefusedError(str(compilation.errors[0]))
        shown, found = _run_once(compilation.pipeline, directory)
        if not found - learned:
            return shown, revision
        learned |= found
        revised = compile_cells(*cells, learned=learned).pipeline
        if revised is not None and revised.edges == compilation.pipeline.edges:
            return shown, revision
    raise AssertionError(f"never settles: {learned}")


def _run_once(pipeline: Pipeline, directory: Path) -> tuple[dict[int, str], LearnedEffects]:
    blobs = LocalBlobs(directory / "objects")
    stored: dict[StepName, Mapping[Variable, StoredValue]] = {}
    shown: dict[int, str] = {}
    found = LearnedEffects()
    failed: set[StepName] = set()
    for step in pipeline.steps:
        if failed & set(step.upstream):
            failed.add(step.name)
            continue
        report = _run_step(step, blobs, stored, shown)
        if report is None:
            failed.add(step.name)
            continue
        stored[step.name] = report.outputs
        if report.changed:
            found |= LearnedEffects(changes={step.own: report.changed})
    return shown, found


def _run_step(
    step: Step,
    blobs: LocalBlobs,
    stored: Mapping[StepName, Mapping[Variable, StoredValue]],
    shown: dict[int, str],
) -> KernelReport | None:
    upstream = {i.variable: i.upstream for i in step.inputs}
    reports: list[KernelReport] = []
    side = StepSide(
        blobs=blobs,
        trusted=True,
        inputs=lambda names: {
            Variable(n): stored[upstream[Variable(n)]].get(Variable(n)) for n in names
        },
        deliver=reports.append,
        trace=Trace,
    )
    # Modules of this process are the tests', not the notebook's.
    with main_module() as namespace, mock.patch.object(module_state, "project_modules", list):
        step_io = StepIo(side, namespace, definitions=step.definitions)
        seed_generators(hash(step.code) % 2**32)
        try:
            for part in (*step.setup, *step.body):
                if isinstance(part, Load):
                    step_io.load({i.variable: i.upstream for i in part.inputs})
                elif isinstance(part, Fragment):
                    text = run_cell(part.source, namespace)
                    if part.kind.value == "body":
                        shown[part.cell_number] = text
            step_io.save(
                [o.variable for o in step.outputs if o.required],
                [o.variable for o in step.outputs if not o.required],
            )
        except StepNotebookError as error:
            raise RefusedError(str(error)) from error
        except Exception as error:
            shown[part.cell_number] = f"{type(error).__name__}: {error}"
            return None
    return reports[-1]
