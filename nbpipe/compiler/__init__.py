"""Notebook → Compilation. Pure: it reads no file and runs no code of the notebook's."""
