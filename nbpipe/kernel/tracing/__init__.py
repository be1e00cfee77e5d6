"""What a step touches besides its variables, seen while it runs.

Two observers. Python's audit hook is everywhere, and sees what Python code does. On Linux a small
library stands between the process and the C library, and sees native readers and child processes
as well; where it is there, the audit hook leaves files to it. `accesses` makes one account of
what they report, `noise` says what is nobody's input, `tracer` puts it all together.
"""

from nbpipe.kernel.tracing.tracer import StepTracer

__all__ = ["StepTracer"]
