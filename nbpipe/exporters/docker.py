"""Pipeline → an image that runs its bundle with `nbpipe run`."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from nbpipe.compiler.bundle import bundle_files
from nbpipe.exporters.findings import finding
from nbpipe.exporters.paths import is_outside, named_files
from nbpipe.exporters.protocol import Export, ExportSource
from nbpipe.model.diagnostic import Diagnostic
from nbpipe.model.pipeline import Parameter, Pipeline

_LOCK: Final = "requirements.lock"
_PYTHON: Final = "python-version"
# What must stand in these files of the bundle's environment.
_NEEDED: Final = {_LOCK: r"(?s).*\S.*", _PYTHON: r"\d+\.\d+\s*"}


class DockerExporter:
    """Writes a Dockerfile and all that building it needs."""

    @property
    def target(self) -> str:
        """The name it is asked for by."""
        return "docker"

    @property
    def summary(self) -> str:
        """One line about it."""
        return "an image that runs the bundle: Dockerfile, pinned requirements, how to run it"

    def export(self, source: ExportSource) -> Export:
        """Give the build context, or say what is missing for it."""
        pipeline = source.pipeline
        diagnostics = [*_missing(source.environment), *_unreachable_files(pipeline)]
        without_files = Export(files={}, diagnostics=tuple(diagnostics))
        if without_files.errors:
            return without_files
        bundle = f"{pipeline.name}.nbpipe"
        files = {
            "Dockerfile": _dockerfile(pipeline, source, bundle),
            ".dockerignore": f"*\n!requirements.txt\n!{bundle}\n",
            "requirements.txt": source.environment[_LOCK],
        }
        contents = bundle_files(
            pipeline, source.notebook, compiler=source.version, learned=source.learned
        )
        contents |= {f"environment/{name}": text for name, text in source.environment.items()}
        files |= {f"{bundle}/{path}": text for path, text in contents.items()}
        return Export(files=dict(sorted(files.items())), diagnostics=without_files.diagnostics)


def _missing(environment: Mapping[str, str]) -> Iterator[Diagnostic]:
    for name, form in _NEEDED.items():
        if not re.fullmatch(form, environment.get(name, "")):
            yield finding(
                "NBP311",
                f"environment/{name} is missing from the bundle, or is not what it should be.",
                help="Compile the notebook in the environment that it runs in: "
                "nbpipe compile NOTEBOOK",
            )


def _unreachable_files(pipeline: Pipeline) -> Iterator[Diagnostic]:
    for path in named_files(pipeline.steps):
        if is_outside(path):
            yield finding(
                "NBP312",
                f"{path!r} lies outside of the notebook's folder; the container has no such file.",
                help="Mount it there, or use a path relative to the notebook.",
            )


# ---- the Dockerfile ---------------------------------------------------------------------------


def _dockerfile(pipeline: Pipeline, source: ExportSource, bundle: str) -> str:
    python = source.environment[_PYTHON].strip()
    return f"""\
{_comment(pipeline, source)}

FROM python:{python}-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 MPLBACKEND=agg
RUN useradd --create-home --uid 1000 author
WORKDIR /app

# Another version, or a wheel from elsewhere: docker build --build-arg NBPIPE=…
ARG NBPIPE="jupyterlab-nbpipe=={source.version}"
COPY requirements.txt ./
RUN pip install --requirement requirements.txt "$NBPIPE"

COPY {bundle}/ ./{bundle}/
# Modules of your own beside the notebook go here, too; name them in .dockerignore:
#   COPY helpers.py ./

# Steps write where they would write beside the notebook; results are kept on a volume.
RUN mkdir .nbpipe && chown -R author:author /app
USER author
ENV NBPIPE_STORE=/app/.nbpipe
VOLUME ["/app/.nbpipe"]

ENTRYPOINT ["nbpipe", "run", "{bundle}"]
CMD []
"""


def _comment(pipeline: Pipeline, source: ExportSource) -> str:
    image = re.sub(r"[_-]+", "-", pipeline.name.lower()).strip("-") or "pipeline"
    files = [path for path in named_files(pipeline.steps) if not is_outside(path)]
    mounts = [
        f'-v "$PWD/{name}:/app/{name}"' for name in sorted({_mounted(path) for path in files})
    ]
    run = ["docker run --rm", f"-v {image}-store:/app/.nbpipe", *mounts, image]
    parts = [
        _filled(
            f"The pipeline {pipeline.name} as an image, made by nbpipe {source.version}. "
            "Build it in this folder, and run it in the folder of the notebook:"
        ),
        [f"  docker build -t {image} .", *_command(run)],
        _filled("What follows the image's name goes to `nbpipe run`, such as -p NAME=VALUE."),
    ]
    if pipeline.parameters:
        parts.append(["Parameters:", *map(_parameter, pipeline.parameters)])
    if files:
        parts.append(["Files that the code names:", *(f"  {path}" for path in files)])
    lines = [line for part in parts for line in (*part, "")][:-1]
    return "\n".join(f"# {line}".rstrip() for line in lines)


def _filled(text: str) -> list[str]:
    return textwrap.wrap(text, 94)


def _command(words: Sequence[str]) -> list[str]:
    line = " ".join(words)
    if len(line) <= 90:  # noqa: PLR2004 - what fits into a comment
        return [f"  {line}"]
    first, *others = words
    return [f"  {first} \\", *(f"    {word} \\" for word in others[:-1]), f"    {others[-1]}"]


def _parameter(parameter: Parameter) -> str:
    return f"  {parameter.name}: {parameter.type} = {parameter.default!r}"


def _mounted(path: str) -> str:
    """Give the folder at the top of a path, or the file when it lies in no folder."""
    parts = [part for part in PurePosixPath(path.replace("\\", "/")).parts if part != "."]
    return parts[0] if parts else "."
