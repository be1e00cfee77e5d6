"""The audit log: who did what to a store, each record bound to the one before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from nbpipe.model.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One event.

    Attributes:
        event: such as `run-began` or `step-recorded`.
        facts: what happened; names, numbers and digests.
        previous: the digest of the record before this one; empty for the first.
        digest: of all the above, `previous` included.
    """

    number: int
    time: datetime
    who: str
    event: str
    facts: Mapping[str, object]
    previous: str
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFinding:
    """Something that is not as it was recorded; `record` is the number of the record that says so.

    `record` is None where no record knows of it.
    """

    record: int | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What became of checking a store against its log.

    Attributes:
        head: the digest of the last record. Written down elsewhere, it proves later that nobody
            rewrote the log up to here.
        facts: how many runs, steps, results, versions and tags were compared with the log.
        blobs: how many blobs were read and compared with their digest; None when not asked for.
        findings: first what is wrong with the log, then which facts do not fit it, both in the
            order of records; then blobs. Empty for a store that is whole.
    """

    records: int
    head: Digest | None
    facts: int
    blobs: int | None
    findings: tuple[AuditFinding, ...]

    @property
    def is_whole(self) -> bool:
        """True when nothing was found."""
        return not self.findings
