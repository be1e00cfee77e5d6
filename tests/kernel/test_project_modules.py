from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import sys
sys.dont_write_bytecode = False
from nbpipe.kernel.project_modules import import_from_source
import_from_source()
import part, tools.deep, json, yaml
print(part.value, tools.deep.value)
print([type(m.__loader__).__name__ for m in (part, tools.deep, json, yaml)])
import importlib, inspect
print(importlib.reload(part).value, inspect.getsource(part).strip())
"""


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
    shown = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown.splitlines() == [
        "2 2",
        "['_SourceLoader', '_SourceLoader', 'SourceFileLoader', 'SourceFileLoader']",
        "2 value = 2",
    ]
    assert sorted(tmp_path.rglob("*")) == before
