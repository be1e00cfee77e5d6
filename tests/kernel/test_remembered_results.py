from __future__ import annotations

import functools

import pytest

from nbpipe.kernel.remembered_results import entries_of, is_cache, remember

CALLS = [
    ((), {}),
    ((1,), {}),
    (("x",), {}),
    ((1.5,), {}),
    (((1, 2),), {}),
    ((1, "x"), {}),
    ((), {"b": 3}),
    ((int,), {"b": 3, "a": float}),
    ((1,), {"b": (None,)}),
    ((True,), {}),
]


def made(options):
    given = []

    def outer():
        @functools.lru_cache(**options)
        def f(*args, **kwargs):
            given.append((args, kwargs))
            return [args, kwargs]

        return f

    return outer(), given


@pytest.mark.parametrize("maxsize", [None, 128, 4, 1, 0])
@pytest.mark.parametrize("typed", [False, True])
def test_what_is_remembered_goes_to_another_cache(maxsize, typed):
    (one, _), (other, given) = (made({"maxsize": maxsize, "typed": typed}) for _ in range(2))
    for args, kwargs in CALLS:
        one(*args, **kwargs)
    other("is", "forgotten")
    entries = entries_of(one)
    assert len(entries) == one.cache_info().currsize
    remember(other, entries)
    given.clear()
    assert entries_of(other) == entries
    for args, kwargs, result in entries:
        assert other(*args, **kwargs) is result
    assert given == []
    # What it does not remember, it still finds.
    assert other("new", k=1) == [("new",), {"k": 1}]


def test_the_least_recently_used_is_forgotten_first():
    cache, _ = made({"maxsize": 2})
    cache(1), cache(2), cache(1)
    other, given = made({"maxsize": 2})
    remember(other, entries_of(cache))
    other(3), given.clear(), other(1)
    assert given == []
    other(2)
    assert given == [((2,), {})]


@pytest.mark.parametrize("default", [1, [2]])
def test_defaults_and_variables_around_are_no_obstacle(default):
    around = [1]

    @functools.cache
    def f(a, b=default, *, c=around):
        return [a, b, c, around]

    f(1)
    entries = entries_of(f)
    remember(f, entries)
    assert f(1) is entries[0][2]
    assert f(2) == [2, default, around, around]


def test_only_functions_of_python_count():
    assert is_cache(functools.cache(lambda: 1))
    assert not is_cache(functools.cache(len))
    assert not is_cache(functools.cache(functools.cache(lambda: 1)))
    assert not is_cache(functools.partial(print))
    assert not is_cache(functools.lru_cache)
    assert not is_cache(print)


def test_a_result_that_is_the_placeholder_is_a_result_like_others():
    f = functools.cache(lambda x: x)
    remember(f, [((1,), {}, 0x6E62_7069_7065), ((2,), {}, None)])
    assert (f(1), f(2), f(3)) == (0x6E62_7069_7065, None, 3)
