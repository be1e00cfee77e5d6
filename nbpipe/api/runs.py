"""Run pipelines, and say what a run would do."""

from __future__ import annotations

import os
import re
import shutil
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from nbpipe.api.locking import environment_of_bundle, environment_with_results
from nbpipe.environment.isolated import isolated_python, isolating_variables
from nbpipe.environment.lock import LOCK, PYTHON_VERSION, python_here
from nbpipe.errors import ConfigurationError, StoreUnavailableError
from nbpipe.model.effects import LearnedEffects, shared_files
from nbpipe.model.names import RunId, StepName, Variable
from nbpipe.model.pipeline import ParameterValue, Pipeline, Step
from nbpipe.model.run import Run, RunState, StepRun
from nbpipe.runner.environment_of import EnvironmentProbe
from nbpipe.runner.executors.local import LocalExecutor
from nbpipe.runner.executors.protocol import Executor
from nbpipe.runner.interpreters import OWN_KERNELS
from nbpipe.runner.keys import KeyMaker
from nbpipe.runner.listening import EnvironmentBuilding, Nobody, RunListener
from nbpipe.runner.loop import run_pipeline
from nbpipe.runner.request import Revise, RunRequest, new_run_id
from nbpipe.runner.reuse import Finding, ResultFinder
from nbpipe.runner.selection import Selection, select_steps
from nbpipe.runner.step_key import KeyChange
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.store.index.results import StoredStep
from nbpipe.workspace import Workspace, effects_path, write_effects


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run: which steps, how many at once, and what a failure means.

    `forced` is empty for none, None for all. `latest_first` and `hash_seed` are as in `RunRequest`.
    `isolated` runs the kernels in an environment of their own, with exactly what the lock of the
    bundle has, or would have.
    """

    first: StepName | None = None
    last: StepName | None = None
    only: StepName | None = None
    forced: tuple[StepName, ...] | None = ()
    jobs: int = 0
    keep_going: bool = False
    strict: bool = False
    reuse_unverified: bool = False
    latest_first: bool = False
    hash_seed: int | None = None
    isolated: bool = False


def run(  # noqa: PLR0913 - all but two are optional
    workspace: Workspace,
    store: ArtifactStore,
    *,
    parameters: Mapping[Variable, ParameterValue] | None = None,
    options: RunOptions | None = None,
    listener: RunListener | None = None,
    executor: Executor | None = None,
    run_id: RunId | None = None,
) -> Run:
    """Run a pipeline; gives the record of the run, however its steps ended.

    What the run finds out about steps (variables they change, files they share, although their
    code does not show it) is kept in the store, and used from then on.

    Raises:
        CompilationError: the notebook does not compile.
        NotFoundError: an option names no step.
        ConfigurationError: a step that may not run has no stored result; or an isolated run
            needs another Python.
        ExternalError: the environment of an isolated run cannot be built.
    """
    options = options or RunOptions()
    pipeline = workspace.pipeline
    jobs = options.jobs or workspace.settings.jobs or os.cpu_count() or 1
    steps_at_once = executor or LocalExecutor(jobs)
    python = _isolated_python(workspace, store, listener) if options.isolated else None
    request = RunRequest(
        pipeline=pipeline,
        directory=workspace.directory,
        notebook=workspace.notebook,
        notebook_path=workspace.path.name,
        parameters=parameters or {},
        selection=_selection(pipeline, options),
        parallelism=jobs,
        keep_going=options.keep_going,
        strict=options.strict,
        reuse_unverified=options.reuse_unverified or workspace.settings.reuse_unverified,
        latest_first=options.latest_first,
        hash_seed=options.hash_seed,
        learned=workspace.learned,
        revise=_reviser(workspace, store, options),
        make_run_id=(lambda _now: run_id) if run_id else new_run_id,
        python=str(python) if python else "",
        variables=isolating_variables(python) if python else {},
    )
    try:
        return run_pipeline(request, store=store, executor=steps_at_once, listener=listener)
    finally:
        steps_at_once.close()


def run_step(  # noqa: PLR0913 - all but four are optional
    workspace: Workspace,
    store: ArtifactStore,
    name: StepName,
    *,
    run_id: RunId,
    parameters: Mapping[Variable, ParameterValue] | None = None,
    listener: RunListener | None = None,
) -> StepRun:
    """Run one step as a part of a run that somebody else conducts, step by step.

    Its inputs must be in the store already. A change that the step's code does not show fails it:
    nobody here could run again the steps that read the variable before.

    Raises:
        NotFoundError: there is no such step.
        ConfigurationError: the run id is no file name, or an input is not stored.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,127}", run_id):
        raise ConfigurationError(
            f"{run_id!r} cannot be a run id.", hint="Use letters, digits, '.', '_', ':', '+', '-'."
        )
    done = run(
        workspace,
        store,
        parameters=parameters,
        options=RunOptions(only=name, strict=True),
        listener=listener,
        run_id=run_id,
    )
    whole = store.run(run_id)
    states = {step.step: step.state for step in whole.steps}
    good = {name for name, state in states.items() if state.is_good}
    missing = [step.name for step in workspace.pipeline.steps if step.name not in good]
    if missing and done.state is RunState.SUCCEEDED:
        store.begin_run(replace(whole, state=RunState.RUNNING, finished=None))
    name = workspace.pipeline.whole_of(name)
    return next(step for step in done.steps if step.step == name)


def _isolated_python(
    workspace: Workspace, store: ArtifactStore, listener: RunListener | None
) -> Path:
    """Give the Python of the environment for an isolated run; it is built at the first."""
    kernel = workspace.pipeline.kernel
    if kernel not in OWN_KERNELS:
        raise ConfigurationError(
            f"The notebook names the kernel '{kernel}', and isolated kernels are python3.",
            hint="Choose the kernel Python 3 for the notebook, or run without --isolated.",
        )
    files = environment_of_bundle(workspace)
    here = python_here()
    wanted = files.get(PYTHON_VERSION, "").strip() or here
    if wanted != here:
        raise ConfigurationError(
            f"The bundle was locked for Python {wanted}, and nbpipe runs on {here}.",
            hint=f"Run it with nbpipe on Python {wanted}, or compile the notebook again.",
        )
    files = files or environment_with_results(workspace, store)
    return isolated_python(
        files[LOCK],
        store.root / "cache" / "environments",
        building=lambda count: (listener or Nobody()).notice(
            EnvironmentBuilding(distributions=count)
        ),
    )


def _selection(pipeline: Pipeline, options: RunOptions) -> Selection:
    return select_steps(
        pipeline,
        first=options.first,
        last=options.last,
        only=options.only,
        forced=options.forced,
    )


def _reviser(workspace: Workspace, store: ArtifactStore, options: RunOptions) -> Revise:
    """Make the function that compiles anew with what a run has found out."""
    current, without_consequence = workspace, LearnedEffects()

    def revise(found: LearnedEffects) -> tuple[Pipeline, Selection] | None:
        nonlocal current, without_consequence
        revised = current.with_learned(without_consequence | found)
        if revised.pipeline.runs_like(current.pipeline):
            without_consequence |= found  # So far: it may have some beside what is found later.
            return None
        current = revised
        if not options.strict:
            write_effects(effects_path(store.root, workspace.effects_name), revised.learned)
        return revised.pipeline, _selection(revised.pipeline, options)

    return revise


def save_executed_notebook(store: ArtifactStore, run: Run, target: Path) -> Path:
    """Copy the executed notebook of a run to where somebody wants it.

    Raises:
        StoreUnavailableError: the place cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(store.root / run.executed_notebook, target)
    except OSError as error:
        raise StoreUnavailableError(f"{target} cannot be written: {error.strerror}.") from error
    return target


# ---- what would happen ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStatus:
    """What a run would do with a step.

    `state` is `fresh` (its result is reused), `stale` (it runs; `reasons` say why) or `unknown`
    (a step before it runs first, and may give the same as before). `changes` are what differs from
    the closest result there is, which run `compared` made.
    """

    step: StepName
    state: str
    reasons: tuple[str, ...] = ()
    changes: tuple[KeyChange, ...] = ()
    compared: RunId | None = None
    stored: StoredStep | None = None


def status(
    workspace: Workspace,
    store: ArtifactStore | None,
    *,
    parameters: Mapping[Variable, ParameterValue] | None = None,
) -> tuple[StepStatus, ...]:
    """Say of each step what a run would do with it. Starts no kernel and changes nothing."""
    pipeline = workspace.pipeline
    root = store.root if store else workspace.store_path
    defaults = {parameter.name: parameter.default for parameter in pipeline.parameters}
    keys = KeyMaker(
        defaults | dict(parameters or {}),
        EnvironmentProbe(pipeline, directory=workspace.directory, store=root),
    )
    finder = ResultFinder(
        store=store,
        pipeline=pipeline.name,
        keys=keys,
        now=datetime.now(UTC),
        reuse_unverified=workspace.settings.reuse_unverified,
    )
    found: dict[StepName, StepStatus] = {}
    remaining = deque(pipeline.steps)
    while remaining:
        # All that can be looked up with what is known goes into one query.
        ready = [remaining.popleft()]
        while remaining and all(name in found for name in remaining[0].upstream):
            ready.append(remaining.popleft())
        waiting = {s.name: [n for n in s.upstream if found[n].state != "fresh"] for s in ready}
        findings = finder.find([step for step in ready if not waiting[step.name]])
        for step in ready:
            found[step.name] = _status_of(step, waiting[step.name], findings.get(step.name))
            stored = found[step.name].stored
            if stored is not None:
                keys.add_outcome(step.name, stored.outputs)
    # As in a run: what results say of their steps may show that others are stale.
    known = {step: each.stored for step, each in found.items() if each.stored is not None}
    own = {step.name: step.own for step in pipeline.steps}
    shared = shared_files({name: stored.observed.files for name, stored in known.items()})
    effects = LearnedEffects(
        changes={own[name]: stored.changed for name, stored in known.items() if stored.changed},
        files={own[name]: files for name, files in shared.items()},
    )
    revised = workspace.with_learned(effects) if effects - workspace.learned else workspace
    if not revised.pipeline.runs_like(pipeline):
        return status(revised, store, parameters=parameters)
    return tuple(found.values())


def _status_of(step: Step, waiting: Sequence[StepName], finding: Finding | None) -> StepStatus:
    if finding is None:
        reasons = (f"{', '.join(waiting)} runs first",)
        return StepStatus(step=step.name, state="unknown", reasons=reasons)
    if not step.cache:
        return StepStatus(step=step.name, state="stale", reasons=("--no-cache",))
    return StepStatus(
        step=step.name,
        state="stale" if finding.stored is None else "fresh",
        reasons=finding.reasons,
        changes=finding.changes,
        compared=finding.compared,
        stored=finding.stored,
    )
