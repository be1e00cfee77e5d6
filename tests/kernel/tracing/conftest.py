"""Tracers at work in processes of their own: with the native library, and without."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from nbpipe.kernel.tracing.native import preload_variables
from nbpipe.model.trace import Trace
from nbpipe.wire.codec import decode

HERE = Path(__file__).parent
ROOT = HERE.parents[2]

Observe = Callable[..., "Seen"]


@dataclass(frozen=True, kw_only=True)
class Seen:
    trace: Trace
    native: bool
    error: str


@pytest.fixture(scope="session")
def library() -> Path:
    """Give the native library of these sources, built where it belongs."""
    specification = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    hatch_build = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(hatch_build)
    source, built = ROOT / hatch_build.TRACER_SOURCE, ROOT / hatch_build.TRACER
    if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
        obstacle = hatch_build.compile_tracer(source, built)
        if obstacle:
            pytest.skip(f"no native tracing: {obstacle}")
    return built


def see(
    cases: Iterable[tuple[str, str]],
    directory: Path,
    private: Path,
    *,
    native: bool,
    environ: Mapping[str, str] | None = None,
) -> dict[str, Seen]:
    around = {**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})}
    if native:
        around |= preload_variables(around, private)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / "seen.py"), str(directory), str(private)],
        input=json.dumps(list(cases)),
        env=around,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {
        name: Seen(trace=decode(Trace, each["trace"]), native=each["native"], error=each["error"])
        for name, each in json.loads(done.stdout.splitlines()[-1]).items()
    }


@pytest.fixture(params=["native", "audit"])
def observe(request, tmp_path) -> Observe:
    """Run code in `tmp_path / "work"`, with both kinds of tracer."""
    native = request.param == "native"
    if native:
        request.getfixturevalue("library")
    work, private = tmp_path / "work", tmp_path / "private"
    work.mkdir()
    private.mkdir()

    def run(code: str, **environ: str) -> Seen:
        seen = see([("it", code)], work, private, native=native, environ=environ)["it"]
        assert seen.error == ""
        assert seen.native is native
        return seen

    run.work = work
    run.native = native
    return run
