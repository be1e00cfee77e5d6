import pytest

from nbpipe.dataflow.index_names import may_name_indexes


@pytest.mark.parametrize(
    "source",
    [
        "f.index.name = 'day'",
        "a = f.columns\na.names = ['x', 'y']",
        "table.columns.name=None",
        "f.index.set_names('x', inplace=True)",
        "f.index.rename('x', inplace=True)",
        "setattr(f.index, 'name', 'x')",
        "f.index.freq = 'D'",
        "exec('f.index.name = 1')",
    ],
)
def test_naming_in_place_is_seen(source):
    assert may_name_indexes(source)


@pytest.mark.parametrize(
    "source",
    [
        "g = f.rename(columns={'a': 'b'})",
        "f.index = pd.Index([1], name='x')",
        "if f.index.name == 'x': pass",
        "class Model:\n    def __init__(self, name):\n        self.name = name",
        "self.names = []",
        "print(f.name, sep='=')",
        "names = f.columns",
    ],
)
def test_other_code_names_no_index(source):
    assert not may_name_indexes(source)
