"""What runs inside a user's kernel: the three calls of a step notebook. Light; no driver code."""

from nbpipe.kernel.bootstrap import begin, load, save

__all__ = ["begin", "load", "save"]
