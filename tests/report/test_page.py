"""Reports of runs in small stores: what they say, and that they give a page whatever happened."""

from __future__ import annotations

import base64
import json
import re
import time
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from nbpipe.api.report import gather_report, report_page, write_report
from nbpipe.errors import NotFoundError, StoreUnavailableError
from nbpipe.model.digest import digest_structure
from nbpipe.model.run import KeyParts, RunState, StepFailure, StepState
from nbpipe.runner.cell_outputs import CellOutputs, encode_cell_outputs
from nbpipe.store.values import store_values
from tests.builders import notebook_json, pipeline_of
from tests.store.runs import STARTED, a_run, a_step, open_store

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\nnot much of an image").decode()
CELLS = (
    "%%params\nalpha = 0.5",
    "%%step load\nrows = open('a.csv').readlines()",
    "%%step fit --metrics score\nscore = len(rows) * alpha",
    "%%step show\nprint(score)",
)
VOID = {"meta", "link", "img", "br", "hr", "input", "path", "rect", "polygon"}


class Page(HTMLParser):
    """A page as its reader sees it; checks that every element that is opened is closed."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.opened, self.elements, self.words, self.ids = [], [], [], []
        self.feed(text)
        self.close()
        assert self.opened == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.opened.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.opened.pop() == tag

    def handle_data(self, data):
        if self.opened and self.opened[-1] not in {"style", "title"}:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def assert_is_alone(self):
        """No script, no handler, nothing from elsewhere, every link within the page."""
        for tag, attributes in self.elements:
            assert tag not in {"script", "iframe", "object", "embed", "link", "form", "base"}
            for name, value in attributes.items():
                assert not name.startswith("on"), name
                if name == "href":
                    assert value.startswith("#"), value
                    assert value[1:] in self.ids, value
                if name == "src":
                    assert value.startswith("data:image/"), value
        assert len(self.ids) == len(set(self.ids))


def page_of(store, run="latest", **options):
    text = report_page(store, run, **options)
    page = Page(text)
    page.assert_is_alone()
    assert "url(" not in re.sub(r'marker-end="url\(#tip\)"', "", text)
    assert "@import" not in text
    return page


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path)
    yield store
    store.close()


def key_of(**parts):
    named = {name.replace("__", " "): text for name, text in parts.items()}
    return KeyParts(key=digest_structure(named), parts=named)


def shown(store, *outputs):
    return store.blobs.put([encode_cell_outputs(CellOutputs(body=tuple(outputs)))])


def image(media_type="image/png", content=PIXEL):
    return {
        "output_type": "display_data", "metadata": {},
        "data": {media_type: content, "text/plain": "<Figure size 1x1>"},
    }  # fmt: skip


def begin(store, cells=CELLS, run="r1", *, executed=True, **facts):
    """Begin a run of a notebook, which lies in the store as the executed one."""
    source = pipeline_of(*cells).source if cells else None
    known = {"source": source, "notebook": "demo.ipynb", "pipeline": "demo", **facts}
    store.begin_run(replace(a_run(run), **known))
    path = store.root / "runs" / run / "demo.run.ipynb"
    path.parent.mkdir(parents=True)
    if executed:
        path.write_text(json.dumps(notebook_json(*cells)))


def make(store, step, key, *, run="r1", number=1, cells=None, values=None, **facts):
    stored = store_values(store.blobs, values or {}, list(values or {})).values
    step_run = a_step(step, run=run, cell_numbers=(number,), cells=cells, **facts)
    return store.commit_step(replace(step_run, key=key), stored).outputs


@pytest.fixture
def whole(store):
    begin(store)
    code = digest_structure("code")
    rows = make(
        store, "load", key_of(code=code, file__a_csv=code, python="3.11"), number=2,
        values={"rows": ["1", "2"]}, seconds=1.25, reason="never ran",
    )["rows"]  # fmt: skip
    score = make(
        store, "fit",
        key_of(
            code=code, parameter__alpha="0.5", package__scipy="1.2",
            input__rows=f"{rows.value.content} json 1",
        ),
        number=3, values={"score": 0.75}, cells=shown(store, [image()]),
        reason="code changed; parameter alpha: 0.4 → 0.5", notes=("it was warm",),
    )["score"]  # fmt: skip
    make(store, "show", key_of(code=code, input__score=f"{score.value.content} json 1"), number=4)
    store.finish_run("r1", RunState.SUCCEEDED, finished=STARTED + timedelta(seconds=5))
    return store


def test_a_page_says_what_ran_why_and_what_came_of_it(whole):
    page = page_of(whole)
    for said in (
        "demo ✓ succeeded", "Took 5.0 s", "3 succeeded", "fit", "code changed",
        "parameter alpha: 0.4 → 0.5", "Metrics score, fit 0.75", "fit , cell 3", "it was warm",
        "alpha 0.5 fit", "rows@1 list of 2 elements", "scipy 1.2 1 step",
        "Lineage of step show", "made by step fit",
        "nbpipe audit --expect",
    ):  # fmt: skip
        assert said in page.text, said
    assert "score = len(rows) * alpha" in "".join(page.words)
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert [i["src"] for i in images] == [f"data:image/png;base64,{PIXEL}"]
    assert images[0]["alt"] == "Image shown by cell 3: <Figure size 1x1>"
    # The picture: three steps, and the names between them.
    assert "✓ load rows ✓ fit score ✓ show" in page.text


def test_edges_are_those_that_were_recorded(whole):
    report = gather_report(whole, whole.run("r1"))
    assert report.edges == {("load", "fit"): ("rows",), ("fit", "show"): ("score",)}
    assert [step.metrics for step in report.steps] == [(), ("score",), ()]


def test_the_lineage_is_of_what_was_asked_for(whole):
    page = page_of(whole, lineage_of="rows")
    assert "Lineage of rows" in page.text
    with pytest.raises(NotFoundError, match="'nothing'"):
        report_page(whole, "r1", lineage_of="nothing")


HOSTILE = '"><script>alert("x")</script><img src=x onerror=alert(1)>\x1b[31m\x00'


def test_nothing_that_comes_from_a_notebook_can_do_harm(store):
    begin(store, ("%%step s\nx = '''</pre><script>alert(1)</script>'''",), notebook=HOSTILE)
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" onload="x()"><script>{HOSTILE}</script></svg>'
    key = key_of(**{"code": HOSTILE, f"file {HOSTILE}": HOSTILE, f"parameter {HOSTILE}": HOSTILE})
    outputs = [
        image("image/svg+xml", svg),
        image("text/html", HOSTILE),
        image("image/png", HOSTILE),
    ]
    make(
        store, "s", key, cells=shown(store, outputs), values={"x": HOSTILE},
        reason=HOSTILE, notes=(HOSTILE + "\ud800",),
    )  # fmt: skip
    failure = StepFailure(kind="error", message=HOSTILE, hint=HOSTILE, traceback=HOSTILE)
    store.record_step(a_step("t", state=StepState.FAILED, failure=failure))
    page = page_of(store)
    assert page.text.count('<script>alert("x")</script>') >= 5  # As text.
    assert "\x00" not in page.text
    page_of(store, lineage_of="x").assert_is_alone()


def test_a_failed_run_shows_the_failure_first(store):
    begin(store)
    failure = StepFailure(
        kind="error", message="ValueError: no", hint="Look.", traceback="Cell 2 …\nno",
        cell_number=2, line=1,
    )  # fmt: skip
    store.record_step(a_step("load", state=StepState.FAILED, failure=failure, cell_numbers=(2,)))
    for step in ("fit", "show"):
        store.record_step(a_step(step, state=StepState.SKIPPED, reason="'load' failed"))
    store.finish_run("r1", RunState.FAILED, finished=STARTED)
    page = page_of(store)
    assert "✗ load in cell 2, line 1 ValueError: no Cell 2 … no Help: Look." in page.text
    assert "1 failed, 2 skipped" in page.text
    # Steps that never got a key have the edges of the code.
    edges = gather_report(store, store.run("r1")).edges
    assert edges == {("load", "fit"): ("rows",), ("fit", "show"): ("score",)}


def test_a_run_that_was_killed_says_what_it_never_came_to(store):
    begin(store, executed=False)
    make(store, "load", key_of(code="c"), values={"rows": [1]}, number=2)
    (store.root.parent / "demo.ipynb").write_text(json.dumps(notebook_json(*CELLS)))
    page = page_of(store)
    assert "The run goes on, or was killed" in page.text
    assert "not ended" in page.text
    assert "1 succeeded, 2 pending" in page.text or "2 pending, 1 succeeded" in page.text
    # A notebook that was edited since tells nothing of this run.
    (store.root.parent / "demo.ipynb").write_text(json.dumps(notebook_json(*CELLS[:2])))
    page = page_of(store)
    assert "The notebook of this run is not in the store any more." in page.text
    assert "Its code is not in the store any more." in page.text


def test_a_run_that_has_not_begun_a_step_gives_a_page(store):
    begin(store, (), executed=False)
    assert "The run came to no step." in page_of(store).text


def test_a_run_whose_blobs_and_files_are_gone_gives_a_page(whole):
    for blob in list(whole.blobs):
        whole.blobs.path(blob.digest).unlink()
    (whole.root / "runs" / "r1" / "demo.run.ipynb").unlink()
    page = page_of(whole)
    assert "What its cells showed is not in the store any more." in page.text
    assert "0.75" in page.text  # Summaries are in the index.


def test_code_comes_from_the_executed_step_notebook_if_no_other_is_left(store):
    begin(store, executed=False)
    executed = {
        **notebook_json("x = 1"), "cells": [{
            "cell_type": "code", "id": "b", "outputs": [], "execution_count": 1, "source": "x = 1",
            "metadata": {"nbpipe": {"kind": "body", "cell_number": 7, "lines": [1]}},
        }],
    }  # fmt: skip
    (store.root / "runs" / "r1" / "load.ipynb").write_text(json.dumps(executed))
    make(store, "load", key_of(code="c"), executed_notebook="runs/r1/load.ipynb")
    [step] = gather_report(store, store.run("r1")).steps
    assert [(cell.number, cell.source) for cell in step.code] == [(7, "x = 1")]


def test_a_store_from_elsewhere_cannot_show_other_files(store, tmp_path):
    secret = tmp_path / "secret.ipynb"
    secret.write_text(json.dumps(notebook_json("%%step s\npassword = 'hush'")))
    begin(store, executed=False, executed_notebook=str(secret))
    make(store, "s", key_of(code="c"), executed_notebook="../secret.ipynb")
    assert "hush" not in report_page(store, "r1")


def test_images_beyond_what_a_page_can_hold_are_left_out(store, monkeypatch):
    monkeypatch.setattr("nbpipe.api.report._PlotBudget.__init__.__defaults__", (60,))
    begin(store, ("%%step s\nx = 1",))
    make(store, "s", key_of(code="c"), cells=shown(store, [image(), image()]))
    page = page_of(store)
    assert page.text.count("Left out, so that the page stays small.") == 1


def test_a_thousand_steps_give_a_page_in_seconds(store):
    cells = ["%%step s0\nv0 = 0", *(f"%%step s{n}\nv{n} = v{n // 2} + 1" for n in range(1, 1000))]
    cells[1] = "%%step s1\nv1 = v0 + 1"
    begin(store, tuple(cells))
    made = {}
    for number in range(1000):
        above = made.get(f"v{number // 2}")
        inputs = {f"input v{number // 2}": f"{above.value.content} json 1"} if above else {}
        key = KeyParts(key=digest_structure(number), parts={"code": "c", **inputs})
        made |= make(store, f"s{number}", key, number=number + 1, values={f"v{number}": number})
    started = time.perf_counter()
    text = report_page(store, "r1")
    assert time.perf_counter() - started < 60
    page = Page(text)
    page.assert_is_alone()
    marks = [a for tag, a in page.elements if tag == "a" and a.get("class") == "mark succeeded"]
    assert len(marks) == 1000
    assert len(text) < 6_000_000


def test_a_report_goes_beside_the_notebooks_of_its_run_or_where_it_is_told(whole, tmp_path):
    assert write_report(whole, "r1", None) == whole.root / "runs" / "r1" / "report.html"
    target = tmp_path / "deep" / "r.html"
    assert write_report(whole, "latest", target) == target
    assert target.read_text().startswith("<!DOCTYPE html>")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailableError):
        write_report(whole, "r1", tmp_path / "file" / "r.html")
