"""Lineage of small stores, as the command and `trace` give it."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from nbpipe.api.lineage import trace
from nbpipe.errors import ConfigurationError, NotFoundError
from nbpipe.lineage.tree import tree_lines
from nbpipe.model.digest import digest_structure
from nbpipe.model.lineage import Direction, Lineage, LineageEdge, LineageNode, NodeKind
from nbpipe.model.run import KeyParts, StepState
from nbpipe.store.values import store_values
from tests.store.runs import STARTED, a_run, a_step, open_store

CODE = {name: digest_structure(name) for name in ("load", "load anew", "train")}
FILE = digest_structure("the file")


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path)
    yield store
    store.close()


def key_of(parts):
    return KeyParts(key=digest_structure(parts), parts=parts)


def begin(store, run, pipeline="p"):
    started = STARTED + timedelta(minutes=len(store.runs(limit=1000)))
    store.begin_run(a_run(run, pipeline, started=started))


def make(store, run, step, parts, inputs=(), cells=(1,), **values):
    """Run a step: its key has these parts and the content of these versions."""
    parts = {"format": "1", "python": "3.11", **parts}
    parts |= {f"input {v.key.variable}": f"{v.value.content} json 1" for v in inputs}
    stored = store_values(store.blobs, values, list(values)).values
    step_run = a_step(step, run=run, cell_numbers=cells)
    done = store.commit_step(replace(step_run, key=key_of(parts)), stored)
    return done.outputs


def reuse(store, run, step_run):
    again = replace(
        step_run, run=run, state=StepState.REUSED, reason=f"reused from run {step_run.run}"
    )
    return store.record_step(again).outputs


def step_of(store, run, name):
    return next(step for step in store.run(run).steps if step.step == name)


@pytest.fixture
def trained(store):
    """A model, made from a table that was made from a file."""
    begin(store, "r1")
    loaded = make(
        store, "r1", "load", {"code": CODE["load"], "file data/a.csv": FILE}, cells=(2,), df=[1]
    )
    make(
        store, "r1", "train",
        {"code": CODE["train"], "parameter alpha": "0.5", "package scipy": "1.2"},
        loaded.values(), cells=(3, 4), model={"k": 1},
    )  # fmt: skip
    return store


def text_of(lineage):
    return [f"{line.guides}{line.text}  {line.remark}".rstrip() for line in tree_lines(lineage)]


def shown(store, reference, **options):
    """The tree, without the times at which versions were made."""
    now = f"{datetime.now(UTC):%Y-%m-%d}"
    return [line.split(f", {now}")[0] for line in text_of(trace(store, reference, **options))]


def test_a_version_is_traced_to_the_files_and_code_it_came_from(trained):
    assert shown(trained, "model") == [
        "model@1  dict of 1 entry",
        "└─ made by step train  cells 3, 4, of p, run r1",
        f"   ├─ code {CODE['train'][:12]}",
        "   ├─ parameter alpha = 0.5",
        "   ├─ packages scipy 1.2, python 3.11",
        "   └─ df@1  list of 1 element",
        "      └─ made by step load  cell 2",
        f"         ├─ code {CODE['load'][:12]}",
        f"         ├─ file data/a.csv  digest {FILE[:12]}",
        "         └─ package python 3.11",
    ]


def test_a_lineage_is_nodes_and_edges(trained):
    begin(trained, "r2")
    made = make(trained, "r2", "count", {"code": CODE["load"]}, cells=(), n=7)
    found = trace(trained, "n")
    step = f"step:p/count@{key_of({'format': '1', 'python': '3.11', 'code': CODE['load']}).key}"
    version = made["n"]
    assert found == Lineage(
        start=("version:p/n@1",),
        direction=Direction.UP,
        nodes=(
            LineageNode(
                id=step, kind=NodeKind.STEP, name="count", digest=step.split("@")[1],
                facts={
                    "pipeline": "p", "run": "r2", "notebook": "", "cells": [], "seconds": 0.0,
                    "started": STARTED.isoformat(), "format": "1",
                },
            ),
            LineageNode(
                id=f"code:{CODE['load']}", kind=NodeKind.CODE, name=CODE["load"][:12],
                digest=CODE["load"],
            ),
            LineageNode(
                id="package:python==3.11", kind=NodeKind.PACKAGE, name="python",
                facts={"version": "3.11"},
            ),
            LineageNode(
                id="version:p/n@1", kind=NodeKind.VERSION, name="n@1",
                digest=version.value.content,
                facts={
                    "pipeline": "p", "variable": "n", "number": 1, "type": "int", "text": "7",
                    "size": version.value.size, "created": version.created.isoformat(),
                    "tags": [],
                },
            ),
        ),
        edges=(
            LineageEdge(source=f"code:{CODE['load']}", target=step, role="code"),
            LineageEdge(source="package:python==3.11", target=step, role="python"),
            LineageEdge(source=step, target="version:p/n@1", role="output n"),
        ),
    )  # fmt: skip


def test_a_file_is_traced_to_all_that_was_made_from_it(trained):
    expected = [
        f"file data/a.csv  digest {FILE[:12]}",
        "└─ went into step load  cell 2, of p, run r1",
        "   └─ df@1  list of 1 element",
        "      └─ went into step train  cells 3, 4",
        "         └─ model@1  dict of 1 entry",
    ]
    assert shown(trained, "data/a.csv") == expected
    assert shown(trained, f"file:data/a.csv@{FILE[:8]}") == expected
    # As a path from here, too: a store lies beside the notebook that names the file.
    here = os.path.relpath(trained.root.parent / "data" / "a.csv")
    assert shown(trained, here) == expected


@pytest.mark.parametrize(
    ("reference", "first"),
    [
        ("alpha", "parameter alpha = 0.5"),
        ("alpha=0.5", "parameter alpha = 0.5"),
        ("scipy", "package scipy 1.2"),
        ("scipy==1.2", "package scipy 1.2"),
        (CODE["train"][:8], f"code {CODE['train'][:12]}"),
    ],
)
def test_parameters_packages_and_code_are_traced_down(trained, reference, first):
    assert shown(trained, reference) == [
        first,
        "└─ went into step train  cells 3, 4, of p, run r1",
        "   └─ model@1  dict of 1 entry",
    ]


def test_a_step_is_traced_in_both_directions(trained):
    assert shown(trained, "load")[1] == f"├─ code {CODE['load'][:12]}"
    down = shown(trained, "load", direction=Direction.DOWN)
    assert down[-1].strip() == "└─ model@1  dict of 1 entry"


def test_a_reused_input_is_traced_to_the_run_that_made_it(trained):
    begin(trained, "r2")
    df = reuse(trained, "r2", step_of(trained, "r1", "load"))
    make(trained, "r2", "train", {"code": CODE["load anew"]}, df.values(), cells=(3,), model=[2])
    lines = shown(trained, "model@2")
    assert lines[1] == "└─ made by step train  cell 3, of p, run r2"
    assert lines[5] == "      └─ made by step load  cell 2, of p, run r1"


def test_equal_content_made_by_other_code_is_traced_to_the_code_of_its_own_run(trained):
    begin(trained, "r2")
    df = make(trained, "r2", "load", {"code": CODE["load anew"]}, df=[1])
    assert df["df"].reference == "df@1"
    make(trained, "r2", "train", {"code": CODE["train"]}, df.values(), model=[2])
    codes = [n.digest for n in trace(trained, "model@2").nodes if n.kind is NodeKind.CODE]
    assert codes == [CODE["load anew"], CODE["train"]]
    # `df@1` itself was made first by the code of its own run.
    codes = [n.digest for n in trace(trained, "df@1").nodes if n.kind is NodeKind.CODE]
    assert codes == [CODE["load"]]
    # Of the file, only what was made in a run that read it.
    names = {node.name for node in trace(trained, "data/a.csv").nodes}
    assert ("model@1" in names, "model@2" in names) == (True, False)


def test_results_of_another_pipeline_are_traced_to_it(trained):
    begin(trained, "q1", "q")
    reuse(trained, "q1", step_of(trained, "r1", "load"))
    assert shown(trained, "df", pipeline="q")[:2] == [
        "df@1  list of 1 element",
        "└─ made by step load  cell 2, of q, run r1 of p",
    ]
    with pytest.raises(NotFoundError, match="2 pipelines have 'df'"):
        trace(trained, "df")
    both = shown(trained, "file:data/a.csv")
    assert [line for line in both if "step load" in line] == [
        "├─ went into step load  cell 2, of p, run r1",
        "└─ went into step load  cell 2, of q, run r1 of p",
    ]


def test_of_two_outputs_with_one_content_the_later_one_was_read(store):
    begin(store, "r1")
    first = make(store, "r1", "load", {"code": CODE["load"]}, df=[1])
    second = make(store, "r1", "clean", {"code": CODE["load anew"]}, first.values(), df=[1])
    make(store, "r1", "train", {"code": CODE["train"]}, second.values(), model=[2])
    made_by = [line for line in shown(store, "model") if "made by" in line]
    assert [line.split("step ")[1].split("  ")[0] for line in made_by] == ["train", "clean", "load"]


def test_an_input_that_was_deleted_is_named_with_its_digest(trained):
    gone = trained.find_version("df")
    trained.pin(trained.find_version("model"))
    with trained._database.transaction():
        trained._database.write("DELETE FROM result_outputs")
        trained._database.write("DELETE FROM versions WHERE variable = 'df'")
    assert shown(trained, "model")[-1] == (
        f"   └─ df  deleted since; its content had digest {gone.value.content[:12]}"
    )


def test_random_streams_have_a_name_for_people(store):
    begin(store, "r1")
    drawn = make(store, "r1", "draw", {"code": CODE["load"]}, **{"@numpy.random": [3]})
    make(store, "r1", "train", {"code": CODE["train"]}, drawn.values(), model=[2])
    lines = shown(store, "model")
    assert "   └─ numpy.random stream@1  list of 1 element" in lines
    assert shown(store, "@numpy.random@1")[0] == "numpy.random stream@1  list of 1 element"


def test_a_step_that_was_run_by_hand_says_so(store):
    begin(store, "r1")
    stored = store_values(store.blobs, {"x": 1}, ["x"]).values
    store.commit_step(a_step("make", reason="run by hand"), stored)
    assert shown(store, "x") == ["x@1  1", "└─ made by step make  of p, run r1, run by hand"]


def test_a_name_that_means_several_things_is_refused(trained):
    begin(trained, "r2")
    make(trained, "r2", "train", {"code": CODE["train"], "parameter model": "1"}, m=[1])
    with pytest.raises(ConfigurationError, match="an artifact and of a parameter") as caught:
        trace(trained, "model")
    assert caught.value.hint == "Say which: artifact:model or parameter:model."
    assert shown(trained, "artifact:model")[0] == "model@1  dict of 1 entry"
    assert shown(trained, "parameter:model")[0] == "parameter model = 1"


@pytest.mark.parametrize(
    ("reference", "message", "hint"),
    [
        ("modell", "No artifact, file, parameter, step or package 'modell'", "mean 'model'"),
        ("model@9", "No version 'model@9'", "'model@1'"),
        ("data/b.csv", "package 'data/b.csv'", "data/a.csv"),
        ("file:b.csv", "No file 'b.csv'", "data/a.csv"),
        ("parameter:alhpa", "No parameter 'alhpa'", "mean 'alpha'"),
        ("step:trian", "No step 'trian'", "mean 'train'"),
    ],
)
def test_a_name_that_means_nothing_is_refused(trained, reference, message, hint):
    with pytest.raises(NotFoundError, match=message) as caught:
        trace(trained, reference)
    assert hint in caught.value.hint


def test_a_long_chain_is_traced_and_drawn(store):
    begin(store, "r1")
    outputs = {}
    for number in range(400):
        outputs = make(
            store, "r1", f"s{number}", {"code": CODE["load"]}, outputs.values(),
            **{f"v{number}": number},
        )  # fmt: skip
    lines = shown(store, "v399")
    assert (lines[0], lines[-1].strip()) == ("v399@1  399", "└─ package python 3.11")
    assert sum("made by step" in line for line in lines) == 400
