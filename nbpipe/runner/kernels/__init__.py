"""Kernel processes: starting one, talking to it without fixed waits, and ending it for certain."""
