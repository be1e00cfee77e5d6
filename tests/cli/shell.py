"""`nbpipe` as tests call it: in this process where that will do, else in one of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nbpipe.cli.main import main
from nbpipe.store.artifacts import ArtifactStore
from tests.builders import notebook_json

CHECKOUT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "nbpipe"]


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The JSON objects on stdout; a line that is none fails the test."""
        return [json.loads(line, parse_constant=_no_constant) for line in self.out.splitlines()]

    @property
    def summary(self) -> dict[str, Any]:
        """The last line of `--json`, the only one of its kind."""
        last = self.lines[-1]
        assert [line["event"] for line in self.lines].count("summary") == 1
        assert last["event"] == "summary"
        return last

    @property
    def states(self) -> dict[str, str]:
        """The state of each step in the summary."""
        return {step["name"]: step["state"] for step in self.summary["steps"]}

    @property
    def seconds(self) -> dict[str, float]:
        return {step["name"]: step["seconds"] for step in self.summary["steps"]}


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


class Shell:
    """A directory with notebooks, and the command line in it."""

    def __init__(self, directory: Path, environ: dict[str, str]) -> None:
        self.directory = directory
        self.environ = environ
        self.opened: list[ArtifactStore] = []

    def write(self, name: str, *cells: str, metadata: dict[str, Any] | None = None) -> Path:
        """Write a notebook of code cells."""
        path = self.directory / name
        path.write_text(json.dumps(notebook_json(*cells, metadata=metadata)), encoding="utf-8")
        return path

    def __call__(self, *words: object, **options: Any) -> Outcome:
        """Run `nbpipe words…` in a process of its own."""
        process = self.start(*words, **options)
        try:
            out, err = process.communicate(timeout=120)
        except BaseException:
            process.kill()
            raise
        return Outcome(process.returncode, out, err)

    def start(self, *words: object, environ: dict[str, str] | None = None, **options: Any) -> Any:
        """Start `nbpipe words…` in a process, and a session, of its own."""
        return subprocess.Popen(
            [*COMMAND, *map(str, words)],
            **{
                "cwd": self.directory,
                "env": self.environ | (environ or {}),
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                "start_new_session": True,
                **options,
            },
        )

    @property
    def store(self) -> ArtifactStore:
        self.opened.append(ArtifactStore.open(self.directory / ".nbpipe", create=False))
        return self.opened[-1]

    def executed(self, outcome: Outcome) -> list[dict[str, Any]]:
        """The code cells of the executed notebook."""
        path = Path(outcome.summary["executed_notebook"])
        notebook = json.loads(path.read_text("utf-8"))
        return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def text_of(cell: dict[str, Any]) -> str:
    """What a cell shows as text: printed text, and values as plain text."""
    shown = []
    for output in cell["outputs"]:
        text = output.get("text") or output.get("data", {}).get("text/plain", "")
        shown.append(text if isinstance(text, str) else "".join(text))
    return "".join(shown)


def kernels_of(directory: Path) -> list[int]:
    """Process ids of kernels, and of what they started, that run in `directory` or below."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            environ = (entry / "environ").read_bytes()
            place = (entry / "cwd").readlink()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if b"NBPIPE_REQUEST=" in environ and state != "Z" and place.is_relative_to(directory):
            found.append(int(entry.name))
    return found


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> float:
    """Wait until something is true; give how long that took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "waited in vain"
        time.sleep(0.01)
    return time.monotonic() - started


def kill(process: Any, number: int = signal.SIGKILL) -> None:
    os.kill(process.pid, number)


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """A directory to work in, from which commands run in processes of their own."""
    here = tmp_path / "work"
    here.mkdir()
    for name in ("NBPIPE_STORE", "NBPIPE_JOBS", "NBPIPE_OUTPUT_LIMIT", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NBPIPE_DATA_DIR", str(tmp_path / "user"))
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    created = Shell(here, dict(os.environ))
    yield created
    for store in created.opened:
        store.close()


@pytest.fixture
def nbpipe(shell, monkeypatch, capfd):
    """`nbpipe words…` in this very process: fast, for what starts no kernel."""
    monkeypatch.chdir(shell.directory)

    def call(*words: object) -> Outcome:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["nbpipe", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capfd.readouterr()
        assert isinstance(stop.value.code, int)
        assert "Traceback" not in captured.err, captured.err
        return Outcome(stop.value.code, captured.out, captured.err)

    return call
