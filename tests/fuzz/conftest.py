"""A process with everything imported, in which notebooks are judged."""

import pytest

from tests.fuzz.campaign import workers
from tests.fuzz.judge import judge


@pytest.fixture(scope="session")
def judged():
    """Judge a case in a process of its own, so that this one stays as it is."""
    with workers(1) as pool:
        yield lambda case, **options: pool.submit(judge, case, **options).result()
