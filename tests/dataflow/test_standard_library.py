"""The table of the standard library: the same on every Python, and not behind any of them."""

from __future__ import annotations

import sys

import pytest

from nbpipe.compiler.bundle import bundle_files
from nbpipe.dataflow.settings import acts_when_imported
from nbpipe.dataflow.standard_library import STANDARD_LIBRARY
from tests.builders import notebook_json, pipeline_of

RETIRED = """
    asynchat asyncore distutils imp smtpd
    aifc audioop cgi cgitb chunk crypt imghdr lib2to3 mailcap msilib nis nntplib ossaudiodev pipes
    sndhdr spwd sunau telnetlib uu xdrlib
""".split()
NEWER = ("tomllib", "compression.zstd", "annotationlib")


@pytest.mark.parametrize("module", [*RETIRED, *NEWER])
def test_importing_the_standard_library_does_nothing_whichever_python_has_it(module):
    assert not acts_when_imported(module)


@pytest.mark.parametrize("has", [set(), {*RETIRED, "seen_only_here"}], ids=["none", "more"])
def test_a_manifest_does_not_depend_on_the_modules_of_the_running_python(monkeypatch, has):
    def manifest():
        cells = (
            "%%step a\nimport asynchat, cgi\nimport seen_only_here\nx = 1",
            "%%step b\nimport compression.zstd\ny = x",
            "%%step c\nz = y",
        )
        return bundle_files(pipeline_of(*cells), notebook_json(*cells), compiler="1")[
            "pipeline.json"
        ]

    here = manifest()
    monkeypatch.setattr(sys, "stdlib_module_names", frozenset(has))
    assert manifest() == here


def test_the_table_has_all_modules_of_the_running_python():
    """When this fails, a Python has new modules: add them, and take none away."""
    public = {name for name in sys.stdlib_module_names if not name.startswith("_")}
    assert public <= STANDARD_LIBRARY
