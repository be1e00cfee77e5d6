"""docs/reference/cli.md, from the click commands."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Final

import click
from markdown_text import anchor, block, code, page, table

from nbpipe.cli.main import COMMANDS, cli

_INTRODUCTION: Final = """
Results go to stdout; progress, findings and errors go to stderr, so a pipe gets only results. With
`--json` stdout holds JSON. Colour and live progress appear only in a terminal, and not when
`NO_COLOR` is set. Every command answers `--help`; `nbpipe --version` prints the version.

A *notebook* is an `.ipynb` file, a *bundle* the directory that `nbpipe compile` writes
([formats](bundle-and-store.md)). Exit codes are explained in [exit codes](exit-codes.md).
"""

# The usual codes are 0, 2 and 4: done, refused, the world failed.
_WITH_NOTEBOOK: Final = frozenset({"run", "status", "why", "step"})
_EXIT_CODES: Final = {
    "audit": "0, 2, 3, 4",
    "run": "0, 1, 2, 4, 130",
    "step": "0, 1, 2, 4, 5, 130",
    "verify": "0, 1, 2, 3, 4, 130",
}


def cli_page(_root: Path) -> str:
    """Make the page."""
    context = click.Context(cli, info_name="nbpipe", help_option_names=["-h", "--help"])
    parts = [_INTRODUCTION]
    for title, group in COMMANDS.items():
        rows = [
            (f"[`nbpipe {name}`](#{anchor(f'nbpipe {name}')})", line)
            for name, (_, line) in group.items()
        ]
        parts.append(table((title, "does"), rows))
    for group in COMMANDS.values():
        for name in group:
            command = cli.get_command(context, name)
            assert command is not None
            parts.append(_command(name, command))
    return page("Command line", *parts)


def _command(name: str, command: click.Command) -> str:
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option)]
    usage = " ".join(
        ["nbpipe", name, *(_argument(a) for a in arguments), *(["[options]"] if options else [])]
    )
    parts = [f"## nbpipe {name}", block(usage), inspect.cleandoc(command.help or "")]
    if options:
        rows = [(code(_usage(option)), _meaning(name, option)) for option in options]
        parts.append(table(("option", "meaning"), rows))
    parts.append(f"Exit codes: {_EXIT_CODES.get(name, '0, 2, 4')}.")
    return "\n\n".join(parts)


def _argument(argument: click.Argument) -> str:
    word = argument.metavar or argument.human_readable_name.upper()
    if isinstance(argument.type, click.Choice):
        word = "|".join(str(choice) for choice in argument.type.choices)
    return word if argument.required or word.startswith("[") else f"[{word}]"


def _usage(option: click.Option) -> str:
    names = ", ".join([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return names
    if isinstance(option.type, click.Choice):
        return f"{names} {'|'.join(str(choice) for choice in option.type.choices)}"
    return f"{names} {option.metavar or option.type.name.split()[0].upper()}"


def _meaning(command: str, option: click.Option) -> str:
    text = option.help or ""
    if option.name == "store" and command in _WITH_NOTEBOOK:
        # One option serves all commands, and its help tells of those without a notebook.
        text = "The store [default: the settings', else .nbpipe beside the notebook]."
    text = re.sub(r" \[default: (.+?)\]\.?", r". Default: \1.", text)
    if option.show_default and option.default is not None:
        text += f" Default: `{option.default}`."
    if option.required:
        text += " Required."
    if option.multiple:
        text += " May be repeated."
    return text
