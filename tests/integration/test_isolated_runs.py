"""`nbpipe run --isolated` builds a real environment, from whatever indexes pip knows."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.cli.shell import Outcome, text_of

pytestmark = pytest.mark.slow

CELLS = (
    "%%step look\nimport sys, nbpipe, IPython\nprefix, path = sys.prefix, list(sys.path)\n"
    "print(nbpipe.__file__)",
    "%%step use\nprint(len(path))",
)


def skip_without_index(outcome):
    if outcome.code == 4 and "index could not be reached" in outcome.err:
        pytest.skip(f"pip reaches no index: {outcome.err[-500:]}")


@pytest.mark.timeout(900)
def test_kernels_run_in_an_environment_made_of_the_lock(shell):
    shell.write("book.ipynb", *CELLS)
    process = shell.start("run", "book.ipynb", "--isolated", "--json")
    out, err = process.communicate(timeout=800)
    outcome = Outcome(process.returncode, out, err)
    skip_without_index(outcome)
    assert outcome.code == 0, err
    assert outcome.lines[0]["event"] == "environment-building"
    environments = shell.directory / ".nbpipe" / "cache" / "environments"
    assert text_of(shell.executed(outcome)[0]).strip().startswith(str(environments))
    [pointer] = environments.glob("*.json")
    place = environments / json.loads(pointer.read_text())["directory"]
    # What is there is what is in the lock, and what makes an environment one.
    lock = (place / "requirements.lock").read_text().split()
    done = subprocess.run(
        [place / "bin" / "python", "-I", "-m", "pip", "list", "--format=freeze"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    normal = {line.lower().replace("_", "-") for line in done.stdout.split()}
    extra = {line.split("==")[0] for line in normal - set(lock)}
    assert extra <= {"pip", "setuptools", "wheel"}
    assert set(lock) <= normal
    # The second time it is there already; nothing of this process's path got in.
    again = shell("run", "book.ipynb", "--isolated", "--force", "look", "--json")
    assert [line["event"] for line in again.lines].count("environment-building") == 0
    assert again.code == 0, again.err
    [version] = shell.store.versions(variable="path")
    assert os.environ["PYTHONPATH"] not in json.dumps(version.value.summary.preview)


@pytest.mark.timeout(300)
def test_a_pin_that_no_index_has_is_said(shell):
    shell.write("book.ipynb", *CELLS)
    assert shell("compile", "book.ipynb").code == 0
    lock = shell.directory / "book.nbpipe" / "environment" / "requirements.lock"
    lock.write_text("no-such-distribution-of-ours==1.0\n")
    environ = {"PIP_NO_INDEX": "1", "PATH": "/usr/bin:/bin"}  # No uv, which reads other settings.
    outcome = shell("run", "book.nbpipe", "--isolated", "--json", environ=environ)
    assert outcome.code == 4
    assert "pip failed" in outcome.err
    assert "no-such-distribution-of-ours==1.0" in outcome.err
    assert "on none of pip's indexes" in outcome.err
    assert outcome.summary["state"] == "failed"
    environments = shell.directory / ".nbpipe" / "cache" / "environments"
    assert list(environments.iterdir()) == []


def test_another_python_or_kernel_is_refused(shell):
    shell.write("book.ipynb", *CELLS)
    assert shell("compile", "book.ipynb").code == 0
    (shell.directory / "book.nbpipe" / "environment" / "python-version").write_text("2.7\n")
    outcome = shell("run", "book.nbpipe", "--isolated")
    assert (outcome.code, "was locked for Python 2.7" in outcome.err) == (2, True)
    metadata = {"kernelspec": {"name": "ir", "display_name": "R", "language": "python"}}
    shell.write("other.ipynb", *CELLS, metadata=metadata)
    outcome = shell("run", "other.ipynb", "--isolated")
    assert (outcome.code, "names the kernel 'ir'" in outcome.err) == (2, True)


def test_what_only_runs_import_is_in_the_lock_of_the_bundle(shell):
    (shell.directory / "helper.py").write_text(
        "import joblib\n\ndef save(table):\n    table.to_parquet('t.parquet')\n"
    )
    shell.write(
        "book.ipynb",
        "import pandas as pd\nimport helper",
        "%%step make\nt = pd.DataFrame({'a': [1]})",
        "%%step save\nhelper.save(t)",
    )
    lock = shell.directory / "book.nbpipe" / "environment" / "requirements.lock"

    def locked():
        assert shell("compile", "book.ipynb").code == 0
        return {line.partition("==")[0] for line in lock.read_text().splitlines()}

    before = locked()
    assert "pandas" in before
    assert not before & {"joblib", "pyarrow"}
    assert shell("run", "book.ipynb").code == 0
    assert locked() - before == {"joblib", "pyarrow"}
