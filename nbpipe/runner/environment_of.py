"""What a step finds around it: Python, installed versions, project modules, files."""

from __future__ import annotations

import glob
import os
import re
import stat
import tempfile
from collections.abc import Collection, Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from nbpipe.model.digest import Digest, digest_structure
from nbpipe.model.names import Variable
from nbpipe.model.notebook import RandomPolicy
from nbpipe.model.pipeline import Pipeline, Step, last_users
from nbpipe.model.trace import digest_of_variable
from nbpipe.runner.file_digests import FileDigests
from nbpipe.runner.interpreters import interpreter_at, interpreter_of
from nbpipe.runner.modules import ModuleFinder
from nbpipe.runner.observed_parts import ABSENT, APART, IS_DIRECTORY, TOGETHER, UNSET
from nbpipe.runner.step_key import KeyEnvironment

_LONGEST_PATH: Final = 1_024
# What kernels and libraries keep for themselves, and devices.
_NOBODYS: Final = re.compile(
    r"""/(?:proc|sys)/ | .*/__pycache__/ | .*/\.ipynb_checkpoints/ | .*/\.ipython/ | .*/\.jupyter/
        | .*/(?:\.local/share/jupyter|Library/Jupyter)/
        | .*/(?:\.cache|\.config|Caches)/(?:matplotlib|fontconfig)/ | .*/nbp-[a-z0-9_]{8}/
        | /usr/(?:local/)?share/fonts/ | .*/\.(?:local/share/)?fonts/""",
    re.VERBOSE,
)
_ENTRIES_OF_TOOLS: Final = frozenset({"__pycache__", ".ipynb_checkpoints"})


class EnvironmentProbe:
    """Looks around for the steps of one pipeline; these are the `Surroundings` of observed parts.

    Versions and the places of modules are looked up once; every file is looked at anew each time,
    because steps write files that later steps read.
    """

    def __init__(
        self, pipeline: Pipeline, *, directory: Path, store: Path, python: str = ""
    ) -> None:
        interpreter = (
            interpreter_at(python, isolated=True) if python else interpreter_of(pipeline.kernel)
        )
        self._python = interpreter.version
        self._pipeline = pipeline
        self._seed_policy: RandomPolicy = pipeline.random
        self._names_indexes = pipeline.names_indexes
        self._directory = directory
        self._real_directory = directory.resolve()
        self._home = os.path.expanduser("~")  # noqa: PTH111 - no exception without one.
        self._store = store.resolve()
        self._store_places = {f"{store}", f"{self._store}"}
        self._modules = ModuleFinder(interpreter, directory)
        self._digests = FileDigests(store / "cache" / "file-digests.json")

    def environment_of(self, step: Step) -> KeyEnvironment:
        """Give what a step with these imports and paths finds now."""
        provenance = self._modules.provenance(step.imports)
        places = provenance.sources | dict(self._declared_files(step))
        files = {name: self._digests.digest(path) for name, path in places.items()}
        literals = self.literal_files(step)
        return KeyEnvironment(
            python=self._python,
            packages=provenance.packages,
            files=files | literals,
            seed_policy=self._seed_policy,
            paths=frozenset([*map(str, places.values()), *map(self.place_of_literal, literals)]),
        )

    def literal_files(self, step: Step) -> dict[str, Digest | None]:
        """Give the digests of those string literals of the step that name a file."""
        found: dict[str, Digest | None] = {}
        for literal in step.literal_paths:
            path = Path(self.place_of_literal(literal))
            if (
                _may_name_a_file(literal)
                and os.path.isfile(path)  # noqa: PTH113 - no exception for odd names.
                and not path.resolve().is_relative_to(self._store)
            ):
                found[literal] = self._digests.digest(path)
        return found

    def place_of_literal(self, literal: str) -> str:
        """Give the path that a text in the code means."""
        return str(self._directory / os.path.expanduser(literal))  # noqa: PTH111 - as written.

    def indexes(self) -> str:
        """Say whether frames are stored `APART` or `TOGETHER` when they have one index."""
        return TOGETHER if self._names_indexes else APART

    def last_user(self, constant: str) -> str:
        """Give the digest of the step furthest down that uses a constant, or `ABSENT`."""
        step = self._last_users.get(Variable(constant))
        return step.own if step else ABSENT

    @cached_property
    def _last_users(self) -> dict[Variable, Step]:
        return last_users(self._pipeline.steps)

    def package(self, distribution: str) -> str:
        """Give the installed version, or `ABSENT`."""
        return self._modules.version(distribution) or ABSENT

    def variable(self, name: str) -> str:
        """Give the digest of the value that kernels get of an environment variable, or `UNSET`."""
        return digest_of_variable(name, os.environ.get(name)) or UNSET

    def directory(self, name: str, without: Collection[str]) -> str:
        """Give the digest of the names of the entries, leaving some out, or `ABSENT`."""
        place = self._place(name)
        try:
            entries = os.listdir(place)  # noqa: PTH208 - names are all that is wanted.
        except OSError:
            return ABSENT
        ours = {os.path.basename(p) for p in self._store_places if os.path.dirname(p) == place}  # noqa: PTH119, PTH120
        return digest_structure(sorted({*entries} - {*without} - ours - _ENTRIES_OF_TOOLS))

    def file(self, name: str) -> str:
        """Give the digest of the content, or `ABSENT`."""
        place = self._place(name)
        is_directory = os.path.isdir(place)  # noqa: PTH112 - no exception where one may not look.
        return self._digests.digest(Path(place)) or (IS_DIRECTORY if is_directory else ABSENT)

    def name_of(self, path: str) -> str | None:
        """Give the name of a path in parts; None for what is no author's business."""
        path = os.path.normpath(path)
        if "\0" in path or _NOBODYS.match(path) or self._is_of_store(path) or _is_special(path):
            return None
        for directory in (self._directory, self._real_directory):
            if path == str(directory):
                return "."
            if path.startswith(f"{directory}{os.sep}"):
                name = Path(path).relative_to(directory).as_posix()
                return f"./{name}" if name.startswith("~") else name
        if path.startswith(f"{self._home}{os.sep}"):
            return f"~/{Path(path).relative_to(self._home).as_posix()}"
        return Path(path).as_posix()

    def is_scratch(self, name: str) -> bool:
        """Say whether it was a temporary file, gone by now."""
        place = self._place(name)
        return (
            name.startswith(("/", "~/"))
            and place.startswith(f"{tempfile.gettempdir()}{os.sep}")
            and not os.path.lexists(place)
        )

    def is_there(self, name: str) -> bool:
        """Say whether there is a file or directory, or a link."""
        return os.path.lexists(self._place(name))

    def changed_since(self, name: str, time: datetime) -> bool:
        """Say whether a file or directory was changed, or put in place, after `time`."""
        try:
            facts = os.stat(self._place(name))  # noqa: PTH116 - text, as named.
        except OSError:
            return True
        # Programs may set the time of change as they like, but not that of the change of state.
        changed = facts.st_mtime if os.name == "nt" else facts.st_ctime
        return changed >= time.timestamp()

    def _place(self, name: str) -> str:
        if name.startswith("~/"):
            return f"{self._home}{name[1:]}"
        return os.path.normpath(self._directory / name)

    def _is_of_store(self, path: str) -> bool:
        return any(
            path == store or path.startswith(f"{store}{os.sep}") for store in self._store_places
        )

    def save(self) -> None:
        """Keep digests of large files for the next run."""
        self._digests.save()

    def _declared_files(self, step: Step) -> Iterator[tuple[str, Path]]:
        for declared in step.reads:
            pattern = os.path.expanduser(declared)  # noqa: PTH111
            matches = [
                path
                for match in sorted(self._matches(pattern))
                for path in ([match] if match.is_file() else sorted(_files_below(match)))
            ]
            for path in matches:
                yield self._name(path, declared), path
            if not matches:
                yield declared, self._directory / pattern

    def _matches(self, pattern: str) -> Iterator[Path]:
        if not glob.has_magic(pattern):
            path = self._directory / pattern
            if path.exists():
                yield path
            return
        for match in glob.glob(pattern, root_dir=self._directory, recursive=True):  # noqa: PTH207
            yield self._directory / match

    def _name(self, path: Path, declared: str) -> str:
        """Name a file as it was declared: relative to the notebook, or to a home directory."""
        if declared.startswith("~") and path.is_relative_to(Path.home()):
            return f"~/{path.relative_to(Path.home()).as_posix()}"
        if path.is_relative_to(self._directory):
            return path.relative_to(self._directory).as_posix()
        return path.as_posix()


def _is_special(path: str) -> bool:
    """Say whether it is a device, a pipe or a socket."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - text, as reported.
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _may_name_a_file(literal: str) -> bool:
    return bool(literal) and len(literal) <= _LONGEST_PATH and not {"\0", "\n"} & set(literal)


def _files_below(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file())
