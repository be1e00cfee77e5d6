import pytest


@pytest.fixture(autouse=True)
def _a_user_of_its_own(tmp_path_factory, monkeypatch):
    """Stores that tests create are not noted in the home directory of whoever runs them."""
    monkeypatch.setenv("NBPIPE_DATA_DIR", str(tmp_path_factory.getbasetemp() / "nbpipe-user"))
