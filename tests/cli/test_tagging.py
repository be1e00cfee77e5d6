"""`nbpipe tag`: it writes into the author's own file, and nothing but tags, whatever happens."""

from __future__ import annotations

import json
import stat
import subprocess

import pytest

from nbpipe.notebook.parse import notebook_json
from tests.cli.shell import COMMAND

CELLS = (
    "import math",
    "# markdown\n# Load",
    "x = [math.sqrt(2)]",
    "# markdown\n# Use it",
    "print(x)",
)


def without_tags(text: str) -> list[str]:
    content = notebook_json(text)
    sources = ["".join(cell["source"]) for cell in content["cells"]]
    return [
        "\n".join(line for line in source.split("\n") if not line.startswith("%%step"))
        for source in sources
        if source != "%load_ext nbpipe"
    ]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_every_other_byte_stays(nbpipe, shell, ending, mark):
    path = shell.write("book.ipynb", *CELLS)
    content = json.loads(path.read_text())
    content["cells"][0]["source"] = ["import math\n", "#  Zoë \u2028 \U0001f680\n", "pi = math.pi"]
    text = json.dumps(content, indent=3, ensure_ascii=False).replace("Zo\u00eb", "Zo\\u00eb")
    before = mark + text.replace("\n", ending).encode()
    path.write_bytes(before)
    path.chmod(0o640)
    outcome = nbpipe("tag", "book.ipynb")
    assert outcome.code == 0, outcome
    assert "load" in outcome.out
    after = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert after.startswith(mark)
    assert (b"\r\n" in after) == (ending == "\r\n")
    for piece in (b"Zo\\u00eb", "\U0001f680".encode(), b'"nbformat_minor": 5'):
        assert piece in after
    assert without_tags(after.decode("utf-8-sig")) == without_tags(before.decode("utf-8-sig"))
    assert nbpipe("compile", "book.ipynb", "--check").code == 0


def test_cells_of_no_known_type_are_in_the_way(nbpipe, shell):
    """They are left out when the notebook is read, so the places of the others are not sure."""
    path = shell.write("book.ipynb", *CELLS)
    content = json.loads(path.read_text())
    content["cells"].insert(1, {"cell_type": "heading", "source": "Old", "metadata": {}})
    path.write_text(json.dumps(content))
    before = path.read_bytes()
    outcome = nbpipe("tag", "book.ipynb", "--by", "cell")
    assert (outcome.code, "cells of no known type" in outcome.err) == (2, True), outcome
    assert path.read_bytes() == before


def test_to_another_file_or_to_stdout(nbpipe, shell):
    path = shell.write("book.ipynb", *CELLS)
    before = path.read_bytes()
    printed = nbpipe("tag", "book.ipynb", "-o", "-")
    assert printed.code == 0
    assert nbpipe("tag", "book.ipynb", "-o", "new/tagged.ipynb").code == 0
    assert (shell.directory / "new" / "tagged.ipynb").read_text() == printed.out
    assert path.read_bytes() == before


def test_a_link_stays_a_link(nbpipe, shell):
    path = shell.write("book.ipynb", *CELLS)
    (shell.directory / "link.ipynb").symlink_to("book.ipynb")
    assert nbpipe("tag", "link.ipynb").code == 0
    assert (shell.directory / "link.ipynb").is_symlink()
    assert "%%step" in path.read_text()


@pytest.mark.parametrize("by", ["banana", "0", "-1", "", "1.5"])
def test_by_what_is_no_way_to_tag(nbpipe, shell, by):
    shell.write("book.ipynb", *CELLS)
    outcome = nbpipe("tag", "book.ipynb", "--by", by)
    assert outcome.code == 2
    assert f"--by: {by!r} is neither 'heading', 'cell' nor a number of steps." in outcome.err


def test_nothing_to_tag(nbpipe, shell):
    shell.write("book.ipynb", "import math", "x = 1")
    outcome = nbpipe("tag", "book.ipynb")
    assert outcome.code == 2
    assert "has no cell that could be a step" in outcome.err


def test_tagging_twice_is_refused(nbpipe, shell):
    path = shell.write("book.ipynb", *CELLS)
    assert nbpipe("tag", "book.ipynb").code == 0
    before = path.read_bytes()
    outcome = nbpipe("tag", "book.ipynb")
    assert (outcome.code, "has steps already" in outcome.err) == (2, True)
    assert path.read_bytes() == before


def test_where_nothing_can_be_written_the_notebook_is_whole(shell):
    """A limit on the size of files stands in for a full disk: writing fails half way."""
    path = shell.write("book.ipynb", *CELLS)
    before = path.read_bytes()
    limited = ["bash", "-c", 'ulimit -f 0; exec "$@"', "-", *COMMAND, "tag", "book.ipynb"]
    done = subprocess.run(
        limited,
        cwd=shell.directory,
        env=shell.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done
    assert "book.ipynb cannot be written" in done.stderr
    assert path.read_bytes() == before
    assert list(shell.directory.iterdir()) == [path]
