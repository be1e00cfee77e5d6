from tests.fuzz.conftest import elsewhere, judged

__all__ = ["elsewhere", "judged"]
