"""The command `nbpipe`: a table of commands, each imported only when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Final

import click

from nbpipe.cli.console import OutputClosedError, print_error, print_failure
from nbpipe.errors import NbpipeError

# name → (module, one line of help), in groups as `--help` shows them.
COMMANDS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "Notebooks": {
        "tag": ("notebooks", "Tag the cells of an untagged notebook as steps"),
        "compile": ("notebooks", "Compile a notebook into a bundle"),
        "export": ("export", "Write a pipeline for another engine"),
    },
    "Runs": {
        "run": ("run", "Run a notebook or bundle as a pipeline"),
        "status": ("status", "Say what would run, without running it"),
        "why": ("status", "Say why a step would run: what changed since its last results"),
        "verify": ("verify", "Prove that runs give the same, and what the notebook gives"),
        "runs": ("runs", "List past runs, or show one"),
        "report": ("report", "Write a page about a run: what ran, why, what came of it"),
        "step": ("step", "Run one step of a bundle: what other engines call"),
    },
    "Artifacts": {
        "artifacts": ("artifacts", "List artifacts, or the versions of one"),
        "show": ("artifacts", "Show one version of an artifact"),
        "diff": ("artifacts", "Compare two versions of an artifact"),
        "lineage": ("lineage", "Say what made a version, or what was made from it"),
        "pin": ("artifacts", "Keep a version for good, or name it"),
        "gc": ("artifacts", "Delete what no recent run or pin needs"),
        "audit": ("audit", "Check that a store is what its log says it is"),
        "trust": ("artifacts", "Allow values of a store from elsewhere to be loaded"),
    },
    "Help": {
        "explain": ("explain", "Explain a diagnostic, such as NBP202"),
        "doctor": ("doctor", "Check versions, kernels, the store and conflicts"),
        "completion": ("completion", "Print the completion script for a shell"),
    },
}
EXIT_DEFECT: Final = 70
CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class CommandTable(click.Group):
    """A group that knows its commands by name and imports one when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Give the names, in the order of the table."""
        return [name for group in COMMANDS.values() for name in group]

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's
        cmd_name: str,
    ) -> click.Command | None:
        """Import the command."""
        for group in COMMANDS.values():
            if cmd_name in group:
                module = importlib.import_module(f"nbpipe.cli.{group[cmd_name][0]}")
                command: click.Command = getattr(module, f"{cmd_name}_command")
                # Also when it is called by itself, without this group around it.
                command.context_settings = {**CONTEXT, **command.context_settings}
                return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a near miss says what was probably meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            import difflib

            close = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            advice = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"There is no command {args[0]!r}.{advice}", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands in their groups, from the table: nothing is imported."""
        widest = max(len(name) for name in self.list_commands(ctx))
        for title, group in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(widest), line) for name, (_, line) in group.items()]
                )


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted:
        from nbpipe._version import __version__

        click.echo(f"nbpipe {__version__}")
        ctx.exit()


@click.group(cls=CommandTable, context_settings=CONTEXT, invoke_without_command=True)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Turn notebooks into pipelines: a run equals the notebook, or nbpipe says why not."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> None:
    """Run the command line and exit with its code (see the reference: exit codes)."""
    if hasattr(sys.stdout, "reconfigure"):
        # A pipe on Windows, or an old terminal, may not know a → or a ✓.
        sys.stdout.reconfigure(errors="replace")
    try:
        code = _run(sys.argv[1:])
        sys.stdout.flush()
    except (OutputClosedError, BrokenPipeError):
        # Python would complain once more as it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # Those who asked have seen what they wanted to see; a run was cut short.
        code = 4 if _command_of(sys.argv[1:]) in _RUNNING else 0
    sys.exit(code)


def _run(words: list[str]) -> int:
    """Run the command line; whatever happens is said, and becomes an exit code."""
    error: Exception
    try:
        code = cli.main(words, standalone_mode=False, prog_name="nbpipe")
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (OutputClosedError, BrokenPipeError):
        raise
    except SystemExit:
        # Click's own way to say that nobody reads its help any more.
        raise OutputClosedError from None
    except click.ClickException as usage:
        usage.show()
        code, message, error = 2, usage.format_message(), usage
    except (click.Abort, KeyboardInterrupt) as interrupt:
        message = "Interrupted."
        print_failure(message)
        code, error = 130, RuntimeError(interrupt)
    except NbpipeError as ours:
        print_error(ours)
        code, message, error = ours.exit_code, ours.message, ours
    except Exception as defect:  # noqa: BLE001 - the last resort: say whose fault it is
        import traceback

        traceback.print_exc()
        print_failure("This is a defect of nbpipe. Please report it with the lines above.")
        code, message, error = EXIT_DEFECT, f"{type(defect).__name__}: {defect}", defect
    if _wants_summary(words):
        from nbpipe.cli.console import put_json
        from nbpipe.cli.progress import summary_without_run

        put_json(summary_without_run(code, message, error))
    return code


# Their output is for programs, which find a summary in its last line, whatever happened.
_RUNNING: Final = frozenset({"run", "step", "verify"})


def _command_of(words: list[str]) -> str:
    return next((word for word in words if not word.startswith("-")), "")


def _wants_summary(words: list[str]) -> bool:
    command = _command_of(words)
    return command == "step" or (command in _RUNNING and "--json" in words)
