"""Borders that import contracts cannot see: what a core may do, what a kernel may load, names."""

from __future__ import annotations

import ast
import importlib
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nbpipe
from nbpipe import errors

PACKAGE = Path(nbpipe.__file__).parent
CORE = ("model", "wire", "notebook", "dataflow", "lineage", "compiler", "exporters")
CORE_FILES = [
    *(path for name in CORE for path in sorted((PACKAGE / name).rglob("*.py"))),
    PACKAGE / "runner" / "scheduler.py",
    PACKAGE / "runner" / "step_key.py",
    PACKAGE / "runner" / "observed_parts.py",
    PACKAGE / "runner" / "stitch.py",
]
FORBIDDEN_CALLS = {"open", "print", "input"}
FORBIDDEN_METHODS = {
    "read_text", "write_text", "read_bytes", "write_bytes", "now", "utcnow", "today", "mkdir",
    "unlink", "rmtree", "exists", "is_file", "is_dir", "iterdir", "glob", "rglob", "getenv",
}  # fmt: skip


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_core_neither_reads_nor_writes_nor_looks_at_the_clock(path: Path) -> None:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", "")
            method = getattr(node.func, "attr", "")
            if name in FORBIDDEN_CALLS or method in FORBIDDEN_METHODS:
                found.append((node.lineno, name or method))
    assert found == []


def loaded_by(statement: str) -> set[str]:
    """Modules that a fresh interpreter has after `statement`."""
    code = f"{statement}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout))


HEAVY = {
    "papermill", "nbclient", "nbformat", "tornado", "jupyter_client", "IPython", "pandas", "numpy",
    "pyarrow", "sklearn", "matplotlib", "rich", "asyncio", "dask",
}  # fmt: skip


@pytest.mark.parametrize(
    "statement",
    [
        "import nbpipe",
        "import nbpipe.kernel",
        "import nbpipe.store.artifacts, nbpipe.store.values",
        "import nbpipe.compiler.compile, nbpipe.notebook.parse",
        "import nbpipe.cli.main",
        "import nbpipe.cli.run, nbpipe.cli.status",
    ],
)
def test_importing_loads_nothing_heavy(statement: str) -> None:
    assert loaded_by(statement) & HEAVY == set()


def test_a_kernel_never_loads_the_driver() -> None:
    loaded = loaded_by("import nbpipe.kernel")
    assert not {name for name in loaded if name.startswith(("nbpipe.runner", "nbpipe.compiler"))}


def test_public_names_are_those_that_exist() -> None:
    assert sorted(nbpipe.__all__) == sorted(set(nbpipe.__all__))
    for name in nbpipe.__all__:
        assert getattr(nbpipe, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        importlib.import_module("nbpipe").nonsense  # noqa: B018


def every_error() -> list[type[errors.NbpipeError]]:
    found, waiting = [], [errors.NbpipeError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return [kind for kind in found if kind.__module__ == "nbpipe.errors"]


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_errors_cross_processes_whole(kind: type[errors.NbpipeError]) -> None:
    arguments = {"diagnostics": ()} if kind is errors.CompilationError else {}
    error = kind("what", hint="what to do", **arguments)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.message, again.hint) == (kind, "what", "what to do")
    assert str(again) == "what\nwhat to do"


def test_error_codes_are_one_each() -> None:
    codes = [kind.code for kind in every_error()]
    assert len(set(codes)) == len(codes)


VAGUE = {"util", "utils", "helper", "helpers", "common", "misc", "base", "manager", "processor"}


def test_no_module_or_class_has_a_name_that_says_nothing() -> None:
    found = []
    for path in PACKAGE.rglob("*.py"):
        found += [str(path)] if VAGUE & set(path.stem.split("_")) else []
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                words = {word.lower() for word in re.findall("[A-Z][a-z]*", node.name)}
                # A framework's own word for what is subclassed (KernelManager) is not ours to mend.
                inherited = {
                    w.lower() for b in node.bases for w in re.findall("[A-Z][a-z]*", ast.unparse(b))
                }
                found += [node.name] if VAGUE & (words - inherited) else []
    assert found == []
