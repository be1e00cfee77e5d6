"""Reading notebooks: what is no notebook gets an answer, never an exception of Python's."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbpipe.notebook import parse
from tests.builders import notebook_json


def refused(text: str | bytes) -> str:
    with pytest.raises(parse.NotANotebookError) as caught:
        parse.notebook_json(text)
    return f"{caught.value.diagnostic.code} {caught.value.diagnostic.message}"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", "NBP101 this is not a readable notebook: the file is empty."),
        ("hello", "NBP101 this is not a readable notebook: it is not JSON"),
        (json.dumps(notebook_json("x = 1"))[:-40], "the file looks cut off"),
        ("[1, 2]", "its JSON is not an object"),
        ("{}", "NBP102 this is not a readable notebook: it has no format number"),
        ('{"nbformat": 5, "cells": []}', "it has format 5; nbpipe reads notebook formats 1 to 4"),
        ('{"nbformat": 4}', "it has no list of cells"),
        (b"\xff\xfe\x00", "it is not UTF-8 text"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_notebook_is_refused_with_the_reason(text: str | bytes, answer: str) -> None:
    assert answer in refused(text)


def test_an_old_notebook_is_converted() -> None:
    old = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": ""},
        "worksheets": [
            {
                "cells": [
                    {
                        "cell_type": "code",
                        "input": "%%step a\nx = 1",
                        "outputs": [],
                        "language": "python",
                        "metadata": {},
                        "collapsed": False,
                        "prompt_number": 1,
                    },
                    {"cell_type": "heading", "level": 1, "source": "Title", "metadata": {}},
                ]
            }
        ],
    }
    content = parse.notebook_json(json.dumps(old))
    notebook, diagnostics = parse.parse_notebook(content, name="old")
    assert not diagnostics
    assert notebook.code_cells[0].tag is not None
    assert notebook.code_cells[0].tag.step == "a"


def test_a_notebook_of_another_language_is_refused() -> None:
    r = {"kernelspec": {"name": "ir", "language": "R"}, "language_info": {"name": "R"}}
    _, diagnostics = parse.parse_notebook(notebook_json("x <- 1", metadata=r), name="r")
    assert [d.code for d in diagnostics] == ["NBP103"]


def test_cells_of_a_broken_notebook_are_left_out_and_named() -> None:
    content = notebook_json("%%step a\nx = 1")
    content["cells"] += [{"cell_type": "poem"}, 7, {"cell_type": "code"}]
    notebook, diagnostics = parse.parse_notebook(content, name="odd")
    assert [d.code for d in diagnostics] == ["NBP105", "NBP105"]
    assert [cell.source for cell in notebook.cells] == ["%%step a\nx = 1", ""]


def test_cell_ids_are_unique_even_where_the_file_repeats_them() -> None:
    content = notebook_json("a", "b", "c")
    content["cells"][1]["id"] = "c1"
    del content["cells"][2]["id"]
    notebook, _ = parse.parse_notebook(content, name="ids")
    assert [cell.id for cell in notebook.cells] == ["c1", "c1-2", "cell-2"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(cells=JSON, metadata=JSON, cell_metadata=JSON)
def test_any_json_in_any_place_is_survived(
    cells: object, metadata: object, cell_metadata: object
) -> None:
    content = {"cells": cells, "metadata": metadata, "nbformat": 4}
    parse.parse_notebook(content, name="any")
    cell = {"cell_type": "code", "source": cells, "metadata": cell_metadata, "id": metadata}
    parse.parse_notebook({"cells": [cell], "metadata": {}, "nbformat": 4}, name="any")


def test_tag_lines_are_blanked_so_that_lines_keep_their_numbers() -> None:
    notebook, _ = parse.parse_notebook(notebook_json("\n%%step a\n\nx = 1"), name="n")
    (cell,) = notebook.cells
    assert cell.body == "\n\n\nx = 1"
    assert cell.first_line == 1


def test_tag_lines_are_dropped_above_a_cell_magic() -> None:
    notebook, _ = parse.parse_notebook(notebook_json("%%step a\n%%time\nx = 1"), name="n")
    (cell,) = notebook.cells
    assert cell.body == "%%time\nx = 1"
    assert cell.first_line == 2
