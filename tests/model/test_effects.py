from __future__ import annotations

import pytest

from nbpipe.model.effects import (
    FileEffects,
    LearnedEffects,
    lies_below,
    order_by_files,
    shared_files,
)


def reads(*names):
    return FileEffects(reads=names)


def writes(*names):
    return FileEffects(writes=names)


def lists(*names):
    return FileEffects(lists=names)


def test_effects_add_up_and_what_is_known_can_be_taken_away():
    one = LearnedEffects(changes={"s": ("a",)}, files={"s": reads("x")})
    other = LearnedEffects(changes={"s": ("b",), "t": ()}, files={"t": writes("x")})
    both = LearnedEffects(changes={"s": ("a", "b")}, files={"s": reads("x"), "t": writes("x")})
    assert one | other == both
    assert both - one == LearnedEffects(changes={"s": ("b",)}, files={"t": writes("x")})
    assert not both - both
    assert both.about({"t"}) == LearnedEffects(files={"t": writes("x")})


@pytest.mark.parametrize(
    ("name", "directory", "below"),
    [
        ("a/b/c", "a", True),
        ("a/b/c", "a/b", True),
        ("a/b", "a/b", False),
        ("ab/c", "a", False),
        ("a", ".", True),
        ("/tmp/a", ".", False),
        ("/tmp/a", "/tmp", True),
        ("~/a", ".", False),
        ("~/data/a", "~/data", True),
    ],
)
def test_places_are_compared_by_their_parts(name, directory, below):
    assert lies_below(name, directory) is below


def test_only_what_one_writes_and_another_touches_is_shared():
    assert shared_files(
        {
            "a": FileEffects(reads=("in", "own"), writes=("x", "own", "data/new")),
            "b": FileEffects(reads=("in", "x"), lists=("data", "other")),
            "c": writes("x"),
            "d": reads("in"),
        }
    ) == {
        "a": writes("x", "data/new"),
        "b": FileEffects(reads=("x",), lists=("data",)),
        "c": writes("x"),
    }


@pytest.mark.parametrize(
    ("touched", "before"),
    [
        ([writes("x"), reads("x"), reads("x")], [(), "0", "0"]),
        ([reads("x"), reads("x"), writes("x")], [(), (), "01"]),
        ([writes("x"), writes("x"), reads("x")], [(), "0", "1"]),
        ([writes("x"), reads("x"), writes("x"), reads("x")], [(), "0", "01", "2"]),
        ([writes("d/x"), lists("d"), writes("d/y")], [(), "0", "1"]),
        ([reads("x"), reads("y"), lists("z")], [(), (), ()]),
        ([FileEffects(reads=("x",), writes=("x",)), reads("x")], [(), "0"]),
    ],
)
def test_steps_that_share_files_keep_the_order_of_the_notebook(touched, before):
    steps = [str(number) for number in range(len(touched))]
    found = order_by_files(steps, dict(zip(steps, touched, strict=True)))
    assert [found[step] for step in steps] == [tuple(names) for names in before]
