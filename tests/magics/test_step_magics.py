"""A tagged cell runs as any other cell: each is compared with one that has a comment there."""

from __future__ import annotations

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError

from nbpipe.magics.extension import load_ipython_extension, unload_ipython_extension
from nbpipe.magics.tag_lines import without_tag_line
from nbpipe.notebook.tags import STEP_OPTIONS
from tests.magics.conftest import without_numbers

TAGS = ["%%step train", "%%step train --retries 2 --out a b", "%%params", "%%prelude", "%%skip"]
BODIES = {
    "a value": "x = 1\nx + 1",
    "a silenced value": "x = 1\nx + 1;",
    "output": "print('a')\nprint('b')",
    "an exception": "x = 1\n\ndef f():\n    1 / 0\n\nf()",
    "a syntax error": "x = 1\nif x\n    y = 2",
    "an indentation error": "x = 1\n  y = 2",
    "await": "import asyncio\nawait asyncio.sleep(0, 'done')",
    "history": "2\n",
    "a line magic": "%time y = 3\ny",
    "a shell assignment": "lines = !echo one\nlines[0]",
    "help": "len?",
    "blank lines": "\n\n\n1 / 0",
    "only a comment": "# nothing",
    "nothing": "",
    "a string over lines": "s = '''\n%%step no\n'''\ns",
    "an unknown name": "nothing_of_this_name",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("tag", TAGS)
def test_a_tagged_cell_does_what_an_ordinary_one_does(tag, body, sessions):
    plain, tagged = sessions(), sessions().load()
    expected, printed = plain.run(f"#\n{body}")
    result, output = tagged.run(f"{tag}\n{body}")
    assert without_numbers(output) == without_numbers(printed).replace("      1 #\n", "")
    assert repr(result.result) == repr(expected.result)
    for mine, theirs in (
        (result.error_in_exec, expected.error_in_exec),
        (result.error_before_exec, expected.error_before_exec),
    ):
        assert type(mine) is type(theirs)
        assert getattr(mine, "lineno", None) == getattr(theirs, "lineno", None)
    for name in ("_", "Out"):
        assert repr(tagged.shell.user_ns[name]) == repr(plain.shell.user_ns[name])


BELOW = {
    "time": "%%time\nx = 5\nx",
    "time with an error": "%%time\nx = 5\n1 / 0",
    "capture": "%%capture out\nprint('hidden')",
    "bash": "%%bash\necho hello",
    "writefile": "%%writefile made.py\nx = 1\n",
    "timeit": "%%timeit -n 1 -r 1 -q\n1",
    "an unknown magic": "%%nothing\nx",
}


@pytest.mark.parametrize("blank", ["", "\n", "\n  \n"])
@pytest.mark.parametrize("body", BELOW.values(), ids=BELOW.keys())
def test_another_cell_magic_works_below_the_tag(body, blank, sessions, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain, tagged = sessions(), sessions().load()
    expected, printed = plain.run(body)
    (tmp_path / "made.py").unlink(missing_ok=True)
    result, output = tagged.run(f"%%step train\n{blank}{body}")
    assert without_numbers(output) == without_numbers(printed)
    assert repr(result.result) == repr(expected.result)
    assert type(result.error_in_exec) is type(expected.error_in_exec)


def test_an_exception_reaches_whoever_runs_the_cell(session):
    result, output = session.run("%%step train\nx = 1\n\nraise ValueError('mine')")
    assert not result.success
    with pytest.raises(ValueError, match="mine"):
        result.raise_error()
    assert "----> 4 raise ValueError('mine')" in output
    assert "nbpipe" not in output


def test_debugging_finds_the_frame(session):
    session.run("%%step train\ndef f():\n    inside = 3\n    1 / 0\nf()")
    _, _, traceback = session.shell._get_exc_info()
    while traceback.tb_next:
        traceback = traceback.tb_next
    assert traceback.tb_frame.f_locals == {"inside": 3}
    assert traceback.tb_lineno == 4


def test_history_keeps_the_text_as_typed(session):
    session.run("%%step train\n7")
    session.run("%%step test\nx = 8", store_history=False)
    history = session.shell.history_manager
    assert history.input_hist_raw == ["", "%%step train\n7"]
    assert session.shell.user_ns["_i1"] == "%%step train\n7"
    assert session.shell.user_ns["Out"] == {1: 7}


def test_a_silent_cell_is_silent(session):
    result, output = session.run("%%step train\n7", silent=True)
    assert (result.success, output) == (True, "")
    assert session.shell.user_ns["Out"] == {}


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (
            "%%step\nx = 1",
            "%%step: %%step needs a name. Write %%step NAME, such as %%step train.",
        ),
        ("%%step a --retrys 2\nx = 1", "unknown option --retrys. Did you mean --retries?"),
        ("%%step a --retries two\nx = 1", "option --retries: 'two' is not a whole number."),
        ("%%step a b\nx = 1", "unexpected 'b' after the step's name."),
        ("%%step 1a\nx = 1", "'1a' cannot name a step"),
        ("%%params alpha\nx = 1", "%%params takes no arguments. Write %%params alone."),
        ("%%skip 'it\nx = 1", "cannot read the tag: No closing quotation."),
        ("%%step a\n%%step b\nx = 1", "%%step stands alone on the first line of a cell"),
    ],
)
def test_a_wrong_tag_says_what_is_wrong_and_runs_nothing(cell, message, session):
    result, output = session.run(cell)
    assert isinstance(result.error_in_exec, UsageError)
    assert "UsageError: " in output
    assert message in output
    assert "Traceback" not in output
    assert "x" not in session.shell.user_ns


def test_a_tag_below_another_magic_runs_too(session):
    _, output = session.run("%%time\n%%step train\nx = 4\nx")
    assert "4" in output
    assert session.shell.user_ns["x"] == 4


def test_the_console_asks_for_more_of_a_tagged_cell(session):
    check = session.shell.input_transformer_manager.check_complete
    assert check("%%step a\nif x:") == check("#\nif x:")
    assert check("%%step a\nx = 1") == check("#\nx = 1")


# ---- what the extension adds ------------------------------------------------------------------


def test_the_magics_are_listed_and_completed(session):
    names = {"step", "params", "prelude", "skip"}
    assert names <= set(session.shell.magics_manager.lsmagic()["cell"])
    assert "pipeline" in session.shell.magics_manager.lsmagic()["line"]
    with provisionalcompleter():
        found = [completion.text for completion in session.shell.Completer.completions("%%pre", 5)]
    assert "%%prelude" in found


def test_help_lists_every_option(session):
    text = session.shell.find_cell_magic("step").__doc__
    assert text.startswith("%%step NAME [options]")
    for name, option in STEP_OPTIONS.items():
        assert f"--{name} {option.takes}" in text
        assert option.meaning in text


@pytest.mark.parametrize("cell", ["%%step?", "%%params?", "%pipeline?"])
def test_help_can_be_asked_for(cell, session, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.core.page.page", lambda data, *rest: shown.append(data))
    result, _ = session.run(cell)
    assert result.success
    assert cell.rstrip("?") in str(shown)


def test_unloading_removes_everything(sessions):
    session = sessions()
    shell = session.shell

    def state():
        magics = shell.magics_manager.lsmagic()
        return (set(magics["cell"]), set(magics["line"]), list(shell.input_transformers_cleanup))

    before = state()
    session.load()
    assert state() != before
    unload_ipython_extension(shell)
    assert state() == before
    unload_ipython_extension(shell)
    assert state() == before
    assert "Cell magic `%%step` not found" in session.run("%%step a\n1")[1]


def test_loading_twice_is_harmless(session):
    load_ipython_extension(session.shell)
    assert session.shell.input_transformers_cleanup.count(without_tag_line) == 1
    assert session.run("%%step a\n5")[0].result == 5


def test_the_package_is_the_extension(sessions):
    session = sessions()
    session.run("%load_ext nbpipe")
    assert session.run("%%step a\n5")[0].result == 5
    session.run("%reload_ext nbpipe")
    assert session.run("%%step a\n6")[0].result == 6
    session.run("%unload_ext nbpipe")
    assert "not found" in session.run("%%step a\n5")[1]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["x = 1\n"],
        ["%%time\n", "x = 1\n"],
        ["%%stepping a\n", "x\n"],
        ["%%step\n", "x\n"],
        ["%step a\n", "x\n"],
        [" %%step a\n", "x\n"],
        ["%%step?\n"],
        ["x = 1\n", "%%step a\n"],
    ],
)
def test_other_cells_are_left_alone(lines):
    assert without_tag_line(list(lines)) == lines
