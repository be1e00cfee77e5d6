from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbpipe.runner.streams import StreamCollector


def collect(*pieces: tuple[str, str], limit: int = 1_000) -> list[tuple[str, str]]:
    outputs: list[dict[str, str]] = []
    collector = StreamCollector(limit)
    for name, text in pieces:
        collector.add(name, text, outputs)
    collector.settle()
    return [(o["name"], o["text"]) for o in outputs]


def test_consecutive_text_of_a_stream_is_one_output():
    assert collect(("stdout", "a"), ("stdout", "b\n"), ("stderr", "!"), ("stdout", "c")) == [
        ("stdout", "ab\n"),
        ("stderr", "!"),
        ("stdout", "c"),
    ]


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["10%\r", "20%\r", "100%\n"], "100%\n"),
        (["working", "\rdone"], "doneing"),
        (["a\r\nb"], "a\nb"),
        (["a\r", "\nb"], "a\nb"),
        (["ab\b", "c"], "ac"),
        (["a", "\b\bc"], "c"),
        (["x\ry\nz\r"], "y\nz\r"),
    ],
)
def test_returns_and_backspaces_are_applied_across_pieces(pieces, shown):
    assert collect(*(("stdout", piece) for piece in pieces)) == [("stdout", shown)]


def test_the_first_and_the_last_part_of_long_text_are_kept():
    [(_, text)] = collect(*(("stdout", f"line {n:03}\n") for n in range(1_000)), limit=90)
    first, gap, last = text.partition("\n… ")[0], "8,910 bytes left out", text[-45:]
    assert first == "line 000\nline 001\nline 002\nline 003\nline 004\n"
    assert gap in text
    assert last == "line 995\nline 996\nline 997\nline 998\nline 999\n"


def test_the_limit_holds_for_all_streams_of_a_cell_together():
    shown = collect(
        *((name, "x" * 9 + "\n") for _ in range(50) for name in ("out", "err")), limit=40
    )
    assert sum(text.count("x" * 9) for _, text in shown) == 4


def test_a_long_unfinished_line_is_passed_on():
    [(_, text)] = collect(("stdout", "x" * 200_000), limit=1_000_000)
    assert text == "x" * 200_000


@given(
    st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.text("ab\n", max_size=9))),
)
def test_short_text_is_kept_word_for_word(pieces):
    shown = collect(*pieces)
    for stream in ("stdout", "stderr"):
        expected = "".join(text for name, text in pieces if name == stream)
        assert "".join(text for name, text in shown if name == stream) == expected
