"""Whether the modules of a live kernel are those that a new kernel would load now."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

from nbpipe.environment.distributions import INSTALLED, InstalledDistributions
from nbpipe.kernel.imports import WATCH
from nbpipe.kernel.module_state import project_modules


class LiveModules:
    """What was installed when this was made."""

    def __init__(self) -> None:
        self._installed = {
            path: (_time_of(path), InstalledDistributions(path).all_versions)
            for path in map(Path, sys.path)
            if path.name in INSTALLED
        }

    def objection(self) -> str:
        """Say which loaded module may not be what a new kernel would load; or nothing."""
        for module in project_modules():
            why = _objection_to(module)
            if why:
                return f"module '{module.__name__}' {why}"
        for path, (time, before) in self._installed.items():
            if _time_of(path) != time:
                now = InstalledDistributions(path).all_versions
                for name, version in before.items():
                    if now.get(name) != version:
                        return f"another version of {name} was installed since this kernel started"
        return ""


def _objection_to(module: ModuleType) -> str:
    # Once for each time that it was loaded, as far as that was seen.
    sources = WATCH.sources.get(module.__name__, [])
    if not sources or module.__file__ is None:
        return "may have changed since it was imported"
    if len(sources) > 1:
        return "was loaded more than once"
    try:
        now = Path(module.__file__).read_bytes()
    except OSError:
        return "is gone since it was imported"
    return "" if now == sources[0] else "changed since it was imported"


def _time_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
