"""A process with everything imported, in which notebooks are judged."""

from functools import partial

import pytest

from tests.fuzz.campaign import workers
from tests.fuzz.judge import judge


@pytest.fixture(scope="session")
def elsewhere():
    """Call a function in a process of its own, so that this one stays as it is."""
    with workers(1) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


@pytest.fixture(scope="session")
def judged(elsewhere):
    """Judge a case."""
    return lambda case, **options: elsewhere(partial(judge, **options), case)
