"""Every way to touch a file is seen, or what may have done it unseen is named."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from cases import CASES, FILES
from conftest import Seen, see


def missing(case) -> list[str]:
    return [name for name in case.needs if importlib.util.find_spec(name) is None]


def see_all(directory: Path, *, native: bool) -> tuple[Path, dict[str, Seen]]:
    work, private = directory / "work", directory / "private"
    work.mkdir()
    private.mkdir()
    subprocess.run([sys.executable, "-W", "ignore", "-c", FILES], cwd=work, check=True)
    cases = [(case.name, case.code) for case in CASES if not missing(case)]
    return work, see(cases, work, private, native=native)


@pytest.fixture(scope="module")
def native(library, tmp_path_factory):
    return see_all(tmp_path_factory.mktemp("native"), native=True)


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    return see_all(tmp_path_factory.mktemp("audit"), native=False)


def outcome(case, work: Path, seen: dict[str, Seen]) -> tuple[bool, Seen]:
    if absent := missing(case):
        pytest.skip(f"not installed: {', '.join(absent)}")
    found = seen[case.name]
    assert found.error == ""
    return str(work / case.path) in getattr(found.trace, case.field), found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_native_library_sees_it(case, native):
    is_seen, found = outcome(case, *native)
    assert found.native
    assert is_seen, found.trace
    assert found.trace.unverified == ()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_audit_hook_sees_it_or_says_what_it_may_have_missed(case, audit):
    is_seen, found = outcome(case, *audit)
    assert not found.native
    assert is_seen or found.trace.unverified, found.trace
