from __future__ import annotations

from pathlib import Path

import pytest

from nbpipe.runner.interpreters import Interpreter, interpreter_of
from nbpipe.runner.modules import ModuleFinder, Provenance


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def project(tmp_path):
    """A project directory, and a `site-packages` with four distributions."""
    site = tmp_path / "lib" / "site-packages"
    for name, top_level, record in [
        ("Frames-2.1.0", None, "frames/__init__.py,,\n"),
        ("scikit_learn-1.9.1", "sklearn\n", ""),
        ("odd_name-0.3", None, "inside/__init__.py,,\nodd_name-0.3.dist-info/RECORD,,\n"),
        ("spaced_one-1.0", None, "spaced/one/__init__.py,,\n"),
        ("spaced_two-2.0", None, "spaced/two/__init__.py,,\n"),
    ]:
        facts = site / f"{name}.dist-info"
        facts.mkdir(parents=True)
        (facts / "RECORD").write_text(record)
        if top_level:
            (facts / "top_level.txt").write_text(top_level)
    for package in ["frames", "sklearn", "inside"]:
        (site / package).mkdir()
        (site / package / "__init__.py").touch()
    for portion in ["one", "two"]:
        (site / "spaced" / portion).mkdir(parents=True)
    project = tmp_path / "project"
    project.mkdir()
    return project


def behind(project: Path, *modules: str) -> Provenance:
    interpreter = Interpreter(
        version="3.11",
        search_path=(project.parent / "lib" / "site-packages",),
        standard_library=frozenset({"json", "os"}),
    )
    return ModuleFinder(interpreter, project).provenance(modules)


@pytest.mark.parametrize(
    ("module", "packages"),
    [
        ("frames", {"frames": "2.1.0"}),
        ("sklearn", {"scikit_learn": "1.9.1"}),
        ("inside", {"odd_name": "0.3"}),
        ("spaced", {"spaced_one": "1.0", "spaced_two": "2.0"}),
        ("json", {}),
        ("nbpipe", {}),
        ("nowhere_to_be_found", {"nowhere_to_be_found": "absent"}),
    ],
)
def test_an_installed_module_is_its_distribution(project, module, packages):
    assert behind(project, module) == Provenance(packages=packages)


def test_a_project_module_is_its_source_and_what_that_imports(project):
    write(
        project,
        {
            "cleaning.py": "import json, frames\nfrom tools.text import strip\n",
            "tools/__init__.py": "",
            "tools/text.py": "def f():\n    import second\n",
            "tools/unused.py": "from . import text",
            "tools/.hidden/x.py": "",
            "second.py": "import cleaning",
            "unrelated.py": "",
        },
    )
    names = ["cleaning.py", "second.py", "tools/__init__.py", "tools/text.py", "tools/unused.py"]
    found = behind(project, "cleaning")
    assert sorted(found.sources) == names
    assert found.sources["tools/text.py"] == project / "tools" / "text.py"
    assert found.packages == {"frames": "2.1.0"}


def test_a_folder_does_not_hide_an_installed_module(project):
    write(project, {"frames/data.py": ""})
    assert behind(project, "frames") == Provenance(packages={"frames": "2.1.0"})


def test_a_folder_of_modules_is_a_package_without_a_file_of_its_own(project):
    write(project, {"parts/a.py": "", "parts/b.py": ""})
    assert sorted(behind(project, "parts").sources) == ["parts/a.py", "parts/b.py"]


def test_a_module_with_a_syntax_error_still_counts(project):
    write(project, {"broken.py": "def f(:"})
    assert list(behind(project, "broken").sources) == ["broken.py"]


def test_the_interpreter_of_an_unknown_kernel_is_the_current_one():
    assert interpreter_of("no such kernel") == interpreter_of("python3")
