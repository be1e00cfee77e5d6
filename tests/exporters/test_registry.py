"""The exporters there are, as `nbpipe export` finds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbpipe.errors import NotFoundError
from nbpipe.exporters.findings import EXPORT_RULES
from nbpipe.exporters.registry import exporters
from tests.exporters.exporting import exported

CELLS = ["import math", "%%params\nalpha = 0.1", "%%step a\nx = math.pi * alpha", "%%step b\nx"]


def test_the_built_in_exporters_are_there():
    assert {"docker", "script"} <= set(exporters().names)


@pytest.mark.parametrize("target", ["docker", "script"])
def test_an_exporter_keeps_its_promises(target):
    exporter = exporters().get(target)
    assert exporter.target == target
    assert exporter.summary
    assert "\n" not in exporter.summary
    first, again = exported(exporter, *CELLS), exported(exporters().get(target), *CELLS)
    assert first == again
    assert first.files
    for path, text in first.files.items():
        assert not path.startswith(("/", "..")), path
        assert "\\" not in path, path
        assert text.endswith("\n"), path
        assert str(Path(__file__).parents[2]) not in text, path


def test_a_near_miss_is_named():
    with pytest.raises(NotFoundError, match="No exporter 'dokcer'") as caught:
        exporters().get("dokcer")
    assert caught.value.hint == "Did you mean 'docker'?"


def test_every_rule_is_explained():
    assert all(rule.title and rule.explanation.endswith(".") for rule in EXPORT_RULES.values())
