"""Which texts in a notebook's code name files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

from nbpipe.model.pipeline import Step

_ENDINGS: Final = frozenset(
    """csv tsv txt json jsonl ndjson parquet pq feather arrow orc avro xls xlsx ods h5 hdf5 hdf nc
    zarr npy npz mat pkl pickle joblib gz zip bz2 xz zst tar tgz db sqlite sqlite3 duckdb yaml yml
    toml ini cfg xml html md png jpg jpeg gif bmp tif tiff svg pdf wav mp3 mp4 avi pt pth ckpt onnx
    safetensors model bin dat sav dta sas7bdat rds rdata geojson shp gpkg kml las log sql
    py""".split()
)
_PATH: Final = re.compile(r"[\w.~/\\: *?\[\]+@,()-]+")


def named_files(steps: Iterable[Step]) -> tuple[str, ...]:
    """Give the paths that steps declare, and literals in their code that look like paths.

    They may be written into comments and strings: what could end one is left out.
    """
    found: set[str] = set()
    for step in steps:
        found.update(path for path in step.reads if path.isprintable() and '"' not in path)
        found.update(filter(_looks_like_file, step.literal_paths))
    return tuple(sorted(found))


def is_outside(path: str) -> bool:
    """Say whether a path is absolute or leads out of the folder it starts in."""
    text = path.replace("\\", "/")
    if text.startswith(("/", "~")) or re.match(r"[A-Za-z]:/", text):
        return True
    depth = 0
    for part in PurePosixPath(text).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def _looks_like_file(text: str) -> bool:
    if not _PATH.fullmatch(text) or (text.startswith(("%", ".")) and "/" not in text):
        return False
    ending = text.rstrip("/").rpartition(".")[2].lower()
    return ending in _ENDINGS or text.endswith("/")
