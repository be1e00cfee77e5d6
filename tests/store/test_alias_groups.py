import time
from collections import deque
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from nbpipe.store.alias_groups import find_alias_groups
from tests.store.namespaces import run_cells

mpl.use("agg")

copies_on_write = pd.__version__ >= "3" or pd.options.mode.copy_on_write is True


def groups(definitions=(), **values):
    """The groups with more than one variable, as texts."""
    found = find_alias_groups(values, list(values), definitions=frozenset(definitions))
    return [" ".join(group) for group in found.groups if len(group) > 1]


def groups_of(source, *names, definitions=()):
    namespace = run_cells(source)
    found = find_alias_groups(namespace, names, definitions=frozenset(definitions))
    return [" ".join(group) for group in found.groups if len(group) > 1]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = [1]; b = a; c = [1]", ["a b"]),
        ("a = [1]; b = {'k': [a]}; c = 1", ["a b"]),
        ("a = [1]; b = (a,); c = (a,)", ["a b c"]),
        ("t = ([1],); a = t; b = t; c = 1", ["a b"]),
        ("a = (1, 'x'); b = a; c = 'x'", []),
        ("a = 10**20; b = a; c = a", []),
        ("a = [1]; b = [2]; c = [a, b]", ["a b c"]),
        ("a = {1}; b = frozenset(a); c = 1", []),
        ("a = [1]; b = a.append; c = 1", ["a b"]),
        ("a = [1]; b = iter(a); c = 1", ["a b"]),
        ("a = {}; b = a.keys(); c = 1", ["a b"]),
        ("a = bytearray(b'x'); b = a; c = bytearray(b'x')", ["a b"]),
        ("import datetime\na = datetime.datetime(2020, 1, 1); b = a; c = 1", []),
        ("import enum\nE = enum.Enum('E', 'A B')\na = E.A; b = E.A; c = E.B", []),
        ("import math\na = [math]; b = [math]; c = [math.sin]", []),
        ("import logging\na = [logging.getLogger()]; b = [logging.getLogger()]; c = 1", []),
        ("class K: pass\na = K(); b = K(); c = K()", ["a b c"]),
        ("x = [1]\nclass K:\n    kept = x\na = K(); b = x; c = 1", ["a b"]),
        ("def f(x=[1]): return x\na = f; b = f(); c = 1", ["a b"]),
        ("def f():\n    n = [0]\n    return (lambda: n), (lambda: n)\na, b = f(); c = 1", ["a b"]),
        ("import functools\nl = [1]\na = functools.partial(print, l); b = l; c = 1", ["a b"]),
        ("import numpy as np\na = np.arange(9.); b = a[1:]; c = a.copy()", ["a b"]),
        ("import numpy as np\nx = np.arange(9.); a = x[1:5]; b = x[3:]; c = x[6:]", ["a b c"]),
        ("import numpy as np\nx = np.arange(9.); a = x[:4]; b = x[4:]; c = 1", []),
        ("import numpy as np\na = np.arange(9.); b = {'k': a.reshape(3, 3).T}; c = (a,)",
         ["a b c"]),
        ("import numpy as np\nl = [1]; a = np.array([l, 2], dtype=object); b = l; c = 1", ["a b"]),
        ("import numpy as np\na = bytearray(8); b = np.frombuffer(a); c = 1", ["a b"]),
        ("import array, numpy\na = array.array('d', [0]); b = numpy.frombuffer(a)\nc = 1", ["a b"]),
        ("import numpy as np\na = np.random.default_rng(0); b = {'rng': a}; c = 1", ["a b"]),
        ("import pandas as pd\na = pd.DataFrame({'x': [1]}); b = a; c = a.copy()", ["a b"]),
        ("import pandas as pd\na = pd.DataFrame({'x': [1]}); b = a.to_numpy(); c = 1", ["a b"]),
        ("import pandas as pd\na = pd.DataFrame({'x': [1]}); b = a.groupby('x'); c = 1", ["a b"]),
        ("import pandas as pd\na = pd.Index([1]); b = a; c = pd.Series([1], index=a)", ["a b c"]),
        ("import pandas as pd\na = pd.DataFrame({'a': [1]}); b = [a.columns]; c = a.index",
         ["a b c"]),
        ("import pandas as pd\na = pd.Index([1]); b = a.copy(); c = pd.Series([1])", []),
        ("a = [1]; b = slice(a); c = slice(1)", ["a b"]),
        ("import pandas as pd\nl = [1]; a = pd.Series([l, 1]); b = l; c = 1", ["a b"]),
    ],
)  # fmt: skip
def test_variables_that_share_mutable_state_are_one_group(source, expected):
    assert groups_of(source, "a", "b", "c") == expected


def test_frames_share_memory_only_without_copy_on_write():
    frame = pd.DataFrame({"a": np.arange(3.0), "b": np.arange(3.0)})
    expected = [] if copies_on_write else ["frame column rows"]
    assert groups(frame=frame, column=frame["a"], rows=frame.iloc[1:]) == expected


def test_one_index_links_frames_only_where_indexes_are_named():
    a = pd.DataFrame({"x": [1]})
    namespace = {"a": a, "b": pd.DataFrame(index=a.index), "c": [a.index], "d": pd.Series([1])}

    def found(*names, names_indexes):
        return find_alias_groups(
            namespace, names, definitions=frozenset(), names_indexes=names_indexes
        )

    named, unnamed = (found(*"abcd", names_indexes=each) for each in (True, False))
    assert (named.groups, named.share_indexes) == ((("a", "b", "c"), ("d",)), False)
    assert (unnamed.groups, unnamed.share_indexes) == ((("a",), ("b",), ("c",), ("d",)), True)
    assert not found("a", "d", names_indexes=False).share_indexes
    assert {id(index) for index in unnamed.indexes} >= {id(a.index), id(a.columns)}


def test_an_extension_array_belongs_to_its_frame():
    frame = pd.DataFrame({"c": pd.Categorical(["a", "b"]), "s": pd.array(["x", None], "string")})
    held = frame._mgr.blocks[1].values  # noqa: PD011 - of a block
    assert groups(codes=frame["c"].array, frame=frame) == ["codes frame"]
    assert groups(frame=frame, held=held) == ["frame held"]
    assert groups(held=held, frame=frame) == ["held frame"]


def test_shipped_definitions_link_nothing():
    source = "class K: pass\ndef f(): return k\nk = [1]\na = K(); b = K(); c = f; d = f"
    names = ["a", "b", "c", "d"]
    assert groups_of(source, *names, definitions=["K", "f"]) == []
    assert groups_of(source, *names) == ["a b", "c d"]


def test_axes_belong_to_their_figure_and_figures_to_nobody():
    import matplotlib.pyplot as plt

    one, axes = plt.subplots()
    two, _ = plt.subplots()
    axes.plot([1, 2], label="x")
    one.colorbar(axes.imshow([[1, 2], [3, 4]]))
    two.axes[0].imshow([[1, 2], [3, 4]])
    axes.legend()
    one.canvas.draw()
    two.canvas.draw()
    line = axes.lines[0]
    assert groups(one=one, axes=axes, line=line, two=two) == ["one axes line"]
    plt.close("all")


def test_a_model_belongs_to_its_pipeline():
    model = LogisticRegression()
    pipe = make_pipeline(model)
    assert groups(model=model, pipe=pipe, other=LogisticRegression()) == ["model pipe"]


def test_the_namespace_and_the_session_are_found():
    namespace = run_cells("a = {'g': globals()}", "b = [a]", "f = lambda: a", "c = 1")
    found = find_alias_groups(namespace, ["a", "b", "c", "f"], definitions=frozenset())
    assert found.reaching_session == {"a"}  # `b` shares `a`, so it belongs to the same group.
    assert found.groups[0] == ("a", "b")


def test_cycles_end():
    a: list[object] = []
    a.append(a)
    b = SimpleNamespace()
    b.itself = b
    b.queue = deque([a])
    assert groups(a=a, b=b) == ["a b"]


def test_links_say_who_shares_with_whom():
    x, y = [1], [2]
    values = {"a": [x], "b": [x, y], "c": [y]}
    found = find_alias_groups(values, list(values), definitions=frozenset())
    assert found.links == {frozenset("ab"), frozenset("bc")}


def test_large_values_are_walked_in_linear_time():
    frame = pd.DataFrame(np.zeros((2_000_000, 10)))
    small = {str(number): [number] for number in range(20_000)}
    large = {str(number): [number] for number in range(200_000)}

    def seconds(value):
        start = time.process_time()
        groups(value=value, other=value)
        return time.process_time() - start

    assert seconds(frame) < 0.05
    assert seconds(large) < 40 * max(seconds(small), 0.002)
