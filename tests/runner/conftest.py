"""A builder of small pipelines, cell by cell, with the notebook they come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nbpipe.model.digest import digest_structure
from nbpipe.model.names import CellId, PipelineName, StepName, Variable
from nbpipe.model.pipeline import (
    Fragment,
    FragmentKind,
    Input,
    Load,
    Output,
    Parameter,
    Pipeline,
    Step,
)
from nbpipe.model.run import Run
from nbpipe.runner.executors.local import LocalExecutor
from nbpipe.runner.listening import RunEvent
from nbpipe.runner.loop import run_pipeline
from nbpipe.runner.request import RunRequest
from nbpipe.store.artifacts import ArtifactStore


@dataclass
class Listener:
    events: list[RunEvent] = field(default_factory=list)

    def notice(self, event: RunEvent) -> None:
        self.events.append(event)


class Book:
    """A notebook that grows cell by cell, and its pipeline; a store lies beside it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cells: list[str] = []
        self.steps: list[Step] = []
        self.parameters: list[Parameter] = []
        self.preludes: list[Fragment] = []

    def parameter(self, name: str, default: object) -> None:
        self.cells.append(f"{name} = {default!r}")
        self.parameters.append(
            Parameter(name=Variable(name), default=default, cell=CellId("p"), line=1)
        )

    def prelude(self, source: str) -> None:
        self.preludes.append(self._fragment(FragmentKind.PRELUDE, source))

    def step(
        self,
        name: str,
        *sources: str,
        takes: Mapping[str, str] | None = None,
        makes: tuple[str, ...] = (),
        keeps: tuple[str, ...] = (),
        reads_parameters: tuple[str, ...] = (),
        **options: object,
    ) -> Step:
        """Add a step: `takes` is variable → step, `makes` required and `keeps` optional outputs."""
        inputs = tuple(
            Input(variable=Variable(variable), upstream=StepName(step))
            for variable, step in (takes or {}).items()
        )
        body = tuple(self._fragment(FragmentKind.BODY, source) for source in sources)
        preludes = tuple(self.preludes)
        step = Step(
            name=StepName(name),
            cells=tuple(fragment.cell for fragment in body),
            setup=(*preludes, Load(inputs=inputs)) if inputs else preludes,
            body=body,
            inputs=inputs,
            outputs=tuple(
                Output(variable=Variable(variable), required=variable in makes)
                for variable in sorted({*makes, *keeps})
            ),
            parameters=tuple(map(Variable, reads_parameters)),
            code=digest_structure([f.source for f in (*preludes, *body)]),
            own=digest_structure(list(sources)),
            **{"after": (), **options},
        )
        self.steps.append(step)
        return step

    def _fragment(self, kind: FragmentKind, source: str) -> Fragment:
        self.cells.append(source)
        number = len(self.cells)
        return Fragment(
            kind=kind,
            cell=CellId(f"cell-{number}"),
            cell_number=number,
            source=source,
            lines=tuple(range(1, source.count("\n") + 2)),
        )

    @property
    def pipeline(self) -> Pipeline:
        return Pipeline(
            name=PipelineName("book"),
            steps=tuple(self.steps),
            parameters=tuple(self.parameters),
            kernel="python3",
            source=digest_structure(self.cells),
        )

    @property
    def notebook(self) -> dict[str, object]:
        return {
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"cell-{number}",
                    "metadata": {},
                    "source": source,
                    "outputs": [],
                    "execution_count": None,
                }
                for number, source in enumerate(self.cells, start=1)
            ],
            "metadata": {},
            "nbformat": 4,
            "nbformat_minor": 5,
        }

    @property
    def store(self) -> ArtifactStore:
        return ArtifactStore.open(self.directory / ".nbpipe")

    def request(self, **options: object) -> RunRequest:
        return RunRequest(
            **{
                "pipeline": self.pipeline,
                "directory": self.directory,
                "notebook": self.notebook,
                "notebook_path": "book.ipynb",
                **options,
            }
        )

    def run(self, *, executor=None, listener=None, **options: object) -> Run:
        request = self.request(**options)
        own = executor or LocalExecutor(request.parallelism)
        store = self.store
        try:
            return run_pipeline(request, store=store, executor=own, listener=listener)
        finally:
            own.close()
            store.close()

    def executed(self, run: Run) -> dict[str, object]:
        path = self.directory / ".nbpipe" / run.executed_notebook
        return json.loads(path.read_text("utf-8"))

    def shown(self, run: Run) -> dict[int, str]:
        """Give the text that each cell of the executed notebook shows."""
        found = {}
        for number, cell in enumerate(self.executed(run)["cells"], start=1):
            texts = [
                output.get("text") or output.get("data", {}).get("text/plain", "")
                for output in cell["outputs"]
            ]
            if texts:
                found[number] = "".join(texts)
        return found


@pytest.fixture
def book(tmp_path, monkeypatch):
    monkeypatch.setenv("NBPIPE_DATA_DIR", str(tmp_path / "user"))
    return Book(tmp_path)


@pytest.fixture
def listener():
    return Listener()


def states(run: Run) -> dict[str, str]:
    return {step_run.step: step_run.state.value for step_run in run.steps}
