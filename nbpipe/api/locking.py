"""The environment that goes with a pipeline: what its code imports, and what runs were seen to.

A project module imports what the notebook does not name, and a library loads its writer of Parquet
only once it is called: nothing but a run shows that.
"""

from __future__ import annotations

from contextlib import closing

from nbpipe.environment.lock import LOCK, as_installed, environment_files
from nbpipe.errors import NotFoundError
from nbpipe.runner.interpreters import OWN_KERNELS
from nbpipe.runner.observed_parts import ABSENT, UNKNOWN
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.workspace import Workspace


def locked_environment(workspace: Workspace) -> dict[str, str]:
    """Give the texts of `environment/`: those of a bundle, or with what the store knows.

    Raises:
        CompilationError: the notebook does not compile.
        ConfigurationError: a newer nbpipe wrote the store.
        StoreUnavailableError: the store cannot be read.
        CorruptStoreError: its index is damaged.
    """
    if own := environment_of_bundle(workspace):
        return own
    try:
        store = workspace.open_store(create=False)
    except NotFoundError:
        return environment_files(workspace.pipeline.imports)
    with closing(store):
        return environment_with_results(workspace, store)


def environment_of_bundle(workspace: Workspace) -> dict[str, str]:
    """Give the texts of a bundle's own `environment/`; none for a notebook, or without a lock.

    What it was locked to counts, not what happens to be installed here.
    """
    directory = workspace.path / "environment"
    if not workspace.is_bundle or not (directory / LOCK).is_file():
        return {}
    files = [path for path in directory.iterdir() if path.is_file()]
    return {path.name: path.read_text("utf-8", errors="replace") for path in files}


def environment_with_results(workspace: Workspace, store: ArtifactStore) -> dict[str, str]:
    """Give the texts of `environment/`, with the distributions behind the last good results.

    What is installed for the kernels counts, at its version; what is not any more, at the one that
    was seen. Otherwise isolated runs would keep old versions forever: they see what was locked.
    """
    pipeline = workspace.pipeline
    imported = _imported(workspace, store)
    if pipeline.kernel in OWN_KERNELS:
        imported = as_installed(imported)
    return environment_files(pipeline.imports, imported=imported)


def _imported(workspace: Workspace, store: ArtifactStore) -> dict[str, str]:
    """Give the version by distribution that the newest good run of each step was seen to have."""
    pipeline = workspace.pipeline
    names = [step.name for step in pipeline.steps]
    found: dict[str, str] = {}
    for step_run in store.latest_step_runs(pipeline.name, names):
        key_parts = step_run.key.parts if step_run.key else {}
        for part, version in {**key_parts, **step_run.observed}.items():
            kind, _, name = part.partition(" ")
            # A module that belongs to no distribution is a part, too.
            if kind == "package" and version not in {ABSENT, UNKNOWN}:
                found[name] = version
    return found
