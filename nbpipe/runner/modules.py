"""What stands behind an import: a distribution with a version, or source files of the project.

Nothing is imported.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Final

from nbpipe.environment.distributions import INSTALLED, InstalledDistributions
from nbpipe.runner.interpreters import Interpreter

_UNRELATED: Final = re.compile(r"__pycache__|\.|node_modules\Z|venv\Z")
_MOST_FILES: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the code behind some imports comes from.

    Attributes:
        packages: version by distribution; by module name where no distribution is known.
        sources: project files, by the name they have in a step key.
    """

    packages: dict[str, str] = field(default_factory=dict)
    sources: dict[str, Path] = field(default_factory=dict)


class ModuleFinder:
    """Finds out what is behind module names, for kernels that start in `directory`."""

    def __init__(self, interpreter: Interpreter, directory: Path) -> None:
        self._interpreter = interpreter
        self._directory = directory
        self._sites: dict[Path, InstalledDistributions] = {}
        self._places: dict[str, _Place] = {}

    def provenance(self, modules: tuple[str, ...]) -> Provenance:
        """Give what is behind the modules, and behind all that project modules import in turn."""
        found = Provenance()
        seen: set[str] = set()
        open_names = list(modules)
        while open_names:
            name = open_names.pop()
            if name in seen or name == "nbpipe":
                continue
            seen.add(name)
            place = self._place(name)
            found.packages.update(place.packages)
            found.sources.update(place.sources)
            open_names.extend(place.imports)
        return found

    def version(self, distribution: str) -> str | None:
        """Give the version of an installed distribution, by its normal name."""
        for root in self._interpreter.search_path:
            if root.name in INSTALLED:
                found = self._site(root).version(distribution)
                if found is not None:
                    return found
        return None

    def _place(self, name: str) -> _Place:
        if name not in self._places:
            self._places[name] = self._find(name)
        return self._places[name]

    def _find(self, name: str) -> _Place:
        roots = (self._directory, *self._interpreter.search_path)
        for root in roots:
            if _holds(root, name):
                return self._found(root, name)
        if name in self._interpreter.standard_library:
            return _Place()
        # A directory without `__init__.py` counts only where no real module has the name.
        portions = [self._found(root, name) for root in roots if (root / name).is_dir()]
        if not portions:
            return self._module_behind_a_hook(name)
        return _Place(
            packages={
                name: version for each in portions for name, version in each.packages.items()
            },
            sources={name: path for each in portions for name, path in each.sources.items()},
            imports=tuple(name for each in portions for name in each.imports),
        )

    def _found(self, root: Path, name: str) -> _Place:
        if root.name in INSTALLED:
            return _Place(packages=self._site(root).versions(name))
        if name in self._interpreter.standard_library and root != self._directory:
            return _Place()
        return self._project_module(root, name)

    def _module_behind_a_hook(self, name: str) -> _Place:
        """Find a module that an import hook provides, as for projects installed editably."""
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            spec = None
        if spec is None or spec.origin in (None, "built-in", "frozen"):
            return _Place(packages={name: "absent"})
        origin = Path(str(spec.origin))
        root = origin.parent.parent if origin.name == "__init__.py" else origin.parent
        return self._project_module(root, name)

    def _project_module(self, root: Path, name: str) -> _Place:
        sources = {self._name(path, root): path for path in _source_files(root, name)}
        imports = [module for path in sources.values() for module in _imported_modules(path)]
        return _Place(sources=sources, imports=tuple(dict.fromkeys(imports)))

    def _name(self, path: Path, root: Path) -> str:
        base = self._directory if path.is_relative_to(self._directory) else root
        return path.relative_to(base).as_posix()

    def _site(self, directory: Path) -> InstalledDistributions:
        if directory not in self._sites:
            self._sites[directory] = InstalledDistributions(directory)
        return self._sites[directory]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    packages: dict[str, str] = field(default_factory=dict)
    sources: dict[str, Path] = field(default_factory=dict)
    imports: tuple[str, ...] = ()


def _holds(root: Path, name: str) -> bool:
    if (root / name / "__init__.py").is_file() or (root / f"{name}.py").is_file():
        return True
    return any((root / f"{name}{suffix}").is_file() for suffix in EXTENSION_SUFFIXES)


def _source_files(root: Path, name: str) -> Iterator[Path]:
    """Give the files of a module; of a package all, because imports of parts are not told apart."""
    package = root / name
    files = [path for e in (".py", *EXTENSION_SUFFIXES) if (path := root / f"{name}{e}").is_file()]
    if package.is_dir() and ((package / "__init__.py").is_file() or not files):
        yield from _code_below(package)
    else:
        yield from files


def _code_below(package: Path) -> Iterator[Path]:
    endings = (".py", *EXTENSION_SUFFIXES)
    count = 0
    open_directories = [package]
    while open_directories:
        for path in sorted(open_directories.pop().iterdir()):
            if path.is_dir():
                if not _UNRELATED.match(path.name) and not path.is_symlink():
                    open_directories.append(path)
            elif path.name.endswith(endings):
                count += 1
                if count > _MOST_FILES:
                    return
                yield path


def _imported_modules(path: Path) -> Iterator[str]:
    """Give the top-level names that a source file imports, wherever in it."""
    if path.suffix != ".py":
        return
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name.partition(".")[0] for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0]
