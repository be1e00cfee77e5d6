"""What Python itself tells of the files and connections of this process, by its audit events.

Audit events come before the deed, so that what was there can still be looked at. They tell
nothing of looks (`os.stat`), of native code and of child processes: looks are seen by wrapping the
functions of `os`, of the others only that there were some is known.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from nbpipe.kernel.tracing.accesses import (
    Access,
    Accesses,
    absolute,
    facts_of,
    kind_of_open,
    text_of,
)
from nbpipe.kernel.tracing.native import NativeTrace

# Programs that libraries run to learn about the machine.
_ABOUT_THE_MACHINE: Final = frozenset(
    {"uname", "lscpu", "sysctl", "fc-list", "sw_vers", "ldconfig"}
)
_CHILDREN: Final = "child processes"
_LOOKS: Final = ("stat", "lstat", "access", "readlink")
_SUPPORT: Final = (
    os.supports_fd,
    os.supports_dir_fd,
    os.supports_follow_symlinks,
    os.supports_effective_ids,
)

# Python looks for modules and distributions in directories: no business of the step's.
_LOOK_FOR_MODULES: Final = (
    "<frozen importlib._bootstrap_external>",
    *("/importlib/metadata/__init__.py", "/importlib_metadata/__init__.py"),
    *("/pkg_resources/__init__.py", "/pkgutil.py"),
)

Arguments = tuple[Any, ...]  # Of audit events: whatever the author's code hands over.
Handler = Callable[[Arguments], None]


class _Thread(threading.local):
    pauses = 0


class _Hook:
    """The audit hook of this process."""

    def __init__(self) -> None:
        self._current: Callable[[str, Arguments], None] | None = None
        self._is_there = False

    def call(self, function: Callable[[str, Arguments], None] | None) -> None:
        """Call `function` with each event from now on."""
        self._current = function
        if not self._is_there:
            self._is_there = True
            sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: Arguments) -> None:
        current = self._current
        if current is not None:
            current(event, arguments)


_HOOK: Final = _Hook()


class AuditTrace:
    """Notes accesses from audit events.

    An audit hook cannot be removed, so there is one in a process, for the trace of the moment, and
    it does little. Where there is a `native` trace, that tells of files, and this only of what
    that one cannot see. What is in `before` is called with events first.
    """

    def __init__(
        self,
        accesses: Accesses,
        native: NativeTrace | None,
        before: Mapping[str, Handler],
    ) -> None:
        self._accesses = accesses
        self._native = native
        self._before = before
        self._seen: set[tuple[object, object]] = set()
        self._on = False
        self._thread = _Thread()
        self._undo: list[Callable[[], None]] = []
        self.unverified: set[str] = set()
        self.is_incomplete = False

    def start(self) -> None:
        """Begin to note."""
        handlers = self._handlers()
        for event, keep in self._before.items():
            handlers[event] = _both(keep, handlers.get(event))
        get = handlers.get
        thread = self._thread

        def hook(event: str, arguments: Arguments) -> None:
            handler = get(event)
            if handler is None or not self._on or thread.pauses:
                return
            try:
                handler(arguments)
            except Exception:  # noqa: BLE001 - it would come up in the author's code.
                self.is_incomplete = True

        _HOOK.call(hook)
        if self._native is None:
            self._wrap_looks()
        self._on = True

    def stop(self) -> None:
        """Note nothing any more."""
        self._on = False
        _HOOK.call(None)
        while self._undo:
            self._undo.pop()()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Note nothing that this thread does meanwhile."""
        self._thread.pauses += 1
        try:
            yield
        finally:
            self._thread.pauses -= 1

    def _handlers(self) -> dict[str, Handler]:
        always: dict[str, Handler] = {
            "import": self._imports,
            "ctypes.dlopen": self._loads_library,
            "os.listdir": self._lists,
            "socket.connect": lambda arguments: self._connects(arguments[1]),
            "socket.getaddrinfo": lambda arguments: self._resolves(arguments[0]),
            "socket.gethostbyname": lambda arguments: self._resolves(arguments[0]),
        }
        if self._native is not None:
            return always
        return always | {
            "open": self._opens,
            "os.scandir": self._lists,
            "os.mkdir": lambda arguments: self._makes_directory(arguments[0], arguments[2]),
            "os.remove": lambda arguments: self._deletes(arguments[0], arguments[1]),
            "os.rename": self._moves,
            "os.truncate": lambda arguments: self._changes(arguments[0]),
            "os.link": self._links,
            "os.symlink": lambda arguments: self._makes(arguments[1], arguments[2]),
            "os.chdir": lambda _: self._seen.clear(),
            "shutil.rmtree": lambda arguments: self._deletes(arguments[0], -1),
            "sqlite3.connect": self._opens_database,
            "subprocess.Popen": self._starts,
            "os.system": lambda _: self.unverified.add(_CHILDREN),
            "os.exec": lambda _: self.unverified.add(_CHILDREN),
            "os.posix_spawn": lambda _: self.unverified.add(_CHILDREN),
            "os.spawn": lambda _: self.unverified.add(_CHILDREN),
            "os.fork": lambda _: self.unverified.add(_CHILDREN),
            "os.forkpty": lambda _: self.unverified.add(_CHILDREN),
        }

    # ---------------------------------------------------------------------------- always

    def _imports(self, arguments: Arguments) -> None:
        # Only extension modules come with a file; sources are opened.
        if isinstance(arguments[1], str):
            self._note(Access.READ, arguments[1])

    def _loads_library(self, arguments: Arguments) -> None:
        name = text_of(arguments[0])
        if name is not None and "/" in name:
            self._note(Access.READ, name)

    def _connects(self, address: object) -> None:
        if isinstance(address, tuple) and address and not _is_this_machine(address[0]):
            self._accesses.note(Access.CONNECTED, "")

    def _resolves(self, host: object) -> None:
        if not _is_this_machine(host):
            self._accesses.note(Access.CONNECTED, "")

    # ----------------------------------------------------------------------------- files

    def _opens(self, arguments: Arguments) -> None:
        given, mode, flags = arguments
        if (given, flags) in self._seen:
            return
        path = text_of(given)
        if path is None or not isinstance(flags, int):
            return
        self._seen.add((given, flags))
        facts = facts_of(path)
        if not facts and mode is None and not os.path.isabs(path):  # noqa: PTH117
            # `os.open` may have been given a directory that the event does not tell.
            if not sys._getframe(3).f_code.co_filename.endswith("/shutil.py"):  # noqa: SLF001
                self.unverified.add("os.open")
            return
        for access in kind_of_open(flags, existed=bool(facts)):
            self._note(access, path, facts)

    def _opens_database(self, arguments: Arguments) -> None:
        path = text_of(arguments[0])
        self.unverified.add("sqlite3")  # Databases may be attached.
        if path and path != ":memory:" and not path.startswith("file:"):
            self._opens((path, "", os.O_RDWR | os.O_CREAT))

    def _lists(self, arguments: Arguments) -> None:
        given = arguments[0]
        path = "." if given is None else text_of(given)
        # Above are this, the two hooks, and who lists.
        if sys._getframe(3).f_code.co_filename.endswith(_LOOK_FOR_MODULES):  # noqa: SLF001
            if self._native is not None and path is not None:
                self._native.skip_listing()
        elif self._native is None and path is not None:
            self._note(Access.LISTED if facts_of(path) else Access.MISSED, path)

    def _makes_directory(self, given: object, directory: object) -> None:
        path = text_of(given)
        if path is not None and directory == -1:
            self._note(Access.FOUND if facts_of(path) else Access.DIRECTORY_MADE, path)

    def _makes(self, given: object, directory: object) -> None:
        path = text_of(given)
        if path is not None and directory == -1:
            self._note(Access.FOUND if facts_of(path) else Access.MADE, path)

    def _deletes(self, given: object, directory: object) -> None:
        path = text_of(given)
        if path is not None and directory == -1:
            self._note(Access.DELETED if facts_of(path) else Access.MISSED, path)
            self._seen.clear()

    def _changes(self, given: object) -> None:
        path = text_of(given)
        if path is not None:
            self._note(Access.CHANGED, path, facts_of(path))

    def _moves(self, arguments: Arguments) -> None:
        source, target = text_of(arguments[0]), text_of(arguments[1])
        if source is None or target is None or (arguments[2], arguments[3]) != (-1, -1):
            return
        if not facts_of(source):
            self._note(Access.MISSED, source)
            return
        access = Access.MOVED_OVER if facts_of(target) else Access.MOVED
        self._accesses.note(access, absolute(source), absolute(target))
        self._seen.clear()

    def _links(self, arguments: Arguments) -> None:
        source = text_of(arguments[0])
        if source is not None and facts_of(source):
            self._note(Access.READ, source)
            self._makes(arguments[1], arguments[3])

    def _starts(self, arguments: Arguments) -> None:
        program = text_of(arguments[0])
        if program is None or os.path.basename(program) not in _ABOUT_THE_MACHINE:  # noqa: PTH119
            self.unverified.add(_CHILDREN)

    def _note(self, access: Access, path: str, facts: str = "") -> None:
        self._accesses.note(access, absolute(path), facts)

    # ----------------------------------------------------------------------------- looks

    def _wrap_looks(self) -> None:
        for name in _LOOKS:
            original = getattr(os, name, None)
            if original is not None:
                self._wrap(name, original)

    def _wrap(self, name: str, original: Callable[..., Any]) -> None:
        @functools.wraps(original)
        def look(path: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - any call.
            try:
                answer = original(path, *arguments, **options)
            except (FileNotFoundError, NotADirectoryError):
                self._looked(path, options, found=False)
                raise
            except OSError:
                self._looked(path, options, found=True)
                raise
            self._looked(path, options, found=name != "access" or answer or _is_there(path))
            return answer

        def undo() -> None:
            setattr(os, name, original)
            for functions in supporting:
                functions.discard(look)

        supporting = [functions for functions in _SUPPORT if original in functions]
        for functions in supporting:
            functions.add(look)
        setattr(os, name, look)
        self._undo.append(undo)

    def _looked(self, given: object, options: dict[str, object], *, found: bool) -> None:
        if not self._on or self._thread.pauses:
            return
        path = text_of(given)
        if path is not None and options.get("dir_fd") is None:
            self._note(Access.FOUND if found else Access.MISSED, path)


def _both(first: Handler, then: Handler | None) -> Handler:
    if then is None:
        return first

    def handle(arguments: Arguments) -> None:
        first(arguments)
        then(arguments)

    return handle


def _is_there(given: object) -> bool:
    path = text_of(given)
    return path is not None and bool(facts_of(path))


def _is_this_machine(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if not isinstance(host, str) or host in {"", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
