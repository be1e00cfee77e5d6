"""Notebooks that a pipeline got silently wrong once, as small as they were found."""

from __future__ import annotations

import pytest

from tests.fuzz.case import case_of
from tests.fuzz.judge import Outcome

CASES = {
    "a lambda under two names": case_of(
        "#| step: a\nf = lambda x: [x]", "#| step: b\ng = f", "#| step: c\nprint(f is g)"
    ),
    "a definition replaced while an old value of it is at hand": case_of(
        "#| step: a\nf = lambda x: [x]",
        "#| step: b\ng = f\nfs = [f]",
        "#| step: c\nf = lambda x: 1\nprint(g is f)",
        "#| step: d\nprint(g(1), f(1), fs[0](2), fs[0] is g)",
    ),
    "an element of a structured array is a window on it": case_of(
        "import numpy as np",
        "#| step: a\nr = np.zeros(3, dtype=[('a', 'i4'), ('b', 'f8')])",
        "#| step: b\nrecord = r[1]",
        "#| step: c\nr['a'] += 3",
        "#| step: d\nprint(record)\nrecord['a'] = 9",
        "#| step: e\nprint(r, record)",
    ),
    "a figure changed where nobody sees it": case_of(
        "import matplotlib.pyplot as plt",
        "#| step: a\nfig, ax = plt.subplots()\nplt.close(fig)",
        "#| step: b\ngetattr(ax, 'pl' + 'ot')([1, 2]);",
        "#| step: c\nprint(len(ax.lines), len(fig.axes[0].lines), fig.axes[0] is ax)",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_notebook_that_once_came_out_wrong(judged, name):
    verdict = judged(CASES[name])
    assert (verdict.outcome, verdict.why) == (Outcome.EQUAL, ())
