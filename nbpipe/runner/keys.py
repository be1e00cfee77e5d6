"""The keys of the steps in a run, from what upstream steps made and what lies around."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

from nbpipe.model.artifact import ArtifactVersion, StoredValue
from nbpipe.model.names import StepName, Variable
from nbpipe.model.observed import Observed
from nbpipe.model.pipeline import ParameterValue, Step
from nbpipe.model.run import KeyParts, StepResult, StepRun
from nbpipe.model.trace import Trace
from nbpipe.runner.environment_of import EnvironmentProbe
from nbpipe.runner.files_before import FileBefore
from nbpipe.runner.observed_parts import changes_of, holds, observe
from nbpipe.runner.step_key import KeyChange, KeyEnvironment, changes_between, in_order, step_key
from nbpipe.store.index.results import StoredStep


class KeyMaker:
    """Makes the keys of the steps of one run. Outcomes of upstream steps must be added first."""

    def __init__(
        self, parameters: Mapping[Variable, ParameterValue], probe: EnvironmentProbe
    ) -> None:
        self._parameters = parameters
        self._probe = probe
        self._outputs: dict[StepName, Mapping[Variable, StoredValue]] = {}
        self._environments: dict[StepName, KeyEnvironment] = {}

    def add_outcome(self, step: StepName, outputs: Mapping[Variable, ArtifactVersion]) -> None:
        """Take note of what a step made, or what the store has for it."""
        self._outputs[step] = {variable: version.value for variable, version in outputs.items()}

    def inputs_of(self, step: Step) -> dict[Variable, StoredValue | None]:
        """Give the step's inputs; None for what the upstream step left unbound."""
        return {i.variable: self._outputs[i.upstream].get(i.variable) for i in step.inputs}

    def key_of(self, step: Step) -> KeyParts:
        """Give the step's key as things stand now."""
        environment = self._probe.environment_of(step)
        self._environments[step.name] = environment
        return step_key(step, self._parameters, self.inputs_of(step), environment)

    def key_after(self, step: Step, key: KeyParts, result: StepResult) -> KeyParts:
        """Give the key under which a result is stored.

        It is the key from before the step ran, but files that the step made count as it left
        them: the next run finds them so, and one that was changed or deleted since is made anew.
        """
        before = self._environments[step.name]
        after = self._probe.literal_files(step)
        products = self._products(step, {*before.files, *after}, result)
        files = {n: d for n, d in before.files.items() if n not in products}
        made = {n: d for n, d in after.items() if n in products or n not in before.files}
        if files | made == before.files:
            return key
        environment = replace(before, files=files | made)
        return step_key(step, self._parameters, self.inputs_of(step), environment)

    def observed(self, step: Step, trace: Trace, started: datetime, *, ran_alone: bool) -> Observed:
        """Give what a step that has just ended depends on besides its key."""
        before = self._environments[step.name]
        literals = map(self._probe.place_of_literal, self._probe.literal_files(step))
        held = [self._probe.name_of(path) for path in (*before.paths, *literals)]
        return observe(
            trace,
            self._probe,
            started=started,
            held_files={name for name in held if name is not None},
            held_packages=before.packages,
            ran_alone=ran_alone,
        )

    def files_before(self, trace: Trace, *, ran_alone: bool) -> dict[str, FileBefore]:
        """Give what is known of files that a step wrote as they were before, by their names.

        Where not all it does is seen, what it looked for in vain is its own when it is there now
        and no other step ran meanwhile.
        """
        made = {*trace.files_made}
        if trace.unverified and ran_alone:
            made.update(filter(os.path.isfile, trace.files_absent))
        copies = {**trace.copies_before, **dict.fromkeys(made)}
        named = {self._probe.name_of(path): (path, copies[path]) for path in sorted(copies)}
        return {
            name: FileBefore(path=path, copy=copy)
            for name, (path, copy) in named.items()
            if name is not None
        }

    def is_there(self, file: str) -> bool:
        """Say whether there is a file of this name."""
        return self._probe.is_there(file)

    def changed_since(self, file: str, time: datetime) -> bool:
        """Say whether a file, by its name, was changed after `time`."""
        return self._probe.changed_since(file, time)

    def holds(self, observed: Observed) -> bool:
        """Say whether everything is again as it was when a result was made."""
        return holds(observed, self._probe)

    def changes_since(
        self, then: KeyParts, observed: Observed, now: KeyParts
    ) -> tuple[KeyChange, ...]:
        """Give all that is not any more as it was when a result was made."""
        learned = [
            KeyChange(part=part, old=old, new=new)
            for part, old, new in changes_of(observed, self._probe)
        ]
        return in_order([*changes_between(then.parts, now.parts), *learned])

    def file_of(self, change: KeyChange) -> str | None:
        """Name the file or directory that a change is about, as traces name it; None for others."""
        if change.kind not in {"file", "directory"}:
            return None
        return self._probe.name_of(self._probe.place_of_literal(change.name))

    def _products(self, step: Step, names: Collection[str], result: StepResult) -> set[str]:
        """Name those files of the key that the step wrote without having read them."""
        written = {*result.trace.files_written} - {*result.trace.files_read}
        seen = {self._probe.name_of(path) for path in written}
        literals = {*names} & {*step.literal_paths}
        return {*result.files_written} | {
            literal
            for literal in literals
            if self._probe.name_of(self._probe.place_of_literal(literal)) in seen
        }

    def save(self) -> None:
        """Keep what the next run can use."""
        self._probe.save()


def missing_outputs(step: Step, stored: StoredStep | StepRun) -> tuple[Variable, ...]:
    """Give what later steps need of `step` and an earlier result, made when nobody did, lacks."""
    return tuple(
        output.variable
        for output in step.outputs
        if output.required
        and output.variable not in stored.outputs
        and output.variable not in stored.unbound
    )
