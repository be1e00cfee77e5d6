"""Notebook namespaces for tests, and taking values through the store."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nbpipe.model.artifact import StoredValue
from nbpipe.store.blobs.local import LocalBlobs
from nbpipe.store.values import load_values, store_values


@functools.cache
def _directory() -> str:
    directory = tempfile.mkdtemp(prefix="nbpipe-test-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def temporary_blobs() -> LocalBlobs:
    """A blob store of its own, for tests that hypothesis runs many times."""
    return LocalBlobs(Path(tempfile.mkdtemp(dir=_directory())) / "objects")


def run_cells(*sources: str) -> dict[str, Any]:
    """The namespace of a notebook after its cells ran; its functions are those of `__main__`."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for number, source in enumerate(sources, start=1):
        exec(compile(source, f"/tmp/ipykernel_{number}/{number}.py", "exec"), namespace)
    return namespace


def stored(
    values: dict[str, Any],
    *,
    namespace: dict[str, Any] | None = None,
    definitions: Iterable[str] = (),
    blobs: LocalBlobs | None = None,
) -> dict[str, StoredValue]:
    """What the store keeps of the values; none may fail."""
    all_names = {**(namespace or {}), **values}
    outcome = store_values(
        blobs or temporary_blobs(), all_names, list(values), definitions=frozenset(definitions)
    )
    assert not outcome.failures, {name: str(why) for name, why in outcome.failures.items()}
    return {str(name): value for name, value in outcome.values.items()}


def failures(values: dict[str, Any], definitions: Iterable[str] = ()) -> dict[str, str]:
    """For each variable that cannot be stored: its type and why."""
    outcome = store_values(
        temporary_blobs(), values, list(values), definitions=frozenset(definitions)
    )
    return {str(name): f"{why.type}: {why.message}" for name, why in outcome.failures.items()}


def round_trip(values: dict[str, Any], **loaded_into: Any) -> dict[str, Any]:
    """The values as a later step loads them, into a namespace of its own."""
    blobs = temporary_blobs()
    kept = stored(values, blobs=blobs)
    return load_values(blobs, list(kept.values()), dict(loaded_into), trusted=True)


def comes_back(value: Any) -> Any:
    """The value as a later step loads it."""
    return round_trip({"x": value})["x"]


def content(value: Any, **stored_with: Any) -> str:
    """The digest of what the store keeps of the value."""
    return stored({"x": value}, **stored_with)["x"].content


def format_name(value: Any) -> str:
    """The format that the store keeps the value in."""
    return stored({"x": value})["x"].format.name
