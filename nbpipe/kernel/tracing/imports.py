"""What a step imported: distributions with versions, project files, and libraries that read alone.

Counted are modules that are new since the step began, except for what the kernel itself loads, and
those that the step's names stand for, even if the kernel had loaded them before.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Final

from nbpipe.environment.distributions import INSTALLED, InstalledDistributions
from nbpipe.kernel.tracing.noise import MACHINERY

# Libraries that open files in native code. Those with parts named are imported by pandas in any
# case; what reads are these parts.
_READ_NATIVELY: Final[Mapping[str, tuple[str, ...]]] = {
    "pyarrow": ("_csv", "_dataset", "_feather", "_fs", "_json", "_orc", "_parquet"),
    **dict.fromkeys(
        (
            *("adbc_driver_manager", "cv2", "connectorx", "datatable", "deltalake", "duckdb"),
            *("fastavro", "fiona", "fitz", "h5py", "imageio_ffmpeg", "itk", "lance", "laspy"),
            *("lightgbm", "netCDF4", "osgeo", "pdal", "polars", "pyogrio", "pyreadr"),
            *("pyreadstat", "pysam", "rasterio", "SimpleITK", "soundfile", "tables"),
            *("tensorflow", "tiledb", "tokenizers", "torch", "safetensors", "vaex", "xgboost"),
            *("apsw", "av", "faiss", "fasttext", "cfgrib", "eccodes", "healpy", "ROOT"),
        ),
        (),
    ),
}
_MARKS: Final = tuple(f"{os.sep}{name}{os.sep}" for name in INSTALLED)
_FORKING: Final = (
    "multiprocessing.popen_fork",
    "multiprocessing.popen_spawn_posix",
    "multiprocessing.popen_forkserver",
    "joblib.externals.loky.backend.popen_loky_posix",
)


class ImportedModules:
    """What was imported since this was made."""

    def __init__(self) -> None:
        self._before = frozenset(sys.modules)

    def modules(self, namespace: Mapping[str, object]) -> dict[str, ModuleType]:
        """Give the modules by name."""
        new = {*sys.modules} - self._before
        names = {name for name in new if name.partition(".")[0] not in MACHINERY}
        names.update(_modules_behind(namespace.values()))
        return {
            name: module
            for name in sorted(names)
            if isinstance(module := sys.modules.get(name), ModuleType)
        }


def packages_of(modules: Mapping[str, ModuleType]) -> dict[str, str]:
    """Give the versions of the distributions that the modules come from."""
    sites: dict[str, set[str]] = {}
    for module in modules.values():
        # By its place: modules inside a distribution may go by a name of their own.
        place = _site_of(_file_of(module))
        if place is not None:
            sites.setdefault(place[0], set()).add(place[1])
    found: dict[str, str] = {}
    for site in sorted(sites):
        distributions = InstalledDistributions(Path(site))
        for name in sorted(sites[site] - {"nbpipe"}):
            found.update(distributions.versions(name))
    return dict(sorted(found.items()))


def files_of(modules: Mapping[str, ModuleType]) -> Iterator[str]:
    """Give the files of modules that no distribution brought."""
    for module in modules.values():
        file = _file_of(module)
        if file is not None and os.path.isabs(file) and _site_of(file) is None:  # noqa: PTH117
            yield file


def native_readers(
    modules: Mapping[str, ModuleType], namespace: Mapping[str, object]
) -> Iterator[str]:
    """Name the libraries among the modules that may have read files on their own."""
    used = {name.partition(".")[0] for name in _modules_behind(namespace.values())}
    for module in modules.values():
        file = _file_of(module)
        if file is not None and _site_of(file) is None:
            used |= {n.partition(".")[0] for n in _modules_behind(vars(module).values())}
    loaded = {name.partition(".")[0] for name in modules}
    for library, parts in _READ_NATIVELY.items():
        if (
            library in used
            or (library in loaded and not parts)
            or any(f"{library}.{part}" in modules for part in parts)
        ):
            yield library


def starts_processes(modules: Mapping[str, ModuleType]) -> bool:
    """Say whether Python's own process pools have been used."""
    return any(name in modules for name in _FORKING)


def _modules_behind(values: Iterable[object]) -> set[str]:
    found = set()
    for value in list(values):
        if isinstance(value, ModuleType):
            found.add(value.__name__)
        elif isinstance(value, type) or callable(value):
            name = getattr(value, "__module__", None)
            if isinstance(name, str):
                found.add(name)
    return found - {"__main__", "builtins"}


def _file_of(module: ModuleType) -> str | None:
    file = getattr(module, "__file__", None)
    return file if isinstance(file, str) else None


def _site_of(file: str | None) -> tuple[str, str] | None:
    """Split the path of an installed file: where distributions are, and the top-level module."""
    # Strings: there are thousands of modules.
    for mark in _MARKS:
        site, found, below = (file or "").partition(mark)
        if found:
            return site + mark[:-1], below.partition(os.sep)[0].partition(".")[0]
    return None
