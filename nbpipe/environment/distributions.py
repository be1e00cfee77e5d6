"""Which distributions provide a module, and in which versions?

`importlib.metadata` (50 ms, and a second to map modules to distributions) is not used: the names
of the `*.dist-info` directories say nearly everything.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Final

from nbpipe.model.names import normal_distribution

# Directories of this name hold what is installed.
INSTALLED: Final = ("site-packages", "dist-packages")

# Modules whose distribution has another name. Others are found, too, only slower.
_DISTRIBUTIONS: Final = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv_python",
    "dateutil": "python_dateutil",
    "dotenv": "python_dotenv",
    "google": "",
    "mpl_toolkits": "matplotlib",
    "nbpipe": "jupyterlab_nbpipe",
    "skimage": "scikit_image",
    "sklearn": "scikit_learn",
    "umap": "umap_learn",
    "yaml": "pyyaml",
}


class InstalledDistributions:
    """A directory of installed distributions."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def versions(self, module: str) -> dict[str, str]:
        """Give the distributions that provide a module, with their versions."""
        name = normal_distribution(_DISTRIBUTIONS.get(module, module))
        if name in self._installed:
            return {name: self._installed[name]}
        providers = self._providers.get(module, ())
        return {provider: self._installed[provider] for provider in providers} or {
            module: "unknown"
        }

    def version(self, distribution: str) -> str | None:
        """Give the version of a distribution that is installed here."""
        return self._installed.get(distribution)

    @property
    def all_versions(self) -> dict[str, str]:
        """Give every distribution that is installed here, with its version."""
        return dict(self._installed)

    @cached_property
    def _installed(self) -> dict[str, str]:
        pairs = (path.stem.split("-") for path in self._metadata_directories)
        return {normal_distribution(name): version for name, version, *_ in pairs}

    @cached_property
    def _metadata_directories(self) -> list[Path]:
        # What pip installs has the newer kind, which wins; some systems have the older one, too.
        kinds = ("*-*.egg-info", "*-*.dist-info")
        return [path for kind in kinds for path in sorted(self._directory.glob(kind))]

    @cached_property
    def _providers(self) -> dict[str, list[str]]:
        """Read, as a last resort, which files every distribution has."""
        found: dict[str, list[str]] = {}
        for path in self._metadata_directories:
            distribution = normal_distribution(path.name.partition("-")[0])
            for module in _provided_modules(path):
                found.setdefault(module, []).append(distribution)
        return found


def _provided_modules(metadata: Path) -> set[str]:
    try:
        return set((metadata / "top_level.txt").read_text("utf-8").split())
    except OSError:
        pass
    try:
        record = (metadata / "RECORD").read_text("utf-8")
    except OSError:
        return set()
    tops = {line.partition(",")[0].partition("/")[0] for line in record.splitlines()}
    return {top.partition(".")[0] for top in tops if not top.endswith((".dist-info", ".data"))}
