"""What a step finds around it: Python, installed versions, project modules, files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nbpipe.model.digest import Digest
from nbpipe.model.notebook import RandomPolicy
from nbpipe.model.pipeline import Pipeline, Step
from nbpipe.runner.file_digests import FileDigests
from nbpipe.runner.interpreters import interpreter_at, interpreter_of
from nbpipe.runner.modules import ModuleFinder
from nbpipe.runner.step_key import KeyEnvironment

_LONGEST_PATH: Final = 1_024


class EnvironmentProbe:
    """Looks around for the steps of one pipeline.

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
        self._seed_policy: RandomPolicy = pipeline.random
        self._directory = directory
        self._store = store.resolve()
        self._modules = ModuleFinder(interpreter, directory)
        self._digests = FileDigests(store / "cache" / "file-digests.json")

    def environment_of(self, step: Step) -> KeyEnvironment:
        """Give what a step with these imports and paths finds now."""
        provenance = self._modules.provenance(step.imports)
        files = {name: self._digests.digest(path) for name, path in provenance.sources.items()}
        for name, path in self._declared_files(step):
            files[name] = self._digests.digest(path)
        return KeyEnvironment(
            python=self._python,
            packages=provenance.packages,
            files=files | self.literal_files(step),
            seed_policy=self._seed_policy,
        )

    def literal_files(self, step: Step) -> dict[str, Digest | None]:
        """Give the digests of those string literals of the step that name a file."""
        found: dict[str, Digest | None] = {}
        for literal in step.literal_paths:
            path = self._directory / os.path.expanduser(literal)  # noqa: PTH111 - text, as written.
            if (
                _may_name_a_file(literal)
                and os.path.isfile(path)  # noqa: PTH113 - no exception for odd names.
                and not path.resolve().is_relative_to(self._store)
            ):
                found[literal] = self._digests.digest(path)
        return found

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


def _may_name_a_file(literal: str) -> bool:
    return bool(literal) and len(literal) <= _LONGEST_PATH and not {"\0", "\n"} & set(literal)


def _files_below(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file())
