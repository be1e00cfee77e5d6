"""The artifact store: blobs and the index together, each fact in one transaction.

Blobs are written first and facts after, so whatever kills a process in between leaves blobs that
nobody mentions, which garbage collection finds, and never a fact about blobs that are not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from nbpipe.errors import ConfigurationError, NotFoundError, StoreUnavailableError
from nbpipe.model.artifact import ArtifactKey, ArtifactVersion, StoredValue
from nbpipe.model.audit import AuditRecord, AuditReport
from nbpipe.model.digest import Digest
from nbpipe.model.lineage import Maker
from nbpipe.model.names import PipelineName, RunId, StepName, Variable
from nbpipe.model.observed import Observed
from nbpipe.model.run import KeyParts, Run, RunState, StepKey, StepRun, StepState
from nbpipe.store import trust
from nbpipe.store.auditing import audit_store
from nbpipe.store.blobs.local import LocalBlobs
from nbpipe.store.blobs.protocol import BlobStore
from nbpipe.store.bundles import blobs_of_bundle
from nbpipe.store.garbage import (
    KEPT_RUNS,
    KEPT_YOUNGER_THAN,
    GarbageReport,
    collect_garbage,
)
from nbpipe.store.index import audit, lineage, results, runs, versions
from nbpipe.store.index.database import Database
from nbpipe.store.index.results import StoredStep

PINNED: Final = "pinned"

_REFERENCE: Final = re.compile(r"(?P<variable>[^@]+|@[^\W\d][^@]*)(?:@(?P<which>.+))?\Z")
_TAG: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]*\Z")
_USE_NOTED_EVERY: Final = timedelta(hours=1)


class ArtifactStore:
    """All that one store knows. Any number of processes may use a store at once.

    Attributes:
        root: the directory, holding `objects/`, `index.db` and `runs/`.
        blobs: where values and executed cells go before they are committed.
        writable: False when this process may only read.
    """

    def __init__(self, root: Path, database: Database, *, is_own: bool = False) -> None:
        self.root = root
        self._is_own = is_own
        self.blobs: BlobStore = LocalBlobs(root / "objects")
        self._database = database

    @classmethod
    def open(cls, path: Path | str, *, create: bool = True) -> ArtifactStore:
        """Open the store at `path`; a store that this call creates is trusted.

        Raises:
            NotFoundError: there is none, and it was not to be created.
            ConfigurationError: a newer nbpipe wrote it.
            StoreUnavailableError: it cannot be read.
            CorruptStoreError: its index is damaged.
        """
        root = Path(path).absolute()
        is_new = create and not (root / "index.db").exists()
        store = cls(root, Database(root / "index.db", create=create))
        if is_new:
            # Without a home directory to note it in, loading says what to do instead.
            with suppress(StoreUnavailableError):
                trust.trust(root)
        return store

    @classmethod
    def open_temporary(cls, path: Path) -> ArtifactStore:
        """Make a store that nobody but this process knows, and that it will delete.

        It is trusted, and that is noted nowhere.
        """
        root = path.absolute()
        return cls(root, Database(root / "index.db", create=True), is_own=True)

    def close(self) -> None:
        """Close the index; the store cannot be used afterwards."""
        self._database.close()

    @property
    def writable(self) -> bool:
        """False when this process may only read."""
        return self._database.writable

    # Runs

    def begin_run(self, run: Run) -> None:
        """Note that a run started, before any of its steps is recorded."""
        with self._database.transaction():
            runs.add_run(self._database, run)
            audit.note_run(self._database, "run-began", run.id)

    def finish_run(
        self, run: RunId, state: RunState, *, finished: datetime, executed_notebook: str = ""
    ) -> None:
        """Note how a run ended; `executed_notebook` is relative to the store."""
        with self._database.transaction():
            self._pipeline_of(run)
            runs.finish_run(self._database, run, state, finished, executed_notebook)
            audit.note_run(self._database, "run-finished", run)

    def commit_step(
        self,
        step_run: StepRun,
        outputs: Mapping[Variable, StoredValue],
        *,
        changed: Collection[Variable] = (),
        observed: Observed | None = None,
    ) -> StepRun:
        """Make a succeeded step's outputs versions, and its result reusable under its key.

        `changed` is what the step changed although its code does not show it, `observed` what must
        be as it is for a reuse.

        All of it becomes visible at once. An output with the content of the newest version that
        the same step made of this variable is that version; others get the next number.

        Returns:
            The step run with its outputs.

        Raises:
            CorruptStoreError: a bundle is not in the blob store.
        """
        blobs = {
            value.bundle: blobs_of_bundle(self.blobs, value.bundle) for value in outputs.values()
        }
        now = datetime.now(UTC)
        with self._database.transaction():
            pipeline = self._pipeline_of(step_run.run)
            added = {
                variable: versions.add_version(
                    self._database,
                    ArtifactVersion(
                        key=ArtifactKey(pipeline=pipeline, variable=variable),
                        number=0,
                        step=step_run.step,
                        run=step_run.run,
                        created=now,
                        value=replace(value, variable=variable),
                    ),
                    blobs[value.bundle],
                )
                for variable, value in outputs.items()
            }
            committed = replace(
                step_run, outputs={variable: version for variable, (_, version) in added.items()}
            )
            row_ids = {variable: row_id for variable, (row_id, _) in added.items()}
            runs.add_step_run(self._database, committed, row_ids)
            if step_run.key is not None:
                results.add_result(
                    self._database,
                    committed,
                    step_run.key,
                    pipeline=pipeline,
                    created=now,
                    outputs=row_ids,
                    changed=changed,
                    observed=observed or Observed(),
                )
            audit.note_step(self._database, step_run.run, step_run.step)
        return committed

    def forget_steps(self, run: RunId, steps: Collection[StepName]) -> None:
        """Take steps out of the record of a run that goes on with them as part of others."""
        if steps:
            with self._database.transaction():
                runs.delete_step_runs(self._database, run, steps)
                audit.note_steps_forgotten(self._database, run, steps)

    def record_step(self, step_run: StepRun) -> StepRun:
        """Note what became of a step that made nothing new: reused, failed, skipped, cancelled.

        Reused outputs that another pipeline made become versions of this pipeline, too.

        Returns:
            The step run with the outputs it has in its own pipeline.
        """
        with self._database.transaction():
            pipeline = self._pipeline_of(step_run.run)
            found: dict[Variable, tuple[int, ArtifactVersion]] = {}
            for variable, version in step_run.outputs.items():
                row_id = None
                if version.key == ArtifactKey(pipeline=pipeline, variable=variable):
                    row_id = versions.version_id(self._database, version.key, version.number)
                found[variable] = (
                    (row_id, version) if row_id else self._adopt(version, step_run, pipeline)
                )
            recorded = replace(
                step_run, outputs={variable: version for variable, (_, version) in found.items()}
            )
            row_ids = {variable: row_id for variable, (row_id, _) in found.items()}
            runs.add_step_run(self._database, recorded, row_ids)
            if step_run.state is StepState.REUSED and step_run.key is not None:
                results.mark_used(self._database, [step_run.key.key], datetime.now(UTC))
            audit.note_step(self._database, step_run.run, step_run.step)
        return recorded

    def runs(self, pipeline: PipelineName | None = None, *, limit: int = 20) -> tuple[Run, ...]:
        """Give the newest runs with their steps, newest first."""
        if pipeline is None:
            return runs.runs_where(self._database, "TRUE", (), limit=limit)
        return runs.runs_where(self._database, "pipeline = ?", (pipeline,), limit=limit)

    def run(self, reference: str) -> Run:
        """Give a run by its id, by the start of it that no other has, or by `latest`.

        Raises:
            NotFoundError: there is none, or the start fits several.
        """
        if reference == "latest":
            newest = runs.runs_where(self._database, "TRUE", (), limit=1)
            if not newest:
                raise NotFoundError("There is no run yet.", hint="Start one: nbpipe run NOTEBOOK.")
            return newest[0]
        ids = runs.run_ids(self._database)
        fitting = [i for i in ids if i == reference] or [i for i in ids if i.startswith(reference)]
        if not fitting:
            raise NotFoundError.among("run", reference, ids, where=f"in {self.root}")
        if len(fitting) > 1:
            raise NotFoundError(
                f"{len(fitting)} runs start with {reference!r}.",
                hint=f"Give more of the id: {', '.join(fitting[:6])}.",
            )
        return runs.runs_where(self._database, "id = ?", (fitting[0],), limit=1)[0]

    # Results

    def find_results(
        self, keys: Sequence[StepKey], fits: Callable[[StoredStep], bool] = lambda _: True
    ) -> dict[StepKey, StoredStep]:
        """Give for each key the newest result that fits, with all its blobs in place, if any.

        Finding a result keeps garbage collection away from it for a while.
        """
        found = {
            key: [stored for stored in candidates if fits(stored)]
            for key, candidates in results.results_by_key(self._database, keys).items()
        }
        bundles = {
            version.value.bundle
            for fitting in found.values()
            for stored in fitting
            for version in stored.outputs.values()
        }
        needed = results.blobs_by_bundle(self._database, sorted(bundles))
        sizes: dict[Digest, int | None] = {}

        def is_there(digest: Digest, size: int | None) -> bool:
            if digest not in sizes:
                sizes[digest] = self.blobs.size(digest)
            return sizes[digest] is not None and size in (None, sizes[digest])

        def is_whole(stored: StoredStep) -> bool:
            return (stored.cells is None or is_there(stored.cells, None)) and all(
                version.value.bundle in needed
                and all(is_there(blob, size) for blob, size in needed[version.value.bundle].items())
                for version in stored.outputs.values()
            )

        newest = {key: next(filter(is_whole, fitting), None) for key, fitting in found.items()}
        whole = {key: stored for key, stored in newest.items() if stored is not None}
        now = datetime.now(UTC)
        unnoted = [key for key, stored in whole.items() if now - stored.used > _USE_NOTED_EVERY]
        if unnoted and self.writable:
            with self._database.transaction():
                results.mark_used(self._database, unnoted, now)
        return whole

    def forget_result(self, key: StepKey, observed: Observed) -> None:
        """Let no run reuse a result any more; its versions stay."""
        with self._database.transaction():
            results.delete_result(self._database, key, observed)
            audit.note_results(self._database, key)

    def results_to_compare(
        self, pipeline: PipelineName, step: StepName, key: StepKey
    ) -> tuple[StoredStep, ...]:
        """Give the newest results of a step, under whatever key, newest first."""
        return results.results_to_compare(
            self._database, pipeline, step, key, limit=results.ALTERNATIVES
        )

    def last_key(self, pipeline: PipelineName, step: StepName) -> KeyParts | None:
        """Give the key of the newest result of a step, to compare with the one it has now."""
        return runs.latest_key(self._database, pipeline, step)

    def latest_step_runs(
        self, pipeline: PipelineName, steps: Collection[StepName]
    ) -> tuple[StepRun, ...]:
        """Give the newest run of each step that made or reused a result; the newest one last."""
        return runs.latest_step_runs(self._database, pipeline, steps)

    def latest_outputs(
        self, pipeline: PipelineName, step: StepName
    ) -> dict[Variable, ArtifactVersion]:
        """Give what the newest run of a step that has a result made or reused.

        Raises:
            NotFoundError: the step has no result.
        """
        newest = self.latest_step_runs(pipeline, [step])
        if not newest:
            raise NotFoundError.among(
                "result of step",
                step,
                versions.step_names(self._database, pipeline),
                where=f"of pipeline {pipeline!r}",
            )
        return dict(newest[0].outputs)

    # Versions

    def versions(
        self, pipeline: PipelineName | None = None, variable: Variable | None = None
    ) -> tuple[ArtifactVersion, ...]:
        """Give versions in the order of pipeline, variable and number."""
        asked = {"pipeline": pipeline, "variable": variable}
        given = {column: name for column, name in asked.items() if name is not None}
        condition = " AND ".join(["TRUE", *(f"{column} = ?" for column in given)])
        return tuple(versions.versions_where(self._database, condition, given.values()).values())

    def find_version(self, reference: str, pipeline: PipelineName | None = None) -> ArtifactVersion:
        """Give the version that people mean by `df` (the newest), `df@3` or `df@production`.

        Raises:
            NotFoundError: there is none, or several pipelines have one and none was named.
        """
        return self._find(reference, pipeline)[1]

    def pin(self, version: ArtifactVersion) -> None:
        """Keep a version for good, whatever garbage collection finds."""
        with self._database.transaction():
            row_id = self._row_id(version)
            versions.add_tag(self._database, row_id, PINNED)
            audit.note_tag(self._database, "tagged", row_id, PINNED)

    def unpin(self, version: ArtifactVersion) -> None:
        """Let garbage collection decide about a version again."""
        self.untag(version, PINNED)

    def tag(self, version: ArtifactVersion, tag: str) -> None:
        """Name a version, such as `production`; in its series the tag moves to it.

        Raises:
            ConfigurationError: the text cannot be a tag.
        """
        if not _TAG.match(tag) or tag == PINNED:
            raise ConfigurationError(
                f"{tag!r} cannot be a tag.",
                hint="Use letters, digits, '.', '_' and '-', starting with a letter"
                + (", and `pin` to pin." if tag == PINNED else "."),
            )
        with self._database.transaction():
            row_id = self._row_id(version)
            for loser in versions.versions_with_tag(self._database, row_id, tag):
                versions.remove_tag(self._database, loser, tag)
                audit.note_tag(self._database, "untagged", loser, tag)
            versions.add_tag(self._database, row_id, tag)
            audit.note_tag(self._database, "tagged", row_id, tag)

    def untag(self, version: ArtifactVersion, tag: str) -> None:
        """Take a tag from a version, if it has it."""
        with self._database.transaction():
            row_id = self._row_id(version)
            versions.remove_tag(self._database, row_id, tag)
            audit.note_tag(self._database, "untagged", row_id, tag)

    # Lineage

    def runs_with_version(self, version: ArtifactVersion) -> tuple[Run, ...]:
        """Give runs that made or reused a version, oldest first; of runs that are alike, one."""
        return lineage.runs_with_version(self._database, self._row_id(version))

    def runs_with_part(self, parts: Iterable[tuple[str, str]]) -> tuple[Run, ...]:
        """Give runs with one of these parts, by name and value, in a step key, as above."""
        return lineage.runs_with_part(self._database, parts)

    def runs_with_step(self, step: StepName) -> tuple[Run, ...]:
        """Give runs in which a step of this name has a result, as above."""
        return lineage.runs_with_step(self._database, step)

    def parts_of_keys(self) -> tuple[tuple[str, str], ...]:
        """Give name and value of what went into steps besides inputs: code, files, parameters."""
        return lineage.parts_of_keys(self._database)

    def makers_of(self, keys: Iterable[StepKey]) -> dict[StepKey, Maker]:
        """Say which step runs first made the results of these keys."""
        return lineage.makers_of(self._database, keys)

    # Audit

    def audit(self, *, with_blobs: bool = False, expected: str | None = None) -> AuditReport:
        """Check the audit log, and that the store is as the log says; see `auditing.py`."""
        return audit_store(self._database, self.blobs, with_blobs=with_blobs, expected=expected)

    def audit_log(self, count: int) -> tuple[AuditRecord, ...]:
        """Give the newest records of the audit log, in order."""
        return audit.last_records(self._database, count)

    # Upkeep

    @property
    def trusted(self) -> bool:
        """Say whether loading values of this store may run code."""
        return self._is_own or trust.is_trusted(self.root)

    def collect_garbage(
        self,
        *,
        dry_run: bool = False,
        keep_runs: int = KEPT_RUNS,
        older_than: timedelta = KEPT_YOUNGER_THAN,
        now: datetime | None = None,
    ) -> GarbageReport:
        """Delete what nobody needs; see `garbage.py` for what that is."""
        return collect_garbage(
            self._database,
            self.blobs,
            self.root / "runs",
            dry_run=dry_run,
            keep_runs=keep_runs,
            older_than=older_than,
            now=now or datetime.now(UTC),
        )

    def _pipeline_of(self, run: RunId) -> PipelineName:
        pipeline = runs.pipeline_of_run(self._database, run)
        if pipeline is None:
            raise NotFoundError.among("run", run, runs.run_ids(self._database))
        return pipeline

    def _adopt(
        self, version: ArtifactVersion, step_run: StepRun, pipeline: PipelineName
    ) -> tuple[int, ArtifactVersion]:
        own = replace(
            version,
            key=ArtifactKey(pipeline=pipeline, variable=version.key.variable),
            step=step_run.step,
            run=step_run.run,
            tags=(),
        )
        return versions.add_version(
            self._database, own, blobs_of_bundle(self.blobs, version.value.bundle)
        )

    def _row_id(self, version: ArtifactVersion) -> int:
        row_id = versions.version_id(self._database, version.key, version.number)
        if row_id is None:
            raise NotFoundError(f"Version {version.reference} does not exist any more.")
        return row_id

    def _find(self, reference: str, pipeline: PipelineName | None) -> tuple[int, ArtifactVersion]:
        parts = _REFERENCE.match(reference)
        if parts is None:
            raise NotFoundError(
                f"{reference!r} names no version.", hint="Write NAME, NAME@NUMBER or NAME@TAG."
            )
        variable, which = parts["variable"], parts["which"]
        where = f"in pipeline {pipeline!r}" if pipeline else f"in {self.root}"
        known = [s for s in versions.series(self._database) if pipeline in (None, s[0])]
        if variable not in {name for _, name in known}:
            raise NotFoundError.among(
                "artifact", variable, (name for _, name in known), where=where
            )
        condition = "variable = ? AND pipeline = ?" if pipeline else "variable = ?"
        all_versions = versions.versions_where(
            self._database, condition, [variable, *([pipeline] if pipeline else [])]
        )
        fitting = {i: v for i, v in all_versions.items() if _fits(v, which)}
        if not fitting:
            names = {f"{variable}@{name}" for v in all_versions.values() for name in _names(v)}
            raise NotFoundError.among("version", reference, names, where=where)
        pipelines = sorted({version.key.pipeline for version in fitting.values()})
        if len(pipelines) > 1:
            raise NotFoundError(
                f"{len(pipelines)} pipelines have {reference!r}: {', '.join(pipelines)}.",
                hint="Say which one you mean: --pipeline NAME.",
            )
        return max(fitting.items(), key=lambda found: found[1].number)


def _fits(version: ArtifactVersion, which: str | None) -> bool:
    return which is None or which in _names(version)


def _names(version: ArtifactVersion) -> Iterable[str]:
    return (str(version.number), *version.tags)
