"""Exporters: pipeline → files for elsewhere. Pure: somebody else writes the files."""
