"""The trace of one step, from the moment its author's code begins until its outputs are stored."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from nbpipe.kernel.tracing.accesses import Access, Accesses
from nbpipe.kernel.tracing.audit import AuditTrace
from nbpipe.kernel.tracing.clock import asks_for_time
from nbpipe.kernel.tracing.copies import CopiesBefore
from nbpipe.kernel.tracing.environment import EnvironmentReads
from nbpipe.kernel.tracing.imports import (
    ImportedModules,
    files_of,
    native_readers,
    packages_of,
    starts_processes,
)
from nbpipe.kernel.tracing.native import NativeTrace
from nbpipe.kernel.tracing.noise import PathNoise, noisy_directories
from nbpipe.model.trace import Trace


class StepTracer:
    """Watches this process, and with the native library what it starts.

    `log` is a file that the library may write; nothing in the directories `own` counts. Files are
    copied to `copies`, if that is given, before they are changed.
    """

    def __init__(self, log: Path, own: Iterable[str], copies: Path | None = None) -> None:
        self._left_out = noisy_directories(own)
        is_noise = PathNoise(self._left_out)
        self._copies = (
            CopiesBefore(copies, is_noise=is_noise, quietly=self.paused) if copies else None
        )
        self._accesses = Accesses(
            is_noise,
            home=os.getcwd(),  # noqa: PTH109 - text, as all paths here.
            temporary=tempfile.gettempdir(),
        )
        self._native = NativeTrace.find(log)
        self._audit = self._audit_trace()
        self._environment = EnvironmentReads()
        self._imports = ImportedModules()
        self._asks_for_time = False

    def _audit_trace(self) -> AuditTrace:
        before = self._copies.handlers() if self._copies else {}
        return AuditTrace(self._accesses, self._native, before)

    def start(self) -> None:
        """Begin."""
        if self._native is not None and not self._native.start(self._left_out):
            self._native = None
            self._audit = self._audit_trace()
        self._imports = ImportedModules()
        self._audit.start()
        self._environment.start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Note nothing that this thread does to files meanwhile."""
        with self._audit.paused():
            if self._native is None:
                yield
            else:
                with self._native.paused():
                    yield

    def note_source(self, source: str) -> None:
        """Take note of code that the step runs."""
        self._asks_for_time = self._asks_for_time or asks_for_time(source)

    def finish(self, namespace: Mapping[str, object]) -> Trace:
        """Stop, and give what was seen; `namespace` is that of the step."""
        self._environment.stop()
        self._audit.stop()
        unverified = set(self._audit.unverified)
        modules = self._imports.modules(namespace)
        if self._native is not None:
            self._native.stop()
            for access, path, more in self._native.records():
                self._accesses.note(access, path, more)
            unverified |= self._accesses.unseen_programs
        else:
            unverified.update(native_readers(modules, namespace))
            if starts_processes(modules):
                unverified.add("multiprocessing")
        if self._audit.is_incomplete or (self._native is not None and self._native.is_incomplete):
            unverified.add("nbpipe.kernel.tracing")
        for path in files_of(modules):
            self._accesses.note(Access.READ, path)
        files = self._accesses.settle((*sys.path, *self._left_out))
        return Trace(
            files_read=files.read,
            files_absent=files.absent,
            paths_found=files.found,
            directories_listed=files.listed,
            files_written=files.written,
            files_made=files.made,
            copies_before=self._copies_of(files.written),
            packages=packages_of(modules),
            environment_read=dict(sorted(self._environment.digests.items())),
            uses_network=self._accesses.connects,
            uses_clock=self._asks_for_time,
            unverified=tuple(sorted(unverified)),
        )

    def _copies_of(self, written: Iterable[str]) -> dict[str, str]:
        if self._copies is None:
            return {}
        found = {path: self._copies.of(path) for path in written if self._accesses.was_there(path)}
        return {path: copy for path, copy in found.items() if copy is not None}
