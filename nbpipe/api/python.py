"""The Python API: what `nbpipe` re-exports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nbpipe.api.parameters import check_parameters
from nbpipe.api.runs import RunOptions
from nbpipe.api.runs import run as run_workspace
from nbpipe.model.diagnostic import Compilation
from nbpipe.model.names import PipelineName
from nbpipe.model.run import Run
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.store.values import load_values
from nbpipe.workspace import open_store as open_any_store
from nbpipe.workspace import open_workspace


def compile(path: Path | str) -> Compilation:  # noqa: A001 - read as nbpipe.compile
    """Compile a notebook: the pipeline, or diagnostics that say why there is none.

    Raises:
        NotFoundError: there is no file.
        CompilationError: the file is no notebook at all.
    """
    return open_workspace(path).compilation


def run(
    path: Path | str,
    *,
    parameters: Mapping[str, object] | None = None,
    store: Path | str | None = None,
    options: RunOptions | None = None,
) -> Run:
    """Run a notebook or bundle as a pipeline; give the record of the run.

    A failed step does not raise: look at `run.state` and the `failure` of its steps.

    Raises:
        CompilationError: the notebook does not compile.
        NotFoundError, ConfigurationError: a parameter is unknown or of the wrong type.
    """
    workspace = open_workspace(path, store=store)
    values = check_parameters(workspace.pipeline, parameters or {})
    return run_workspace(workspace, workspace.open_store(), parameters=values, options=options)


def open_store(path: Path | str | None = None) -> ArtifactStore:
    """Open a store: at `path`, where the settings say, or the nearest `.nbpipe` upwards.

    Raises:
        NotFoundError: there is none.
    """
    return open_any_store(path)


def load(
    name: str,
    version: int | str | None = None,
    *,
    pipeline: str | None = None,
    store: Path | str | None = None,
) -> object:
    """Load an artifact's value: the newest version, or the one with this number or tag.

    Raises:
        NotFoundError: there is none.
        UserError: loading it could run code, and the store is not trusted.
    """
    opened = open_any_store(store)
    reference = name if version is None else f"{name}@{version}"
    found = opened.find_version(reference, PipelineName(pipeline) if pipeline else None)
    namespace = _namespace()
    loaded = load_values(opened.blobs, [found.value], namespace, trusted=opened.trusted)
    return loaded[found.value.variable]


def _namespace() -> dict[str, object]:
    """Functions and classes of the notebook are looked up where the caller has them."""
    import __main__  # noqa: PLC0415 - a notebook's namespace, when called in a notebook

    namespace: dict[str, object] = vars(__main__)
    return namespace
