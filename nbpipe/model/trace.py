"""Traces: what a step was seen to touch while it ran, besides its variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nbpipe.model.digest import Digest, digest_structure


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a step was seen to touch. Paths are absolute and sorted; Python's own are left out.

    A file may be among those that were read, found or absent and those that were written: it is
    both, in this order.

    Attributes:
        files_read: files that were there and were read before the step wrote them, with the
            sources of project modules; also those that it asked about and left alone.
        files_absent: files that the step looked for in vain, before it made them, if it did.
        paths_found: paths that the step asked about and found, and did not read: files that it
            then wrote, and directories. That they were there counts, not what was in them.
        directories_listed: directories whose entries the step asked for.
        files_written: files that the step wrote, moved into place or deleted.
        files_made: those of `files_written` that were not there before and are there now.
        copies_before: where copies lie of those that were there before, as they were; not of all.
            Those of one file, made by several steps, have names in the order of time.
        packages: version by distribution, of the modules that were really imported.
        environment_read: digest of the value by name of environment variable (see
            `digest_of_variable`); None when unset.
        uses_network: it opened a connection.
        uses_clock: it asked for the time, as far as its own code shows.
        parts_indexes: frames had one index object and were stored with one each.
        parts_constants: constants that it changed, or that its outputs hold, and that were not
            stored, because no step behind it uses them.
        unverified: what may have touched files where nobody saw it: modules, programs.
    """

    files_read: tuple[str, ...] = ()
    files_absent: tuple[str, ...] = ()
    paths_found: tuple[str, ...] = ()
    directories_listed: tuple[str, ...] = ()
    files_written: tuple[str, ...] = ()
    files_made: tuple[str, ...] = ()
    copies_before: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    environment_read: Mapping[str, Digest | None] = field(default_factory=dict)
    uses_network: bool = False
    uses_clock: bool = False
    parts_indexes: bool = False
    parts_constants: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()


def digest_of_variable(name: str, value: str | None) -> Digest | None:
    """Give what a trace says of an environment variable: never its value, which may be secret."""
    return None if value is None else digest_structure(["environment variable", name, value])
