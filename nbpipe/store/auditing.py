"""Does the store still say what its audit log says? The log is replayed and compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from nbpipe.errors import ConfigurationError, CorruptStoreError
from nbpipe.model.audit import AuditFinding, AuditRecord, AuditReport
from nbpipe.model.digest import Digest
from nbpipe.store.blobs.protocol import BlobStore
from nbpipe.store.bundles import blobs_of_bundle
from nbpipe.store.index import audit
from nbpipe.store.index.database import Database
from nbpipe.store.index.results import blobs_by_bundle

_SHORTEST_EXPECTED: Final = 12

# What a fact is about, such as ("version", "p", "df", 1).
_Subject = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Noted:
    """A fact as the log has it last, and the number of that record."""

    record: int
    facts: audit.Facts


@dataclass(slots=True)
class _Replay:
    """What the index must hold after the records so far."""

    facts: dict[_Subject, _Noted] = field(default_factory=dict)
    collected: set[_Subject] = field(default_factory=set)
    store: list[str] | None = None

    def take(self, record: AuditRecord) -> None:
        facts: audit.Facts = dict(record.facts)
        match record.event:
            case "log-began":
                self.store = facts["store"]
                for subject, noted in _all_facts(facts):
                    self.facts[subject] = _Noted(record.number, noted)
            case "run-began" | "run-finished":
                self.facts["run", facts["run"]] = _Noted(record.number, facts)
            case "step-recorded":
                self.facts["step", facts["run"], facts["step"]] = _Noted(record.number, facts)
                for subject, noted in _all_facts({"versions": facts["versions"]}):
                    # A version never changes: the first record of it counts.
                    self.facts.setdefault(subject, _Noted(record.number, noted))
                if "results" in facts:
                    self._take_results(record.number, facts)
            case "results-of-key":
                self._take_results(record.number, facts)
            case "steps-forgotten":
                for step in facts["steps"]:
                    self.facts.pop(("step", facts["run"], step), None)
            case "garbage-collected":
                self._collect(facts)
            case "tagged":
                self.facts["tag", *facts["version"], facts["tag"]] = _Noted(record.number, facts)
            case "untagged":
                self.facts.pop(("tag", *facts["version"], facts["tag"]), None)

    def _take_results(self, number: int, facts: audit.Facts) -> None:
        """These are all results of a key; what is known of one that is as it was, stays."""
        earlier = {
            subject: self.facts.pop(subject)
            for subject in list(self.facts)
            if subject[:2] == ("result", facts["key"])
        }
        for subject, noted in _all_facts({"results": facts["results"]}):
            known = earlier.get(subject)
            is_same = known is not None and known.facts == noted
            self.facts[subject] = known if known and is_same else _Noted(number, noted)

    def _collect(self, facts: audit.Facts) -> None:
        gone = {("version", *version) for version in facts["versions"]}
        keys, runs = set(facts["results"]), set(facts["runs"])
        for subject in list(self.facts):
            is_of_run = subject[0] in {"run", "step"} and subject[1] in runs
            is_tag = subject[0] == "tag" and ("version", *subject[1:4]) in gone
            is_result = subject[0] == "result" and subject[1] in keys
            if subject in gone or is_of_run or is_tag or is_result:
                del self.facts[subject]
        self.collected |= gone


def audit_store(
    database: Database, blobs: BlobStore, *, with_blobs: bool, expected: str | None
) -> AuditReport:
    """Check the chain of records, and the index against it; with `with_blobs` all blobs, too.

    `expected` is the digest of a record, or the start of one, that somebody wrote down earlier.

    Raises:
        ConfigurationError: `expected` is too short to mean one record.
    """
    if expected is not None and len(expected) < _SHORTEST_EXPECTED:
        raise ConfigurationError(
            f"{expected!r} is too short for the digest of a record.",
            hint=f"Give {_SHORTEST_EXPECTED} digits or more.",
        )
    findings: list[AuditFinding] = []
    replay = _Replay()
    head: AuditRecord | None = None
    count = 0
    is_expected_there = expected is None
    with database.snapshot():
        for page in audit.log_pages(database):
            for record in page:
                findings += _faults(head, record)
                count, head = count + 1, record
                is_expected_there |= record.digest.startswith(expected or "")
                _replay(replay, record, findings)
        findings += _missing_end(database, head)
        compared = list(_compared(database, replay))
        # What a broken log says of the facts comes after what is wrong with the log.
        findings += sorted((f for f in compared if f is not None), key=_place)
        needed = audit.blobs_in_index(database) if with_blobs else {}
        bundles = _bundles(database) if with_blobs else {}
    if not is_expected_there:
        findings.append(
            AuditFinding(
                record=None,
                message=f"No record has the digest {expected}: the log was shortened or rewritten.",
            )
        )
    if with_blobs:
        faults = list(_blob_faults(blobs, needed, bundles))
        # Reading blobs takes a while, and garbage collection may have come in between.
        still_needed = audit.blobs_in_index(database) if faults else {}
        findings += [
            AuditFinding(record=None, message=message)
            for digest, message in faults
            if digest in still_needed
        ]
    return AuditReport(
        records=count,
        head=head.digest if head else None,
        facts=len(compared),
        blobs=len(needed) if with_blobs else None,
        findings=tuple(findings),
    )


def _place(finding: AuditFinding) -> tuple[bool, int]:
    return (finding.record is None, finding.record or 0)


def _faults(before: AuditRecord | None, record: AuditRecord) -> Iterator[AuditFinding]:
    """Say what is wrong with a record's place in the chain."""
    expected = before.number + 1 if before else 1
    if record.number != expected:
        several = f"records {expected} to {record.number - 1} are"
        one = f"record {expected} is"
        missing = one if record.number == expected + 1 else several
        yield AuditFinding(record=expected, message=f"{missing} missing")
    elif record.previous != (before.digest if before else ""):
        yield AuditFinding(
            record=record.number,
            message="it does not follow the record before it: one of the two was replaced",
        )
    if record.digest != audit.true_digest(record):
        yield AuditFinding(record=record.number, message="the record was changed")


def _missing_end(database: Database, head: AuditRecord | None) -> Iterator[AuditFinding]:
    last, given = head.number if head else 0, audit.last_number_given(database)
    if head is None:
        yield AuditFinding(record=1, message="the log is empty, and no store's is")
    elif last < given:
        yield AuditFinding(
            record=last + 1, message=f"the log ends too soon: {given} records were written"
        )


def _replay(replay: _Replay, record: AuditRecord, findings: list[AuditFinding]) -> None:
    try:
        replay.take(record)
    except (KeyError, TypeError, ValueError):
        findings.append(
            AuditFinding(record=record.number, message=f"a {record.event} record without its facts")
        )


def _all_facts(facts: audit.Facts) -> Iterator[tuple[_Subject, audit.Facts]]:
    for each in facts.get("runs", ()):
        yield ("run", each["run"]), each
    for each in facts.get("steps", ()):
        yield ("step", each["run"], each["step"]), each
    for each in facts.get("results", ()):
        yield ("result", each["key"], each["observed"]), each
    for each in facts.get("versions", ()):
        yield ("version", *each["version"]), each
    for each in facts.get("tags", ()):
        yield ("tag", *each["version"], each["tag"]), each


def _compared(database: Database, replay: _Replay) -> Iterator[AuditFinding | None]:
    """Compare each fact of the index with the log, and say what is missing; None is agreement."""
    if replay.store is not None and replay.store != audit.store_ids(database):
        yield AuditFinding(record=1, message="the log is that of another store")
    found: set[_Subject] = set()
    in_index: Iterable[tuple[_Subject, audit.Facts]] = _all_facts(
        {
            "runs": audit.runs_in_index(database),
            "steps": audit.steps_in_index(database),
            "results": audit.results_in_index(database),
            "versions": audit.versions_in_index(database),
            "tags": audit.tags_in_index(database),
        }
    )
    for subject, facts in in_index:
        found.add(subject)
        noted = replay.facts.get(subject)
        if noted is None:
            yield AuditFinding(record=None, message=f"no record knows of {_named(subject)}")
        else:
            yield _difference(subject, facts, noted, replay)
    for subject, noted in replay.facts.items():
        if subject not in found:
            yield AuditFinding(record=noted.record, message=f"{_named(subject)} was removed")


def _difference(
    subject: _Subject, facts: audit.Facts, noted: _Noted, replay: _Replay
) -> AuditFinding | None:
    before = noted.facts
    changed = [name for name in ("row", "parts") if facts.get(name) != before.get(name)]
    if changed:
        what = "the parts of its key were" if changed == ["parts"] else "it was"
        return AuditFinding(record=noted.record, message=f"{_named(subject)}: {what} changed since")
    if subject[0] == "step":
        outputs, recorded = facts["outputs"], before["outputs"]
        pipeline = replay.facts.get(("run", subject[1]))
        name = pipeline.facts["pipeline"] if pipeline else ""
        # Garbage collection takes versions, and with them what says that a step made them.
        kept = {
            variable: version
            for variable, version in recorded.items()
            if variable in outputs
            or ("version", name, variable, version[0]) not in replay.collected
        }
        if outputs != kept:
            return AuditFinding(
                record=noted.record, message=f"{_named(subject)}: its outputs were changed since"
            )
    return None


def _named(subject: _Subject) -> str:
    match subject:
        case ("run", run):
            return f"run {run}"
        case ("step", run, step):
            return f"step {step} of run {run}"
        case ("result", key, _):
            return f"the result under key {key[:12]}"
        case ("version", pipeline, variable, number):
            return f"version {variable}@{number} of {pipeline}"
        case _:
            _, pipeline, variable, number, tag = subject
            return f"tag {tag} of version {variable}@{number} of {pipeline}"


def _bundles(database: Database) -> dict[Digest, dict[Digest, int]]:
    rows = database.read("SELECT DISTINCT bundle FROM versions")
    return blobs_by_bundle(database, [Digest(row["bundle"]) for row in rows])


def _blob_faults(
    blobs: BlobStore, needed: dict[Digest, str], bundles: dict[Digest, dict[Digest, int]]
) -> Iterator[tuple[Digest, str]]:
    """Say which blobs are gone or damaged, and of which bundles the index has another list."""
    damaged: set[Digest] = set()
    for digest, owner in needed.items():
        try:
            blobs.verify(digest)
        except CorruptStoreError as error:
            damaged.add(digest)
            yield digest, f"{error.message} It is needed by {owner}."
    for bundle, listed in bundles.items():
        if bundle in damaged:
            continue
        try:
            true = blobs_of_bundle(blobs, bundle)
        except CorruptStoreError as error:
            yield bundle, error.message
            continue
        if true != listed:
            yield bundle, f"the list of blobs of {needed[bundle]} was changed"
