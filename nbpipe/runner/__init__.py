"""Running a pipeline: what next (pure), where (executors), and the loop that ties them.

Start with loop.py.
"""
