"""What cells show, compared: what counts, and what is left out and said."""

from __future__ import annotations

import pytest

from nbpipe.model.verification import Comparison, Likeness
from nbpipe.runner.shown_outputs import compare_outputs


def printed(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def value(**data):
    kinds = {"plain": "text/plain", "html": "text/html", "svg": "image/svg+xml", "png": "image/png"}
    return {"output_type": "execute_result", "data": {kinds[k]: v for k, v in data.items()}}


def raised(message):
    return {"output_type": "error", "ename": "ValueError", "evalue": message, "traceback": ["x"]}


EQUAL = {
    "nothing": ([], []),
    "text": ([printed("a\n")], [printed("a\n")]),
    "text in pieces": ([printed("a"), printed("b")], [printed("ab")]),
    "lines as a list": ([printed(["a\n", "b"])], [printed("a\nb")]),
    "streams flushed in another order": (
        [printed("a"), printed("w", "stderr"), printed("b")],
        [printed("w", "stderr"), printed("ab")],
    ),
    "a picture with other line breaks": ([value(png="aGVs\nbG8=\n")], [value(png="aGVsbG8=")]),
    "exceptions with other tracebacks": ([raised("no")], [{**raised("no"), "traceback": []}]),
}


@pytest.mark.parametrize(("left", "right"), EQUAL.values(), ids=EQUAL)
def test_equal_outputs(left, right):
    assert compare_outputs(left, right) == Comparison()


APART = {
    "memory addresses": (
        "x = object()\nx",
        value(plain="<object at 0x7f0a12345678>"),
        value(plain="<object at 0x7f0b00000000>"),
    ),
    "temporary files of cells": (
        "warn()",
        printed("/tmp/ipykernel_12/1987.py:1: UserWarning: a", "stderr"),
        printed("/tmp/ipykernel_345/22.py:3: UserWarning: a", "stderr"),
    ),
    "timings": (
        "%time f()",
        printed("CPU times: user 1 us, total: 2 us\nWall time: 3 us\n"),
        printed("CPU times: user 5 ms, total: 6 ms\nWall time: 7 ms\n"),
    ),
    "timings of progress bars": (
        "for i in tqdm(x): pass",
        printed("100%|##| 3/3 [00:00<00:00, 123.4it/s]", "stderr"),
        printed("100%|##| 3/3 [00:01<00:00, 99.05it/s]", "stderr"),
    ),
    "ids of models' pictures": (
        "model",
        value(html="<style>#sk-container-id-1 {}</style>"),
        value(html="<style>#sk-container-id-2 {}</style>"),
    ),
    "ids of styled tables": (
        "styled",
        value(html='<table id="T_0a1b2"><td id="T_0a1b2_row0"></td></table>'),
        value(html='<table id="T_ffee3"><td id="T_ffee3_row0"></td></table>'),
    ),
    "generated ids": (
        "chart",
        value(html='<div id="0a1b2c3d-0000-4000-8000-0a1b2c3d4e5f"></div>'),
        value(html='<div id="ffffffff-0000-4000-8000-0a1b2c3d4e5f"></div>'),
    ),
}


@pytest.mark.parametrize(
    ("what", "source", "left", "right"),
    [(what, *case) for what, case in APART.items()],
    ids=APART,
)
def test_what_varies_by_itself_is_left_out_and_said(what, source, left, right):
    assert compare_outputs([left], [right], source=source) == Comparison(apart_from=(what,))


DIFFERENT = {
    "text": ([printed("a\nb")], [printed("a\nc")], "stdout, line 2: 'b' ≠ 'c'"),
    "more text": ([printed("a")], [printed("a\nb")], "stdout, line 2: the second has more, 'b'"),
    "more": ([], [printed("a")], "the second shows more: stdout, 'a'"),
    "less": ([value(plain="1")], [], "the second shows less: text/plain, '1'"),
    "another kind": ([printed("a")], [value(plain="a")], "it shows stdout ≠ text/plain"),
    "a picture": ([value(png="aGVs")], [value(png="bGVs")], "another picture (image/png)"),
    "an exception": (
        [raised("a")],
        [raised("b")],
        "an exception, line 1: 'ValueError: a' ≠ 'ValueError: b'",
    ),
    "numbers without a decimal point": (
        [printed("n = 3")],
        [printed("n = 4")],
        "stdout, line 1: 'n = 3' ≠ 'n = 4'",
    ),
    "numbers too far apart": (
        [printed("0.25")],
        [printed("0.26")],
        "stdout, line 1: '0.25' ≠ '0.26'",
    ),
    "times that nobody asked %time for": (
        [printed("Wall time: 3 us")],
        [printed("Wall time: 4 us")],
        "stdout, line 1: 'Wall time: 3 us' ≠ 'Wall time: 4 us'",
    ),
    "ids that are text": (
        [printed("0a1b2c3d-0000-4000-8000-0a1b2c3d4e5f")],
        [printed("0a1b2c3d-0000-4000-8000-0a1b2c3d4e60")],
        "stdout, line 1: '4000-8000-0a1b2c3d4e5f' ≠ '4000-8000-0a1b2c3d4e60'",
    ),
}


@pytest.mark.parametrize(("left", "right", "detail"), DIFFERENT.values(), ids=DIFFERENT)
def test_a_difference_is_told_with_its_line(left, right, detail):
    found = compare_outputs(left, right)
    assert (found.likeness, found.detail) == (Likeness.DIFFERENT, detail)


def test_a_long_line_is_shown_where_it_differs():
    found = compare_outputs([printed("x" * 100 + "a")], [printed("x" * 100 + "b")])
    shown = "x" * 20
    assert found.detail == f"stdout, line 1: '{shown}a' ≠ '{shown}b'"


def test_printed_numbers_may_differ_by_rounding():
    found = compare_outputs(
        [printed("a 0.30000000000000004 b 1.5e-3")], [printed("a 0.3 b 1.5e-3")]
    )
    assert found.likeness is Likeness.NOISE
    assert found.relative == pytest.approx(1.85e-16, rel=1e-2)


def test_a_widget_is_no_difference_and_said():
    def widget(number):
        kind = "application/vnd.jupyter.widget-view+json"
        return {"output_type": "display_data", "data": {kind: {"model_id": number}}}

    found = compare_outputs([widget("a")], [widget("b")])
    assert found == Comparison(apart_from=("widgets",))
