"""Export pipelines for other engines."""

from __future__ import annotations

from collections.abc import Mapping

from nbpipe._version import __version__
from nbpipe.api.locking import locked_environment
from nbpipe.compiler.bundle import stripped
from nbpipe.exporters.protocol import Export, ExportSource
from nbpipe.exporters.registry import exporters
from nbpipe.workspace import Workspace


def targets() -> Mapping[str, str]:
    """Give what can be exported to, with a line about each."""
    registry = exporters()
    return {name: registry.get(name).summary for name in registry.names}


def export(workspace: Workspace, target: str) -> Export:
    """Export a pipeline; nothing is written.

    Raises:
        CompilationError: the notebook does not compile.
        NotFoundError: there is no such target.
        PluginError: the exporter cannot be loaded.
    """
    pipeline = workspace.pipeline
    source = ExportSource(
        pipeline=pipeline,
        notebook=stripped(workspace.notebook),
        environment=locked_environment(workspace),
        version=__version__,
    )
    return exporters().get(target).export(source)
