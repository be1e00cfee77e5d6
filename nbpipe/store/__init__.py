"""Bytes and facts: blobs addressed by content, and an index of runs, results and versions."""
