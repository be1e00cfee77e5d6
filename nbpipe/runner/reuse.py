"""Which stored result a step may take, and why none: for runs, and for saying what one would do."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from nbpipe.model.names import PipelineName, RunId, StepName
from nbpipe.model.observed import Observed
from nbpipe.model.pipeline import Step
from nbpipe.model.run import KeyParts
from nbpipe.model.trace import Trace
from nbpipe.runner.keys import KeyMaker, missing_outputs
from nbpipe.runner.step_key import KeyChange, changes_between
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.store.index.results import StoredStep

_MOST_NAMED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the store has for a step.

    Attributes:
        key: the step's key as things stand now.
        stored: the result to reuse; None when the step must run.
        reasons: why it must run, one short line each.
        changes: what differs from the closest result there is.
        compared: the run that made that one.
    """

    key: KeyParts
    stored: StoredStep | None
    reasons: tuple[str, ...] = ()
    changes: tuple[KeyChange, ...] = ()
    compared: RunId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFinder:
    """Finds results for the steps of a pipeline.

    Attributes:
        store: None when there is none yet.
        reuse_unverified: results that may have read files unseen are reused all the same.
        run: the run that asks; what it made itself is good enough for it.
        made_here: steps that must not take what another run made.
    """

    store: ArtifactStore | None
    pipeline: PipelineName
    keys: KeyMaker
    now: datetime
    reuse_unverified: bool = False
    run: RunId | None = None
    made_here: Collection[StepName] = frozenset()

    def find(self, steps: Sequence[Step]) -> dict[StepName, Finding]:
        """Give what the store has for each step, with one query for all."""
        key_by_name = {step.name: self.keys.key_of(step) for step in steps}
        step_by_key = {key_by_name[step.name].key: step for step in steps}
        found = (
            self.store.find_results(
                list(step_by_key), lambda stored: self._fits(step_by_key[stored.key.key], stored)
            )
            if self.store
            else {}
        )
        findings: dict[StepName, Finding] = {}
        for step in steps:
            key = key_by_name[step.name]
            stored = found.get(key.key)
            # Two steps may share a key, and differ in what they need of it.
            same = step is step_by_key[key.key]
            if stored is not None and (same or self._fits(step, stored)):
                findings[step.name] = Finding(key=key, stored=stored)
            else:
                findings[step.name] = self._missing(step, key)
        return findings

    def _fits(self, step: Step, stored: StoredStep) -> bool:
        return not self._objection(step, stored) and self.keys.holds(stored.observed)

    def _objection(self, step: Step, stored: StoredStep) -> str:
        """Say why a result is not reused although nothing has changed; empty when it is."""
        missing = missing_outputs(step, stored)
        if missing:
            return f"{', '.join(missing)} is needed now"
        if stored.observed.moving:
            return f"{named(stored.observed.moving)} changed while the step ran"
        if stored.run == self.run:
            return ""
        if step.name in self.made_here:
            return "never reused"
        if stored.observed.rewritten:
            return f"the step reads {named(stored.observed.rewritten)} and changes it"
        if is_unverified(step, stored.observed) and not self.reuse_unverified:
            return f"{named(stored.observed.unverified)} may have read files unseen"
        if step.ttl_seconds is not None:
            age = (self.now - stored.created).total_seconds()
            if age > step.ttl_seconds:
                limit = timedelta(seconds=step.ttl_seconds)
                return f"its result is older than {limit} (--ttl)"
        return ""

    def _missing(self, step: Step, key: KeyParts) -> Finding:
        if self.store is None:
            return Finding(key=key, stored=None, reasons=("never ran",))
        candidates = self.store.results_to_compare(self.pipeline, step.name, key.key)
        if not candidates:
            return self._without_results(self.store, step, key)
        compared = [
            (self.keys.changes_since(stored.key, stored.observed, key), stored)
            for stored in candidates
        ]
        changes, closest = min(
            compared, key=lambda pair: (len(pair[0]), pair[1].key.key != key.key)
        )
        reasons = tuple(map(str, changes))
        return Finding(
            key=key,
            stored=None,
            reasons=reasons or (self._objection(step, closest) or "its result is gone",),
            changes=changes,
            compared=closest.run,
        )

    def _without_results(self, store: ArtifactStore, step: Step, key: KeyParts) -> Finding:
        last = store.last_key(self.pipeline, step.name)
        if last is None:
            return Finding(key=key, stored=None, reasons=("never ran",))
        changes = changes_between(last.parts, key.parts)
        reasons = tuple(map(str, changes)) or ("its result is gone",)
        return Finding(key=key, stored=None, reasons=reasons, changes=changes)


def is_unverified(step: Step, observed: Observed) -> bool:
    """Say whether the step may have read files that neither anybody saw nor its author declared."""
    return bool(observed.unverified) and not step.reads


def notes_on(step: Step, trace: Trace, observed: Observed) -> tuple[str, ...]:
    """Say what is to be known about reusing the result of a step that has just run."""
    notes = []
    if observed.moving:
        notes.append(f"{named(observed.moving)} changed while the step ran: not reused")
    if observed.rewritten:
        notes.append(f"it reads {named(observed.rewritten)} and changes it: not reused")
    if is_unverified(step, observed):
        notes.append(
            f"{named(observed.unverified)} may have read files unseen: not reused; "
            "declare --reads PATH, or set reuse-unverified"
        )
    if step.cache and step.ttl_seconds is None:
        used = [
            *(["the network"] if trace.uses_network else []),
            *(["the clock"] if trace.uses_clock else []),
        ]
        if used:
            notes.append(f"it uses {' and '.join(used)}; --ttl or --no-cache limit its reuse")
    return tuple(notes)


def named(names: Sequence[str]) -> str:
    """Give a few names as words."""
    more = len(names) - _MOST_NAMED
    shown = ", ".join(names[:_MOST_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown
