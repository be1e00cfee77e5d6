"""Workspace: a notebook or bundle, opened, with the settings and the store that go with it.

The one place that decides where the store is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from nbpipe.compiler.bundle import EFFECTS_FORMAT, effects_text
from nbpipe.compiler.compile import compile_notebook
from nbpipe.errors import CompilationError, ConfigurationError, NotFoundError, StoreUnavailableError
from nbpipe.model.diagnostic import Compilation
from nbpipe.model.effects import LearnedEffects
from nbpipe.model.pipeline import Pipeline
from nbpipe.notebook.parse import NotANotebookError, notebook_json, parse_notebook
from nbpipe.settings import Settings, read_settings
from nbpipe.store.artifacts import ArtifactStore
from nbpipe.wire.codec import decode
from nbpipe.wire.manifest import read_manifest

STORE_NAME: Final = ".nbpipe"
BUNDLE_ENDING: Final = ".nbpipe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """What a command works on.

    Attributes:
        path: the notebook, or the bundle's directory.
        directory: where the author's cells run: relative paths in them start here.
        notebook: the notebook as nbformat 4 JSON.
        compilation: the pipeline and what the compiler has to say.
        store_path: where the store is, or will be.
    """

    path: Path
    directory: Path
    notebook: Mapping[str, object]
    compilation: Compilation
    settings: Settings
    store_path: Path
    learned: LearnedEffects

    @property
    def is_bundle(self) -> bool:
        """True when it was compiled before."""
        return self.path.is_dir()

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline.

        Raises:
            CompilationError: there is none; the diagnostics say why.
        """
        pipeline = self.compilation.pipeline
        if pipeline is None:
            errors = self.compilation.errors
            count = f"{len(errors)} error{'s' * (len(errors) != 1)}"
            raise CompilationError(
                f"{self.path.name} cannot be compiled: {count}.",
                diagnostics=self.compilation.diagnostics,
            )
        return pipeline

    def open_store(self, *, create: bool = True) -> ArtifactStore:
        """Open the store that goes with it."""
        return ArtifactStore.open(self.store_path, create=create)

    def with_learned(self, found: LearnedEffects) -> Workspace:
        """Compile anew, with what runs have found out about steps taken into account, too."""
        learned = self.learned | found
        name = self.pipeline.name if self.is_bundle else self.path.stem
        compilation = _compiled(self.notebook, name, learned)
        return replace(self, compilation=compilation, learned=learned)


def open_workspace(path: Path | str, *, store: Path | str | None = None) -> Workspace:
    """Open a notebook or a bundle.

    Raises:
        NotFoundError: there is nothing at `path`.
        CompilationError: the file is no notebook at all.
        ConfigurationError: the bundle is damaged, or of a newer format.
    """
    path = Path(path)
    if not path.exists():
        raise _no_such_file(path)
    directory = path.absolute().parent
    settings = read_settings(directory, os.environ)
    store_path = _store_path(store or settings.store or directory / STORE_NAME)
    if path.is_dir():
        return _open_bundle(path, directory, settings, store_path)
    learned = read_effects(effects_path(store_path, path.stem))
    notebook = read_notebook(path)
    return Workspace(
        path=path,
        directory=directory,
        notebook=notebook,
        compilation=_compiled(notebook, path.stem, learned),
        settings=settings,
        store_path=store_path,
        learned=learned,
    )


def open_store(path: Path | str | None = None, *, create: bool = False) -> ArtifactStore:
    """Open a store: at `path`, else where the settings say, else the nearest `.nbpipe` upwards.

    Raises:
        NotFoundError: there is none.
    """
    if path is None:
        here = Path.cwd()
        configured = read_settings(here, os.environ).store
        found = (folder / STORE_NAME for folder in (here, *here.parents))
        path = configured or next(
            (p for p in found if (p / "index.db").exists()), here / STORE_NAME
        )
    return ArtifactStore.open(_store_path(path), create=create)


def _store_path(place: Path | str) -> Path:
    """Give the directory that `--store` and its like name.

    Raises:
        ConfigurationError: it cannot be a store.
    """
    scheme = re.match(r"([a-z][a-z0-9+.-]+):/", str(place))
    if scheme is not None:
        raise ConfigurationError(
            f"There is no kind of store called {scheme[1]!r}.",
            hint="A store is a directory of this machine, such as --store /data/store.",
        )
    path = Path(place)
    if path.exists() and not path.is_dir():
        raise ConfigurationError(
            f"{path} is a file, so it cannot be a store.", hint="Give a directory: --store PATH."
        )
    return path


def _no_such_file(path: Path) -> NotFoundError:
    folder = path.parent
    if not folder.is_dir():
        return NotFoundError(f"There is no directory {folder}.")
    siblings = {p.name for p in (*folder.glob("*.ipynb"), *folder.glob(f"[!.]*{BUNDLE_ENDING}"))}
    if not siblings:
        return NotFoundError(f"There is no file {path}.", hint=f"There is no notebook in {folder}.")
    where = f"in {folder}" if path.name != str(path) else ""
    return NotFoundError.among("file", path.name, siblings, where=where)


def _open_bundle(path: Path, directory: Path, settings: Settings, store_path: Path) -> Workspace:
    manifest = path / "pipeline.json"
    if not manifest.is_file():
        raise ConfigurationError(
            f"{path} is a directory without pipeline.json, so it is no bundle.",
            hint="Give a notebook, or a bundle made by: nbpipe compile NOTEBOOK",
        )
    pipeline = read_manifest(_text_of(manifest), where=str(manifest))
    bundled = read_effects(path / "effects.json")
    learned_since = read_effects(effects_path(store_path, pipeline.name))
    if not (path / "notebook.ipynb").is_file():
        raise ConfigurationError(
            f"The bundle {path} lacks notebook.ipynb.", hint="Compile the notebook again."
        )
    notebook = read_notebook(path / "notebook.ipynb")
    workspace = Workspace(
        path=path,
        directory=directory,
        notebook=notebook,
        compilation=Compilation(pipeline=pipeline, diagnostics=()),
        settings=settings,
        store_path=store_path,
        learned=bundled,
    )
    news = learned_since.about({step.own for step in pipeline.steps}) - bundled
    return workspace.with_learned(learned_since) if news else workspace


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"{path} is not UTF-8 text.", hint="Compile the notebook again."
        ) from None


def read_notebook(path: Path) -> Mapping[str, object]:
    """Read a notebook file as nbformat 4 JSON.

    Raises:
        NotFoundError: there is no such file.
        CompilationError: it is no notebook.
        ConfigurationError: it cannot be read.
    """
    if not path.exists():
        raise _no_such_file(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return notebook_json(content)
    except NotANotebookError as error:
        raise CompilationError(
            f"{path.name} cannot be compiled.", diagnostics=(error.diagnostic,)
        ) from None


def _compiled(notebook: Mapping[str, object], name: str, learned: LearnedEffects) -> Compilation:
    parsed, diagnostics = parse_notebook(notebook, name=name)
    return compile_notebook(parsed, earlier=diagnostics, learned=learned)


# ---- learned effects --------------------------------------------------------------------------


def effects_path(store_path: Path, name: str) -> Path:
    """Say where the learned effects of a notebook are kept between runs."""
    return store_path / "effects" / f"{name}.json"


def read_effects(path: Path) -> LearnedEffects:
    """Read learned effects; none when there is no file.

    Raises:
        ConfigurationError: the file is not what `effects_text` writes, or a newer nbpipe wrote it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return LearnedEffects()
    except OSError as error:
        raise StoreUnavailableError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        document = json.loads(text)
        found = int(document.pop("format"))
        if found <= EFFECTS_FORMAT:
            return decode(LearnedEffects, document)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError(
            f"{path} does not hold learned effects.", hint="Delete it: they are learned again."
        ) from None
    raise ConfigurationError(
        f"{path} has format {found}; this nbpipe reads up to {EFFECTS_FORMAT}.",
        hint="Upgrade nbpipe, or delete the file: effects are learned again.",
    )


def write_effects(path: Path, learned: LearnedEffects) -> None:
    """Write learned effects, whole or not at all.

    Raises:
        StoreUnavailableError: the place cannot be written.
    """
    replace_text(path, effects_text(learned))


def replace_text(path: Path, text: str) -> None:
    """Write a text file so that whatever happens leaves the old one or the new one.

    Raises:
        StoreUnavailableError: the place cannot be written.
    """
    # A link stays a link to the file it names, and the file keeps its permissions.
    target = path.resolve()
    fresh = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            fresh.write_bytes(text.encode("utf-8", "surrogatepass"))
            if target.exists():
                shutil.copymode(target, fresh)
            fresh.replace(target)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise StoreUnavailableError(f"{path} cannot be written: {error.strerror}.") from error
