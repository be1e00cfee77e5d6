"""A notebook on disk, run through the use cases with steps that are Python functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from nbpipe.api.runs import RunOptions, StepStatus, run, status
from nbpipe.model.run import Run
from nbpipe.runner.listening import PipelineRevised, RunEvent
from nbpipe.workspace import Workspace, open_workspace
from tests.builders import notebook_json
from tests.runner.touching import Doing, Touch


class Desk:
    """A directory with `book.ipynb`, and what its steps do."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.work: dict[str, Callable[[Touch], Mapping[str, object] | None]] = {}
        self.ran: list[str] = []
        self.notices: list[RunEvent] = []

    def cells(self, *sources: str) -> None:
        (self.directory / "book.ipynb").write_text(json.dumps(notebook_json(*sources)))

    def file(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @property
    def workspace(self) -> Workspace:
        return open_workspace(self.directory / "book.ipynb")

    def run(
        self,
        *,
        after: Mapping[str, str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Run:
        """Run the notebook; `ran` then names the steps that really did, in order."""
        workspace = self.workspace
        store = workspace.open_store()
        executor = Doing(store, self.work, after=after)
        self.notices.clear()
        try:
            return run(
                workspace,
                store,
                parameters=parameters,
                options=RunOptions(**{"jobs": 4, **options}),
                listener=self,
                executor=executor,
            )
        finally:
            self.ran = executor.ran
            store.close()

    def notice(self, event: RunEvent) -> None:
        self.notices.append(event)

    @property
    def revisions(self) -> list[str]:
        return [event.because for event in self.notices if isinstance(event, PipelineRevised)]

    def status(self, **parameters: Any) -> dict[str, StepStatus]:
        workspace = self.workspace
        store = workspace.open_store()
        try:
            return {each.step: each for each in status(workspace, store, parameters=parameters)}
        finally:
            store.close()

    def stale(self, **parameters: Any) -> dict[str, tuple[str, ...]]:
        """Give for each step that would or may run the reasons."""
        found = self.status(**parameters).items()
        return {name: each.reasons for name, each in found if each.state != "fresh"}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("NBPIPE_DATA_DIR", str(tmp_path / "user"))
    (tmp_path / "here").mkdir()
    return Desk(tmp_path / "here")
