"""What a step changes in its process besides variables, as values with names of their own.

They begin with `@`: the random streams (`random_streams`), the settings (`settings`), the data of
modules beside the notebook (`module_state`), and what still runs (`still_running`). In a notebook
such a change counts for all cells after it; in a pipeline later steps run in processes of their
own. So what a step changed is stored like a variable, and put back before later steps run.

Settings are read when the step's own code is about to begin, and again when it saves: what differs
was changed by the step. What an installed library sets while it is imported is no change of the
step's where every step that imports the library gets the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, Final

from nbpipe.kernel import module_state, random_streams
from nbpipe.kernel.imports import WATCH
from nbpipe.kernel.settings import Changes, Entries, Settings, all_settings, changes_between
from nbpipe.kernel.still_running import StillRunning, Watch

RUNNING: Final = "@running"


class ProcessState:
    """The state of this process, as one step sees it. Made before any of the step's code runs."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._modules = module_state.ModuleStates(namespace)
        self._running = Watch(namespace, is_of_project=WATCH.is_of_project)
        self._settings: Mapping[str, Settings] = all_settings()
        self._before: dict[str, Entries] = {}
        self._loaded: dict[str, Changes] = {}
        WATCH.around_installed = self._around_installed
        WATCH.project_module_loaded = self._modules.note_loaded

    def mark(self) -> None:
        """Take everything as it is now for what the step's code begins with."""
        random_streams.mark_streams()
        self._modules.mark()
        self._before = {name: self._settings[name].read() for name in self._present()}

    def restore(self, name: str, state: Any) -> None:  # noqa: ANN401 - each kind has its own type
        """Put a state back, as an earlier step left it."""
        if name in random_streams.STREAMS:
            random_streams.restore_stream(name, state)
            return
        if name.startswith(module_state.PREFIX):
            self._modules.restore(name, state)
            return
        settings = self._settings.get(name)
        if settings is None:
            return
        changes = Changes.from_value(state)
        self._loaded[name] = changes

        def apply(_module: ModuleType) -> None:
            settings.apply(changes)
            if name in self._before:
                self._before[name] = settings.read()

        WATCH.after_import(settings.module, apply)

    def take(self, name: str, state: Any) -> None:  # noqa: ANN401 - as above
        """Take a state for what earlier steps left: it stands as it should already."""
        if name.startswith(module_state.PREFIX):
            self._modules.take(name, state)
        elif name in self._settings:
            self._loaded[name] = Changes.from_value(state)

    def reading(self, name: str) -> object:
        """Give what has another content once the state has changed; None if it is not there."""
        if name in random_streams.STREAMS:
            return random_streams.stream_state(name)
        if name.startswith(module_state.PREFIX):
            return self._modules.reading(name)
        settings = self._settings.get(name)
        return dict(settings.read()) if settings and WATCH.is_loaded(settings.module) else None

    def changed(self) -> tuple[str, ...]:
        """Name what the step changed since the mark."""
        found = [name for name in self._present() if self._changes(name)]
        running = [RUNNING] if self._running.running() else []
        return (*random_streams.drawn_streams(), *found, *self._modules.changed(), *running)

    def shared_with(self, names: Iterable[str], *, definitions: frozenset[str]) -> tuple[str, ...]:
        """Name the states that share mutable objects with variables, which are to be stored."""
        return self._modules.shared_with(names, definitions=definitions)

    def values(self, names: Iterable[str]) -> dict[str, Any]:
        """Give the states with these names as values to store, without those that are not there."""
        found: dict[str, Any] = {}
        for name in names:
            if name in random_streams.STREAMS:
                state = random_streams.stream_state(name)
                if state is not None:
                    found[name] = state
            elif name == RUNNING and (running := self._running.running()):
                found[name] = StillRunning(running)
            elif name.startswith(module_state.PREFIX):
                found[name] = self._modules.value(name)
            elif name in self._settings:
                earlier = self._loaded.get(name, Changes(set={}))
                found[name] = earlier.then(self._changes(name)).as_value()
        return found

    def _present(self) -> list[str]:
        return [name for name, each in self._settings.items() if WATCH.is_loaded(each.module)]

    def _changes(self, name: str) -> Changes:
        if name not in self._before:
            # Its library was loaded meanwhile, and nothing of it was set before.
            return Changes(set={})
        return changes_between(self._before[name], self._settings[name].read())

    def _around_installed(self) -> Callable[[], None]:
        # Read here is only what an import may change without counting, which is always there.
        at_first = {n: each.read() for n, each in self._settings.items() if not each.imports_count}

        def loaded() -> None:
            for name in self._present():
                if name not in self._before:
                    self._before[name] = self._settings[name].read()
                elif name in at_first:
                    made = changes_between(at_first[name], self._settings[name].read())
                    kept = {n: v for n, v in self._before[name].items() if n not in made.gone}
                    self._before[name] = {**kept, **made.set}

        return loaded
