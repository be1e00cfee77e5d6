"""Modules of the project are imported from their source, whatever bytecode lies beside it.

Python takes cached bytecode for current when the source has the same size and was changed in the
same second: right for people, wrong for a program that edits and runs again. The step key holds
the digest of the source, so it is the source that must run.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import Final

_INSTALLED: Final = ("site-packages", "dist-packages")


_Quiet = Callable[[], AbstractContextManager[None]]


def import_from_source(quietly: _Quiet = nullcontext) -> None:
    """Import modules that no distribution and not Python brought from their source only.

    Looking for modules happens `quietly`: the import system lists every directory where one could
    be, which says nothing about the step.
    """
    sys.meta_path.insert(0, _ProjectFinder(sysconfig.get_path("stdlib"), quietly))


class _ProjectFinder(MetaPathFinder):
    """Asks the other finders, and exchanges the loader of what is the project's."""

    def __init__(self, standard_library: str, quietly: _Quiet) -> None:
        self._standard_library = standard_library
        self._quietly = quietly

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        with self._quietly():
            return self._find(fullname, path, target)

    def _find(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in [each for each in sys.meta_path if each is not self]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if type(spec.loader) is SourceFileLoader and self._is_of_project(spec.loader.path):
                    spec.loader = _SourceLoader(fullname, spec.loader.path)
                return spec
        return None

    def _is_of_project(self, path: str) -> bool:
        return not path.startswith(self._standard_library) and not any(
            name in path for name in _INSTALLED
        )


class _SourceLoader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)
