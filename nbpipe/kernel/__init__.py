"""What runs inside a user's kernel: the four calls of a step notebook. Light; no driver code."""

from nbpipe.kernel.bootstrap import begin, load, save, watch

__all__ = ["begin", "load", "save", "watch"]
