"""The exporters there are, by target."""

from __future__ import annotations

from nbpipe.exporters.protocol import Exporter, is_exporter
from nbpipe.plugins import Registry


def exporters() -> Registry[Exporter]:
    """Give the built-in exporters and those of other distributions."""
    return Registry(
        "exporter",
        "nbpipe.exporters",
        builtin={
            "docker": "nbpipe.exporters.docker:DockerExporter",
            "script": "nbpipe.exporters.script:ScriptExporter",
        },
        accepts=is_exporter,
    )
