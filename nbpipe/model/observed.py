"""What a step was seen to depend on besides its key: the learned half of deciding about reuse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nbpipe.model.digest import Digest, digest_structure
from nbpipe.model.effects import FileEffects


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a run of a step found around it, as far as the step looked.

    Attributes:
        parts: by name, such as `file data/a.csv`, `directory data`, `variable MODE` and
            `package numpy`, a digest or a text; all of them must be so again for a reuse.
        files: what it did to files, those of its key included.
        found: files that it asked about and found, and did not read.
        unverified: modules that may have read files where nobody saw it.
        moving: files that changed while the step ran, and not by its doing.
        rewritten: files that it read, and then changed itself.
    """

    parts: Mapping[str, str] = field(default_factory=dict)
    files: FileEffects = field(default_factory=FileEffects)
    found: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    moving: tuple[str, ...] = ()
    rewritten: tuple[str, ...] = ()

    @property
    def digest(self) -> Digest:
        """The digest that tells sets of parts apart."""
        return digest_structure(self.parts)
