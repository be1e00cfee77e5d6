import pytest

from nbpipe.kernel import module_state
from tests.fuzz.conftest import elsewhere, judged

__all__ = ["elsewhere", "judged", "without_project_modules"]


@pytest.fixture
def without_project_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not look at the data of the hundreds of modules of tests that may be loaded."""
    monkeypatch.setattr(module_state, "project_modules", list)
