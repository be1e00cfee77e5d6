"""The analysis of one cell: tables of what it reads, binds and changes, and laws over all code."""

from __future__ import annotations

import ast
import symtable
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbpipe.dataflow.analyze import analyze
from nbpipe.dataflow.normal import normal_form
from nbpipe.model.flow import Bind, Mutate, StatementKind, Use


def facts(source: str) -> tuple[set[str], set[str], set[str]]:
    """What a cell reads, binds and changes."""
    flow = analyze(source)
    assert not flow.troubles, flow.troubles
    events = [event for statement in flow.statements for event in statement.events]
    return (
        {e.name for e in events if isinstance(e, Use)},
        {e.name for e in events if isinstance(e, Bind)},
        {e.name for e in events if isinstance(e, Mutate)},
    )


@pytest.mark.parametrize(
    ("source", "reads", "binds", "changes"),
    [
        ("x = y", "y", "x", ""),
        ("x += y", "x y", "", "x"),
        ("del x", "x", "", ""),
        ("x[i] = y", "x i y", "", "x"),
        ("x.a.b = 1", "x", "", "x"),
        ("del x[0]", "x", "", "x"),
        ("del x.a", "x", "", "x"),
        ("a, *b = c", "c", "a b", ""),
        ("with open(p) as f: pass", "open p", "f", ""),
        ("import a.b, c as d", "", "a d", ""),
        ("from m import n as o, p", "", "o p", ""),
        ("for i in r: pass", "r", "i", ""),
        ("[i for i in r if i > k]", "r k", "", ""),
        ("{k: v for k, v in d.items()}", "d", "", ""),
        ("(lambda a, b=c: a + d)(1)", "c d", "", ""),
        ("if (n := f(x)): pass", "f x", "n", ""),
        ("[(last := i) for i in r]", "r", "last", ""),
        ("try: a\nexcept E as e: print(e)", "a E print e", "e", ""),
        ("match p:\n case {'k': v, **rest}: pass\n case [a, *b]: pass", "p", "v rest a b", ""),
        ("x: int = 1", "int", "x", ""),
        ("x.append(y)", "x y", "", "x"),
        ("x.y.append(z)", "x z", "", "x"),
        ("df.sort_values('a', inplace=True)", "df", "", "df"),
        ("df.sort_values('a', inplace=flag)", "df flag", "", "df"),
        ("y = df.sort_values('a', inplace=False)", "df", "y", ""),
        ("np.add(a, b, out=c)", "np a b c", "", "c np"),
        ("random.shuffle(deck)", "random deck", "", "deck"),
        ("heapq.heappush(h, 1)", "heapq h", "", "h"),
        ("setattr(o, 'a', 1)", "setattr o", "", "o"),
        ("t.add_(1)", "t", "", "t"),
        ("a = b = []", "", "a b", ""),
        ("class A(B):\n x = y\n def f(self): return z", "B y", "A", ""),
        ("@dec(a)\ndef f(x, y=b) -> c: return d", "dec a b c", "f", ""),
        ("async def f(): await g()", "", "f", ""),
        ("await f(x)", "f x", "", ""),
        ("print(f'{x!r:>{w}}')", "print x w", "", ""),
        ("global x\nx = 1", "", "x", ""),
        ("%time x = f(y)", "f y", "x", ""),
        ("%timeit -n 3 f(y)", "f y", "", ""),
        ("%timeit q = f(y)", "f y", "", ""),
        ("%%time\nx = f(y)", "f y", "x", ""),
        ("%%capture out\nx = f(y)", "f y", "out x", ""),
        ("%%timeit s = f(a)\ng(s)", "f a g", "", ""),
        ("%prun f(y)", "f y", "", ""),
        ("files = !ls {d} $e", "d e", "files", ""),
        ("!echo hi", "", "", ""),
        ("x?", "x", "", ""),
        ("%%bash --out text\necho hi", "", "text", ""),
        ("%%writefile {path}\nx = 1", "path", "", ""),
        ("%matplotlib inline", "", "", ""),
        ("eval('a + b')", "a b", "", ""),
        ("exec('a = b')", "b", "a", ""),
        ("if 'x' not in globals(): x = 1", "x", "x", ""),
        ("globals()['x'] = y", "y", "x", ""),
        ("print(x)\n\n\n", "print x", "", ""),
    ],
)
def test_what_a_cell_reads_binds_and_changes(
    source: str, reads: str, binds: str, changes: str
) -> None:
    assert facts(source) == (set(reads.split()), set(binds.split()), set(changes.split()))


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("import a", StatementKind.IMPORT),
        ("try:\n import a\nexcept ImportError:\n a = None", StatementKind.IMPORT),
        ("def f(): pass", StatementKind.DEFINITION),
        ("f = lambda x: x", StatementKind.DEFINITION),
        ("class A: pass", StatementKind.DEFINITION),
        ("X = 1", StatementKind.CONSTANT),
        ("X, Y = 'a', ['b', -1]", StatementKind.CONSTANT),
        ("P = Path('data') / 'x.csv'", StatementKind.CONSTANT),
        ("X: int = 60 * 60", StatementKind.CONSTANT),
        ("X = f()", StatementKind.OTHER),
        ("X = d['a']", StatementKind.CONSTANT),
        ("o.x = 1", StatementKind.OTHER),
        ("rng = np.random.default_rng(42)", StatementKind.GENERATOR),
        ("rng = np.random.default_rng()", StatementKind.OTHER),
        ("'text'", StatementKind.TEXT),
        ("pass", StatementKind.NOTHING),
        ("!pip install x", StatementKind.NOTHING),
        ("%pip install x", StatementKind.NOTHING),
        ("%load_ext nbpipe", StatementKind.NOTHING),
        ("%pipeline flights", StatementKind.NOTHING),
        ("print(1)", StatementKind.OTHER),
        ("X = await f()", StatementKind.OTHER),
    ],
)
def test_what_a_statement_is_good_for(source: str, kind: StatementKind) -> None:
    assert [statement.kind for statement in analyze(source).statements] == [kind]


@pytest.mark.parametrize(
    "source",
    [
        "x = (1,",
        "return 1",
        "def f(:",
        "x = 1\n  y = 2",
        "\0",
        "def f(a, a): pass",
        "*x",
        "%%time\n((",
    ],
)
def test_code_that_python_refuses_is_a_trouble_with_its_line(source: str) -> None:
    (trouble,) = analyze(source).troubles
    assert trouble.code == "NBP120"
    assert trouble.line >= 1


def test_lines_are_those_of_the_cell_even_below_blank_tag_lines() -> None:
    flow = analyze("\n\n%matplotlib inline\nx = y")
    assert [statement.line for statement in flow.statements] == [3, 4]


NAMES = st.sampled_from(["a", "b", "c", "df", "f"])
EXPRESSIONS = st.recursive(
    NAMES | st.sampled_from(["1", "'k'", "[]", "{}"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda p: f"({p[0]} + {p[1]})"),
        st.tuples(NAMES, inner).map(lambda p: f"{p[0]}({p[1]})"),
        st.tuples(inner, inner).map(lambda p: f"{p[0]}[{p[1]}]"),
        inner.map(lambda e: f"{e}.x"),
        st.tuples(NAMES, inner, inner).map(lambda p: f"[{p[1]} for {p[0]} in {p[2]}]"),
        st.tuples(NAMES, inner).map(lambda p: f"(lambda {p[0]}: {p[1]})"),
        st.tuples(NAMES, inner).map(lambda p: f"({p[0]} := {p[1]})"),
    ),
    max_leaves=8,
)
STATEMENTS = st.recursive(
    st.one_of(
        EXPRESSIONS,
        st.tuples(NAMES, EXPRESSIONS).map(" = ".join),
        st.tuples(NAMES, EXPRESSIONS).map(" += ".join),
        NAMES.map("del {}".format),
        NAMES.map("import {}".format),
    ),
    lambda inner: st.one_of(
        st.tuples(EXPRESSIONS, inner).map(lambda p: f"if {p[0]}:\n{indented(p[1])}"),
        st.tuples(NAMES, inner).map(lambda p: f"for {p[0]} in b:\n{indented(p[1])}"),
        st.tuples(NAMES, NAMES, inner).map(lambda p: f"def {p[0]}({p[1]}):\n{indented(p[2])}"),
        st.tuples(NAMES, inner).map(lambda p: f"class {p[0]}:\n{indented(p[1])}"),
        inner.map(lambda s: f"try:\n{indented(s)}\nexcept NameError:\n{indented(s)}"),
        inner.map(lambda s: f"with a as c:\n{indented(s)}"),
    ),
    max_leaves=4,
)


def indented(text: str) -> str:
    return "\n".join("    " + line for line in text.split("\n"))


@settings(max_examples=300)
@given(st.lists(STATEMENTS, min_size=1, max_size=3).map("\n".join))
def test_reads_and_binds_agree_with_the_compiler_of_python(source: str) -> None:
    """Every global that CPython's own tables see is an event of ours, and the other way round."""
    try:
        table = symtable.symtable(source, "<cell>", "exec")
        compile(source, "<cell>", "exec")
    except SyntaxError:
        return
    read, bound = set(), set()

    def look(scope: symtable.SymbolTable) -> None:
        for symbol in scope.get_symbols():
            at_top = scope is table
            if at_top or symbol.is_global():
                read.update([symbol.get_name()] * symbol.is_referenced())
                bound.update([symbol.get_name()] * symbol.is_assigned())
        for child in scope.get_children():
            look(child)

    look(table)
    # From Python 3.12 on, the tables count loop variables of comprehensions to what is around.
    loops = {
        part.id
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.comprehension) and sys.version_info >= (3, 12)
        for part in ast.walk(node.target)
        if isinstance(part, ast.Name)
    }
    read, bound = read - loops, bound - loops
    flow = analyze(source)
    events = _every_event([e for s in flow.statements for e in s.events])
    ours_read = {e.name for e in events if isinstance(e, Use)}
    ours_bound = {e.name for e in events if isinstance(e, Bind | Mutate) and "<" not in e.name}
    assert read <= ours_read
    # `x += 1` and `del x` read x too, which the tables do not say; a mutation binds nothing.
    assert bound - {e.name for e in events if type(e).__name__ == "Delete"} <= ours_bound


def _every_event(events: list[object]) -> list[object]:
    found: list[object] = []
    for event in events:
        found.append(event)
        flow = getattr(event, "flow", None)
        for body in getattr(flow, "methods", {}).values() or ([flow] if flow else []):
            found += _every_event(list(getattr(body, "events", ())))
    return found


@given(st.text(alphabet=st.sampled_from("xdf=()[]{}:.,'\"\\\n \t%!?#|@+*0ieéß\x00"), max_size=40))
def test_any_text_is_survived(source: str) -> None:
    analyze(source)


@given(st.lists(STATEMENTS, min_size=1, max_size=2).map("\n".join))
def test_the_normal_form_ignores_formatting_and_comments(source: str) -> None:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    commented = "\n".join(line + "  # why" for line in source.split("\n"))
    assert normal_form(ast.parse(commented)) == normal_form(tree)
    assert normal_form(ast.parse(ast.unparse(tree))) == normal_form(tree)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 1.0"),
        ("x = '1'", "x = 1"),
        ("x = True", "x = 1"),
        ("f(a)", "f(*a)"),
        ("x = b''", "x = ''"),
    ],
)
def test_the_normal_form_tells_different_code_apart(one: str, other: str) -> None:
    assert normal_form(ast.parse(one)) != normal_form(ast.parse(other))
