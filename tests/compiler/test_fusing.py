"""Steps that cannot be told apart run as one."""

from __future__ import annotations

from nbpipe.compiler.fusing import leaders_of
from nbpipe.model.effects import LearnedEffects
from tests.builders import compile_cells


def steps_of(*cells, learned=None):
    pipeline = compile_cells(*cells, learned=learned).pipeline
    assert pipeline is not None
    return {step.name: (step.fused, step.upstream) for step in pipeline.steps}


def unstorable(*cells, step, names):
    pipeline = compile_cells(*cells).pipeline
    return LearnedEffects(unstorable={pipeline.step_by_name[step].own: names})


CONNECTION = (
    "import sqlite3",
    "%%step connect\nconn = sqlite3.connect(':memory:')\nrows = 3",
    "%%step aside\nprint(rows)",
    "%%step fill\nn = conn.execute('select 1').fetchone()",
    "%%step report\nprint(n, rows)",
)


def test_readers_of_what_cannot_be_stored_run_as_one_with_its_maker():
    assert steps_of(*CONNECTION) == {
        "connect": ((), ()),
        "aside": ((), ("connect",)),
        "fill": ((), ("connect",)),
        "report": ((), ("fill", "connect")),
    }
    learned = unstorable(*CONNECTION, step="connect", names=("conn",))
    assert steps_of(*CONNECTION, learned=learned) == {
        "connect": (("fill",), ()),
        "aside": ((), ("connect",)),
        "report": ((), ("connect",)),
    }
    (finding,) = compile_cells(*CONNECTION, learned=learned).diagnostics
    assert (finding.code, finding.span.cell_number) == ("NBP223", 4)


def test_what_runs_between_them_belongs_to_them():
    cells = (
        "%%step a\ng = iter([1, 2])\nx = 1",
        "%%step b\ny = x + 1",
        "%%step c\nprint(next(g), y)",
        "%%step d\nz = x",
    )
    learned = unstorable(*cells, step="a", names=("g",))
    assert steps_of(*cells, learned=learned) == {"a": (("b", "c"), ()), "d": ((), ("a",))}


def test_what_is_known_of_parts_is_known_of_the_whole():
    cells = ("%%step a\ng = iter([1])\nx = [1]", "%%step b\nnext(g)\nx", "%%step c\nprint(x)")
    before = compile_cells(*cells).pipeline.step_by_name
    learned = LearnedEffects(
        unstorable={before["a"].own: ("g",)}, changes={before["b"].own: ("x",)}
    )
    pipeline = compile_cells(*cells, learned=learned).pipeline
    assert [step.name for step in pipeline.steps] == ["a", "c"]
    assert [i.upstream for i in pipeline.step_by_name["c"].inputs] == ["a"]


def test_options_of_the_whole_are_those_of_its_parts():
    cells = (
        "%%step first\nrows = 1",
        "%%step a --retries 2 --timeout 10s --memory 1G --out x\ng = iter([1])\nx = 1",
        "%%step b --retries 3 --timeout 20s --no-cache --after first a\nnext(g)",
        "%%step c --after b\nprint(1)",
    )
    learned = unstorable(*cells, step="a", names=("g",))
    pipeline = compile_cells(*cells, learned=learned).pipeline
    whole = pipeline.step_by_name["a"]
    assert (whole.retry.retries, whole.timeout_seconds, whole.cache) == (3, 30, False)
    assert whole.resources.memory_bytes == 1 << 30
    assert (whole.after, [o.variable for o in whole.outputs if o.required]) == (("first",), ["x"])
    assert pipeline.step_by_name["c"].after == ("a",)
    assert pipeline.whole_of("b") == "a"


def test_a_definition_that_keeps_state_holds_its_users_together():
    cells = (
        "class Node:\n    made = 0\n    def __init__(self):\n        Node.made += 1",
        "%%step a\nx = Node()",
        "%%step b\nprint(1)",
        "%%step c\ny = Node()",
    )
    assert steps_of(*cells) == {"a": (("c",), ()), "b": ((), ())}


def test_a_step_may_not_hide_other_errors_by_being_fused():
    compilation = compile_cells(
        "%%step a --retries 1\nx = [1]\ny = 2",
        "%%step b\nx.append(y)",
        "%%step a --retries 2\nx.append(3)\nprint(undefined)",
        "%%step b\nprint(x)",
    )
    assert compilation.pipeline is None
    assert {d.code for d in compilation.errors} == {"NBP112", "NBP201"}


def test_groups_that_touch_become_one():
    order = ["a", "b", "c", "d", "e"]
    upstream = {"b": ["a"], "c": ["b"], "d": ["c"], "e": []}
    groups = [frozenset({"c", "d"}), frozenset({"a", "c"}), frozenset({"e"})]
    assert leaders_of(groups, upstream, order) == dict.fromkeys("abcd", "a")
