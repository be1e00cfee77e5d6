"""Traces: what a step was seen to touch while it ran, besides its variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nbpipe.model.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a step was seen to touch. Paths are absolute and sorted; Python's own are left out.

    Attributes:
        files_read: files that were there and were read before the step wrote them, with the
            sources of project modules.
        files_absent: files that the step looked for in vain.
        directories_listed: directories whose entries the step asked for.
        files_written: files that the step wrote, moved into place or deleted.
        packages: version by distribution, of the modules that were really imported.
        environment_read: digest of the value by name of environment variable; None when unset.
        uses_network: it opened a connection.
        uses_clock: it asked for the time.
        unverified: modules that may have read files where nobody saw it.
    """

    files_read: tuple[str, ...] = ()
    files_absent: tuple[str, ...] = ()
    directories_listed: tuple[str, ...] = ()
    files_written: tuple[str, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict)
    environment_read: Mapping[str, Digest | None] = field(default_factory=dict)
    uses_network: bool = False
    uses_clock: bool = False
    unverified: tuple[str, ...] = ()
