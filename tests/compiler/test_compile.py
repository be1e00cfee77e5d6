"""Laws of the compiler: what may not change a digest, what must, and that nothing makes it raise."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbpipe.compiler.bundle import bundle_files
from nbpipe.compiler.compile import compile_notebook
from nbpipe.compiler.step_notebook import step_notebook
from nbpipe.model.effects import FileEffects, LearnedEffects
from nbpipe.model.names import StepName, Variable
from nbpipe.model.pipeline import Fragment, Load
from nbpipe.notebook.parse import parse_notebook
from nbpipe.wire.manifest import read_manifest
from tests.builders import compile_cells, notebook_json, pipeline_of
from tests.dataflow.test_analyze import STATEMENTS

CELLS = (
    "import math\nRATE = 3\n\ndef area(r):\n    return math.pi * r * RATE",
    "%%params\nradius = 2.0",
    "%%step measure\na = area(radius)",
    "%%step report\nprint(a)",
)


def codes(*cells: str, **options: object) -> dict[str, str]:
    return {s.name: s.code for s in pipeline_of(*cells, **options).steps}


def test_comments_formatting_and_ids_do_not_count() -> None:
    edited = (
        "import math  # numbers\n\n\nRATE=3\ndef area( r ):\n    # circle\n    return (math.pi * r * RATE)",
        "%%params\nradius = 2.0  # metres",
        "%%step measure\n# first\na = area( radius )",
        "%%step report\nprint(\n    a\n)",
    )
    assert codes(*CELLS) == codes(*edited)


def test_a_moved_cell_and_a_renamed_step_do_not_count() -> None:
    moved = (CELLS[1], "# markdown\nA note", CELLS[0], CELLS[2], CELLS[3])
    assert codes(*CELLS) == codes(*moved)
    renamed = (*CELLS[:2], "%%step gauge --retries 3\na = area(radius)", CELLS[3])
    assert codes(*CELLS)["measure"] == codes(*renamed)["gauge"]
    assert codes(*CELLS)["report"] == codes(*renamed)["report"]


@pytest.mark.parametrize(
    "cell",
    [
        "import math\nRATE = 4\n\ndef area(r):\n    return math.pi * r * RATE",
        "import math\nRATE = 3\n\ndef area(r):\n    return math.pi * r * r * RATE",
        "import math\nimport cmath as math\nRATE = 3\n\ndef area(r):\n    return math.pi * r * RATE",
    ],
)
def test_what_a_step_uses_counts_and_only_for_that_step(cell: str) -> None:
    before, after = codes(*CELLS), codes(cell, *CELLS[1:])
    assert before["measure"] != after["measure"]
    assert before["report"] == after["report"]


def test_unused_definitions_do_not_count() -> None:
    more = (CELLS[0] + "\n\ndef unused():\n    return 1", *CELLS[1:])
    assert codes(*CELLS) == codes(*more)


def test_a_semicolon_that_hides_an_output_counts() -> None:
    assert codes("%%step a\nx = 1\nx")["a"] != codes("%%step a\nx = 1\nx;")["a"]
    assert codes("%%step a\nx = 1\nx")["a"] == codes("%%step a\nx = 1\nx  # not; really")["a"]


def test_cell_borders_count_because_each_cell_displays() -> None:
    one = codes("%%step a\nx = 1\nx", "%%step a\nx")
    other = codes("%%step a\nx = 1", "%%step a\nx\nx")
    assert one["a"] != other["a"]


def test_swapping_independent_cells_changes_only_their_order() -> None:
    cells = ("%%step a\nx = 1", "%%step b\ny = 2", "%%step c\nz = len('c')")
    reference = codes(*cells)
    for order in permutations(cells):
        pipeline = pipeline_of(*order)
        assert {s.name: s.code for s in pipeline.steps} == reference
        assert [s.name for s in pipeline.steps] == [cell[7] for cell in order]


def test_learned_effects_become_edges() -> None:
    cells = ("%%step a\nrows = [1]", "%%step b\nlibrary(rows)", "%%step c\nprint(rows)")
    cells = ("from lib import library", *cells)
    plain = pipeline_of(*cells)
    assert {(e.upstream, e.downstream) for e in plain.edges} == {("a", "b"), ("a", "c")}
    learned = LearnedEffects(changes={plain.step_by_name["b"].own: (Variable("rows"),)})
    pipeline = pipeline_of(*cells, learned=learned)
    assert {(e.upstream, e.downstream) for e in pipeline.edges} == {("a", "b"), ("b", "c")}


def test_files_that_runs_saw_steps_share_become_edges() -> None:
    cells = (
        "from lib import put, get",
        "%%step write\nput('a' + 'b')",
        "%%step read\nn = get('a' + 'b')",
        "%%step use\nprint(n, get('a'))",
    )
    own = {step.name: step.own for step in pipeline_of(*cells).steps}
    learned = LearnedEffects(
        files={
            own[StepName("write")]: FileEffects(writes=("ab",)),
            own[StepName("read")]: FileEffects(reads=("ab",)),
            own[StepName("use")]: FileEffects(writes=("ab",)),
        }
    )
    pipeline = pipeline_of(*cells, learned=learned)
    # `use` comes after `read` anyway, which gives it a variable.
    assert [(s.name, s.after) for s in pipeline.steps] == [
        ("write", ()),
        ("read", ("write",)),
        ("use", ("write",)),
    ]


def test_a_redefinition_stands_behind_the_values_made_before_it() -> None:
    pipeline = pipeline_of(
        "%%step a\nclass Shape:\n    sides = 3\ns = Shape()",
        "%%step b\nclass Shape:\n    sides = 4\nt = Shape()",
        "%%step c\ns.sides, t.sides, Shape",
    )
    kinds = [
        part.source.split("\n")[-1].strip()
        if isinstance(part, Fragment)
        else part.inputs[0].variable
        for part in pipeline.step_by_name["c"].setup
    ]
    assert kinds == ["sides = 3", "s", "sides = 4", "t"]


def test_inputs_older_than_a_star_import_are_loaded_before_it() -> None:
    pipeline = pipeline_of(
        "%%step a\npi = len('abc')", "%%step b\nfrom math import *\nx = 1", "%%step c\nprint(pi, x)"
    )
    parts = pipeline.step_by_name["c"].setup
    shown = [p.source if isinstance(p, Fragment) else [i.variable for i in p.inputs] for p in parts]
    assert shown == [["pi"], "from math import *", ["x"]]


def test_setup_between_the_cells_of_a_step_runs_between_them() -> None:
    pipeline = pipeline_of("%%step a\nx = 1", "LIMIT = 5", "%%step a\nprint(x, LIMIT)")
    (step,) = pipeline.steps
    assert [(part.kind.value, part.cell_number) for part in step.body] == [
        ("body", 1),
        ("prelude", 2),
        ("body", 3),
    ]


def test_the_lines_of_a_fragment_are_those_of_the_notebook() -> None:
    pipeline = pipeline_of(
        "import os\n\n\nA = 1\n\ndef f():\n    return A", "%%step s\nx = f()\n1 / 0"
    )
    (step,) = pipeline.steps
    (prelude, _load) = step.setup
    assert isinstance(prelude, Fragment)
    by_line = dict(zip(prelude.source.split("\n"), prelude.lines, strict=True))
    assert (by_line["A = 1"], by_line["    return A"]) == (4, 7)
    assert dict(zip(step.body[0].source.split("\n"), step.body[0].lines, strict=True))["1 / 0"] == 3


def test_a_manifest_reads_back_as_the_pipeline() -> None:
    pipeline = pipeline_of(*CELLS, "%%step c --retries 2 --memory 1G\nb = a")
    files = bundle_files(pipeline, notebook_json(*CELLS), compiler="0")
    assert read_manifest(files["pipeline.json"], where="pipeline.json") == pipeline


def test_step_notebooks_are_valid_notebooks() -> None:
    import nbformat

    for step in pipeline_of(*CELLS).steps:
        nbformat.validate(nbformat.from_dict(step_notebook(pipeline_of(*CELLS), step)))


BUNDLE = """
import json, sys
from nbpipe.compiler.bundle import bundle_files
from tests.builders import notebook_json, pipeline_of
cells = json.loads(sys.argv[1])
files = bundle_files(pipeline_of(*cells), notebook_json(*cells), compiler="0")
print(json.dumps(files))
"""


def test_a_bundle_has_the_same_bytes_under_every_hash_seed() -> None:
    cells = [
        "import os, sys, json\nfrom math import pi, tau\nA, B = 1, 2\ndef f(x): return A + B + x",
        "%%step one --out q w e\nq, w, e = f(1), {1, 2}, sys\na, b, c, d = 1, 2, 3, 4",
        "%%step two\nz = [a, b, c, d]\nz.append(q)\nexec(input())",
        "%%step three\nprint(a, b, c, d, z, w, f)",
    ]
    found = set()
    for seed in ("0", "1", "42"):
        done = subprocess.run(
            [sys.executable, "-c", BUNDLE, json.dumps(cells)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(hashlib.sha256(done.stdout.encode()).hexdigest())
    assert len(found) == 1


TAGS = st.sampled_from(
    ["%%step a\n", "%%step b\n", "%%step c\n", "%%step a --out q\n", "", "", "%%prelude\n", "%%skip\n",
     "%%params\n", "%%step\n", "%%step ../x\n", "#| step: d\n"]
)  # fmt: skip


@settings(max_examples=250)
@given(st.lists(st.tuples(TAGS, STATEMENTS).map("".join), min_size=1, max_size=7))
def test_no_notebook_makes_the_compiler_raise(cells: list[str]) -> None:
    compilation = compile_cells(*cells)
    assert compilation.pipeline is not None or compilation.errors
    if compilation.pipeline is None:
        return
    # Every input is made upstream, and every load is an input.
    by_name = compilation.pipeline.step_by_name
    for step in compilation.pipeline.steps:
        for taken in step.inputs:
            assert taken.variable in {o.variable for o in by_name[taken.upstream].outputs}
        loaded = [i for part in step.setup if isinstance(part, Load) for i in part.inputs]
        assert sorted(loaded, key=lambda i: i.variable) == list(step.inputs)


def test_a_cell_that_may_raise_says_so_in_the_step_notebook() -> None:
    content = notebook_json("%%step a\n1 / 0", "%%step a\nx = 1")
    content["cells"][0]["metadata"]["tags"] = ["raises-exception"]
    notebook, _ = parse_notebook(content, name="n")
    pipeline = compile_notebook(notebook).pipeline
    assert pipeline is not None
    cells = step_notebook(pipeline, pipeline.steps[0])["cells"]
    assert isinstance(cells, list)
    tags = {cell["source"].split("\n")[-1]: cell["metadata"]["tags"] for cell in cells}
    assert tags["1 / 0"] == ["nbpipe-body", "raises-exception"]
    assert tags["x = 1"] == ["nbpipe-body"]


def test_infinite_defaults_are_valid_python() -> None:
    pipeline = pipeline_of("%%params\nlimit = 1e999\nlimits = [-1e999]", "%%step a\nlimit, limits")
    cells = step_notebook(pipeline, pipeline.steps[0])["cells"]
    assert isinstance(cells, list)
    assert cells[0]["source"] == "limit = float('inf')\nlimits = [float('-inf')]"
