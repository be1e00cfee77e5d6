from __future__ import annotations

from nbpipe.runner.tracebacks import CellPlace, author_traceback, traceback_text

PLACES = {
    3: CellPlace(number=7, lines=(1, 2, 3, 4), source="a\nb\nc\nf(0)"),
    2: CellPlace(number=12, lines=(98, 99, 100), source="def f(x):\n    y = 1\n    return 1/x"),
    4: CellPlace(number=9, lines=(2, 3, 4), source="%%time\nx = 1\nf(0)"),
}
CALLED = (
    "\x1b[36mCell\x1b[39m\x1b[36m \x1b[39m\x1b[32mIn[3]\x1b[39m\x1b[32m, line 4\x1b[39m\n"
    "\x1b[32m      3\x1b[39m c\n"
    "\x1b[32m----> \x1b[39m\x1b[32m4\x1b[39m f(\x1b[32m0\x1b[39m)\n"
)
RAISED = (
    "\x1b[36mCell\x1b[39m\x1b[36m \x1b[39m\x1b[32mIn[2]\x1b[39m\x1b[32m, line 3\x1b[39m, in f(x)\n"
    "\x1b[32m      1\x1b[39m def f(x):\n"
    "\x1b[32m      2\x1b[39m     y = \x1b[32m1\x1b[39m\n"
    "\x1b[32m----> \x1b[39m\x1b[32m3\x1b[39m     return 1/x\n"
)
HEAD = [
    "\x1b[31m" + "-" * 75 + "\x1b[39m",
    "\x1b[31mZeroDivisionError\x1b[39m                         Traceback (most recent call last)",
]
TAIL = "\x1b[31mZeroDivisionError\x1b[39m: division by zero"


def test_cells_and_lines_are_those_of_the_notebook():
    assert traceback_text(author_traceback([*HEAD, CALLED, RAISED, TAIL], PLACES)) == (
        "ZeroDivisionError                         Traceback (most recent call last)\n"
        "Cell In[7], line 4\n"
        "      3 c\n"
        "----> 4 f(0)\n"
        "Cell In[12], line 100, in f(x)\n"
        "     98 def f(x):\n"
        "     99     y = 1\n"
        "--> 100     return 1/x\n"
        "ZeroDivisionError: division by zero"
    )


def test_colours_stay_until_they_are_taken_off():
    [frame] = author_traceback([CALLED], PLACES)
    assert frame == CALLED.replace("In[3]", "In[7]")


def test_frames_of_libraries_stay_and_frames_of_ours_go():
    library = "File ~/env/lib/python3.11/json/decoder.py:337, in decode(s)\n    337 obj\n"
    ipython = "File ~/env/lib/python3.11/site-packages/IPython/core/magic.py:5, in time(x)\n"
    ours = "File /opt/nbpipe/kernel/bootstrap.py:12, in save(names)\n"
    assert author_traceback([library, ipython, ours], {}) == (library,)


def test_the_body_of_a_timed_cell_is_that_cell():
    call = "Cell In[4], line 1\n----> 1 get_ipython().run_cell_magic('time', '', 'x = 1\\nf(0)')\n"
    body = "File <timed exec>:2\n      1 'Could not get source'\n"
    assert author_traceback([call, body], PLACES) == ("Cell In[9], line 4\n----> 4 f(0)\n",)


def test_a_syntax_error_names_the_cell_of_the_notebook():
    assert author_traceback(["  Cell In[3], line 1\n    x = (1,\n           ^\n"], PLACES) == (
        "  Cell In[7], line 1\n    x = (1,\n           ^\n",
    )


def test_cells_that_are_not_the_authors_keep_their_number():
    frame = "Cell In[99], line 1\n----> 1 begin()\n"
    assert author_traceback([frame], PLACES) == (frame,)
