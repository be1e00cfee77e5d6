"""What the pages say exists: links, commands, options, notebooks."""

from __future__ import annotations

import re
import shlex
from itertools import groupby
from pathlib import Path

import click
import pytest

from nbpipe.cli.main import COMMANDS, cli
from tests.builders import compile_cells
from tests.docs.pages import ROOT, Block, all_blocks, commands, pages

BLOCKS = all_blocks()
NAMES = {name for group in COMMANDS.values() for name in group}


def prose(path: Path) -> str:
    """A page without its fenced blocks."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found = set()
    for heading in re.findall(r"^#+ +(.+)$", prose(path), re.MULTILINE):
        kept = "".join(c for c in heading.lower() if c.isalnum() or c in " -_")
        found.add(kept.strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("path", pages(), ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in reached:
            continue
        reached.add(path)
        targets = re.findall(r"\]\(([^)\s#:]+\.md)(?:#[^)]*)?\)", prose(path))
        waiting += [(path.parent / target).resolve() for target in targets]
    assert set(pages()) - reached == set()


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "shell"], ids=str)
def test_commands_exist_with_their_options(block: Block) -> None:
    for line in commands(block):
        words = shlex.split(line, comments=True)
        if words[0] != "nbpipe":
            continue
        assert words[1] in NAMES, line
        command = cli.get_command(click.Context(cli, help_option_names=["-h", "--help"]), words[1])
        assert command is not None
        try:
            command.make_context(words[1], words[2:])
        except click.UsageError as error:
            pytest.fail(f"{line}: {error.format_message()}")


@pytest.mark.parametrize("path", pages(), ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_named_in_the_text_exist(path: Path) -> None:
    named = re.findall(r"`nbpipe ([a-z]+)\b(?!\.)", prose(path))
    assert set(named) - NAMES == set()


def test_blocks_say_what_they_are() -> None:
    known = {"python", "shell", "text", "toml", "json"}
    python = re.compile(r"python( cell( \d+)?| no-run: .+)?\Z")
    shell = re.compile(r"shell( fails \d+)?\Z")
    odd = [
        f"{block}: {block.info!r}"
        for block in BLOCKS
        if block.language not in known
        or (block.language == "python" and not python.match(block.info))
        or (block.language == "shell" and not shell.match(block.info))
    ]
    assert odd == []


def notebooks() -> list[object]:
    """The cells of each section of a page, which together are a notebook."""
    cells = [block for block in BLOCKS if block.info == "python cell"]
    return [
        pytest.param([block.text for block in group], id=f"{page}: {section}")
        for (page, section), group in groupby(cells, key=lambda block: (block.page, block.section))
    ]


@pytest.mark.parametrize("cells", notebooks())
def test_the_notebooks_on_a_page_compile(cells: list[str]) -> None:
    compilation = compile_cells(*cells)
    assert [str(finding) for finding in compilation.diagnostics] == []
    assert compilation.pipeline is not None
