"""Settings: from `[tool.nbpipe]` of the nearest pyproject.toml, then the environment, last."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from nbpipe.errors import ConfigurationError, NotFoundError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be set once for a project.

    Attributes:
        store: where artifacts are kept; empty for `.nbpipe` beside the notebook (`NBPIPE_STORE`).
        jobs: how many steps run at the same time; 0 for one per processor (`NBPIPE_JOBS`).
        reuse_unverified: reuse results of steps that may have read files unseen
            (`NBPIPE_REUSE_UNVERIFIED`).
        live_cache: a kernel that a person works in stores and reuses results of steps, too
            (`NBPIPE_LIVE_CACHE`).
    """

    store: str = ""
    jobs: int = 0
    reuse_unverified: bool = False
    live_cache: bool = False


def read_settings(directory: Path, environ: Mapping[str, str]) -> Settings:
    """Read the settings that hold in `directory`.

    Raises:
        ConfigurationError: for an unknown setting, or a value of the wrong type.
    """
    settings = Settings()
    for folder in (directory, *directory.parents):
        path = folder / "pyproject.toml"
        if path.is_file():
            table = _table(path)
            settings = _with_table(settings, table, path)
            break
    if environ.get("NBPIPE_STORE"):
        settings = replace(settings, store=environ["NBPIPE_STORE"])
    if environ.get("NBPIPE_JOBS"):
        settings = replace(settings, jobs=_whole(environ["NBPIPE_JOBS"]))
    if environ.get("NBPIPE_REUSE_UNVERIFIED"):
        settings = replace(settings, reuse_unverified=_flag(environ, "NBPIPE_REUSE_UNVERIFIED"))
    if environ.get("NBPIPE_LIVE_CACHE"):
        settings = replace(settings, live_cache=_flag(environ, "NBPIPE_LIVE_CACHE"))
    return settings


def _table(path: Path) -> Mapping[str, object]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        # Somebody else's file, and somebody else's problem: their tools will say so.
        return {}
    tools = document.get("tool")
    table = tools.get("nbpipe") if isinstance(tools, dict) else None
    return table if isinstance(table, dict) else {}


def _flag(environ: Mapping[str, str], name: str) -> bool:
    text = environ[name]
    if text not in {"0", "1"}:
        raise ConfigurationError(f"{name} is {text!r}, not 0 or 1.")
    return text == "1"


def _with_table(settings: Settings, table: Mapping[str, object], path: Path) -> Settings:
    known = {
        field.name.replace("_", "-"): type(getattr(settings, field.name))
        for field in fields(settings)
    }
    for name, value in table.items():
        if name not in known:
            raise NotFoundError.among("setting", name, known, where=f"of [tool.nbpipe] in {path}")
        if type(value) is not known[name]:
            raise ConfigurationError(
                f"Setting {name!r} in {path} must be of type {known[name].__name__}, "
                f"not {type(value).__name__}."
            )
        meant = str((path.parent / str(value)).absolute()) if name == "store" else value
        settings = replace(settings, **{name.replace("-", "_"): meant})  # type: ignore[arg-type]
    if settings.jobs < 0:
        raise ConfigurationError(f"Setting 'jobs' in {path} must not be negative.")
    return settings


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ConfigurationError(f"NBPIPE_JOBS is {text!r}, not a whole number.")
    return int(text)
