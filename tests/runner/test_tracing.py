"""The trace of a step in a real run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from nbpipe.kernel.tracing.native import find_library
from nbpipe.model.run import RunState, StepResult
from nbpipe.model.trace import Trace, digest_of_variable
from nbpipe.runner.executors.local import LocalExecutor

pytestmark = pytest.mark.slow


class Watching(LocalExecutor):
    """Runs steps, and keeps what they left behind."""

    def __init__(self) -> None:
        super().__init__(1)
        self.traces: dict[str, Trace] = {}

    def start(self, request, done):
        def keep(outcome):
            if isinstance(outcome, StepResult):
                self.traces[request.step.name] = outcome.trace
            done(outcome)

        super().start(request, keep)


@pytest.fixture(params=["native", "audit"])
def native(request, monkeypatch):
    if request.param == "audit":
        monkeypatch.setenv("NBPIPE_NATIVE_TRACING", "0")
    elif find_library() is None:
        pytest.skip("the native library is not built: python hatch_build.py tracer")
    return request.param == "native"
