"""When the front end is built, and when it is not."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def load_hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hatch_build = load_hook()


class Checkout:
    """A small source tree, with npm replaced by a function that counts."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.builds = 0
        for source in hatch_build.SOURCES:
            path = root / source
            if path.suffix:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("{}")
            else:
                path.mkdir(parents=True, exist_ok=True)
        self.source = root / "labextension/src/index.ts"
        self.source.write_text("export default [];")
        self.output = root / hatch_build.BUNDLE / "static/remoteEntry.0123.js"
        self.obstacle = ""

    def run_npm(self, _root: Path, *arguments: str) -> None:
        if arguments == ("ci",):
            (self.root / "node_modules").mkdir(exist_ok=True)
        elif arguments == ("run", "build:prod"):
            self.builds += 1
            self.output.parent.mkdir(parents=True, exist_ok=True)
            self.output.write_text(self.source.read_text())

    def make(self, target: str, version: str = "standard") -> SimpleNamespace:
        """Run the hook as hatchling does: what it put into the build, and what it said."""
        warnings: list[str] = []
        data: dict[str, Any] = {
            "artifacts": [],
            "shared_data": {},
            "pure_python": True,
            "tag": None,
        }
        app: Any = SimpleNamespace(display_warning=warnings.append)
        hook = hatch_build.NbpipeBuildHook(str(self.root), {}, None, None, "", target, app)
        hook.initialize(version, data)
        return SimpleNamespace(**data, warnings=warnings)

    def dependencies(self) -> list[str]:
        hook = hatch_build.NbpipeBuildHook(str(self.root), {}, None, None, "", "wheel", None)
        return hook.dependencies()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    monkeypatch.delenv(hatch_build.SKIP, raising=False)
    made = Checkout(tmp_path)
    monkeypatch.setattr(hatch_build, "run_npm", made.run_npm)
    monkeypatch.setattr(hatch_build, "compile_tracer", lambda *_: made.obstacle)
    return made


def test_a_wheel_is_built_with_the_extension(checkout: Checkout):
    wheel = checkout.make("wheel")
    assert checkout.builds == 1
    assert wheel.shared_data == {
        "nbpipe/_labextension": "share/jupyter/labextensions/jupyterlab-nbpipe",
        "install.json": "share/jupyter/labextensions/jupyterlab-nbpipe/install.json",
    }


def test_an_sdist_is_built_with_the_extension(checkout: Checkout):
    assert checkout.make("sdist").artifacts == ["nbpipe/_labextension"]
    assert checkout.builds == 1


def test_a_fresh_bundle_is_used_as_it_is(checkout: Checkout):
    checkout.make("sdist")
    checkout.make("wheel")
    assert checkout.builds == 1


@pytest.mark.parametrize("file", ["labextension/src/index.ts", "package.json", "package-lock.json"])
def test_a_bundle_of_older_sources_is_built_anew(checkout: Checkout, file: str):
    checkout.make("wheel")
    (checkout.root / file).write_text("export default [1];")
    checkout.make("wheel")
    assert checkout.builds == 2


def test_a_new_source_file_makes_the_bundle_stale(checkout: Checkout):
    checkout.make("wheel")
    (checkout.root / "labextension/style/new.css").write_text("")
    checkout.make("wheel")
    assert checkout.builds == 2


def test_a_bundle_changed_by_hand_is_built_anew(checkout: Checkout):
    checkout.make("wheel")
    checkout.output.write_text("development build")
    checkout.make("wheel")
    assert checkout.builds == 2


def test_an_unreadable_seal_means_a_new_build(checkout: Checkout):
    checkout.make("wheel")
    (checkout.root / hatch_build.BUNDLE / hatch_build.SEAL).write_text("{")
    checkout.make("wheel")
    assert checkout.builds == 2


def test_packages_are_installed_anew_only_when_the_lock_changes(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
):
    calls: list[tuple[str, ...]] = []

    def run_npm(root: Path, *arguments: str) -> None:
        calls.append(arguments)
        checkout.run_npm(root, *arguments)

    monkeypatch.setattr(hatch_build, "run_npm", run_npm)
    for lock in ("{}", "{}", '{"packages": {}}'):
        (checkout.root / "package-lock.json").write_text(lock)
        hatch_build.install_packages(checkout.root)
    assert calls == [("ci",), ("ci",)]


def test_an_editable_install_leaves_the_front_end_alone(checkout: Checkout):
    made = checkout.make("wheel", version="editable")
    assert (checkout.builds, made.shared_data) == (0, {})


def test_a_wheel_without_the_extension_says_so(checkout: Checkout, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(hatch_build.SKIP, "1")
    wheel = checkout.make("wheel")
    assert (checkout.builds, wheel.shared_data) == (0, {})
    (warning,) = wheel.warnings
    assert "INCOMPLETE" in warning
    assert "NBPIPE_SKIP_LABEXTENSION is set: no JupyterLab extension" in warning


def node_says(answer: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = folder / "node"
    node.write_text(f"#!{sys.executable}\nprint({answer!r})\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


needs_scripts = pytest.mark.skipif(os.name == "nt", reason="the fake node is a script")


@needs_scripts
@pytest.mark.parametrize(
    ("version", "usable"),
    [
        ("v18.20.4", False),
        ("v20.18.3", False),
        ("v20.19.0", True),
        ("v21.7.0", False),
        ("v22.11.0", False),
        ("v22.12.0", True),
        ("v24.0.1", True),
        ("not a version", False),
    ],
)
def test_node_is_usable_from_20_19_and_from_22_12(
    version: str, usable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    node_says(version, tmp_path, monkeypatch)
    assert hatch_build.node_is_usable() is usable


@needs_scripts
def test_the_build_asks_for_a_node_only_where_there_is_none(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(checkout.root))
    assert checkout.dependencies() == [hatch_build.BUILDER, hatch_build.NODE_WHEEL]
    node_says("v22.12.0", checkout.root, monkeypatch)
    assert checkout.dependencies() == [hatch_build.BUILDER]


def test_a_fresh_bundle_asks_for_nothing(checkout: Checkout, monkeypatch: pytest.MonkeyPatch):
    checkout.make("sdist")
    monkeypatch.setenv("PATH", "")
    assert checkout.dependencies() == []


def test_the_range_of_node_is_the_one_package_json_declares():
    package = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    assert package["engines"]["node"] == "^20.19.0 || >=22.12.0"


@pytest.mark.parametrize("version", ["standard", "editable"])
def test_a_wheel_with_the_tracer_is_for_this_platform(checkout: Checkout, version: str):
    wheel = checkout.make("wheel", version)
    assert wheel.artifacts == ["/nbpipe/kernel/tracing/native/trace_files.so"]
    assert wheel.pure_python is False
    assert wheel.tag.startswith("py3-none-")
    assert "-" not in wheel.tag.removeprefix("py3-none-")


@pytest.mark.parametrize("version", ["standard", "editable"])
def test_a_wheel_without_the_tracer_is_pure_and_says_why(checkout: Checkout, version: str):
    checkout.obstacle = "there is no C compiler (cc, gcc)"
    wheel = checkout.make("wheel", version)
    assert (wheel.artifacts, wheel.pure_python, wheel.tag) == ([], True, None)
    assert wheel.warnings == ["No native tracing in this build: there is no C compiler (cc, gcc)."]


def test_an_sdist_holds_the_source_of_the_tracer_only(checkout: Checkout):
    sdist = checkout.make("sdist")
    assert (sdist.artifacts, sdist.tag) == (["nbpipe/_labextension"], None)
    assert (ROOT / hatch_build.TRACER_SOURCE).is_file()


needs_compiler = pytest.mark.skipif(
    sys.platform != "linux" or not (shutil.which("cc") or shutil.which("gcc")),
    reason="needs Linux and a C compiler",
)


@needs_compiler
def test_the_tracer_is_compiled_without_a_warning(tmp_path: Path):
    source = ROOT / hatch_build.TRACER_SOURCE
    strict = tmp_path / "cc"
    strict.write_text(f'#!/bin/sh\nexec {shutil.which("cc") or "gcc"} -Werror "$@"\n')
    strict.chmod(0o755)
    library = tmp_path / "built.so"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", str(strict))
        assert hatch_build.compile_tracer(source, library) == ""
    assert library.read_bytes().startswith(b"\x7fELF")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["built.so", "cc"]


@needs_compiler
def test_a_source_that_cannot_be_compiled_leaves_no_library(tmp_path: Path):
    (tmp_path / "odd.c").write_text('#error "not here"')
    (tmp_path / "old.so").write_text("of other sources")
    said = hatch_build.compile_tracer(tmp_path / "odd.c", tmp_path / "old.so")
    assert "not here" in said
    assert [path.name for path in tmp_path.iterdir()] == ["odd.c"]


def test_no_compiler_means_no_tracer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hatch_build.sys, "platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    said = hatch_build.compile_tracer(ROOT / hatch_build.TRACER_SOURCE, tmp_path / "built.so")
    assert said == "there is no C compiler (cc, gcc)"
