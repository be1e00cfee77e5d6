"""Executors: each runs one step somewhere, and never decides which."""
