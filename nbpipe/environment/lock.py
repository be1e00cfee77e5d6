"""The lock of a bundle: exactly the distributions that its code imports, and what those need."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

# A bundle runs its steps through nbpipe, so nbpipe's own needs are part of its environment.
NEEDED_BY_NBPIPE: Final = (
    "blake3", "click", "cloudpickle", "ipykernel", "jinja2", "jupyter_client", "nbclient",
    "nbformat", "papermill", "pygments", "rich", "xxhash",
)  # fmt: skip
_NBPIPE: Final = "jupyterlab-nbpipe"

# Files of `environment/`.
LOCK: Final = "requirements.lock"
PYTHON_VERSION: Final = "python-version"


def environment_files(
    imports: Iterable[str], *, imported: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Give the texts of `environment/` by name, for code that imports these top-level modules.

    Names that belong to no installed distribution (the standard library, local modules, what is
    missing here) are left out. `imported` is as for `requirements_lock`.
    """
    return {
        LOCK: requirements_lock(imports, imported=imported),
        PYTHON_VERSION: f"{python_here()}\n",
        "platform": f"{sys.platform} {platform.machine()} {sys.implementation.name}\n",
    }


def python_here() -> str:
    """Give the Python that a lock made here is for, as `3.12`."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def requirements_lock(imports: Iterable[str], *, imported: Mapping[str, str] | None = None) -> str:
    """Pin the distributions that provide `imports`, with all that they require, sorted.

    `imported` has the version by distribution of what runs were seen to import (`Trace.packages`):
    that is pinned, too, at the version they had.
    """
    seen = {canonicalize_name(name): version for name, version in (imported or {}).items()}
    provided = metadata.packages_distributions()
    waiting = [(name, "") for name in [*NEEDED_BY_NBPIPE, *seen]]
    waiting += [(name, "") for module in imports for name in provided.get(module, ())]
    pins: dict[str, str] = {}
    done: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        wanted = (canonicalize_name(name), extra)
        if wanted in done:
            continue
        done.add(wanted)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if wanted[0] in seen:
                pins[wanted[0]] = seen[wanted[0]]
            continue
        pins[wanted[0]] = seen.get(wanted[0], distribution.version)
        waiting += _required(distribution, extra)
    pins.pop(_NBPIPE, None)
    return "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))


def as_installed(versions: Mapping[str, str]) -> dict[str, str]:
    """Give for each distribution the version that is installed here, or its own if none is."""
    found: dict[str, str] = {}
    for name, version in versions.items():
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = version
    return found


def _required(distribution: metadata.Distribution, extra: str) -> Iterator[tuple[str, str]]:
    """Give what a distribution, or an extra of it, requires: names, each with an extra or none."""
    for text in distribution.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement.name, ""
            for wanted in sorted(requirement.extras):
                yield requirement.name, wanted
