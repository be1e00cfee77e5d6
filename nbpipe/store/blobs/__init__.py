"""Immutable bytes, addressed by their digest."""
