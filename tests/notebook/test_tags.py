"""The grammar of tags: three spellings, one meaning."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbpipe.model.notebook import CellTag, RandomPolicy, Role, Spelling, StepOptions
from nbpipe.notebook import tags
from nbpipe.notebook.parse import parse_notebook
from tests.builders import notebook_json

EVERY_OPTION = StepOptions(
    outputs=("a", "b"),
    inputs=("c",),
    after=("load", "clean"),
    reads=("data/*.csv", "x y.txt"),
    metrics=("score",),
    retries=2,
    retry_delay_seconds=30.0,
    timeout_seconds=5400.0,
    cache=False,
    cpu=2.0,
    memory_bytes=4 * 1024**3,
    gpu=1,
)


def test_every_option_can_be_given_in_a_magic() -> None:
    tag = tags.parse_magic(
        "%%step train --out a b --in c --after load clean --reads data/*.csv 'x y.txt' "
        "--metrics score --retries 2 --retry-delay 30s --timeout 1h30m --no-cache "
        "--cpu 2 --memory 4G --gpu 1"
    )
    assert tag == CellTag(
        role=Role.STEP, spelling=Spelling.MAGIC, step="train", options=EVERY_OPTION, lines=1
    )


def test_every_option_can_be_given_in_comments() -> None:
    tag, _ = tags.parse_comments(
        "#| step: train\n#| out: [a, b]\n#| in: c\n#| after: load, clean\n#| reads: data/*.csv\n"
        "#| metrics: score\n#| retries: 2\n#| retry-delay: 30s\n#| timeout: 90m\n"
        "#| no-cache: true\n#| cpu: 2\n#| memory: 4G\n#| gpu: 1\nx = 1"
    )
    assert tag is not None
    assert tag.step == "train"
    expected = {name: getattr(EVERY_OPTION, name) for name in EVERY_OPTION.__slots__}
    expected["reads"] = ("data/*.csv",)
    assert tag.options == StepOptions(**expected)


def test_every_option_can_be_given_in_metadata() -> None:
    facts = {
        "out": ["a", "b"],
        "in": ["c"],
        "after": ["load", "clean"],
        "reads": ["data/*.csv", "x y.txt"],
        "metrics": "score",
        "retries": 2,
        "retry-delay": "30s",
        "timeout": "90m",
        "no-cache": True,
        "cpu": 2,
        "memory": "4G",
        "gpu": 1,
    }
    tag = tags.parse_cell_tags(["step:train", "keep"], facts)
    assert tag is not None
    assert (tag.role, tag.step, tag.options) == (Role.STEP, "train", EVERY_OPTION)


@pytest.mark.parametrize(
    ("line", "role"),
    [("%%params", Role.PARAMS), ("%%prelude", Role.PRELUDE), ("%%skip", Role.SKIP)],
)
def test_other_roles_in_three_spellings(line: str, role: Role) -> None:
    magic = tags.parse_magic(line)
    comment, _ = tags.parse_comments(f"#| {line[2:]}\nx = 1")
    in_metadata = tags.parse_cell_tags([{"%%params": "parameters"}.get(line, line[2:])], None)
    assert [tag.role for tag in (magic, comment, in_metadata) if tag] == [role] * 3


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("%%step", "needs a name"),
        ("%%step --retries 2", "needs a name"),
        ("%%step a b", "unexpected 'b' after the step's name"),
        ("%%step a --retries", "--retries takes one value, not 0"),
        ("%%step a --retries 1 2", "--retries takes one value, not 2"),
        ("%%step a --retries -1", "'-1' is not a whole number"),
        ("%%step a --timeout 5x", "'5x' is not a duration"),
        ("%%step a --memory much", "'much' is not a size"),
        ("%%step a --out 2x", "'2x' is not a variable name"),
        ("%%step a --after ../x", "cannot name a step"),
        ("%%step a --colour red", "unknown option --colour"),
        ("%%step 'a", "cannot read the tag"),
        ("%%step " + "x" * 300, "it has 300 characters, 64 at most"),
        ("%%step 🚀", "use letters, digits"),
        ("%%step con", "operating systems keep this name"),
        ("%%params alpha", "takes no arguments"),
    ],
)
def test_a_tag_that_cannot_be_read_says_why(line: str, answer: str) -> None:
    with pytest.raises(tags.TagError) as caught:
        tags.parse_magic(line)
    assert answer in caught.value.message
    assert caught.value.help


@pytest.mark.parametrize("line", ["%%time", "%%stepper a", "x = 1", "", "% %step a", "%%bash"])
def test_other_lines_are_no_tags(line: str) -> None:
    assert tags.parse_magic(line) is None


def test_comments_of_other_tools_are_left_alone() -> None:
    tag, _ = tags.parse_comments("#| echo: false\n#| step: a\n#| label: fig-one\n#| export\nx = 1")
    assert tag is not None
    assert tag.step == "a"


def test_a_near_miss_in_a_comment_is_not() -> None:
    with pytest.raises(tags.TagError) as caught:
        tags.parse_comments("#| step: a\n#| retrys: 2\n")
    assert (caught.value.line, caught.value.help) == (2, "Did you mean retries?")


def test_the_pipeline_line_names_and_sets_defaults() -> None:
    options = tags.parse_pipeline_magic("%pipeline flights --rng per-step --retries 1")
    assert options is not None
    assert (options.name, options.random) == ("flights", RandomPolicy.PER_STEP)
    assert options.defaults.retries == 1


@pytest.mark.parametrize("line", ["%pipeline run", "%pipeline show", "%pipeline", "%pipelines x"])
def test_commands_of_the_pipeline_magic_name_nothing(line: str) -> None:
    assert tags.parse_pipeline_magic(line) is None


@given(st.text(alphabet="%step -a'\"\\\n|#:[],=0", max_size=40))
def test_any_text_is_a_tag_no_tag_or_an_answer(text: str) -> None:
    for read in (tags.parse_magic, tags.parse_comments, tags.parse_pipeline_magic):
        with contextlib.suppress(tags.TagError):
            read(text)


def test_three_spellings_mean_the_same_step() -> None:
    content = notebook_json(
        "%%step a --retries 2\nx = 1", "#| step: a\n#| retries: 2\ny = 1", "z = 1"
    )
    content["cells"][2]["metadata"] = {"tags": ["step:a"], "nbpipe": {"retries": 2}}
    notebook, diagnostics = parse_notebook(content, name="n")
    assert not diagnostics
    found: list[Any] = [(c.tag.step, c.tag.options) for c in notebook.cells if c.tag]
    assert found == [("a", StepOptions(retries=2))] * 3
