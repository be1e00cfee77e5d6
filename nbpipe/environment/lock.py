"""The lock of a bundle: exactly the distributions that its code imports, and what those need."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name


def environment_files(imports: Iterable[str]) -> dict[str, str]:
    """Give the texts of `environment/` by name, for code that imports these top-level modules.

    Names that belong to no installed distribution (the standard library, local modules, what is
    missing here) are left out.
    """
    return {
        "requirements.lock": requirements_lock(imports),
        "python-version": f"{sys.version_info.major}.{sys.version_info.minor}\n",
        "platform": f"{sys.platform} {platform.machine()} {sys.implementation.name}\n",
    }


def requirements_lock(imports: Iterable[str]) -> str:
    """Pin the distributions that provide `imports`, with all that they require, sorted."""
    provided = metadata.packages_distributions()
    # A bundle runs its steps through nbpipe, so nbpipe's own needs are part of its environment.
    waiting = [
        name for module in [*imports, "papermill", "ipykernel"] for name in provided.get(module, ())
    ]
    pins: dict[str, str] = {}
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in pins:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        pins[name] = distribution.version
        waiting += _required(distribution)
    pins.pop("jupyterlab-nbpipe", None)
    return "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))


def _required(distribution: metadata.Distribution) -> list[str]:
    names = []
    for text in distribution.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            names.append(requirement.name)
    return names
