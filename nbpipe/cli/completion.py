"""`nbpipe completion`: the script that completes commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from nbpipe.cli.console import put
from nbpipe.cli.main import cli
from nbpipe.errors import ConfigurationError


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the completion script for SHELL.

    For bash, add to ~/.bashrc: eval "$(nbpipe completion bash)"
    """
    completion = get_completion_class(shell)
    if completion is None:
        raise ConfigurationError(f"There is no completion for {shell}.")
    try:
        put(completion(cli, {}, "nbpipe", "_NBPIPE_COMPLETE").source())
    except RuntimeError as error:
        raise ConfigurationError(str(error)) from None
