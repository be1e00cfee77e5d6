"""Registries of plug-ins: loaded when asked for, and none harmed by another."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TypeGuard

import pytest

from nbpipe.errors import NotFoundError, PluginError
from nbpipe.plugins import PluginSource, Registry, installed_sources


class Tool:
    """What the registry is for."""


class Odd:
    """Something else."""


class Failing:
    def __init__(self):
        raise RuntimeError("no licence")


INSTANCE = Tool()


@pytest.fixture(autouse=True)
def plug_in(monkeypatch):
    module = ModuleType("some_plug_in")
    module.Tool, module.Odd, module.Failing, module.INSTANCE = Tool, Odd, Failing, INSTANCE
    monkeypatch.setitem(sys.modules, "some_plug_in", module)


def is_tool(value: object) -> TypeGuard[Tool]:
    return isinstance(value, Tool)


def registry(*installed: tuple[str, str, str]) -> Registry[Tool]:
    sources = [
        PluginSource(name=name, reference=reference, package=package)
        for name, reference, package in installed
    ]
    return Registry(
        "tool",
        "nbpipe.tools",
        builtin={"ours": "some_plug_in:Tool", "late": "nowhere_at_all:Tool"},
        accepts=is_tool,
        installed=lambda group: sources,
    )


def test_built_in_ones_need_no_installation():
    tools = registry()
    assert isinstance(tools.get("ours"), Tool)
    assert tools.get("ours") is tools.get("ours")


def test_plug_ins_are_found_by_name():
    tools = registry(("theirs", "some_plug_in:Tool", "their-package"))
    assert tools.names == ("late", "ours", "theirs")
    assert isinstance(tools.get("theirs"), Tool)


def test_a_plug_in_may_be_an_object_and_its_reference_may_name_extras():
    tools = registry(("theirs", "some_plug_in:INSTANCE [fast]", "their-package"))
    assert tools.get("theirs") is INSTANCE


def test_an_unknown_name_names_near_misses():
    with pytest.raises(NotFoundError, match="No tool 'our'"):
        registry().get("our")


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("missing_module:Tool", "ModuleNotFoundError"),
        ("some_plug_in:Missing", "AttributeError"),
        ("some_plug_in:Failing", "RuntimeError: no licence"),
        ("some_plug_in:Odd", "a Odd is not one"),
    ],
)
def test_a_broken_plug_in_names_package_and_entry_point(reference, reason):
    tools = registry(("theirs", reference, "their-package"))
    with pytest.raises(PluginError) as caught:
        tools.get("theirs")
    assert reason in caught.value.message
    assert f"theirs = {reference}" in caught.value.message
    assert "'their-package'" in caught.value.message
    assert caught.value.hint == "Upgrade or uninstall their-package; the other tools work."


def test_a_broken_plug_in_leaves_the_others_working():
    tools = registry(
        ("bad", "some_plug_in:Failing", "bad-package"), ("good", "some_plug_in:Tool", "good")
    )
    assert set(tools.working()) == {"good", "ours"}
    assert [error.message.split(" cannot")[0] for error in tools.broken()] == [
        "The tool 'bad'",
        "The tool 'late'",
    ]


def test_nobody_takes_a_built_in_name():
    tools = registry(("ours", "some_plug_in:Odd", "their-package"))
    assert isinstance(tools.get("ours"), Tool)
    *_, conflict = tools.broken()
    assert "takes a name that" in conflict.message
    assert "their-package" in conflict.message


def test_our_own_entry_point_is_no_conflict():
    tools = registry(("ours", "some_plug_in:Tool", "jupyterlab-nbpipe"))
    assert [error.message.split(" cannot")[0] for error in tools.broken()] == ["The tool 'late'"]


def test_metadata_are_read_in_a_fixed_order():
    found = installed_sources("console_scripts")
    assert list(found) == sorted(found, key=lambda s: (s.package, s.name, s.reference))
    assert any(source.name == "pytest" for source in found)
