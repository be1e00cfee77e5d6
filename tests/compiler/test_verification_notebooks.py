"""The plain notebook and the comparison notebook, as texts."""

from __future__ import annotations

from nbpipe.compiler.verification_notebooks import (
    ComparisonPart,
    comparison_notebook,
    plain_notebook,
)
from tests.builders import parsed, pipeline_of

OURS = "__import__('nbpipe.kernel.verifying', fromlist=['begin'])"


def plain(*cells, parameters=None):
    notebook = plain_notebook(parsed(*cells), pipeline_of(*cells), parameters or {})
    assert all(
        bool(cell["metadata"]["nbpipe"].get("unseen")) != ("cell" in cell["metadata"]["nbpipe"])
        for cell in notebook["cells"]
    )
    return [cell["source"] for cell in notebook["cells"]]


def test_the_plain_notebook_has_tagged_and_setup_cells_and_a_snapshot_after_each_step():
    cells = (
        "%load_ext nbpipe",
        "import math\ndef unused():\n    pass",
        "#| params\nn = 1",
        "#| step: a\nx = n",
        "x",
        "%%step b\n%%time\ny = x",
        "#| skip\ny = 5",
        "#| step: a\nz = x",
        "#| prelude\nprint('set')",
    )
    assert plain(*cells) == [
        f"{OURS}.begin()",
        "import math\ndef unused():\n    pass",
        "#| params\nn = 1",
        "#| step: a\nx = n",
        "%%time\ny = x",
        f"{OURS}.snapshot('b')",
        "#| step: a\nz = x",
        f"{OURS}.snapshot('a')",
        "#| prelude\nprint('set')",
    ]


def test_parameters_are_set_below_their_cell():
    cells = ("#| params\nn = 1\ns = 'a'", "#| step: a\nx = (n, s)")
    assert plain(*cells, parameters={"s": "it's"})[1:3] == [cells[0], 's = "it\'s"']


def test_of_an_untagged_cell_that_computes_only_what_steps_take_runs():
    cells = (
        "import math\nx = math.sqrt(2)\ndef f():\n    return 1\nprint(x)",
        "#| step: a\ny = f()",
    )
    assert plain(*cells)[1] == "def f():\n    return 1"


def test_installations_do_not_run_and_statements_on_one_line_do():
    cells = (
        "#| prelude\n!pip install nothing\nimport os; import re\nn = len(os.sep)",
        "#| step: a\nx = os.sep",
        "#| step: b\ny = re.escape('a') * n",
    )
    assert plain(*cells)[1] == "import os; import re\nn = len(os.sep)"


def test_the_comparison_notebook_defines_what_values_of_a_step_refer_to():
    cells = (
        "class Far:\n    pass",
        "#| step: a\nclass Near:\n    pass\nx = Near()\nn = 1",
        "#| step: b\ny = Far()",
        "#| step: c\nprint(x, y, n)",
    )
    parts = [
        ComparisonPart(step="a", variables=("x",), first=0, last=1),
        ComparisonPart(step="b", variables=("y", "@random"), first=1, last=3),
    ]
    notebook = comparison_notebook(parsed(*cells), pipeline_of(*cells), parts, learned={})
    assert [cell["source"].strip() for cell in notebook["cells"]] == [
        f"{OURS}.begin()",
        "class Near:\n    pass",
        f"{OURS}.compare(0, 1)",
        "class Far:\n    pass",
        f"{OURS}.compare(1, 3)",
    ]
    assert [cell["source"] for cell in notebook["cells"]] == [
        cell["source"]
        for cell in comparison_notebook(parsed(*cells), pipeline_of(*cells), parts, learned={})[
            "cells"
        ]
    ]
