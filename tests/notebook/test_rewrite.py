"""Tagging a notebook's text: only the tags are new, byte for byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbpipe.compiler.propose import propose_tags
from nbpipe.model.names import StepName
from nbpipe.model.notebook import Notebook, Spelling
from nbpipe.notebook import parse, rewrite
from tests.builders import notebook_json


def parsed(text: str) -> Notebook:
    notebook, _ = parse.parse_notebook(parse.notebook_json(text), name="n")
    return notebook


SOURCES = st.lists(
    st.sampled_from(["x = 1", "print(x)\ny = 2", "", "\n", "s = 'é\\u00e9\"'", "%%time\nz = f(1)"]),
    min_size=1,
    max_size=6,
)


@given(sources=SOURCES, indent=st.sampled_from([None, 1, 4]), as_list=st.booleans())
def test_adding_tags_changes_nothing_else(
    sources: list[str], indent: int | None, as_list: bool
) -> None:
    content = notebook_json(*sources)
    content["metadata"]["odd"] = {"b": 1, "a": [1.0, "ü"]}
    if as_list:
        for cell in content["cells"]:
            cell["source"] = cell["source"].splitlines(keepends=True)
    text = json.dumps(content, indent=indent, ensure_ascii=indent == 4)
    notebook = parsed(text)
    steps = {position: StepName(f"s{position}") for position in range(len(sources))}
    tagged = rewrite.add_tags(text, notebook, steps, spelling=Spelling.COMMENT)
    assert [c.tag.step if c.tag else None for c in parsed(tagged).cells] == list(steps.values())
    back = tagged
    for step in steps.values():
        back = rewrite.remove_tag(back, parsed(back), step)
    without = [cell.source for cell in parsed(back).cells]
    assert without == [cell.source for cell in notebook.cells]
    # Every line of the file is still there, in order.
    lines = iter(tagged.split("\n"))
    if indent:
        kept = [
            line for line in text.split("\n") if '"source"' not in line and '"tags"' not in line
        ]
        assert all(any(line == other for other in lines) for line in kept if "metadata" not in line)


def test_magics_come_with_a_cell_that_loads_the_extension() -> None:
    text = json.dumps(notebook_json("x = 1"), indent=1)
    tagged = rewrite.add_tags(text, parsed(text), {0: StepName("a")}, spelling=Spelling.MAGIC)
    assert [cell.source for cell in parsed(tagged).cells] == [
        "%load_ext nbpipe",
        "%%step a\nx = 1",
    ]
    again = rewrite.add_tags(tagged, parsed(tagged), {}, spelling=Spelling.MAGIC)
    assert again == tagged


def test_the_diff_of_a_tagged_file_is_the_tags() -> None:
    text = json.dumps(notebook_json("x = 1\ny = 2", "print(x)"), indent=1).replace(
        '"x = 1\\ny = 2"', '[\n    "x = 1\\n",\n    "y = 2"\n   ]'
    )
    tagged = rewrite.add_tags(text, parsed(text), {0: StepName("a")}, spelling=Spelling.COMMENT)
    before, after = text.split("\n"), tagged.split("\n")
    assert [line for line in after if line not in before] == ['    "#| step: a\\n",']
    assert [line for line in before if line not in after] == []


@pytest.mark.parametrize("spelling", list(Spelling))
def test_renaming_and_removing_in_each_spelling(spelling: Spelling) -> None:
    text = json.dumps(notebook_json("x = 1", "y = 2"), indent=1)
    steps = {0: StepName("a"), 1: StepName("ab")}
    tagged = rewrite.add_tags(text, parsed(text), steps, spelling=spelling)
    renamed = rewrite.rename_step(tagged, parsed(tagged), StepName("a"), StepName("first-one"))
    names = [c.tag.step for c in parsed(renamed).cells if c.tag]
    assert names == ["first-one", "ab"]
    removed = rewrite.remove_tag(renamed, parsed(renamed), StepName("ab"))
    assert [c.tag.step for c in parsed(removed).cells if c.tag] == ["first-one"]


def test_headings_name_steps_and_setup_stays_untagged() -> None:
    notebook = parsed(
        json.dumps(
            notebook_json(
                "import pandas as pd\npd.set_option('display.max_rows', 5)",
                "# markdown\n# Load the data!",
                "df = pd.read_csv('a.csv')",
                "def clean(d):\n    return d.dropna()",
                "df = clean(df)",
                "# markdown\n## Load the data!",
                "df.head()",
                "# markdown\nno heading",
                "df.tail()",
            )
        )
    )
    assert propose_tags(notebook, by="heading") == {
        2: "load_the_data",
        4: "load_the_data",
        6: "load_the_data_2",
        8: "load_the_data_2",
    }
    assert list(propose_tags(notebook, by="cell").values()) == [
        "load_the_data",
        "load_the_data_2",
        "load_the_data_3",
        "load_the_data_4",
    ]
    assert len(set(propose_tags(notebook, by="2").values())) == 2
    with pytest.raises(ValueError, match="neither 'heading', 'cell' nor a number"):
        propose_tags(notebook, by="chapter")
