"""What else a trace holds, and what it leaves out."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

from nbpipe.kernel.tracing.clock import asks_for_time
from nbpipe.kernel.tracing.imports import native_readers
from nbpipe.kernel.tracing.noise import PathNoise, noisy_directories
from nbpipe.model.trace import Trace

TALK = "import socket; s = socket.socket(); s.settimeout(0.01); s.connect_ex(('{}', 9))"


def needs(*names):
    return pytest.mark.skipif(
        any(find_spec(name) is None for name in names), reason=f"needs {', '.join(names)}"
    )


def test_a_step_that_touches_nothing_has_an_empty_trace(observe):
    assert observe("x = 1 + 1").trace == Trace()


@needs("pandas", "matplotlib")
def test_importing_and_plotting_reads_no_files(observe):
    trace = observe("""
import matplotlib; matplotlib.use("agg")
import matplotlib.pyplot as plt, pandas as pd
pd.DataFrame({"a": [1, 2]}).plot(title="fonts")
plt.gcf().canvas.draw()
""").trace
    assert trace.files_read == ()
    assert trace.directories_listed == ()
    assert trace.paths_found == ()
    assert trace.files_written == ()
    # matplotlib would take its settings from there.
    assert trace.files_absent == (str(observe.work / "matplotlibrc"),)
    # Settings that libraries ask for, and that are not there.
    assert [name for name, value in trace.environment_read.items() if value is not None] == []
    assert not trace.uses_network
    assert trace.unverified == ()


@needs("numpy", "dateutil")
def test_packages_are_those_that_were_imported(observe):
    trace = observe("import numpy.linalg; from dateutil.parser import parse").trace
    assert trace.packages["numpy"] == metadata.version("numpy")
    assert trace.packages["python_dateutil"] == metadata.version("python-dateutil")
    assert "matplotlib" not in trace.packages


def test_project_modules_are_read_with_all_they_import(observe):
    (observe.work / "first.py").write_text("import tools.second")
    (observe.work / "tools").mkdir()
    (observe.work / "tools" / "__init__.py").write_text("")
    (observe.work / "tools" / "second.py").write_text("")
    (observe.work / "unused.py").write_text("")
    trace = observe("import sys; sys.path.insert(0, ''); import first, json").trace
    names = ("first.py", "tools/__init__.py", "tools/second.py")
    assert trace.files_read == tuple(str(observe.work / name) for name in names)
    assert trace.directories_listed == ()
    assert trace.paths_found == ()


def test_imports_that_fail_list_no_directories(observe):
    code = "import sys; sys.path.insert(0, '')\ntry: import nowhere\nexcept ImportError: pass"
    assert observe(code).trace == Trace()


def test_looking_for_distributions_lists_no_directories(observe):
    code = "import sys; sys.path.insert(0, ''); from importlib import metadata\n"
    assert observe(code + "list(metadata.entry_points())").trace.directories_listed == ()


def test_an_author_who_lists_a_directory_of_the_search_path_does(observe):
    code = "import sys; sys.path.insert(0, '')\ntry: import nowhere\nexcept ImportError: pass\n"
    trace = observe(code + "import os; os.listdir()").trace
    assert trace.directories_listed == (str(observe.work),)


def test_temporary_files_of_the_step_are_left_out_and_others_are_not(observe, tmp_path):
    kept = tmp_path / "temporary" / "data.txt"
    kept.parent.mkdir()
    kept.write_text("x")
    trace = observe(
        f"""
import tempfile
from pathlib import Path
with tempfile.TemporaryDirectory() as name:
    Path(name, "f").write_text("x")
    assert not Path(name, "g").exists()
    list(Path(name).iterdir())
left = Path(tempfile.mkdtemp())
(left / "f").write_text("x")
with tempfile.NamedTemporaryFile() as file:
    file.write(b"x")
Path({str(kept)!r}).read_text()
""",
        TMPDIR=str(kept.parent),
    ).trace
    assert trace == Trace(files_read=(str(kept),))


@pytest.mark.parametrize(
    ("code", "uses"),
    [
        (TALK.format("192.0.2.1"), True),
        (TALK.format("127.0.0.1"), False),
        ("import socket; socket.getaddrinfo('localhost', 80)", False),
        ("import socket; socket.socketpair()", False),
        ("import socket\ntry: socket.getaddrinfo('a.invalid', 80)\nexcept OSError: pass", True),
    ],
)
def test_network_is_what_leaves_the_machine(observe, code, uses):
    assert observe(code).trace.uses_network is uses


def test_a_child_that_uses_the_network_is_seen(observe):
    if not observe.native:
        pytest.skip("child processes are unverified")
    child = TALK.format("192.0.2.1")
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert observe(code).trace.uses_network


@pytest.mark.parametrize(
    ("source", "asks"),
    [
        ("import time\nt = time.time()", True),
        ("from time import perf_counter as p\np()", True),
        ("from datetime import datetime\ndatetime.now()", True),
        ("datetime.date.today()", True),
        ("pd.Timestamp.now(tz='UTC')", True),
        ("pd.Timestamp('now')", True),
        ("np.datetime64('today')", True),
        ("time.strftime('%Y')", True),
        ("time.strftime('%Y', when)", False),
        ("time.sleep(1)", False),
        ("df['time'].time", False),
        ("pd.Timestamp('2024-01-01')", False),
        ("x = now", False),
        ("not python", False),
    ],
)
def test_the_clock_is_told_by_the_text(source, asks):
    assert asks_for_time(source) is asks


@needs("pandas", "pyarrow")
@pytest.mark.parametrize(
    ("code", "unverified"),
    [
        ("import pandas as pd; pd.DataFrame({'a': [1]}).sum()", ()),
        ("import pandas as pd; pd.DataFrame({'a': [1]}).to_csv()", ()),
        ("import pandas as pd; pd.DataFrame({'a': [1]}).to_parquet()", ("pyarrow",)),
        ("import pyarrow as pa", ("pyarrow",)),
        ("from pyarrow import Table", ("pyarrow",)),
        ("import subprocess; subprocess.run('true')", ("child processes",)),
        ("import platform; platform.processor()", ()),
        ("import sqlite3; sqlite3.connect(':memory:')", ("sqlite3",)),
    ],
)
def test_what_may_have_read_unseen_is_named_only_where_nothing_sees_it(observe, code, unverified):
    assert observe(code).trace.unverified == (() if observe.native else unverified)


def test_libraries_are_found_in_project_modules_too(tmp_path):
    from types import ModuleType

    project, polars = ModuleType("project"), ModuleType("polars")
    project.__file__ = str(tmp_path / "project.py")
    project.pl = polars
    assert list(native_readers({"project": project}, {})) == ["polars"]
    assert list(native_readers({}, {"read": polars})) == ["polars"]
    assert list(native_readers({"pyarrow": ModuleType("pyarrow")}, {})) == []


def test_noise_is_what_is_installed_and_what_is_the_systems():
    is_noise = PathNoise(noisy_directories(["/own/store"]))
    for path in (
        os.__file__, pytest.__file__, sys.executable, "/proc/self/maps", "/etc/localtime",
        "/own/store/index.db", "/project/.nbpipe/index.db", "/a/__pycache__/b.pyc",
        str(Path.home() / ".cache/x/y"), "/project/<string>", "/usr/share/zoneinfo/Etc/UTC",
    ):  # fmt: skip
        assert is_noise(path), path
    for path in (
        "/own/storeroom", "/project/data.csv", "/usr/share/dict/words", "/home/somebody/x",
        "/tmp/data.csv", "/project/pyproject.toml", str(Path.home() / "data.csv"),
    ):  # fmt: skip
        assert not is_noise(path), path


def test_looks_are_as_always(observe):
    (observe.work / "f").write_text("x")
    observe("""
import os, errno
assert os.stat in os.supports_follow_symlinks and os.stat in os.supports_fd
assert os.stat("f").st_size == 1 and os.stat(0) and os.stat(b"f") and os.lstat("f")
assert os.access("f", os.R_OK) and not os.access("g", os.R_OK)
for call in (os.stat, os.readlink, open):
    try:
        call("g")
    except FileNotFoundError as error:
        assert (error.errno, error.filename) == (errno.ENOENT, "g")
try:
    os.stat(None)
except TypeError:
    pass
try:
    os.stat("\\0")
except ValueError:
    pass
""")
