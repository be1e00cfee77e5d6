from __future__ import annotations

import os
import subprocess
import sys

HEAD = "import sys\nfrom nbpipe.kernel.imports import WATCH\nWATCH.start()\n"


def output_of(script, directory, **options):
    done = subprocess.run(
        [sys.executable, "-c", HEAD + script],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
        **options,
    )
    return done.stdout.splitlines()


def test_project_modules_come_from_their_source_and_leave_no_bytecode(tmp_path):
    (tmp_path / "part.py").write_text("value = 1")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "deep.py").write_text("value = 1")
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-m", "compileall", "-q", "."], cwd=tmp_path, check=True)
    for path in (tmp_path / "part.py", tmp_path / "tools" / "deep.py"):
        facts = path.stat()
        path.write_text("value = 2")
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    before = sorted(tmp_path.rglob("*"))
    script = """
import part, tools.deep, json, yaml, importlib, inspect
print(part.value, tools.deep.value)
print([type(m.__loader__).__name__ for m in (part, tools.deep, json, yaml)])
print(importlib.reload(part).value, inspect.getsource(part).strip())
"""
    assert output_of(script, tmp_path, env=env) == [
        "2 2",
        "['_SourceLoader', '_SourceLoader', 'SourceFileLoader', 'SourceFileLoader']",
        "2 value = 2",
    ]
    assert sorted(tmp_path.rglob("*")) == before


def test_what_waits_for_a_module_runs_once_and_at_once_when_it_is_loaded(tmp_path):
    (tmp_path / "part.py").write_text("value = 1")
    script = """
def act(module):
    print(module.__name__, getattr(module, "value", "-"))
for name in ("part", "sys", "yaml.nodes"):
    WATCH.after_import(name, act)
import yaml, part, importlib
importlib.reload(part)
"""
    assert output_of(script, tmp_path) == ["sys -", "yaml.nodes -", "part 1"]


def test_the_import_of_an_installed_module_is_told_around(tmp_path):
    (tmp_path / "part.py").write_text("import numpy")
    script = """
def around():
    print("begin")
    return lambda: print("end", "numpy._core" in sys.modules)
WATCH.around_installed = around
import json
import part
import numpy.linalg
"""
    assert output_of(script, tmp_path) == ["begin", "end True"]


def test_tracebacks_show_the_module_and_the_line_that_imported_it(tmp_path):
    (tmp_path / "raises.py").write_text("1 / 0")
    (tmp_path / "wrong.py").write_text("def :")
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "bad_library.py").write_text("1 / 0")
    script = """
import traceback
sys.path.append("site-packages")
WATCH.after_import("raises", print)
for name in ("raises", "wrong", "bad_library", "nowhere"):
    try:
        exec("import " + name)
    except Exception as error:
        places = traceback.extract_tb(error.__traceback__)
        print([place.filename.rpartition("/")[2] for place in places])
"""
    assert output_of(script, tmp_path) == [
        "['<string>', '<string>', 'raises.py']",
        "['<string>', '<string>']",
        "['<string>', '<string>', 'bad_library.py']",
        "['<string>', '<string>']",
    ]


def test_modules_can_still_be_found_and_run_by_name(tmp_path):
    script = """
import importlib.util, runpy
print(importlib.util.find_spec("yaml").loader.get_filename("yaml").rpartition("/")[2])
print(sorted(runpy.run_module("yaml.tokens"))[0])
"""
    assert output_of(script, tmp_path) == ["__init__.py", "AliasToken"]
