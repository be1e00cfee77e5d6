from __future__ import annotations

import copy

from nbpipe.runner.cell_outputs import (
    CellOutputs,
    cell_outputs_of,
    decode_cell_outputs,
    encode_cell_outputs,
)
from nbpipe.runner.stitch import stitch


def text(shown: str) -> dict[str, object]:
    return {"output_type": "stream", "name": "stdout", "text": shown}


def result(shown: str, count: int | None = None) -> dict[str, object]:
    return {
        "output_type": "execute_result",
        "execution_count": count,
        "data": {"text/plain": shown},
        "metadata": {},
    }


def cell(kind: str, source: str, count: int | None, *outputs, number: int = 0, whole=True):
    facts = {"kind": kind}
    if number:
        facts |= {"cell": f"c{number}", "cell_number": number, "lines": [1], "whole": whole}
    return {
        "cell_type": "code",
        "source": source,
        "execution_count": count,
        "outputs": list(outputs),
        "metadata": {"nbpipe": facts},
    }


EXECUTED = {
    "metadata": {},
    "cells": [
        {"cell_type": "markdown", "source": "papermill's marker", "metadata": {}},
        cell("begin", "begin()", 1),
        cell("prelude", "import a", 2, text("partial"), number=1, whole=False),
        cell("prelude", "print('p')", 3, text("p"), number=2),
        cell("load", "load()", 4),
        cell("body", "1", 5, result("1", 5), number=4),
        cell("body", "boom", 6, {
            "output_type": "error",
            "ename": "E",
            "evalue": "",
            "traceback": ["Cell In[6], line 1\n----> 1 boom\n"],
        }, number=7),
        cell("body", "never", None, number=8),
    ],
}  # fmt: skip


def test_outputs_are_kept_by_position_and_free_of_counts():
    assert cell_outputs_of(EXECUTED) == CellOutputs(
        body=(
            [result("1")],
            [
                {
                    "output_type": "error",
                    "ename": "E",
                    "evalue": "",
                    "traceback": ["Cell In[7], line 1\n----> 1 boom\n"],
                }
            ],
            None,
        ),
        prelude={1: [text("p")]},
    )


def test_stored_outputs_come_back_as_they_were():
    outputs = CellOutputs(body=([text("\ud800")], None), prelude={3: []}, widgets={"id": {"a": 1}})
    assert decode_cell_outputs(encode_cell_outputs(outputs)) == outputs
    assert encode_cell_outputs(outputs) == encode_cell_outputs(copy.deepcopy(outputs))


def test_a_notebook_shows_the_outputs_of_the_run_and_no_others(book):
    book.prelude("print('setup')")
    book.step("one", "1", "2")
    book.cells.append("exploration")
    book.step("two", "3")
    notebook = book.notebook
    for each in notebook["cells"]:
        each["outputs"] = [text("old")]
        each["execution_count"] = 99
    notebook["cells"].insert(1, {"cell_type": "markdown", "source": "# Title", "metadata": {}})
    before = copy.deepcopy(notebook)

    outputs = [
        (book.steps[0], CellOutputs(body=([result("1")], []), prelude={0: [text("first")]})),
        (book.steps[1], CellOutputs(body=(None,), prelude={0: [text("second")]})),
    ]
    stitched = stitch(notebook, outputs)
    assert notebook == before
    assert [(c.get("execution_count"), c.get("outputs")) for c in stitched["cells"]] == [
        (1, [text("first")]),
        (None, None),
        (2, [result("1", 2)]),
        (3, []),
        (None, []),
        (None, []),
    ]
    assert [c["source"] for c in stitched["cells"]] == [c["source"] for c in notebook["cells"]]


def test_outputs_of_a_step_whose_cells_were_joined_or_split_stand_at_its_last(book):
    book.step("one", "1", "2", "3")
    outputs = CellOutputs(body=([text("a")], [text("b")]))
    stitched = stitch(book.notebook, [(book.steps[0], outputs)])
    assert [c["outputs"] for c in stitched["cells"]] == [[], [], [text("a"), text("b")]]


def test_widgets_that_were_shown_keep_their_state(book):
    book.step("one", "1")
    notebook = book.notebook
    notebook["metadata"] = {"widgets": {"old": {}}, "kernelspec": {}}
    stitched = stitch(notebook, [(book.steps[0], CellOutputs(body=([],), widgets={"id": {}}))])
    assert stitched["metadata"] == {
        "kernelspec": {},
        "widgets": {
            "application/vnd.jupyter.widget-state+json": {
                "state": {"id": {}},
                "version_major": 2,
                "version_minor": 0,
            }
        },
    }
