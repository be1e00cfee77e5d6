"""What happens at an import in a step's kernel.

One finder asks the others, and then

- takes modules of the project from their source, whatever bytecode lies beside it. Python takes
  bytecode for current when the source has the same size and was changed in the same second: right
  for people, wrong for a program that edits and runs again. The step key holds the digest of the
  source, so it is the source that must run;
- runs what waits for a module right after it is loaded;
- tells around what an installed module does to the process while it is imported.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final, TypeVar

from nbpipe.environment.distributions import INSTALLED

_F = TypeVar("_F", bound=Callable[..., Any])


def _is_installed(path: str | None) -> bool:
    return path is not None and any(name in path for name in INSTALLED)


def _in_importlib(function: _F) -> _F:
    """Make Python cut the function out of tracebacks, as it does with its own import machinery.

    Authors see their module and the line that imported it, nothing between.
    """
    assert isinstance(function, FunctionType)
    function.__code__ = function.__code__.replace(co_filename="<frozen importlib._bootstrap>")
    return function


class ImportWatch(MetaPathFinder):
    """The finder. It does nothing before `start`.

    Attributes:
        around_installed: called when code of the step begins to import an installed module; what
            it gives is called when that is loaded.
        quietly: surrounds the search for a module: the import system lists every directory where
            one could be, which says nothing about the step.
        project_module_loaded: called with each module of the project, once it is loaded.
        sources: of each module of the project, the source that ran each time it was loaded.
    """

    def __init__(self) -> None:
        self.around_installed: Callable[[], Callable[[], None]] = lambda: lambda: None
        self.quietly: Callable[[], AbstractContextManager[None]] = nullcontext
        self.project_module_loaded: Callable[[ModuleType], None] = lambda _module: None
        self.sources: dict[str, list[bytes]] = {}
        self._waiting: dict[str, list[Callable[[ModuleType], None]]] = {}
        self._standard_library = sysconfig.get_path("stdlib")
        self._is_importing = False
        self._just_loaded = ""

    def start(self) -> None:
        """Stand in front of the other finders from now on."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def is_loaded(self, name: str) -> bool:
        """Say whether a module has been imported, to its end."""
        module = sys.modules.get(name)
        spec = getattr(module, "__spec__", None)
        is_under_way = getattr(spec, "_initializing", False) and name != self._just_loaded
        return module is not None and not is_under_way

    def after_import(self, name: str, action: Callable[[ModuleType], None]) -> None:
        """Call `action` with a module: now if it is loaded, else as soon as it is."""
        if self.is_loaded(name):
            action(sys.modules[name])
        else:
            self._waiting.setdefault(name, []).append(action)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as the other finders do, and exchange the loader."""
        with self.quietly():
            return self._find(fullname, path, target)

    def _find(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in [each for each in sys.meta_path if each is not self]:
            find = getattr(finder, "find_spec", None)  # As Python does: some have none.
            spec: ModuleSpec | None = find(fullname, path, target) if find else None
            if spec is not None:
                self._prepare(spec)
                return spec
        return None

    def is_of_project(self, path: str) -> bool:
        """Say whether a source file came neither with Python nor with a distribution."""
        return not path.startswith(self._standard_library) and not _is_installed(path)

    def _prepare(self, spec: ModuleSpec) -> None:
        loader = spec.loader
        if type(loader) is SourceFileLoader and self.is_of_project(loader.path):
            loader = spec.loader = _SourceLoader(spec.name, loader.path, self.sources)
        is_outermost = not self._is_importing and _is_installed(spec.origin)
        is_watched = is_outermost or isinstance(loader, _SourceLoader)
        if loader is not None and (is_watched or spec.name in self._waiting):
            spec.loader = _WatchedLoader(loader, self, is_outermost=is_outermost)

    @_in_importlib
    def load(self, module: ModuleType, execute: Callable[[ModuleType], None]) -> None:
        """Load an installed module that code of the step asked for."""
        loaded = self.around_installed()
        self._is_importing = True
        try:
            execute(module)
            # Python says so a moment later, when code may have changed its settings.
            self._just_loaded = module.__name__
        finally:
            self._is_importing = False
            loaded()

    def act(self, module: ModuleType) -> None:
        """Do what waited for a module."""
        if isinstance(module.__loader__, _SourceLoader):
            self.project_module_loaded(module)
        for action in self._waiting.pop(module.__name__, ()):
            action(module)


class _SourceLoader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, sources: dict[str, list[bytes]]) -> None:
        super().__init__(fullname, path)
        self._sources = sources

    @_in_importlib
    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        source = self.get_data(path)
        self._sources.setdefault(fullname, []).append(source)
        return self.source_to_code(source, path)


class _WatchedLoader(Loader):
    def __init__(self, loader: Loader, watch: ImportWatch, *, is_outermost: bool) -> None:
        self._loader = loader
        self._watch = watch
        self._is_outermost = is_outermost

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the loader has.
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    @_in_importlib
    def exec_module(self, module: ModuleType) -> None:
        # Whoever looks at the module later sees its own loader again.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        if self._is_outermost:
            self._watch.load(module, self._loader.exec_module)
        else:
            self._loader.exec_module(module)
        self._watch.act(module)


# A process has one way to import, so one watch.
WATCH: Final = ImportWatch()
