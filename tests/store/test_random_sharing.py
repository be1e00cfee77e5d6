"""After any cells, loading everything and going on gives what going on without it gives."""

import copy
import random
import warnings

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from nbpipe.store.values import load_values, store_values
from tests.store.namespaces import temporary_blobs

NAMES = list("abcde")

# {x} is assigned; {y}, {z} are any earlier names. A statement that raises is skipped.
MAKERS = [
    "{x} = [1, 2]",
    "{x} = {{'k': [3]}}",
    "{x} = np.arange(6.)",
    "{x} = np.arange(12).reshape(3, 4)",
    "{x} = np.array([[1], 2, 'x'], dtype=object)",
    "{x} = pd.DataFrame({{'p': np.arange(4.), 'q': list('uvwx'), 'r': np.arange(4)}})",
    "{x} = pd.Series(np.arange(3.), name='s')",
    "{x} = Box()",
]
ASSIGNMENTS = [
    "{x} = {y}",
    "{x} = [{y}, {z}]",
    "{x} = ({y}, {z})",
    "{x} = {{'k': {y}, 'l': {z}}}",
    "{x} = Box({y})",
    "{x} = {y}[1:]",
    "{x} = {y}[::-1]",
    "{x} = {y}[0]",
    "{x} = {y}['k']",
    "{x} = {y}.T",
    "{x} = {y}.reshape(-1)",
    "{x} = {y}['p']",
    "{x} = {y}[['p', 'r']]",
    "{x} = {y}['p'].to_numpy()",
    "{x} = {y}.copy(deep=False)",
    "{x} = {y}.copy()",
    "{x} = {y}.iloc[1:3]",
    "{x} = pd.Series({y})",
    "{x} = pd.DataFrame({y})",
    "{x} = {y}.append",
    "{x} = {y}.keys()",
    "{x} = iter({y})",
    "{x} = (lambda n: (lambda v: n.append(v)))({y})",
]
CHANGES = [
    "{y}.append(9)",
    "{y}(8)",
    "{y}.value = 7",
    "{y}.value.append(6)",
    "{y}[0] = 5",
    "{y}[-1] = 4.5",
    "{y}[0].append(3)",
    "{y}['k'].append(2)",
    "{y}['new'] = {z}",
    "{y}[0][0] = 11",
    "{y}['k'][0] = 12",
    "{y}.loc[0, 'p'] = 99.",
    "{y}.iloc[1] = 98.",
    "{y}.iloc[0, 0] = 97.",
    "{y} += 1",
    "{y}[0] += 1",
    "next({y})",
]

CLASS = """
class Box:
    def __init__(self, value=None): self.value = [0] if value is None else value
"""

# The name that is assigned, and which of the bound names the others are.
statements = st.tuples(st.sampled_from(NAMES), st.integers(0, 4), st.integers(0, 4))
made = st.lists(st.tuples(st.sampled_from(MAKERS), statements), min_size=1, max_size=3)
derived = st.lists(st.tuples(st.sampled_from(ASSIGNMENTS), statements), min_size=2, max_size=10)
cells = st.tuples(made, derived).map(lambda parts: parts[0] + parts[1])
later = st.lists(st.tuples(st.sampled_from(CHANGES), statements), min_size=1, max_size=6)


def run(template, names, namespace):
    """Run a statement; say whether it raised."""
    bound = [name for name in NAMES if name in namespace] or NAMES
    x, y, z = names[0], *(bound[number % len(bound)] for number in names[1:])
    try:
        exec(template.format(x=x, y=y, z=z), namespace)
    except Exception as error:  # noqa: BLE001 - any statement may fail, in both namespaces alike
        return type(error)
    return None


def shown(value, seen=()):
    """All that a reader of the value can see, as text."""
    if id(value) in seen:
        return "…"
    seen = (*seen, id(value))
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}[{', '.join(shown(each, seen) for each in value)}]"
    if isinstance(value, dict):
        return f"dict[{', '.join(f'{k}: {shown(v, seen)}' for k, v in value.items())}]"
    if isinstance(value, np.ndarray):
        return (
            f"array{value.shape}{value.dtype}{value.flags.writeable}{shown(value.tolist(), seen)}"
        )
    if isinstance(value, pd.DataFrame):
        columns = [shown(value.iloc[:, number], seen) for number in range(value.shape[1])]
        return f"frame{columns}{list(value)}"
    if isinstance(value, pd.Series):
        return f"series{value.dtype}{value.name}{shown(value.tolist(), seen)}{list(value.index)}"
    if type(value).__name__ == "Box":
        return f"Box({shown(vars(value), seen)})"
    if hasattr(value, "__next__"):
        # An exhausted one comes back as an iterator over nothing, of whatever type.
        return f"iterator{shown(list(copy.copy(value)), seen)}"
    if type(value).__name__ == "dict_keys":
        return f"keys{list(value)}"
    return repr(value) if isinstance(value, (int, float, str)) else type(value).__name__


@settings(max_examples=150, deadline=None)
@given(cells, later)
def test_going_on_after_loading_gives_what_going_on_gives(cells, later):
    namespace = {"__name__": "__main__", "np": np, "pd": pd}
    exec(CLASS, namespace)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for template, names in cells:
            run(template, names, namespace)
        bound = [name for name in NAMES if name in namespace]
        blobs = temporary_blobs()
        outcome = store_values(blobs, namespace, bound, definitions=frozenset({"Box"}))
        # What cannot be kept is said, which is right; the question is what is kept.
        if outcome.failures:
            return
        kept = list(outcome.values.values())  # noqa: PD011 - no frame
        random.Random(0).shuffle(kept)
        fresh = {"__name__": "__main__", "np": np, "pd": pd, "Box": namespace["Box"]}
        fresh |= load_values(blobs, kept, fresh, trusted=True)
        assert {n: shown(fresh[n]) for n in bound} == {n: shown(namespace[n]) for n in bound}
        for template, names in later:
            assert run(template, names, fresh) is run(template, names, namespace)
            assert {n: shown(fresh[n]) for n in bound} == {n: shown(namespace[n]) for n in bound}
