"""The generated reference is fresh and complete."""

from __future__ import annotations

import importlib
import re
import sys
from types import ModuleType

import click
import pytest

from nbpipe.cli.main import COMMANDS, cli
from nbpipe.compiler.findings import RULES
from nbpipe.exporters.findings import EXPORT_RULES
from nbpipe.notebook.tags import PIPELINE_DEFAULTS, STEP_OPTIONS
from tests.docs.pages import ROOT


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    sys.path.insert(0, str(ROOT / "scripts" / "docs"))
    try:
        return importlib.import_module("generated")
    finally:
        sys.path.pop(0)


def reference(name: str) -> str:
    return (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")


def test_the_generated_files_are_fresh(generator: ModuleType) -> None:
    outdated = [
        name
        for name, text in generator.generated_files().items()
        if not (ROOT / name).is_file() or (ROOT / name).read_text(encoding="utf-8") != text
    ]
    assert outdated == [], "run: python scripts/docs"


@pytest.mark.parametrize("name", [name for group in COMMANDS.values() for name in group])
def test_a_command_has_its_place_with_all_its_options(name: str) -> None:
    command = cli.get_command(click.Context(cli, help_option_names=["-h", "--help"]), name)
    assert command is not None
    found = re.search(
        rf"^## nbpipe {name}\n(.*?)(?=^## |\Z)", reference("cli.md"), re.MULTILINE | re.DOTALL
    )
    assert found is not None
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert all(word in found[1] for word in parameter.opts)


@pytest.mark.parametrize("code", [*RULES, *EXPORT_RULES])
def test_a_rule_has_its_place(code: str) -> None:
    assert f"\n## {code}\n" in reference("diagnostics.md")


@pytest.mark.parametrize("name", STEP_OPTIONS)
def test_an_option_of_a_step_has_its_place_in_three_spellings(name: str) -> None:
    page = reference("tags.md")
    assert f"`--{name}" in page
    assert f"`#\\| {name}:" in page
    assert f'`{{"{name}":' in page
    assert name not in PIPELINE_DEFAULTS or page.count(f"`--{name}") > 1


def test_every_variable_of_the_environment_has_its_place() -> None:
    sources = [*(ROOT / "nbpipe").rglob("*.py"), ROOT / "hatch_build.py"]
    used = {
        name
        for path in sources
        for name in re.findall(r"\bNBPIPE_[A-Z_]+[A-Z]\b", path.read_text(encoding="utf-8"))
    }
    sys.path.insert(0, str(ROOT / "scripts" / "docs"))
    try:
        page = importlib.import_module("settings_page")
    finally:
        sys.path.pop(0)
    assert used - page.INTERNAL <= set(page.VARIABLES)
    assert all(f"`{name}`" in reference("settings.md") for name in used - page.INTERNAL)
