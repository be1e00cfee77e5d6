from __future__ import annotations

import os

import pytest

from nbpipe.kernel.tracing.accesses import Access, Accesses, facts_of, kind_of_open, plain

LETTERS = {access.value: access for access in Access}


@pytest.fixture
def account(tmp_path):
    """Give the files that a list of accesses like `"R a"` or `"V a b"` comes to."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def settle(*accesses, noise=()):
        taken = Accesses(
            lambda path: path in {str(tmp_path / name) for name in noise},
            home=str(tmp_path),
            temporary=str(temporary),
        )
        for access in accesses:
            letter, name, *more = access.split()
            more = str(tmp_path / more[0]) if letter in "Vv" else "".join(more)
            taken.note(LETTERS[letter], f"{tmp_path}/{name}", more)
        files = taken.settle()
        return {
            field: [path.removeprefix(f"{tmp_path}/") for path in paths]
            for field in ("read", "absent", "found", "listed", "written")
            if (paths := getattr(files, field))
        }

    return settle


@pytest.fixture
def there(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text("x")
    (tmp_path / "sub").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("accesses", "outcome"),
    [
        (["R a"], {"read": ["a"]}),
        (["T a"], {"written": ["a"]}),
        (["T a", "R a"], {"written": ["a"]}),
        (["R a", "T a"], {"read": ["a"], "written": ["a"]}),
        (["S a"], {"read": ["a"]}),
        (["S a", "R a"], {"read": ["a"]}),
        (["S a", "T a"], {"found": ["a"], "written": ["a"]}),
        (["N a", "C a"], {"absent": ["a"], "written": ["a"]}),
        (["C a", "S a", "R a"], {"written": ["a"]}),
        (["N gone"], {"absent": ["gone"]}),
        (["D gone"], {"written": ["gone"]}),
        (["R gone", "D gone"], {"read": ["gone"], "written": ["gone"]}),
        (["C gone", "D gone"], {}),
        (["D gone", "N gone"], {"written": ["gone"]}),
        (["C gone", "v gone a"], {"written": ["a"]}),
        (["C gone", "v gone a", "v gone b"], {"written": ["a", "b"]}),
        (["v gone a"], {"read": ["gone"], "written": ["a", "gone"]}),
        (["L sub"], {"listed": ["sub"]}),
        (["R sub"], {"listed": ["sub"]}),
        (["S sub"], {"found": ["sub"]}),
        (["S sub", "N sub/c"], {"absent": ["sub/c"]}),
        (["M sub", "L sub", "N sub/c"], {}),
        (["S sub", "M sub", "S sub"], {"found": ["sub"]}),
        (["R ./sub/../a"], {"read": ["a"]}),
        (["R sub//../a"], {"read": ["a"]}),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, list) else "",
)
def test_what_counts_is_the_first_access(account, there, accesses, outcome):
    assert account(*accesses) == outcome


def test_a_file_opened_for_changing_is_written_if_it_changed(account, there):
    facts = facts_of(str(there / "a"))
    taken = Accesses(lambda _: False, home="/", temporary="/nowhere")
    for name in ("a", "b"):
        taken.note(Access.CHANGED, str(there / name), facts_of(str(there / name)))
    (there / "a").write_text("other")
    assert facts_of(str(there / "a")) != facts
    files = taken.settle()
    assert files.read == (str(there / "a"), str(there / "b"))
    assert files.written == (str(there / "a"),)


def test_what_was_moved_with_its_directory_is_written_where_it_is_now(account, there):
    (there / "sub" / "f").write_text("x")
    assert account("M made", "C made/f", "v made sub") == {"written": ["sub/f"]}


def test_a_temporary_directory_of_the_step_is_its_own_business(account, there):
    own, other = there / "temporary" / "own", there / "temporary" / "other"
    for directory in (own, other):
        directory.mkdir()
        (directory / "f").write_text("x")
    assert account("M temporary/own", "C temporary/own/f", "C temporary/other/f") == {
        "written": ["temporary/other/f"]
    }


def test_noise_is_left_out_also_where_it_is_moved(account, there):
    assert account("R a", "T b", "v a b", noise=["a"]) == {"written": ["b"]}
    assert account("R a", "v a b", noise=["b"]) == {"read": ["a"], "written": ["a"]}


def test_directories_that_must_be_there_are_not_told(account, there):
    (there / "sub" / "f").write_text("x")
    assert account("S .", "S sub", "R sub/f") == {"read": ["sub/f"]}


@pytest.mark.parametrize(
    ("mode", "existed", "letters"),
    [
        (os.O_RDONLY, True, "R"),
        (os.O_RDONLY, False, "N"),
        (os.O_WRONLY | os.O_CREAT | os.O_TRUNC, True, "T"),
        (os.O_WRONLY | os.O_CREAT | os.O_TRUNC, False, "C"),
        (os.O_WRONLY | os.O_CREAT | os.O_APPEND, True, "U"),
        (os.O_WRONLY | os.O_CREAT | os.O_APPEND, False, "NC"),
        (os.O_WRONLY | os.O_CREAT | os.O_EXCL, False, "C"),
        (os.O_RDWR, True, "U"),
        (os.O_RDWR, False, "N"),
    ],
)
def test_the_kind_of_an_open(mode, existed, letters):
    assert "".join(kind_of_open(mode, existed=existed)) == letters


@pytest.mark.parametrize(
    ("path", "simple"),
    [("/a/b", "/a/b"), ("/a/./b", "/a/b"), ("//a//b/", "/a/b"), ("/a/.b", "/a/.b"), ("/", "/")],
)
def test_paths_become_plain(path, simple):
    assert plain(path) == simple


def test_programs_that_nobody_follows_make_it_unverified_unless_they_read_nothing_that_counts():
    taken = Accesses(lambda _path: False, home="/home/me", temporary="/tmp/t")
    taken.note(Access.RAN_UNSEEN, "/sbin/ldconfig")
    taken.note(Access.RAN_UNSEEN, "/home/me/ldconfig")
    taken.note(Access.RAN_UNSEEN, "/home/me/fixed")
    assert taken.unseen_programs == {"fixed", "ldconfig"}
    only_noise = Accesses(lambda _path: False, home="/home/me", temporary="/tmp/t")
    only_noise.note(Access.RAN_UNSEEN, "/sbin/ldconfig")
    assert only_noise.unseen_programs == set()
