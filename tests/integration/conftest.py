from tests.cli.shell import nbpipe, shell

__all__ = ["nbpipe", "shell"]
