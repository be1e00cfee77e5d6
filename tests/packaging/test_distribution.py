"""Build from a clean copy of the checkout, install, and look at what a user gets."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
VERSION = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["version"]
EXTENSION = "share/jupyter/labextensions/jupyterlab-nbpipe"

pytestmark = pytest.mark.slow


class Distributions(NamedTuple):
    sdist: Path
    wheel: Path


def run(*command: object, cwd: Path | None = None, **environment: str) -> str:
    answer = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout
    return answer.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """An sdist made from the checkout as git sees it, and the wheel made from that sdist."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    sources = tmp_path_factory.mktemp("checkout")
    listing = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listing.split("\0")):
        if (ROOT / name).is_file():
            (sources / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, sources / name)
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", out, sources, NBPIPE_SKIP_LABEXTENSION="")
    (sdist,) = out.glob("*.tar.gz")
    (wheel,) = out.glob("*.whl")
    return Distributions(sdist, wheel)


@pytest.fixture(scope="module")
def installed(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel and what it asks for, and nothing else."""
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", environment)
    run(environment / "bin/python", "-m", "pip", "install", "--quiet", distributions.wheel)
    return environment


def test_the_wheel_holds_the_package_and_the_extension_once(distributions: Distributions):
    names = zipfile.ZipFile(distributions.wheel).namelist()
    data = f"jupyterlab_nbpipe-{VERSION}.data/data/{EXTENSION}"
    assert {"nbpipe/__init__.py", f"{data}/package.json", f"{data}/install.json"} <= set(names)
    assert len([name for name in names if "static/remoteEntry." in name]) == 1
    assert [name for name in names if name.startswith("nbpipe/_labextension")] == []


def test_the_sdist_carries_the_built_extension(distributions: Distributions):
    with tarfile.open(distributions.sdist) as archive:
        names = archive.getnames()
    top = f"jupyterlab_nbpipe-{VERSION}"
    assert f"{top}/nbpipe/_labextension/seal.json" in names
    assert f"{top}/labextension/src/index.ts" in names
    assert [name for name in names if "node_modules" in name] == []


def test_the_wheel_holds_the_tracer_where_it_can_be_compiled(distributions: Distributions):
    names = zipfile.ZipFile(distributions.wheel).namelist()
    compiles = sys.platform == "linux" and (shutil.which("cc") or shutil.which("gcc"))
    built = [name for name in names if name.endswith("tracing/native/trace_files.so")]
    assert len(built) == (1 if compiles else 0)
    assert distributions.wheel.name.endswith("-py3-none-any.whl") is not bool(compiles)
    with tarfile.open(distributions.sdist) as archive:
        kept = [Path(name).name for name in archive.getnames() if "tracing/native/" in name]
    assert sorted(kept) == ["__init__.py", "trace_files.c"]


def test_the_installed_tracer_works(installed: Path, tmp_path: Path):
    checks = json.loads(run(installed / "bin/nbpipe", "doctor", "--json", cwd=tmp_path))
    [found] = [check for check in checks if check["what"] == "file tracing"]
    compiles = sys.platform == "linux" and (shutil.which("cc") or shutil.which("gcc"))
    assert found["state"] == ("ok" if compiles else "note")


def test_the_installed_extension_is_complete(installed: Path):
    folder = installed / EXTENSION
    package = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    assert (folder / package["jupyterlab"]["_build"]["load"]).is_file()
    assert (folder / "schemas/jupyterlab-nbpipe/plugin.json").is_file()
    assert json.loads((folder / "install.json").read_text(encoding="utf-8")) == {
        "packageManager": "python",
        "packageName": "jupyterlab-nbpipe",
        "uninstallInstructions": "Use your Python package manager (pip, conda, uv …) "
        "to uninstall the package jupyterlab-nbpipe",
    }


def test_jupyterlab_lists_the_installed_extension(installed: Path, tmp_path: Path):
    listing = run(
        sys.executable,
        "-m",
        "jupyterlab.labextensions",
        "list",
        JUPYTER_PATH=str(installed / "share/jupyter"),
        JUPYTER_CONFIG_DIR=str(tmp_path),
        JUPYTER_DATA_DIR=str(tmp_path),
    )
    listing = re.sub(r"\x1b\[\d*m", "", listing)
    (line,) = [line for line in listing.splitlines() if "jupyterlab-nbpipe" in line]
    assert line.split("(")[0].split() == ["jupyterlab-nbpipe", f"v{VERSION}", "enabled", "OK"]


def test_the_installed_package_imports_and_runs(installed: Path, tmp_path: Path):
    python = installed / "bin/python"
    where = run(python, "-c", "import nbpipe; print(nbpipe.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed)
    assert VERSION in run(installed / "bin/nbpipe", "--version", cwd=tmp_path)
