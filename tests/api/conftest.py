from tests.api.desk import desk

__all__ = ["desk"]
