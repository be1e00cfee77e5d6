"""Any sequence of operations on a store gives what a few dictionaries give."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nbpipe.model.run import StepState
from nbpipe.store.values import load_values
from tests.store.runs import STARTED, a_key, a_run, a_step, commit, open_store

PIPELINES = st.sampled_from(["p", "q"])
STEPS = st.sampled_from(["s", "t"])
VARIABLES = st.sampled_from(["x", "y"])
CONTENTS = st.integers(0, 2)


@dataclass
class ModelVersion:
    pipeline: str
    variable: str
    number: int
    step: str
    run: str
    content: int
    tags: set[str] = field(default_factory=set)


@dataclass
class ModelRun:
    name: str
    pipeline: str
    outputs: dict[str, list[ModelVersion]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)


class RandomOperations(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="nbpipe-test-"))
        self.store = open_store(self.directory)
        self.runs: list[ModelRun] = []
        self.versions: list[ModelVersion] = []
        self.results: dict[str, list[ModelVersion]] = {}
        self.last_numbers: dict[tuple[str, str], int] = {}
        self.begun = 0

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.directory)

    def series(self, pipeline: str, variable: str) -> list[ModelVersion]:
        return [v for v in self.versions if (v.pipeline, v.variable) == (pipeline, variable)]

    def add(self, run: ModelRun, step: str, variable: str, content: int) -> ModelVersion:
        same = [v for v in self.series(run.pipeline, variable) if v.step == step]
        if same and same[-1].content == content:
            return same[-1]
        series = (run.pipeline, variable)
        self.last_numbers[series] = self.last_numbers.get(series, 0) + 1
        version = ModelVersion(
            run.pipeline, variable, self.last_numbers[series], step, run.name, content
        )
        self.versions.append(version)
        return version

    @rule(pipeline=PIPELINES)
    def begin_run(self, pipeline):
        self.begun += 1
        name = f"r{self.begun}"
        self.store.begin_run(a_run(name, pipeline, STARTED + timedelta(hours=self.begun)))
        self.runs.append(ModelRun(name, pipeline))

    @precondition(lambda self: self.runs)
    @rule(step=STEPS, values=st.dictionaries(VARIABLES, CONTENTS, min_size=1), key=CONTENTS)
    def commit(self, step, values, key):
        run = self.runs[-1]
        commit(self.store, step, values, run=run.name, key=f"k{key}")
        run.outputs[step] = [self.add(run, step, name, values[name]) for name in sorted(values)]
        run.keys[step] = f"k{key}"
        self.results[f"k{key}"] = run.outputs[step]

    @precondition(lambda self: self.runs)
    @rule(step=STEPS, key=CONTENTS)
    def reuse(self, step, key):
        run = self.runs[-1]
        found = self.store.find_results([a_key(f"k{key}").key])
        assert bool(found) == (f"k{key}" in self.results)
        for stored in found.values():
            made = self.results[f"k{key}"]
            self.store.record_step(
                a_step(
                    step, run=run.name, key=f"k{key}", state=StepState.REUSED,
                    outputs=dict(stored.outputs),
                )
            )  # fmt: skip
            run.outputs[step] = [
                v if v.pipeline == run.pipeline else self.add(run, step, v.variable, v.content)
                for v in made
            ]
            run.keys[step] = f"k{key}"

    @precondition(lambda self: self.versions)
    @rule(data=st.data(), tag=st.sampled_from(["pin", "unpin", "good"]))
    def tag(self, data, tag):
        version = data.draw(st.sampled_from(self.versions), label="version")
        found = self.store.find_version(
            f"{version.variable}@{version.number}", pipeline=version.pipeline
        )
        if tag == "pin":
            self.store.pin(found)
            version.tags.add("pinned")
        elif tag == "unpin":
            self.store.unpin(found)
            version.tags.discard("pinned")
        else:
            self.store.tag(found, tag)
            for other in self.series(version.pipeline, version.variable):
                other.tags.discard(tag)
            version.tags.add(tag)

    @rule(keep_runs=st.integers(0, 2))
    def collect_garbage(self, keep_runs):
        self.store.collect_garbage(keep_runs=keep_runs, now=datetime.now(UTC) + timedelta(days=10))
        kept_runs = [
            run
            for run in self.runs
            if run in [r for r in reversed(self.runs) if r.pipeline == run.pipeline][:keep_runs]
        ]
        keys = {key for run in kept_runs for key in run.keys.values()}
        self.results = {key: made for key, made in self.results.items() if key in keys}
        kept = [v for run in kept_runs for made in run.outputs.values() for v in made]
        kept += [v for made in self.results.values() for v in made]
        self.versions = [v for v in self.versions if v.tags or any(v is k for k in kept)]
        makers = {v.run for v in self.versions}
        self.runs = [run for run in self.runs if run in kept_runs or run.name in makers]
        for run in self.runs:
            run.outputs = {
                step: [v for v in made if any(v is k for k in self.versions)]
                for step, made in run.outputs.items()
            }

    @rule()
    def reopen(self):
        self.store.close()
        self.store = open_store(self.directory)

    @invariant()
    def the_store_says_what_the_model_says(self):
        found: dict[Any, Any] = {
            (v.key.pipeline, v.key.variable, v.number): v for v in self.store.versions()
        }
        expected = {(v.pipeline, v.variable, v.number): v for v in self.versions}
        assert found.keys() == expected.keys()
        for place, version in expected.items():
            facts = found[place]
            assert (facts.step, facts.run, set(facts.tags)) == (
                version.step, version.run, version.tags,
            )  # fmt: skip
            loaded = load_values(self.store.blobs, [facts.value], {}, trusted=True)
            assert loaded == {version.variable: version.content}
        runs = {run.id: run for run in self.store.runs(limit=1000)}
        assert list(runs) == [run.name for run in reversed(self.runs)]
        for run in self.runs:
            steps = {
                step.step: {(v.key.variable, v.number) for v in step.outputs.values()}
                for step in runs[run.name].steps
            }
            assert steps == {
                step: {(v.variable, v.number) for v in made} for step, made in run.outputs.items()
            }
        results = self.store.find_results([a_key(f"k{n}").key for n in range(3)])
        assert {key: len(stored.outputs) for key, stored in results.items()} == {
            a_key(key).key: len(made) for key, made in self.results.items()
        }
        assert self.store.audit().findings == ()


RandomOperations.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestRandomOperations = RandomOperations.TestCase
