"""Which versions came from which: a pure query over the facts of runs (start in `tracing.py`)."""
