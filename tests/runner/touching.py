"""Steps as Python functions that say what they touch: what tracing finds out, without kernels."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nbpipe.model.run import StepFailure, StepResult
from nbpipe.model.trace import Trace, digest_of_variable
from nbpipe.store.values import store_values


class Touch:
    """The hands of a step: everything it does through them is in its trace."""

    def __init__(self, directory: Path, copies: Path) -> None:
        self.directory = directory
        self._copies = copies
        self._seen: dict[str, set[str]] = {}
        self._facts: dict[str, Any] = {}

    def read(self, name: str) -> str | None:
        path = self.directory / name
        known = str(path) in self._seen.get("files_written", ())
        if path.exists():
            if not known:
                self._note("files_read", path)
            return path.read_text("utf-8")
        self._note("files_absent", path)
        return None

    def write(self, name: str, text: str, *, is_seen_before: bool = False) -> None:
        """Write a file; what was there is copied if somebody sees it before it is done."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            self._note("files_made", path)
        elif is_seen_before:
            self._copies.mkdir(parents=True, exist_ok=True)
            copy = self._copies / f"{time.time_ns():020d}"
            copy.write_text(path.read_text("utf-8"), "utf-8")
            self._facts.setdefault("copies_before", {}).setdefault(str(path), str(copy))
        path.write_text(text, "utf-8")
        self._note("files_written", path)

    def entries(self, name: str) -> list[str]:
        self._note("directories_listed", self.directory / name)
        return sorted(path.name for path in (self.directory / name).iterdir())

    def variable(self, name: str) -> str | None:
        value = os.environ.get(name)
        read = self._facts.setdefault("environment_read", {})
        read[name] = digest_of_variable(name, value)
        return value

    def fact(self, **facts: Any) -> None:
        self._facts |= facts

    def _note(self, kind: str, path: Path) -> None:
        self._seen.setdefault(kind, set()).add(str(path))

    @property
    def trace(self) -> Trace:
        seen = {kind: tuple(sorted(paths)) for kind, paths in self._seen.items()}
        return Trace(**seen, **self._facts)


class Doing:
    """An executor that calls a function for each step; it gives the step's outputs by name.

    A step whose name is in `after` waits, in the middle of a run, for another one to end.
    """

    def __init__(
        self,
        store: Any,
        work: Mapping[str, Callable[[Touch], Mapping[str, object] | None]],
        *,
        after: Mapping[str, str] | None = None,
    ) -> None:
        self.store = store
        self.work = work
        self.after = after or {}
        self.ran: list[str] = []
        self._ended: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def execute(self, request: Any) -> StepResult | StepFailure:
        name = request.step.name
        self.ran.append(name)
        await asyncio.sleep(0)
        if name in self.after:
            await self._ended[self.after[name]].wait()
        touch = Touch(request.directory, request.copies)
        try:
            outputs = self.work.get(name, lambda _: None)(touch) or {}
        except OSError as error:
            return StepFailure(kind="error", message=str(error))
        finally:
            self._ended[name].set()
        values = store_values(self.store.blobs, outputs, list(outputs)).values
        return StepResult(outputs=values, trace=touch.trace)

    def cancel(self, step: str) -> None:
        raise AssertionError(step)

    def close(self) -> None:
        pass
