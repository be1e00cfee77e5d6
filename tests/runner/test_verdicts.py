"""From evidence to verdicts: findings, culprits first, and what is passed over."""

from __future__ import annotations

import pytest

from nbpipe.model.artifact import Format, StoredValue, Summary
from nbpipe.model.digest import Digest
from nbpipe.model.verification import Cause, Comparison, Counterpart, Finding, Likeness
from nbpipe.runner.verdicts import Evidence, judge, places_to_compare
from tests.builders import pipeline_of

PIPELINE = pipeline_of(
    "#| step: load\na = 1\nb = [a]",
    "#| step: other\nc = 1",
    "#| step: fit\nd = a + 1",
    "#| step: show\nprint(b, c, d)",
)
DIFFERENT = Comparison(likeness=Likeness.DIFFERENT, detail="1 ≠ 2")


def stored(variable, content, *, member=""):
    return StoredValue(
        variable=variable,
        bundle=Digest(f"bundle of {content}"),
        member=member,
        content=Digest(content),
        format=Format(name="json", revision=1),
        size=1,
        summary=Summary(type="int", text="1"),
    )


def evidence(shown=None, **values):
    """`load={"a": "x"}`: step load exports a, stored as x."""
    steps = {
        step: {
            name: value if isinstance(value, StoredValue) else stored(name, value)
            for name, value in variables.items()
        }
        for step, variables in values.items()
    }
    cells = {
        number: [{"output_type": "stream", "name": "stdout", "text": text}]
        for number, text in (shown or {}).items()
    }
    return Evidence(store="s", values=steps, shown=cells)


def verdicts(left, right, comparisons=None, counterpart=Counterpart.RUN):
    found = judge(counterpart, PIPELINE, left, right, comparisons=comparisons or {}, tolerance=0.0)
    return {verdict.step: verdict for verdict in found}


def test_equal_digests_need_no_comparison():
    side = evidence(load={"a": "x", "b": "y"}, shown={4: "1"})
    assert places_to_compare(side, side) == []
    found = verdicts(side, side)
    assert [v.likeness for v in found.values()] == [Likeness.EQUAL] * 4
    assert found["show"].findings == (Finding(cell_number=4, comparison=Comparison()),)


def test_a_step_whose_input_differed_differs_because_of_it_and_of_the_first_culprit():
    left = evidence(load={"a": "x"}, fit={"d": "u"}, shown={4: "1"})
    right = evidence(load={"a": "z"}, fit={"d": "w"}, shown={4: "2"})
    assert places_to_compare(left, right) == [("load", "a"), ("fit", "d")]
    found = verdicts(left, right, {("load", "a"): DIFFERENT, ("fit", "d"): DIFFERENT})
    because_of_load, because_of_fit = (
        Cause(step="load", variable="a"),
        Cause(step="fit", variable="d"),
    )
    assert {name: verdict.because for name, verdict in found.items()} == {
        "load": (),
        "other": (),
        "fit": (because_of_load,),
        "show": (because_of_load, because_of_fit),
    }


def test_what_is_equal_and_stored_otherwise_is_equal_and_said_and_may_be_a_cause():
    """How an input is stored is part of the key, and the key seeds the step."""
    left = evidence(load={"a": "x"}, fit={"d": "u"})
    right = evidence(load={"a": "z"}, fit={"d": "w"})
    comparisons = {("load", "a"): Comparison(), ("fit", "d"): DIFFERENT}
    found = verdicts(left, right, comparisons)
    assert found["load"].findings[0].comparison == Comparison(apart_from=("how it is stored",))
    assert found["load"].passes(0.0)
    assert found["fit"].because == (Cause(step="load", variable="a"),)
    against = verdicts(left, right, comparisons, Counterpart.NOTEBOOK)
    assert against["load"].findings[0].comparison == Comparison()
    assert against["fit"].because == ()


def test_noise_passes_up_to_the_tolerance():
    noise = Comparison(likeness=Likeness.NOISE, relative=1e-15)
    found = verdicts(evidence(load={"a": "x"}), evidence(load={"a": "z"}), {("load", "a"): noise})[
        "load"
    ]
    assert (found.likeness, found.relative) == (Likeness.NOISE, 1e-15)
    assert (found.passes(0.0), found.passes(1e-14)) == (False, True)


def test_a_value_that_the_comparing_kernel_never_came_to_is_not_equal():
    found = verdicts(evidence(load={"a": "x"}), evidence(load={"a": "z"}))["load"]
    assert found.likeness is Likeness.INCOMPARABLE
    assert not found.passes(1.0)


def test_what_is_bound_in_one_only_is_a_difference():
    left = evidence(load={"a": "x"})
    right = Evidence(store="s", values={"load": {}}, unbound={"load": ["a"]})
    assert verdicts(left, right)["load"].findings[0].comparison.detail == "bound in the first only"
    assert verdicts(right, left)["load"].findings[0].comparison.detail == "bound in the second only"


def test_what_could_not_be_stored_cannot_be_compared():
    left = evidence(load={"a": "x"})
    right = Evidence(store="s", values={"load": {}}, unstored={"load": {"a": "a lock"}})
    [finding] = verdicts(left, right)["load"].findings
    assert finding.comparison == Comparison(likeness=Likeness.INCOMPARABLE, detail="a lock")


def test_state_that_is_shared_in_one_only_is_a_difference():
    together = {
        "a": stored("a", "ab0", member="0 a b"),
        "b": stored("b", "ab1", member="1 a b"),
    }
    left, right = evidence(load=together), evidence(load={"a": "x", "b": "y"})
    comparisons = {("load", "a"): Comparison(), ("load", "b"): Comparison()}
    details = [f.comparison.detail for f in verdicts(left, right, comparisons)["load"].findings]
    assert details == [
        "shares state with b in the first only",
        "shares state with a in the first only",
    ]


def test_a_stream_that_nobody_takes_on_is_passed_over():
    left, right = evidence(load={"@random": "x"}), evidence(load={"@random": "y"})
    assert verdicts(left, right)["load"].findings == ()


def test_a_step_that_fails_in_one_only_is_a_difference():
    left = evidence(load={"a": "x"})
    right = Evidence(store="s", values={}, failed={"load": "it failed"})
    found = verdicts(left, right)["load"]
    assert (found.failure, found.likeness) == ("it failed", Likeness.DIFFERENT)
    assert not found.passes(1.0)


@pytest.mark.parametrize(
    ("finding", "subject"),
    [
        (Finding(variable="a", comparison=Comparison()), "a"),
        (Finding(variable="@numpy.random", comparison=Comparison()), "the numpy.random stream"),
        (Finding(cell_number=3, comparison=Comparison()), "cell 3"),
    ],
)
def test_a_finding_has_a_subject(finding, subject):
    assert finding.subject == subject
