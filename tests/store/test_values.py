import threading

import numpy as np
import pytest
from xxhash import xxh3_128

from nbpipe.errors import ConfigurationError, CorruptStoreError, UserError
from nbpipe.model.artifact import Format
from nbpipe.store import values as values_module
from nbpipe.store.blobs.local import LocalBlobs
from nbpipe.store.bundles import read_bundle
from nbpipe.store.serializers.protocol import Serialized
from nbpipe.store.values import fingerprints, load_values, steady_fingerprints, store_values
from tests.store.namespaces import (
    comes_back,
    failures,
    round_trip,
    run_cells,
    stored,
    temporary_blobs,
)


@pytest.mark.parametrize(
    ("source", "change", "seen"),
    [
        ("a = [1]; b = a", "b.append(2)", "a == [1, 2]"),
        ("a = [1]; b = {'k': a}", "b['k'].append(2)", "a == [1, 2]"),
        ("a = {}; b = [a, a]", "b[0]['x'] = 1", "b[1] is a and a == {'x': 1}"),
        ("a = np.arange(9.); b = a[1:]", "b[0] = 99", "a[1] == 99"),
        ("a = np.arange(9.); b = a[::-2]", "b[0] = 99", "a[8] == 99"),
        ("x = np.arange(9.); a = x[1:5]; b = x[3:]; del x", "b[0] = 99", "a[2] == 99"),
        ("a = np.zeros((3, 4)); b = a.T[1]", "b[:] = 1", "a[:, 1].sum() == 3"),
        ("a = np.zeros((3, 4)); b = np.diagonal(a)", "a[1, 1] = 1", "b[1] == 1"),
        ("a = np.arange(4); b = a.view('f8')", "a[0] = 0; b[1] = 1.0", "a[1] == 0x3ff0 << 48"),
        ("a = np.array([[1], 2, None], dtype=object); b = a[:2]", "b[1] = 'x'", "a[1] == 'x'"),
        ("a = np.array([[1], 2, None], dtype=object); b = a[::-1]", "b[0] = 'x'", "a[2] == 'x'"),
        ("a = np.array(['2020', '2021'], dtype='M8[D]'); b = a[1:]", "b[0] = '1999'",
         "a[1] == np.datetime64('1999')"),
        ("a = np.arange(100_000.); b = a[50_000:]", "b[0] = 99", "a[50_000] == 99"),
        ("a = np.zeros(3, dtype=[('k', 'i4')]); b = a[1]", "b['k'] = 9", "a['k'][1] == 9"),
        ("a = bytearray(b'xy'); b = [a]", "b[0][0] = 0x7a", "a == b'zy'"),
        ("a = [1]; b = a.append", "b(2)", "a == [1, 2]"),
        ("a = [1, 2]; b = iter(a)", "a.append(3)", "list(b) == [1, 2, 3]"),
        ("a = set(); b = (a,)", "b[0].add(1)", "a == {1}"),
        ("a = [[]] * 3; b = a", "a[0].append(1)", "b == [[1], [1], [1]]"),
    ],
)  # fmt: skip
def test_what_was_shared_still_is(source, change, seen):
    namespace = run_cells(f"import numpy as np\n{source}")
    loaded = {"np": np, **round_trip({name: namespace[name] for name in ("a", "b")})}
    exec(change, loaded)
    assert eval(seen, loaded)
    # The same inside one variable.
    both = comes_back({name: namespace[name] for name in ("a", "b")})
    inside = {"np": np, **both}
    exec(change, inside)
    assert eval(seen, inside)


def test_a_read_only_view_stays_read_only():
    array = np.arange(5.0)
    view = array[1:]
    view.flags.writeable = False
    loaded = round_trip({"array": array, "view": view})
    loaded["array"][1] = 9
    assert loaded["view"][0] == 9
    assert not loaded["view"].flags.writeable


def test_equal_values_that_are_not_shared_stay_apart():
    a, b = [1], [1]
    x, y = [2.0], [2.0]
    values = {"a": a, "a2": a, "b": b, "b2": b, "x": x, "y": y}
    blobs = temporary_blobs()
    kept = stored(values, blobs=blobs)
    assert kept["a"].bundle == kept["b"].bundle
    for order in (list(kept), ["a", "b", "b2", "a2", "y", "x"]):
        loaded = load_values(blobs, [kept[name] for name in order], {}, trusted=True)
        assert loaded["a"] is loaded["a2"]
        assert loaded["b"] is loaded["b2"]
        assert loaded["a"] is not loaded["b"]
        assert loaded["x"] is not loaded["y"]


def test_members_of_a_group_can_be_loaded_one_at_a_time():
    a = [1]
    blobs = temporary_blobs()
    kept = stored({"a": a, "b": {"k": a}}, blobs=blobs)
    assert kept["a"].bundle == kept["b"].bundle
    assert kept["a"].content != kept["b"].content
    assert load_values(blobs, [kept["b"]], {}, trusted=True) == {"b": {"k": [1]}}


def test_a_variable_at_fault_does_not_take_its_group_with_it():
    shared = [1]
    values = {
        "a": shared,
        "bad": {"k": shared, "lock": threading.Lock()},
        "c": (shared,),
        "alone": 1,
    }
    outcome = store_values(temporary_blobs(), values, list(values))
    assert list(outcome.failures) == ["bad"]
    assert "lock" in outcome.failures["bad"].message
    assert outcome.failures["bad"].hint
    assert list(outcome.values) == ["a", "c", "alone"]
    assert outcome.values["a"].bundle == outcome.values["c"].bundle


def test_sharing_that_would_be_lost_is_a_failure():
    memory = bytearray(80)
    found = failures({"memory": memory, "array": np.frombuffer(memory)})
    assert list(found) == ["memory", "array"]
    assert "what they share would be lost" in found["memory"]


def test_what_refers_to_an_unshipped_name_of_the_notebook_is_refused(monkeypatch):
    import sys
    from types import ModuleType

    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    exec("class ByName:\n    def __reduce__(self): return 'thing'\nthing = ByName()", vars(main))
    outcome = store_values(temporary_blobs(), vars(main), ["thing"])
    assert "refers to thing, which later steps do not define" in outcome.failures["thing"].message
    outcome = store_values(
        temporary_blobs(), vars(main), ["thing"], definitions=frozenset({"thing"})
    )
    assert outcome.values["thing"].definitions == ("thing",)


def test_a_pickle_of_an_untrusted_store_is_not_loaded(tmp_path):
    blobs = LocalBlobs(tmp_path)
    kept = stored({"x": {1: 2}, "y": [1], "z": np.arange(3)}, blobs=blobs)
    with pytest.raises(UserError, match="'x' can run code") as caught:
        load_values(blobs, [kept["x"]], {}, trusted=False)
    assert "nbpipe trust" in caught.value.hint
    loaded = load_values(blobs, [kept["y"], kept["z"]], {}, trusted=False)
    assert loaded["y"] == [1]


def test_a_damaged_blob_is_found_and_a_lost_one_too(tmp_path):
    blobs = LocalBlobs(tmp_path)
    kept = stored({"x": {1: 2}}, blobs=blobs)["x"]
    head = blobs.path(read_bundle(blobs, kept.bundle).head.digest)
    head.chmod(0o644)
    head.write_bytes(head.read_bytes()[:-1] + b"?")
    with pytest.raises(CorruptStoreError, match="is damaged"):
        load_values(blobs, [kept], {}, trusted=True)
    head.unlink()
    with pytest.raises(CorruptStoreError, match="has lost blob"):
        load_values(blobs, [kept], {}, trusted=True)


def test_a_descriptor_that_is_none_and_one_of_the_future_are_refused(tmp_path):
    blobs = LocalBlobs(tmp_path)
    with pytest.raises(CorruptStoreError, match="is not a bundle"):
        read_bundle(blobs, blobs.put([b'{"descriptor": "no"}']))
    with pytest.raises(CorruptStoreError, match="is not a bundle"):
        read_bundle(blobs, blobs.put([b"\xff"]))
    with pytest.raises(ConfigurationError, match="newer nbpipe"):
        read_bundle(blobs, blobs.put([b'{"descriptor": 2}']))


def test_a_later_revision_of_a_format_is_refused(monkeypatch, tmp_path):
    from nbpipe.store.serializers import json_values, pickled_objects

    blobs = LocalBlobs(tmp_path)
    monkeypatch.setattr(json_values.JsonValues, "format", Format(name="json", revision=2))
    kept = stored({"x": 1}, blobs=blobs)["x"]
    monkeypatch.undo()
    with pytest.raises(ConfigurationError, match="Revision 2 of the format 'json' is newer"):
        load_values(blobs, [kept], {}, trusted=True)
    monkeypatch.setattr(pickled_objects, "FORMAT", Format(name="pickle", revision=2))
    kept = stored({"x": {1: 2}}, blobs=blobs)["x"]
    monkeypatch.undo()
    with pytest.raises(ConfigurationError, match="Revision 2 of the format 'pickle' is newer"):
        load_values(blobs, [kept], {}, trusted=True)


class Temperatures:
    """A serializer as a plug-in would bring it."""

    format = Format(name="temperature", revision=1)

    def accepts(self, value):
        return isinstance(value, complex)

    def dump(self, value):
        return Serialized(head=[str(value).encode()]) if value.imag else None

    def load(self, head, buffers):
        return complex(bytes(head).decode())


def test_further_serializers_are_asked_first_and_needed_to_load(tmp_path):
    blobs = LocalBlobs(tmp_path)
    values = {"a": 1 + 2j, "b": 1 + 0j}
    outcome = store_values(blobs, values, list(values), serializers=[Temperatures()])
    assert [v.format.name for v in outcome.values.values()] == ["temperature", "pickle"]
    kept = list(outcome.values.values())
    assert load_values(blobs, kept, {}, trusted=True, serializers=[Temperatures()]) == values
    with pytest.raises(ConfigurationError, match="Nothing here reads the format 'temperature'"):
        load_values(blobs, kept, {}, trusted=True)


def test_storing_twice_gives_the_same_digests_and_no_more_blobs(tmp_path):
    blobs = LocalBlobs(tmp_path)
    values = {"a": np.arange(100_000), "b": {1: (2, [3])}, "c": "text"}
    first = stored(values, blobs=blobs)
    count = sum(1 for _ in blobs)
    assert stored(values, blobs=blobs) == first
    assert sum(1 for _ in blobs) == count


# Fingerprints.


@pytest.mark.parametrize(
    ("source", "change", "is_changed"),
    [
        ("x = [1]", "x.append(2)", True),
        ("x = [1]", "len(x); x == [1]; sorted(x)", False),
        ("x = [[1], 2]", "x[0].append(2)", True),
        ("x = {'a': 1, 'b': 2}", "x['a'] = x.pop('a')", True),
        ("x = np.arange(9.)", "x[3] = -1", True),
        ("x = np.arange(9.)", "x.sum(); x[1:]; x + 1", False),
        ("x = np.arange(9.)", "x.resize((3, 3), refcheck=False)", True),
        ("x = pd.DataFrame({'a': [1, 2]})", "x.insert(0, 'z', 1)", True),
        ("x = pd.DataFrame({'a': [1, 2]})", "x.loc[0, 'a'] = 5", True),
        ("x = pd.DataFrame({'a': [1, 2]})", "x.index.name = 'i'", True),
        ("x = pd.DataFrame({'a': [1, 2]})", "x.attrs['k'] = 1", True),
        ("x = pd.DataFrame({'a': [1, 2]})",
         "x.describe(); x.groupby('a').sum(); x.a; x.head(); repr(x); x.merge(x); x.copy()", False),
        ("x = pd.DataFrame({'a': ['u', 'v']})", "x.a.str.upper(); x.a.unique(); x.sort_values('a')",
         False),
        ("x = LogisticRegression()", "x.fit([[0], [1]], [0, 1])", True),
        ("x = LogisticRegression().fit([[0], [1]], [0, 1])", "x.predict([[1]]); repr(x)", False),
        ("x = np.random.default_rng(0)", "x.random()", True),
        ("l = [1]; x = lambda: l", "l.append(1)", False),
        ("def make():\n    l = [1]\n    return lambda: l\nx = make()", "x().append(1)", True),
        ("x = {'a': np.zeros(3)}; x['v'] = x['a'][1:]", "x['v'] = x['v'].copy()", True),
        ("x = iter([1, 2])", "next(x)", True),
    ],
)  # fmt: skip
def test_a_fingerprint_tells_whether_a_value_changed_in_place(source, change, is_changed):
    imports = (
        "import numpy as np, pandas as pd\nfrom sklearn.linear_model import LogisticRegression\n"
    )
    namespace = run_cells(imports + source)
    namespace |= round_trip({"x": namespace["x"]}) if "lambda" not in source else {}
    before = fingerprints(namespace, ["x"])
    exec(change, namespace)
    after = fingerprints(namespace, ["x"])
    assert list(before) == list(after) == [frozenset({"x"})]
    assert (before != after) == is_changed


def test_fingerprints_come_by_group_and_are_none_for_what_cannot_be_pickled():
    a = [1]
    values = {"a": a, "b": [a], "lock": threading.Lock(), "n": 1}
    found = fingerprints(values, list(values))
    assert [set(group) for group in found] == [{"a", "b"}, {"lock"}, {"n"}]
    assert found[frozenset({"lock"})] is None
    assert found[frozenset({"a", "b"})] != fingerprints(values, ["a"])[frozenset({"a"})]


# ---- fingerprints --------------------------------------------------------------------------------

UNSTEADY = """
import itertools, pickle
import numpy as np
calls = itertools.count()
class Counting:
    def __reduce__(self):
        return (Counting, (), {"n": next(calls)})
class Buffering:
    def __init__(self, content):
        self.content = content
    def __reduce_ex__(self, protocol):
        return (Buffering, (pickle.PickleBuffer(np.full(100_000, self.content())),))
"""


def test_a_fingerprint_that_is_steady_is_the_usual_one():
    namespace = run_cells(
        UNSTEADY,
        "a = np.arange(1e6)\nv = a[1:]\nb = np.asfortranarray(a.reshape(1000, 1000))\n"
        "c = Buffering(lambda: 1)\nd = {'x': 'y' * 100_000}\ng = (i for i in range(3))",
    )
    names = ["a", "b", "c", "d", "g", "v"]
    found = steady_fingerprints(namespace, names)
    assert found == fingerprints(namespace, names)
    assert {group for group, mark in found.items() if mark is None} == {frozenset("g")}


def test_what_is_pickled_in_another_way_each_time_has_no_steady_fingerprint():
    namespace = run_cells(
        UNSTEADY, "x = Counting()\ny = Buffering(lambda: next(calls))\nz = [Counting(), 1]"
    )
    assert set(steady_fingerprints(namespace, ["x", "y", "z"]).values()) == {None}


def test_memory_that_is_at_one_place_is_read_once(monkeypatch):
    read = []
    monkeypatch.setattr(values_module, "xxh3_128", lambda *parts: Hashing(read, parts))
    namespace = run_cells("import numpy as np\na = np.arange(1e6)")
    steady_fingerprints(namespace, ["a"])
    assert [n for n in read if n > 1_000_000] == [8_000_000]


class Hashing:
    """A hash that notes how much it is given."""

    def __init__(self, read, parts):
        self._read = read
        self._hash = xxh3_128()
        for part in parts:
            self.update(part)

    def update(self, part):
        self._read.append(memoryview(part).nbytes)
        self._hash.update(part)

    def digest(self):
        return self._hash.digest()

    def hexdigest(self):
        return self._hash.hexdigest()
