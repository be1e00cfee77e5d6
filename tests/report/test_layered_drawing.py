"""Drawings of graphs."""

from __future__ import annotations

import re
import time
from xml.etree import ElementTree as ET

from nbpipe.report.layered_drawing import DrawnStep, drawing, layers_of

SVG = "{http://www.w3.org/2000/svg}"


def test_a_drawing_has_all_steps_with_their_state_and_all_names_on_edges():
    looks = {
        "load": DrawnStep(state="reused", href="#load", title="load reused"),
        "fit": DrawnStep(state="failed"),
    }
    picture = ET.fromstring(
        drawing(["load", "fit"], {("load", "fit"): ["df,", "@x"]}, title="t", drawn=looks)
    )
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert texts == ["= load", "df,", "@x", "✗ fit"]
    assert [group.get("class") for group in picture.iter(f"{SVG}g")] == [
        "step reused",
        "step failed",
    ]
    # Shapes tell the states apart as colours do.
    assert len(list(picture.iter(f"{SVG}rect"))) == len(list(picture.iter(f"{SVG}polygon"))) == 1
    assert [link.get("href") for link in picture.iter(f"{SVG}a")] == ["#load"]


def test_names_cannot_break_out_of_a_drawing():
    name = '"><script>alert(1)</script>'
    looks = {name: DrawnStep(state='x"', href='"javascript:', title="</title><b>")}
    picture = drawing([name], {}, title=name, drawn=looks)
    assert "<script" not in picture
    assert "<b>" not in picture
    ET.fromstring(picture)


def test_one_step_is_drawn():
    ET.fromstring(drawing(["a"], {}, title="t"))


def test_layers_are_the_longest_ways():
    edges = [("a", "b"), ("b", "c"), ("a", "c"), ("a", "d")]
    assert layers_of(["a", "b", "c", "d"], edges) == {"a": 0, "b": 1, "c": 2, "d": 1}


def test_large_graphs_are_drawn_in_a_moment():
    steps = [f"s{number}" for number in range(120)]
    labels = {(steps[i // 3], step): ["x"] for i, step in enumerate(steps) if i}
    labels |= {(steps[i], steps[-1]): ["y"] for i in range(0, 110, 10)}
    started = time.perf_counter()
    picture = drawing(steps, labels, title="t")
    assert time.perf_counter() - started < 20
    assert len(re.findall('class="step"', picture)) == 120
