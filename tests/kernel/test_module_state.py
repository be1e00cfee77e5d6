from __future__ import annotations

import subprocess
import sys

LIB = """
import json
total = 0
seen = []
names = {"a"}
class Config:
    level = 1
    def get(self):
        return Config.level
def bump():
    global total
    total += 1
    seen.append(total)
"""

STEP = """
import pickle, sys
from nbpipe.kernel.imports import WATCH
from nbpipe.kernel.module_state import ModuleStates
WATCH.start()
states = ModuleStates(globals())
WATCH.project_module_loaded = states.mark_loaded
"""


def run(script, directory, given=b""):
    return subprocess.run(
        [sys.executable, "-c", STEP + script],
        cwd=directory,
        input=given,
        capture_output=True,
        check=True,
    ).stdout


def test_data_of_a_module_goes_to_another_process(tmp_path):
    (tmp_path / "lib.py").write_text(LIB)
    made = run(
        """
import lib
lib.bump(); lib.Config.level += 1; lib.names = lib.names | {"b"}
assert list(states.changed()) == ["@module.lib"]
sys.stdout.buffer.write(pickle.dumps(states.value("@module.lib")))
""",
        tmp_path,
    )
    shown = run(
        """
value = pickle.loads(sys.stdin.buffer.read())
print(sorted(value))
states.restore("@module.lib", value)
from lib import seen, Config
import lib
print(lib.total, seen is lib.seen, seen, Config().get(), sorted(lib.names), list(states.changed()))
lib.bump()
print(list(states.changed()), states.value("@module.lib")["seen"])
""",
        tmp_path,
        made,
    )
    assert shown.decode().splitlines() == [
        "['Config.level=', 'names=', 'seen', 'total=']",
        "1 True [1] 2 ['a', 'b'] []",
        "['@module.lib'] [1, 2]",
    ]


def test_names_imported_before_stand_for_what_is_put_back(tmp_path):
    (tmp_path / "lib.py").write_text(LIB)
    (tmp_path / "other.py").write_text("from lib import seen")
    shown = run(
        """
import lib, other
from lib import seen as mine
states.mark()
states.restore("@module.lib", {"seen": [7]})
print(mine, other.seen, mine is lib.seen is other.seen, list(states.changed()))
""",
        tmp_path,
    )
    assert shown == b"[7] [7] True []\n"


def test_what_only_reads_changes_nothing(tmp_path):
    (tmp_path / "lib.py").write_text(LIB + "import threading\nlock = threading.Lock()\n")
    shown = run(
        "import lib\nstates.mark()\nlib.Config().get(); len(lib.seen)\nprint([*states.changed()])",
        tmp_path,
    )
    assert shown == b"[]\n"


def test_functions_of_a_module_keep_data(tmp_path):
    (tmp_path / "lib.py").write_text(
        """
def remember(x, seen=[], *, also={}):
    seen.append(x)
    also[x] = len(seen)
    remember.calls = getattr(remember, "calls", 0) + 1
    return len(seen)
def counter():
    n = 0
    def up():
        nonlocal n
        n += 1
        return n
    return up
count = counter()
class Box:
    @staticmethod
    def put(x, into=[]):
        into.append(x)
        return into
    @property
    def size(self, asked=[0]):
        asked[0] += 1
        return asked[0]
"""
    )
    made = run(
        """
import lib
lib.remember(1); lib.count(); lib.Box.put(1); lib.Box().size
sys.stdout.buffer.write(pickle.dumps(states.value("@module.lib")))
""",
        tmp_path,
    )
    shown = run(
        """
value = pickle.loads(sys.stdin.buffer.read())
print(*sorted(value))
states.restore("@module.lib", value)
import lib
print(lib.remember(2), lib.remember.calls, lib.count(), lib.Box.put(2), lib.Box().size)
""",
        tmp_path,
        made,
    )
    assert shown.decode().splitlines() == [
        "Box.put(into) Box.size.fget(asked) count[n]= remember(also) remember(seen) "
        "remember.calls=",
        "2 2 2 [1, 2] 2",
    ]


def test_a_name_that_was_imported_stays_what_it_is_when_the_module_gets_another(tmp_path):
    (tmp_path / "lib.py").write_text(LIB)
    shown = run(
        """
import lib
from lib import seen, total
one = 0
states.mark()
states.restore("@module.lib", {"seen=": [7], "total=": 1})
print(seen, lib.seen, total, lib.total, one)
""",
        tmp_path,
    )
    assert shown == b"[] [7] 0 1 0\n"


def test_data_that_a_variable_shares_is_kept_with_it(tmp_path):
    (tmp_path / "lib.py").write_text(LIB)
    shown = run(
        """
import lib
x, y = [lib.seen], [1]
states.mark()
print(states.shared_with(["y"], definitions=frozenset()))
print(states.shared_with(["x", "y"], definitions=frozenset()), states.value("@module.lib"))
""",
        tmp_path,
    )
    assert shown.decode().splitlines() == ["()", "('@module.lib',) {'seen': []}"]


def test_a_module_that_a_library_makes_up_is_none_of_the_project(tmp_path):
    shown = run(
        """
import types
made_up = types.ModuleType("ops")
made_up.__file__, made_up.seen = "_ops.py", []
sys.modules["ops"] = made_up
states.mark()
made_up.seen.append(1)
print(list(states.changed()))
""",
        tmp_path,
    )
    assert shown.split() == [b"[]"]
