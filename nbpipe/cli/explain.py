"""`nbpipe explain`: what a diagnostic means."""

from __future__ import annotations

import click

from nbpipe.cli.console import put, table
from nbpipe.compiler.findings import RULES as COMPILER_RULES
from nbpipe.errors import NotFoundError
from nbpipe.exporters.findings import EXPORT_RULES

RULES = COMPILER_RULES | EXPORT_RULES


@click.command("explain")
@click.argument("code", required=False)
def explain_command(code: str | None) -> None:
    """Explain the diagnostic CODE, such as NBP202; without one, list them all."""
    if code is None:
        rows = [(name, rule.severity.value, rule.title) for name, rule in RULES.items()]
        for line in table(("code", "severity", "what"), rows):
            put(line)
        return
    rule = RULES.get(code.upper())
    if rule is None:
        raise NotFoundError.among("diagnostic", code, RULES)
    put(f"{click.style(code.upper(), bold=True)} ({rule.severity.value}): {rule.title}")
    put(rule.explanation)
