"""What the command line refuses, before any kernel starts: exit code 2 and what to do about it."""

from __future__ import annotations

import json

import pytest

CELLS = (
    """#| params
alpha = 0.1
n = 3
flag = True
name = 'x'
items = [1, 2]
facts = {'a': 1}
nothing = None""",
    "#| step: make\nx = [n] * 3",
    "#| step: use\ny = sum(x) * alpha\nprint(y, flag, name, items, facts, nothing)",
    "#| step: last\nprint(y)",
)
R_KERNEL = {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}}
VERSION_3 = {
    "nbformat": 3,
    "nbformat_minor": 0,
    "metadata": {"name": ""},
    "worksheets": [
        {
            "metadata": {},
            "cells": [
                {
                    "cell_type": "code",
                    "collapsed": False,
                    "input": ["#| step: a\n", "x = 1"],
                    "language": "python",
                    "metadata": {},
                    "outputs": [],
                    "prompt_number": 1,
                }
            ],
        }
    ],
}


@pytest.fixture
def book(shell):
    return shell.write("book.ipynb", *CELLS)


def refused(outcome, *said: str):
    """A refusal says why and what to do, once, and nothing on stdout."""
    assert outcome.code == 2, outcome
    for text in said:
        assert text in outcome.err
    lines = [line.strip() for line in outcome.err.splitlines() if line.strip()]
    assert len(set(lines)) == len(lines), "said twice"
    return True


# ---- notebooks ----------------------------------------------------------------------------------

COMMANDS = [
    ("run",),
    ("run", "--json"),
    ("compile",),
    ("compile", "--check"),
    ("status",),
    ("why", "a"),
    ("step", "a", "--run-id", "r", "--bundle"),
    ("export", "--to", "script"),
]
FILES = {
    "empty": ("", "NBP101", "the file is empty"),
    "blank": (" \n\n", "NBP101", "the file is empty"),
    "text": ("hello", "NBP101", "it is not JSON"),
    "list": ("[1]", "NBP101", "its JSON is not an object"),
    "no-cells": ('{"nbformat": 4, "metadata": {}}', "NBP101", "no list of cells"),
    "no-format": ('{"cells": []}', "NBP102", "has no format number"),
    "too-new": ('{"nbformat": 9, "cells": []}', "NBP102", "has format 9"),
    "bad-3": ('{"nbformat": 3, "worksheets": 7}', "NBP102", "cannot be converted"),
    "deep": ("[" * 100_000, "NBP101", "nested too deeply"),
    "cut": (json.dumps({"nbformat": 4, "cells": [{"source": "x" * 99}]})[:60], "NBP101", "cut off"),
}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(("content", "code", "why"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_notebook(nbpipe, shell, command, content, code, why):
    (shell.directory / "bad.ipynb").write_text(content)
    outcome = nbpipe(*command, "bad.ipynb")
    assert refused(outcome, code, why)
    assert "bad.ipynb" in outcome.err
    if outcome.out:
        assert outcome.summary["state"] == "refused"
        assert outcome.summary["diagnostics"][0]["code"] == code
    assert not (shell.directory / ".nbpipe").exists()


def test_bytes_that_are_no_text(nbpipe, shell):
    (shell.directory / "bad.ipynb").write_bytes(bytes(range(256)))
    assert refused(nbpipe("run", "bad.ipynb"), "NBP101", "not UTF-8 text (byte 128)")
    assert refused(nbpipe("tag", "bad.ipynb"), "NBP101", "not UTF-8 text (byte 128)")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_file_that_is_not_there_names_near_misses(nbpipe, book, command):
    outcome = nbpipe(*command, "boko.ipynb")
    assert refused(outcome, "No file 'boko.ipynb'.", "Did you mean 'book.ipynb'?")
    assert refused(nbpipe(*command, "other.ipynb"), "Known: book.ipynb.")
    assert refused(nbpipe(*command, "no/other.ipynb"), "There is no directory no.")


def test_a_file_where_there_are_no_notebooks(nbpipe):
    assert refused(nbpipe("run", "book.ipynb"), "There is no file book.ipynb.")
    assert refused(nbpipe("tag", "book.ipynb"), "There is no file book.ipynb.")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_directory_that_is_no_bundle(nbpipe, shell, command):
    (shell.directory / "folder").mkdir()
    assert refused(nbpipe(*command, "folder"), "folder is a directory without pipeline.json")


def test_a_directory_cannot_be_tagged(nbpipe, shell):
    (shell.directory / "folder").mkdir()
    assert refused(nbpipe("tag", "folder"), "folder cannot be read: Is a directory.")


NOTEBOOKS = {
    "no steps": (("x = 1",), "NBP104", "no cell of this notebook is tagged as a step"),
    "no cells": ((), "NBP104", "no cell of this notebook is tagged as a step"),
    "syntax": (("#| step: a\nx = (1",), "NBP120", "'(' was never closed"),
    "two pipelines": (
        ("%pipeline one", "#| step: a\nx = 1", "%pipeline two"),
        "NBP113",
        "one notebook makes one pipeline, and this one names two: 'one' and 'two'",
    ),
    "up": (("#| step: ../x\nx = 1",), "NBP111", "'../x' cannot name a step"),
    "absolute": (("#| step: /tmp/x\nx = 1",), "NBP111", "'/tmp/x' cannot name a step"),
    "device": (("#| step: con\nx = 1",), "NBP111", "operating systems keep this name"),
    "device 2": (("%%step LPT1\nx = 1",), "NBP111", "operating systems keep this name"),
    "long": (("#| step: " + "a" * 300 + "\nx = 1",), "NBP111", "it has 300 characters"),
    "emoji": (("#| step: 🚀\nx = 1",), "NBP111", "'🚀' cannot name a step"),
    "dash": (("#| step: -p\nx = 1",), "NBP1", "-p"),
    "null": (("#| step: a\0b\nx = 1",), "NBP111", "cannot name a step"),
    "pipeline up": (("%pipeline ../../x", "#| step: a\nx = 1"), "NBP111", "cannot name a pipeline"),
    "undefined": (("#| step: a\nprint(nowhere)",), "NBP201", "'nowhere' has no value here"),
}


@pytest.mark.parametrize("command", [c for c in COMMANDS if c[0] != "export"], ids=" ".join)
@pytest.mark.parametrize(("cells", "code", "why"), NOTEBOOKS.values(), ids=NOTEBOOKS)
def test_a_notebook_that_cannot_be_compiled(nbpipe, shell, command, cells, code, why):
    shell.write("bad.ipynb", *cells)
    outcome = nbpipe(*command, "bad.ipynb")
    assert refused(outcome, code, why, "bad.ipynb cannot be compiled: 1 error.")
    if "--json" in command:
        assert outcome.summary["diagnostics"][0]["code"].startswith(code)
    assert sorted(p.name for p in shell.directory.iterdir()) == ["bad.ipynb"]


def test_a_notebook_in_another_language(nbpipe, shell):
    shell.write("r.ipynb", "#| step: a\nx <- 1", metadata=R_KERNEL)
    assert refused(nbpipe("run", "r.ipynb"), "NBP103", "the notebook's language is R")


def test_an_old_format_is_converted_but_not_tagged(nbpipe, shell):
    path = shell.directory / "old.ipynb"
    path.write_text(json.dumps(VERSION_3))
    assert nbpipe("compile", "old.ipynb").code == 0
    VERSION_3["worksheets"][0]["cells"][0]["input"] = ["x = [1]"]
    path.write_text(json.dumps(VERSION_3))
    before = path.read_bytes()
    assert refused(nbpipe("tag", "old.ipynb", "--by", "cell"), "old notebook format")
    assert path.read_bytes() == before


def test_compile_says_the_diagnostics_in_json_too(nbpipe, shell):
    shell.write("bad.ipynb", "#| step: ../x\nx = 1")
    outcome = nbpipe("compile", "bad.ipynb", "--json")
    [facts] = outcome.lines
    assert (outcome.code, facts["state"], facts["bundle"]) == (2, "refused", None)
    assert facts["diagnostics"][0]["code"] == "NBP111"


# ---- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "There is no command 'rnu'. Did you mean 'run'?"),
        (["run"], "Missing argument"),
        (["run", "book.ipynb", "--nope"], "No such option '--nope'."),
        (["run", "book.ipynb", "more.ipynb"], "unexpected extra argument"),
        (["run", "book.ipynb", "-j", "0"], "0 is not in the range"),
        (["run", "book.ipynb", "-j", "x"], "'x' is not a valid integer"),
        (["run", "book.ipynb", "--executor", "dask://x"], "There is no executor 'dask://x'."),
        (["run", "book.ipynb", "--sweep"], "--sweep has no values to go through."),
        (["run", "book.ipynb", "--out", "."], ". is a directory."),
        (["run", "book.ipynb", "--out", "book.ipynb"], "the notebook itself"),
        (["run", "book.ipynb", "--store", "s3://bucket/x"], "no kind of store called 's3'"),
        (["run", "book.ipynb", "--store", "book.ipynb"], "book.ipynb is a file"),
        (["run", "book.ipynb", "--from", "mkae"], "Did you mean 'make'?"),
        (["run", "book.ipynb", "--until", "mkae"], "Did you mean 'make'?"),
        (["run", "book.ipynb", "--only", "mkae"], "Did you mean 'make'?"),
        (["run", "book.ipynb", "--force", "mkae"], "Did you mean 'make'?"),
        (["run", "book.ipynb", "--from", "zzz"], "Known: last, make, use."),
        (["run", "book.ipynb", "--from", "use", "--until", "make"], "No step fits --from use"),
        (["run", "book.ipynb", "--only", "last"], "Step 'make' has no stored result"),
        (["run", "book.ipynb", "--only", "last"], "--until last"),
        (["why", "mkae", "book.ipynb"], "Did you mean 'make'?"),
        (["step", "make", "--bundle", "book.ipynb"], "Missing option '--run-id'"),
        (["step", "make", "--run-id", "r"], "Missing option '--bundle'"),
        (["step", "mkae", "--run-id", "r", "--bundle", "book.ipynb"], "Did you mean 'make'?"),
        (["step", "last", "--run-id", "r", "--bundle", "book.ipynb"], "'make' has no stored"),
        (["step", "make", "--run-id", "../r", "--bundle", "book.ipynb"], "cannot be a run id"),
        (["step", "make", "--run-id", "", "--bundle", "book.ipynb"], "cannot be a run id"),
        (["explain", "NBP999"], "No diagnostic 'NBP999'."),
        (["completion", "tcsh"], "'tcsh' is not one of"),
        (["gc", "--older-than", "soon"], "'soon' is not a duration"),
        (["gc", "--keep-runs", "-1"], "-1 is not in the range"),
        (["runs", "-n", "0"], "0 is not in the range"),
        (["tag", "book.ipynb"], "book.ipynb has steps already."),
        (["export", "book.ipynb"], "Say what to export, and to what."),
        (["export", "book.ipynb", "--to", "scrpt"], "Did you mean 'script'?"),
        (["trust", "nowhere"], "There is no store at nowhere."),
    ],
)
def test_words_that_mean_nothing(nbpipe, book, words, said):
    outcome = nbpipe(*words)
    assert outcome.code == 2, outcome
    assert said in outcome.err
    assert outcome.out == "" or outcome.summary["state"] == "refused"


@pytest.mark.parametrize("words", [["--nope"], ["--only", "last"], ["-p", "zz=1"], ["-j", "0"]])
def test_a_refusal_in_json_is_one_summary(nbpipe, book, words):
    outcome = nbpipe("run", "book.ipynb", "--json", *words)
    assert outcome.code == 2
    summary = outcome.summary
    assert (summary["run"], summary["state"], summary["steps"]) == (None, "refused", [])
    assert summary["message"]
    assert summary["message"] in outcome.err


def test_why_without_a_notebook_needs_exactly_one(nbpipe, shell):
    assert refused(nbpipe("why", "make"), "There are 0 notebooks here.")
    shell.write("book.ipynb", *CELLS)
    assert "make would run" in nbpipe("why", "make").out
    shell.write("other.ipynb", *CELLS)
    assert refused(nbpipe("why", "make"), "There are 2 notebooks here.")


# ---- parameters ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("alhpa=1", "Did you mean 'alpha'?"),
        ("zzz=1", "Known: alpha, facts, flag, items, n, name, nothing."),
        ("alpha", "'alpha' is no parameter."),
        ("=3", "'=3' is no parameter."),
        ("", "'' is no parameter."),
        ("alpha=abc", "'alpha' must be of type float, not 'abc'."),
        ("alpha=", "'alpha' must be of type float, not ''."),
        ("alpha=1,2", "'alpha' must be of type float, not '1,2'."),
        ("n=1.5", "'n' must be of type int, not '1.5'."),
        ("n=True", "'n' must be of type int, not 'True'."),
        ("n=_1", "'n' must be of type int, not '_1'."),
        ("n=" + "9" * 9999, "'n' must be of type int, not '999"),
        ("flag=maybe", "'flag' must be true or false, not 'maybe'."),
        ("flag=2", "'flag' must be true or false, not '2'."),
        ("items=1", "'items' must be a JSON list, not '1'."),
        ("items=[1", "'items' must be a JSON list, not '[1'."),
        ('items={"a": 1}', "'items' must be a JSON list"),
        ("facts=[1]", "'facts' must be a JSON object, not '[1]'."),
    ],
)
def test_a_wrong_parameter(nbpipe, book, word, said):
    for command in ("run", "status"):
        outcome = nbpipe(command, "book.ipynb", "-p", word)
        assert refused(outcome, said)
        assert len(outcome.err) < 400


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("alpha=1", 1.0),
        ("alpha=1e3", 1000.0),
        ("n=1_000", 1000),
        ("n=-4", -4),
        ("flag=off", False),
        ("name=a=b", "a=b"),
        ("name=", ""),
        ("name=3", "3"),
        ('items=["a", null]', ["a", None]),
        ("facts={}", {}),
        ("nothing=3", 3),
        ("nothing=some text", "some text"),
    ],
)
def test_types_follow_the_default(nbpipe, book, word, value):
    from nbpipe.api.parameters import read_parameters
    from nbpipe.workspace import open_workspace

    found = read_parameters(open_workspace(book).pipeline, [word])
    assert found == {word.partition("=")[0]: value}
    assert type(next(iter(found.values()))) is type(value)
    assert nbpipe("status", "book.ipynb", "-p", word).code == 0


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.json", b'{"alpha": "x"}', "'alpha' must be of type float, not '\"x\"'."),
        ("p.json", b'{"n": true}', "'n' must be of type int, not 'true'."),
        ("p.json", b'{"n": 1.0}', "'n' must be of type int, not '1.0'."),
        ("p.json", b'{"name": null}', "'name' must be of type str, not 'null'."),
        ("p.json", b'{"alhpa": 1}', "Did you mean 'alpha'?"),
        ("p.json", b"[1]", "p.json must hold a JSON object of parameters."),
        ("p.json", b"nope", "p.json is neither JSON nor TOML"),
        ("p.json", b"", "p.json is neither JSON nor TOML"),
        ("p.json", b"\xff\xfe", "p.json is neither JSON nor TOML"),
        ("p.json", b"[" * 100_000, "p.json is neither JSON nor TOML"),
        ("p.yaml", b"alpha: 0.3", "p.yaml is neither JSON nor TOML"),
        ("p.toml", b"alpha = ", "p.toml is neither JSON nor TOML"),
        ("p.toml", b"nothing = 1979-05-27", "'nothing' must be a JSON value"),
        ("p.toml", b"items = [1979-05-27]", "'items' must be a JSON list"),
    ],
)
def test_a_bad_file_of_parameters(nbpipe, shell, book, name, content, said):
    (shell.directory / name).write_bytes(content)
    assert refused(nbpipe("run", "book.ipynb", "--params-file", name), said)


def test_a_file_of_parameters_that_cannot_be_read(nbpipe, shell, book):
    outcome = nbpipe("run", "book.ipynb", "--params-file", "p.json")
    assert refused(outcome, "p.json cannot be read: No such file or directory.")
    outcome = nbpipe("run", "book.ipynb", "--params-file", ".")
    assert refused(outcome, ". cannot be read: Is a directory.")


def test_a_sweep_splits_between_lists_not_in_them(book):
    from nbpipe.api.parameters import read_sweep
    from nbpipe.workspace import open_workspace

    pipeline = open_workspace(book).pipeline
    found = read_sweep(pipeline, ["items=[1,2],[3]", "flag=on,off", "name=a,b"])
    assert len(found) == 8
    assert found[0] == {"items": [1, 2], "flag": True, "name": "a"}
    assert found[-1] == {"items": [3], "flag": False, "name": "b"}


def test_a_sweep_checks_every_value_before_it_runs_any(nbpipe, book):
    outcome = nbpipe("run", "book.ipynb", "--sweep", "-p", "alpha=0.1,x")
    assert refused(outcome, "'alpha' must be of type float, not 'x'.")
    outcome = nbpipe("run", "book.ipynb", "--sweep", "-p", "items=[1],2")
    assert refused(outcome, "'items' must be a JSON list, not '2'.")


# ---- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("jbos = 3", "Did you mean 'jobs'?"),
        ("jobs = 'x'", "'jobs' in"),
        ("jobs = true", "'jobs' in"),
        ("jobs = -3", "must not be negative"),
        ("store = 3", "'store' in"),
    ],
)
def test_a_wrong_setting(nbpipe, shell, book, table, said):
    (shell.directory / "pyproject.toml").write_text(f"[tool.nbpipe]\n{table}\n")
    assert refused(nbpipe("run", "book.ipynb"), said)


@pytest.mark.parametrize("content", ["[tool", "tool = 3", "[tool]\nnbpipe = 3", "\udcff"])
def test_a_project_file_of_somebody_elses_making(nbpipe, shell, book, content):
    path = shell.directory / "pyproject.toml"
    path.write_text(content, errors="surrogateescape")
    assert nbpipe("status", "book.ipynb").code == 0


@pytest.mark.parametrize("value", ["x", "-1", "²", "1.5"])
def test_a_wrong_setting_in_the_environment(nbpipe, book, monkeypatch, value):
    monkeypatch.setenv("NBPIPE_JOBS", value)
    assert refused(nbpipe("run", "book.ipynb"), f"NBPIPE_JOBS is {value!r}")


@pytest.mark.parametrize("value", ["x", "0", "-1"])
def test_a_wrong_limit_in_the_environment(nbpipe, book, monkeypatch, value):
    monkeypatch.setenv("NBPIPE_OUTPUT_LIMIT", value)
    assert refused(nbpipe("run", "book.ipynb"), "NBPIPE_OUTPUT_LIMIT is a number of bytes, not")
