"""Notebook → one Python module, in parts: cells, pieces, placement, variables, layout."""
