"""Bundles: where they are written, and what becomes of one that is damaged, newer or hostile."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from nbpipe.api.notebooks import write_bundle
from nbpipe.workspace import open_workspace
from tests.builders import notebook_json

CELLS = (
    "#| params\nalpha = 0.1",
    "import math\ndef double(v):\n    return v * 2",
    "#| step: make\nx = [double(1)] * 3",
    "#| step: use\ny = sum(x) * alpha\nprint(math.floor(y))",
)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A bundle to copy: finding out the environment takes a moment."""
    directory = tmp_path_factory.mktemp("compiled")
    notebook = directory / "book.ipynb"
    notebook.write_text(json.dumps(notebook_json(*CELLS)))
    return write_bundle(open_workspace(notebook), directory / "book.nbpipe")


@pytest.fixture
def bundle(compiled, shell):
    shell.write("book.ipynb", *CELLS)
    return shutil.copytree(compiled, shell.directory / "book.nbpipe")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, the value itself last."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))
    yield path


def changed(document: Any, path: tuple[Any, ...], change) -> Any:
    if not path:
        return change(None, None) if change is not remove else {}
    document = copy.deepcopy(document)
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    change(parent, path[-1])
    return document


def remove(parent, key):
    del parent[key]


def put(value):
    def change(parent, key):
        if parent is None:
            return value
        parent[key] = value
        return None

    return change


@pytest.mark.parametrize(
    "change",
    [remove, *map(put, [None, 7, -1, 0.5, True, "text", "", [], [None], {}, {"a": 1}])],
    ids=lambda change: getattr(change, "__name__", ""),
)
def test_a_manifest_with_anything_in_any_place_is_read_or_refused(nbpipe, bundle, change):
    manifest = bundle / "pipeline.json"
    document = json.loads(manifest.read_text())
    for path in list(places(document)):
        manifest.write_text(json.dumps(changed(document, path, change)))
        outcome = nbpipe("status", bundle)
        assert outcome.code in {0, 2}, path
        if outcome.code == 2:
            assert "book.nbpipe" in outcome.err, path
            assert "help: " in outcome.err, path


def test_a_manifest_cut_anywhere_is_refused(nbpipe, bundle):
    manifest = bundle / "pipeline.json"
    text = manifest.read_text()
    for length in range(0, len(text) - 2, 97):
        manifest.write_text(text[:length])
        outcome = nbpipe("run", bundle, "--json")
        assert outcome.code == 2
        assert "pipeline.json is not JSON" in outcome.err
        assert outcome.summary["state"] == "refused"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2, "compiler": "9.9"}, "has format 2; this nbpipe reads up to 1."),
        ({"format": 2, "compiler": "9.9"}, "by a newer nbpipe (9.9): upgrade"),
        ({"format": 0}, "has no format number"),
        ({"format": "1"}, "has no format number"),
        ({"format": True}, "has no format number"),
        ({"name": "../../evil"}, "'../../evil' cannot name a pipeline"),
        ({"name": ""}, "'' cannot name a pipeline"),
        ({"name": "a\0b"}, "cannot name a pipeline"),
        ({"name": 3}, "name: expected str, found 3"),
        ({"surprise": 1}, "unknown field 'surprise'"),
    ],
)
def test_a_manifest_says_what_is_wrong_with_it(nbpipe, bundle, change, said):
    manifest = bundle / "pipeline.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    outcome = nbpipe("run", bundle)
    assert (outcome.code, said in outcome.err) == (2, True), outcome


def test_a_hostile_step_name_in_a_manifest_is_refused(nbpipe, bundle):
    manifest = bundle / "pipeline.json"
    for name in ("../../evil", "/tmp/evil", "con", "", "a" * 300, "🚀"):
        text = manifest.read_text().replace('"make"', json.dumps(name))
        (bundle.parent / "evil.nbpipe").mkdir(exist_ok=True)
        (bundle.parent / "evil.nbpipe" / "pipeline.json").write_text(text)
        outcome = nbpipe("run", "evil.nbpipe")
        assert (outcome.code, "cannot name a step" in outcome.err) == (2, True), outcome


def test_steps_out_of_order_are_refused(nbpipe, bundle):
    manifest = bundle / "pipeline.json"
    document = json.loads(manifest.read_text())
    document["steps"].reverse()
    manifest.write_text(json.dumps(document))
    outcome = nbpipe("run", bundle)
    assert (outcome.code, "not in topological order" in outcome.err) == (2, True)
    document["steps"] = [document["steps"][1]] * 2
    manifest.write_text(json.dumps(document))
    assert "two steps have one name" in nbpipe("run", bundle).err


def test_a_bundle_without_its_parts(nbpipe, bundle):
    (bundle / "effects.json").unlink()
    (bundle / "steps" / "make.ipynb").unlink()
    assert nbpipe("status", bundle).code == 0
    (bundle / "notebook.ipynb").unlink()
    outcome = nbpipe("run", bundle)
    assert outcome.code == 2
    assert "book.nbpipe lacks notebook.ipynb." in outcome.err
    (bundle / "pipeline.json").unlink()
    assert "directory without pipeline.json" in nbpipe("run", bundle).err


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        "nope",
        '{"changes": 3}',
        '{"changes": {"a": "xyz"}}',
        '{"changes": {"a": 3}}',
    ],
)
def test_effects_that_are_none(nbpipe, bundle, content):
    (bundle / "effects.json").write_text(content)
    outcome = nbpipe("run", bundle)
    assert outcome.code == 2
    assert "effects.json does not hold learned effects." in outcome.err
    assert "Delete it" in outcome.err


def test_the_same_notebook_gives_the_same_bytes(nbpipe, shell, bundle):
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    assert nbpipe("compile", "book.ipynb").code == 0
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before
    assert str(shell.directory).encode() not in b"".join(before.values())


def test_what_is_no_bundle_is_left_alone(nbpipe, shell, bundle):
    (shell.directory / "mine").mkdir()
    (shell.directory / "mine" / "thesis.txt").write_text("ten years")
    for target in ("mine", "book.ipynb", "."):
        outcome = nbpipe("compile", "book.ipynb", "-o", target)
        assert outcome.code == 2
        assert f"{target} exists and is no bundle; it is left alone." in outcome.err
    assert (shell.directory / "mine" / "thesis.txt").read_text() == "ten years"
    outcome = nbpipe("compile", "book.ipynb", "-o", "book.ipynb/deeper")
    assert (outcome.code, "Not a directory" in outcome.err) == (4, True)


def test_a_bundle_goes_where_it_is_told(nbpipe, shell, bundle):
    (shell.directory / "empty").mkdir()
    for target in ("empty", "new/deep/here", bundle):
        assert nbpipe("compile", "book.ipynb", "-o", target).code == 0
        assert nbpipe("status", shell.directory / target).code == 0
    (shell.directory / "link.nbpipe").symlink_to("empty")
    assert nbpipe("compile", "book.ipynb", "-o", "link.nbpipe").code == 0
    assert (shell.directory / "link.nbpipe").is_symlink()
    leftovers = [path for path in shell.directory.rglob(".*") if path.name != ".nbpipe"]
    assert not leftovers


def test_check_writes_nothing(nbpipe, shell):
    shell.write("book.ipynb", *CELLS)
    assert nbpipe("compile", "book.ipynb", "--check").code == 0
    assert [path.name for path in shell.directory.iterdir()] == ["book.ipynb"]


def test_a_bundle_cannot_be_compiled_or_tagged(nbpipe, bundle):
    assert nbpipe("tag", bundle).code == 2
    outcome = nbpipe("compile", bundle)
    assert outcome.code == 2
    assert "is a bundle" in outcome.err


def test_compile_in_json(nbpipe, shell):
    shell.write("book.ipynb", *CELLS)
    outcome = nbpipe("compile", "book.ipynb", "--json")
    [facts] = outcome.lines
    assert (outcome.code, facts["event"], facts["state"]) == (0, "compiled", "succeeded")
    assert [step["name"] for step in facts["steps"]] == ["make", "use"]
    assert facts["edges"] == [{"upstream": "make", "downstream": "use", "variable": "x"}]
    assert facts["bundle"] == str(shell.directory / "book.nbpipe")
