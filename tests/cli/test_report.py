"""`nbpipe report`, and what `runs` says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store.runs import a_run, commit, open_store


@pytest.fixture
def filled(shell):
    store = open_store(shell.directory)
    store.begin_run(a_run())
    commit(store, "make", {"x": 1}, key="k")
    store.close()


def test_a_report_is_written_and_its_path_printed(nbpipe, filled, shell):
    outcome = nbpipe("report")
    beside = shell.directory / ".nbpipe" / "runs" / "r1" / "report.html"
    assert (outcome.code, outcome.out) == (0, f"{beside}\n")
    assert beside.read_text().startswith("<!DOCTYPE html>")
    outcome = nbpipe("report", "r1", "-o", "out/r.html", "--lineage", "x")
    assert (outcome.code, Path(outcome.out.strip()).name) == (0, "r.html")
    assert "Lineage of x" in (shell.directory / "out" / "r.html").read_text()


def test_a_report_goes_to_stdout_when_it_is_asked_to(nbpipe, filled):
    assert nbpipe("report", "-o", "-").out.startswith("<!DOCTYPE html>")


def test_a_report_of_nothing_is_refused(nbpipe, filled):
    outcome = nbpipe("report", "r9")
    assert (outcome.code, "No run 'r9'" in outcome.err) == (2, True)
    outcome = nbpipe("report", "r1", "--lineage", "y")
    assert (outcome.code, "'y'" in outcome.err) == (2, True)


def test_a_run_says_how_to_get_its_report(nbpipe, filled):
    assert "all of it on a page: nbpipe report r1" in nbpipe("runs", "r1").err


@pytest.mark.slow
def test_a_real_run_is_reported_with_its_plot_and_its_failure(shell):
    pytest.importorskip("matplotlib")
    shell.write(
        "book.ipynb",
        "%%params\nalpha = 2",
        "%%step load --metrics n\nn = 21 * alpha",
        "%%step plot\nimport matplotlib.pyplot as plt\nplt.plot([n, 1])\nplt.show()",
        "%%step bad\nraise ValueError('<b>' + str(n))",
    )
    assert shell("run", "book.ipynb", "--keep-going").code == 1
    page = Path(shell("report").out.strip()).read_text()
    for said in (
        "data:image/png;base64,", "in cell 4, line 2", "ValueError: &lt;b&gt;42",
        '<div class="value">42</div>', "plot</a>, cell 3", "made by step load",
    ):  # fmt: skip
        assert said in page, said
    assert "<b>42" not in page
    lineage = shell("lineage", "n").out
    assert "made by step load  cell 2, of book" in lineage
    assert "parameter alpha = 2" in lineage
    assert shell("audit", "--blobs").code == 0
