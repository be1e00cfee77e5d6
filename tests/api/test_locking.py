"""Locks of pipelines that have run: with what their steps were seen to import."""

from __future__ import annotations

import importlib
from importlib import metadata

import pytest

from nbpipe.api.exports import export
from nbpipe.api.locking import environment_with_results
from nbpipe.api.notebooks import bundle_texts, write_bundle
from nbpipe.environment.lock import environment_files
from nbpipe.model.run import RunState
from nbpipe.workspace import open_workspace

CELLS = ("import helper", "%%step load\ntable = helper.load()", "%%step show\nprint(table)")


@pytest.fixture
def loading(desk):
    desk.cells(*CELLS)
    desk.file("helper.py", "def load(): ...")
    imports(desk, numlib="1.0", tablib="3.1")
    return desk


def imports(desk, **packages):
    def load(touch):
        touch.fact(packages=packages)
        touch.read("data.csv")
        return {"table": 1}

    desk.work = {"load": load, "show": lambda _: None}


def added(desk):
    """What is pinned besides the needs of nbpipe: the notebook itself imports nothing installed."""
    here = environment_files([])
    files = bundle_texts(desk.workspace)
    texts = {name: files[f"environment/{name}"] for name in here}
    assert {**texts, "requirements.lock": ""} == {**here, "requirements.lock": ""}
    pinned = set(texts["requirements.lock"].split())
    assert pinned >= set(here["requirements.lock"].split())
    return sorted(pinned - set(here["requirements.lock"].split()))


def test_what_only_a_run_shows_is_in_the_lock_once_there_was_one(loading):
    assert added(loading) == []
    loading.run()
    assert added(loading) == ["numlib==1.0", "tablib==3.1"]


def test_what_a_reused_result_imported_counts(loading):
    version = metadata.version("pytest")
    imports(loading, pytest=version)
    loading.run()
    loading.run()
    assert loading.ran == []
    assert f"pytest=={version}" in added(loading)


def test_isolated_runs_and_exports_have_the_same_lock(loading):
    loading.run()
    workspace = loading.workspace
    files = bundle_texts(workspace)
    store = workspace.open_store()
    assert environment_with_results(workspace, store) == {
        name.removeprefix("environment/"): text
        for name, text in files.items()
        if name.startswith("environment/")
    }
    store.close()
    dockerfile_and_more = export(workspace, "docker").files
    locks = [text for name, text in dockerfile_and_more.items() if name.endswith(".lock")]
    assert locks == [files["environment/requirements.lock"]]


def test_a_bundle_is_exported_with_the_lock_that_it_has(loading):
    bundle = write_bundle(loading.workspace, loading.directory / "book.nbpipe")
    (bundle / "environment/requirements.lock").write_text("numlib==0.9\n")
    (bundle / "environment/python-version").write_text("3.12\n")
    loading.run()
    files = export(open_workspace(bundle), "docker").files
    assert files["requirements.txt"] == "numlib==0.9\n"
    assert "FROM python:3.12" in files["Dockerfile"]
    (bundle / "environment/requirements.lock").unlink()
    assert "blake3==" in export(open_workspace(bundle), "docker").files["requirements.txt"]


def test_the_newest_good_run_of_a_step_counts(loading):
    loading.run()
    loading.file("data.csv", "anew")
    imports(loading, numlib="1.1")
    loading.run()
    assert added(loading) == ["numlib==1.1"]

    def fail(touch):
        touch.fact(packages={"otherlib": "9"})
        raise OSError("no")

    loading.work["load"] = fail
    loading.file("data.csv", "and again")
    assert loading.run().state is RunState.FAILED
    assert added(loading) == ["numlib==1.1"]


def test_what_other_pipelines_and_steps_that_are_gone_imported_does_not_count(loading):
    loading.run()
    loading.cells("%%step other\nx = 1")
    assert added(loading) == []


def test_what_is_installed_here_counts_at_its_version(loading, monkeypatch, tmp_path):
    """Or isolated runs, which see what was locked, would keep an old version for good."""
    loading.run()
    site = tmp_path / "site"
    (site / "NumLib-2.0.dist-info").mkdir(parents=True)
    text = "Metadata-Version: 2.1\nName: NumLib\nVersion: 2.0\nRequires-Dist: tinylib\n"
    (site / "NumLib-2.0.dist-info" / "METADATA").write_text(text)
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    assert added(loading) == ["numlib==2.0", "tablib==3.1"]


def test_a_module_without_a_distribution_is_not_pinned(loading):
    imports(loading, looselib="unknown")
    loading.run()
    assert added(loading) == []
