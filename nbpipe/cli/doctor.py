"""`nbpipe doctor`: is everything there, and what to do if not."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import click

from nbpipe.cli.artifacts import json_option, open_store, store_option
from nbpipe.cli.console import put, put_json
from nbpipe.errors import NbpipeError, NotFoundError
from nbpipe.kernel.tracing.native import SWITCH, find_library
from nbpipe.wire.codec import encode

OURS: Final = "jupyterlab-nbpipe"
_NEEDED: Final = ("papermill", "nbclient", "ipykernel", "jupyter_client", "cloudpickle", "blake3")
_OPTIONAL: Final = {
    "jupyterlab": "the extension",
    "pandas": "data frames",
    "pyarrow": "Arrow tables",
    "nbconvert": "HTML of executed notebooks",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at: `state` is ok, note or problem; `advice` says how to mend it."""

    what: str
    state: str
    found: str
    advice: str = ""


@click.command("doctor")
@store_option
@json_option
def doctor_command(store: Path | None, as_json: bool) -> None:
    """Check versions, kernels, the store and conflicting packages."""
    checks = [*_versions(), *_conflicts(), *_kernels(), _tracing(), _extension(), _store(store)]
    if as_json:
        put_json([encode(check) for check in checks])
    else:
        colours = {"ok": "green", "note": "yellow", "problem": "red"}
        for check in checks:
            mark = click.style(check.state.ljust(7), fg=colours[check.state])
            put(f"{mark}  {check.what.ljust(18)}  {check.found}")
            if check.advice:
                put(f"         {' ' * 18}  → {check.advice}")
    if any(check.state == "problem" for check in checks):
        raise click.exceptions.Exit(4)


def _versions() -> Iterator[Check]:
    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Check(
        what="Python",
        state="ok" if supported else "note",
        found=f"{platform.python_version()} ({sys.executable})",
        advice="" if supported else "nbpipe is tested on Python 3.11 to 3.13.",
    )
    yield _distribution(OURS, problem=False, advice="It runs from a checkout, not installed.")
    for name in _NEEDED:
        yield _distribution(name, problem=True, advice=f"pip install {name}")
    for name, purpose in _OPTIONAL.items():
        yield _distribution(name, problem=False, advice=f"For {purpose}: pip install {name}")


def _distribution(name: str, *, problem: bool, advice: str) -> Check:
    try:
        return Check(what=name, state="ok", found=metadata.version(name))
    except metadata.PackageNotFoundError:
        return Check(
            what=name,
            state="problem" if problem else "note",
            found="not installed",
            advice=advice,
        )


def _conflicts() -> Iterator[Check]:
    """The distribution `nbpipe` on PyPI is another project that owns the same import name."""
    try:
        version = metadata.version("nbpipe")
    except metadata.PackageNotFoundError:
        return
    yield Check(
        what="nbpipe (other)",
        state="problem",
        found=f"the unrelated distribution nbpipe {version} is installed",
        advice=f"pip uninstall nbpipe && pip install --force-reinstall --no-deps {OURS}",
    )


def _kernels() -> Iterator[Check]:
    from jupyter_client.kernelspec import KernelSpecManager

    found = KernelSpecManager().find_kernel_specs()
    advice = "python -m ipykernel install --sys-prefix"
    yield Check(
        what="kernels",
        state="ok" if "python3" in found else "note",
        found=", ".join(sorted(found)) or "none",
        advice="" if "python3" in found else f"Steps use this Python all the same; {advice}",
    )


def _tracing() -> Check:
    library = find_library()
    if library is not None:
        return Check(what="file tracing", state="ok", found=f"native code too ({library.name})")
    if sys.platform != "linux":
        advice = "Native code and child processes are traced on Linux only."
    elif os.environ.get(SWITCH) == "0":
        advice = f"{SWITCH} is 0."
    else:
        advice = (
            "Install a C compiler, then nbpipe anew; in a checkout, python hatch_build.py tracer."
        )
    return Check(what="file tracing", state="note", found="Python code only", advice=advice)


def _extension() -> Check:
    for folder in (sys.prefix, str(Path.home() / ".local")):
        path = Path(folder) / "share" / "jupyter" / "labextensions" / OURS / "package.json"
        if path.is_file():
            version = json.loads(path.read_text(encoding="utf-8")).get("version", "?")
            return Check(what="labextension", state="ok", found=f"{version} in {path.parent}")
    return Check(
        what="labextension",
        state="note",
        found="not installed",
        advice="A checkout has none until it is built: npm ci && npm run build",
    )


def _store(path: Path | None) -> Check:
    try:
        store = open_store(path)
    except NotFoundError:
        return Check(what="store", state="note", found="none here yet")
    except NbpipeError as error:
        return Check(what="store", state="problem", found=error.message, advice=error.hint)
    if not store.trusted:
        return Check(
            what="store",
            state="note",
            found=f"{store.root} comes from elsewhere; its pickles are not loaded",
            advice=f"If you trust it: nbpipe trust {store.root}",
        )
    how = "" if store.writable else ", read only"
    return Check(what="store", state="ok", found=f"{store.root}{how}")
