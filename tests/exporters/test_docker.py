"""The image: instructions that Docker knows, copying what is there, running as nobody special."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from nbpipe.exporters.docker import DockerExporter
from nbpipe.model.effects import LearnedEffects
from tests.exporters.exporting import assert_snapshot, exported

CELLS = [
    "import pandas as pd",
    "%%params\nalpha = 0.1\nname = 'a\\nb'",
    "%%step load --reads 'raw/*.csv'\ndf = pd.read_csv('data/flights.csv')",
    "%%step read\nnotes = open('notes.txt').read()",
    "%%step show\nprint(df, alpha, notes)",
]
INSTRUCTIONS = {
    "FROM",
    "ENV",
    "RUN",
    "WORKDIR",
    "COPY",
    "ARG",
    "USER",
    "VOLUME",
    "ENTRYPOINT",
    "CMD",
}


def instructions(dockerfile):
    """The instructions as pairs of word and rest, comments left out."""
    lines = [line for line in dockerfile.split("\n") if line and not line.startswith("#")]
    return [tuple(line.split(" ", 1)) for line in lines]


@pytest.fixture
def files():
    return exported(DockerExporter(), *CELLS, name="late_flights").files


def test_the_dockerfile_says_how_to_build_and_run(files):
    assert_snapshot("docker/Dockerfile", files["Dockerfile"])


def test_docker_knows_every_instruction(files):
    found = instructions(files["Dockerfile"])
    assert {word for word, _ in found} == INSTRUCTIONS
    assert found[0] == ("FROM", "python:3.11-slim")
    assert not re.match(r"#\s*\w+\s*=", files["Dockerfile"]), "the first line is no directive"


def test_what_is_copied_is_there(files):
    for word, rest in instructions(files["Dockerfile"]):
        if word == "COPY":
            *sources, _ = shlex.split(rest)
            for source in sources:
                assert any(path == source or path.startswith(source) for path in files)
                assert f"!{source.rstrip('/')}" in files[".dockerignore"].split("\n")


def test_the_container_runs_the_bundle_as_an_ordinary_user(files):
    found = instructions(files["Dockerfile"])
    words = [word for word, _ in found]
    entry = json.loads(dict(found)["ENTRYPOINT"])
    assert entry == ["nbpipe", "run", "late_flights.nbpipe"]
    assert json.loads(dict(found)["CMD"]) == []
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert f"{entry[-1]}/pipeline.json" in files


def test_the_bundle_is_whole(files):
    inside = {path.partition("/")[2] for path in files if path.startswith("late_flights.nbpipe/")}
    assert inside == {
        "pipeline.json",
        "effects.json",
        "notebook.ipynb",
        "steps/load.ipynb",
        "steps/read.ipynb",
        "steps/show.ipynb",
        "environment/requirements.lock",
        "environment/python-version",
        "environment/platform",
    }
    assert files["requirements.txt"] == "numpy==2.4.6\npandas==3.1.1\n"


def test_learned_effects_go_along():
    source = exported(DockerExporter(), *CELLS, learned=LearnedEffects(changes={"ab12": ("df",)}))
    assert '"ab12"' in source.files["demo.nbpipe/effects.json"]


@pytest.mark.parametrize("name", ["requirements.lock", "python-version"])
def test_an_image_needs_a_lock(name):
    whole = {"requirements.lock": "pandas==3.1.1\n", "python-version": "3.12\n"}
    export = exported(DockerExporter(), *CELLS, environment=whole | {name: "\n"})
    assert [d.code for d in export.errors] == ["NBP311"]
    assert f"environment/{name}" in export.errors[0].message
    assert export.files == {}


@pytest.mark.parametrize("version", ["3.11\nRUN evil", "latest", "3"])
def test_a_python_version_is_a_number(version):
    environment = {"requirements.lock": "pandas==3.1.1\n", "python-version": version}
    assert exported(DockerExporter(), *CELLS, environment=environment).errors


@pytest.mark.parametrize("path", ["/srv/data.csv", "../data.csv", "a/../../data.csv", "~/d.csv"])
def test_a_file_outside_of_the_folder_is_pointed_out(path):
    export = exported(DockerExporter(), f"%%step a\nprint(open('{path}'))")
    assert [d.code for d in export.diagnostics] == ["NBP312"]
    assert repr(path) in export.diagnostics[0].message
    assert f"/app/{path}" not in export.files["Dockerfile"]


def test_text_of_the_author_ends_no_comment():
    cells = ["%%params\nx = 'a\\nRUN evil'", "%%step a\nprint(x, open('data/a.csv\\nRUN evil'))"]
    assert "\nRUN evil" not in exported(DockerExporter(), *cells).files["Dockerfile"]
