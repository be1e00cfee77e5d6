"""An environment of its own for the kernels of a pipeline, built from its lock.

    environments/KEY-random/   an environment; it never moves: its scripts know where they are
    environments/KEY.json      says which directory is finished: written last, all or nothing

`KEY` is made of the lock, the Python, and nbpipe's own version and code. A directory that no such
file names is half-built, or another process was faster: it is never used.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from nbpipe._version import __version__
from nbpipe.errors import ExternalError, StoreUnavailableError
from nbpipe.model.digest import Digest, digest_bytes, digest_structure

_PACKAGE: Final = Path(__file__).parents[1]
_SHOWN_LINES: Final = 12
_ABANDONED_SECONDS: Final = 86_400
_UNREACHABLE: Final = (
    "connection", "timed out", "name resolution", "proxy", "certificate", "retrying",
)  # fmt: skip
_CHECK: Final = "import ipykernel, nbpipe.kernel.bootstrap"
_BINARIES: Final = "Scripts" if sys.platform == "win32" else "bin"
_EXECUTABLE: Final = "python.exe" if sys.platform == "win32" else "python"


def isolated_python(lock: str, environments: Path, *, building: Callable[[int], None]) -> Path:
    """Give the Python of an environment with exactly the distributions of `lock`, and nbpipe.

    It is built when there is none yet; `building` is told before that, with the number of
    distributions.

    Raises:
        ExternalError: it cannot be built: a pin that no index has, no network, no `venv`.
        StoreUnavailableError: `environments` cannot be written.
    """
    key = environment_key(lock)
    found = _finished(environments, key)
    if found is not None:
        return found
    building(len(lock.split()))
    place = environments / f"{key[:16]}-{os.urandom(4).hex()}"
    try:
        environments.mkdir(parents=True, exist_ok=True)
        _delete_abandoned(environments)
        _build(place, lock)
        # Another process may have been faster; then one of the two goes unused, and away.
        _publish(environments, key, place)
    except OSError as error:
        shutil.rmtree(place, ignore_errors=True)
        raise StoreUnavailableError(
            f"{environments} cannot be written: {error.strerror}."
        ) from error
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return _python(place)


def isolating_variables(python: Path) -> dict[str, str]:
    """Give the variables that keep modules from elsewhere out of that Python's processes."""
    path = os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)])
    return {
        "PATH": path,
        "VIRTUAL_ENV": str(python.parents[1]),
        "PYTHONPATH": "",
        "PYTHONHOME": "",
        "PYTHONNOUSERSITE": "1",
    }


def environment_key(lock: str) -> Digest:
    """Give the digest of all that makes an environment what it is."""
    python = [sys.implementation.name, list(sys.version_info[:3]), sys.base_prefix]
    machine = [sys.platform, platform.machine()]
    code = {
        path.relative_to(_PACKAGE).as_posix(): digest_bytes(path.read_bytes())
        for path in _PACKAGE.rglob("*.py")
    }
    return digest_structure([sorted(lock.split()), python, machine, __version__, code])


def _finished(environments: Path, key: Digest) -> Path | None:
    try:
        name = json.loads((environments / f"{key}.json").read_text("utf-8"))["directory"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    python = _python(environments / str(name))
    return python if python.exists() else None


def _publish(environments: Path, key: Digest, place: Path) -> None:
    fresh = environments / f".{place.name}.json"
    fresh.write_text(json.dumps({"directory": place.name}), "utf-8")
    fresh.replace(environments / f"{key}.json")


def _python(place: Path) -> Path:
    return place / _BINARIES / _EXECUTABLE


def _delete_abandoned(environments: Path) -> None:
    """Delete what nobody finished, or finished in vain, a day ago."""
    used = set()
    for pointer in environments.glob("*.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            used.add(json.loads(pointer.read_text("utf-8"))["directory"])
    for place in environments.iterdir():
        with suppress(OSError):
            is_old = time.time() - place.stat().st_mtime > _ABANDONED_SECONDS
            if place.is_dir() and place.name not in used and is_old:
                shutil.rmtree(place, ignore_errors=True)


def _build(place: Path, lock: str) -> None:
    # The lock lies inside, so that people find what an environment was made of.
    uv = shutil.which("uv")
    if uv is None or not _is_built_by_uv(uv, place, lock):
        shutil.rmtree(place, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(place)], "Python's venv")
        pip = [str(_python(place)), "-m", "pip", "install", "--no-input", "--quiet"]
        _run([*pip, "-r", str(_written(place, lock))], "pip")
    _copy_nbpipe(place)
    _run([str(_python(place)), "-c", _CHECK], "A first look into it")


def _is_built_by_uv(uv: str, place: Path, lock: str) -> bool:
    """Build with uv, which is faster. It reads its own settings: where it fails, pip may not."""
    try:
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(place)], "uv")
        install = [uv, "pip", "install", "--quiet", "--python", str(_python(place))]
        _run([*install, "-r", str(_written(place, lock))], "uv")
    except ExternalError:
        return False
    return True


def _written(place: Path, lock: str) -> Path:
    path = place / "requirements.lock"
    path.write_text(lock, "utf-8")
    return path


def _copy_nbpipe(place: Path) -> None:
    """Put nbpipe there as it is here, installed, editable or on the path.

    Its front end is not needed, and what it depends on is in every lock.
    """
    found = _run(
        [str(_python(place)), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        "The new Python",
    )
    shutil.copytree(
        _PACKAGE,
        Path(found.strip()) / "nbpipe",
        ignore=shutil.ignore_patterns("__pycache__", "_labextension"),
    )


def _run(command: list[str], who: str) -> str:
    isolating = {"PYTHONPATH": "", "PYTHONHOME": "", "PYTHONNOUSERSITE": "1"}
    done = subprocess.run(
        command,
        env={**os.environ, **isolating},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = [line.rstrip() for line in done.stdout.splitlines() if line.strip()]
        said = "\n".join(f"    {line}" for line in lines[-_SHOWN_LINES:])
        raise ExternalError(
            f"The environment cannot be built: {who} failed (exit code {done.returncode}).\n{said}",
            hint=_advice(done.stdout),
        )
    return done.stdout


def _advice(said: str) -> str:
    lowered = said.lower()
    if any(sign in lowered for sign in _UNREACHABLE):
        return "An index could not be reached: look at the network and at pip's configuration."
    if "no matching distribution" in lowered or "could not find a version" in lowered:
        return (
            "A pinned version is on none of pip's indexes: it was installed from a directory, or "
            "was taken back. Install a released version and compile again, or run without "
            "--isolated."
        )
    if "ensurepip" in lowered:
        return "Install the part of Python that makes environments (python3-venv), or uv."
    return "Mend what is said above, or run without --isolated."
