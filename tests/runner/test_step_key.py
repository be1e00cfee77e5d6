from __future__ import annotations

from dataclasses import replace

import pytest

from nbpipe.model.artifact import Format, StoredValue, Summary
from nbpipe.model.digest import Digest
from nbpipe.model.names import CellId, StepName, Variable
from nbpipe.model.notebook import RandomPolicy
from nbpipe.model.pipeline import Fragment, FragmentKind, Step
from nbpipe.model.run import KeyParts, StepKey
from nbpipe.runner.step_key import KeyEnvironment, seed_from, step_key, why

STEP = Step(
    name=StepName("train"),
    cells=(CellId("c1"),),
    setup=(),
    body=(
        Fragment(
            kind=FragmentKind.BODY,
            cell=CellId("c1"),
            cell_number=3,
            source="model = fit(X, alpha)",
            lines=(1,),
        ),
    ),
    inputs=(),
    outputs=(),
    parameters=(Variable("alpha"),),
    after=(),
    code=Digest("c0de"),
    own=Digest("0"),
    definitions={"fit": Digest("f17"), "unused": Digest("0")},
)
X = StoredValue(
    variable=Variable("X"),
    bundle=Digest("b1"),
    member="",
    content=Digest("c1"),
    format=Format(name="pickle", revision=1),
    size=10,
    summary=Summary(type="int", text="1"),
    definitions=("fit",),
)
ENVIRONMENT = KeyEnvironment(
    python="3.11",
    packages={"pandas": "2.2.0"},
    files={"data/x.csv": Digest("d1"), "missing.csv": None},
    seed_policy=RandomPolicy.CARRY,
)


def key(step=STEP, *, alpha=0.1, value=X, **environment) -> KeyParts:
    return step_key(
        step,
        {Variable("alpha"): alpha, Variable("unread"): 1},
        {Variable("X"): value},
        replace(ENVIRONMENT, **environment),
    )


def test_a_key_names_its_parts():
    assert key().parts == {
        "code": "c0de",
        "definition fit": "f17",
        "file data/x.csv": "d1",
        "file missing.csv": "absent",
        "format": "2",
        "input X": "c1 pickle 1",
        "package pandas": "2.2.0",
        "parameter alpha": "0.1",
        "python": "3.11",
        "seed policy": "carry",
    }


@pytest.mark.parametrize(
    "other",
    [
        replace(STEP, name=StepName("renamed")),
        replace(STEP, cells=(CellId("other"),), body=()),
        replace(STEP, timeout_seconds=3.0, cache=False, after=(StepName("z"),)),
    ],
)
def test_names_cells_and_options_are_no_part_of_a_key(other):
    assert key(other) == key()


def test_the_order_of_what_was_found_does_not_matter():
    files = dict(reversed(ENVIRONMENT.files.items()))
    assert key(files=files) == key()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (key(alpha=0.2), "parameter alpha: 0.1 → 0.2"),
        (key(alpha="0.1"), "parameter alpha: 0.1 → '0.1'"),
        (key(replace(STEP, code=Digest("new"))), "code changed"),
        (key(replace(STEP, parameters=())), "parameter alpha is no longer used"),
        (key(replace(STEP, definitions={"fit": Digest("new")})), "definition fit changed"),
        (key(value=replace(X, content=Digest("c2"))), "input X changed"),
        (key(value=replace(X, format=Format(name="pickle", revision=2))), "input X changed"),
        (key(packages={"pandas": "2.3.1"}), "package pandas: 2.2.0 → 2.3.1"),
        (key(packages={"pandas": "2.2.0", "numpy": "2.0"}), "package numpy is new"),
        (key(files=ENVIRONMENT.files | {"data/x.csv": Digest("d2")}), "file data/x.csv changed"),
        (key(files=ENVIRONMENT.files | {"data/x.csv": None}), "file data/x.csv is gone"),
        (key(files=ENVIRONMENT.files | {"missing.csv": Digest("d")}), "file missing.csv appeared"),
        (key(files=ENVIRONMENT.files | {"new.csv": Digest("d")}), "file new.csv is new"),
        (key(python="3.12"), "python: 3.11 → 3.12"),
        (key(seed_policy=RandomPolicy.PER_STEP), "seed policy: carry → per-step"),
    ],
)
def test_each_part_changes_the_key_and_is_named(changed, reason):
    assert changed.key != key().key
    assert why(key(), changed) == (reason,)


def test_an_unbound_input_is_a_part_of_its_own():
    assert why(key(), key(value=None)) == (
        "definition fit is no longer used",
        "input X is unbound",
    )


def test_parameters_that_python_holds_equal_have_different_keys():
    values = [1, 1.0, True, "1", "True", None, "None", [1], [1.0], {"a": 1}, 0.0, -0.0]
    assert len({key(alpha=value).key for value in values}) == len(values)


def test_long_parameters_differ_by_what_is_not_shown():
    first, second = key(alpha=[*range(500), 1]), key(alpha=[*range(500), 2])
    assert first.key != second.key
    assert len(first.parts["parameter alpha"]) < 250


def test_equal_keys_have_no_difference_and_a_first_one_says_so():
    assert why(key(), key()) == ()
    assert why(None, key()) == ("never ran",)


def test_a_seed_is_32_bits_of_the_key():
    assert seed_from(StepKey(Digest("ffffffff" + "0" * 56))) == 2**32 - 1
