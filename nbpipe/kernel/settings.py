"""Settings of a process as values: what can be read, compared, kept, and set again elsewhere.

Each kind has entries, by name; a change is an entry with another value, a new one, or one that is
gone. Kinds of a library are there once that is loaded. Where a kind is a list in truth, such as
`sys.path`, an entry is an item of it.
"""

from __future__ import annotations

import contextlib
import decimal
import gc
import locale
import logging
import os
import re
import socket
import sys
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from nbpipe.kernel.tracing.native import PRELOAD, without_library

Entries = Mapping[str, Any]

_FRONT, _BACK = "front", "back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What differs between two readings of a kind of settings."""

    set: Entries
    gone: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """True when there is any."""
        return bool(self.set or self.gone)

    @classmethod
    def from_value(cls, value: Mapping[str, Any]) -> Changes:
        """Read what `as_value` gave."""
        return cls(set=value["set"], gone=frozenset(value["gone"]))

    def as_value(self) -> dict[str, Any]:
        """Give the changes in a form to store, the same for equal ones."""
        return {"set": dict(self.set), "gone": sorted(self.gone)}

    def then(self, later: Changes) -> Changes:
        """Give these changes and later ones as one."""
        kept = {name: value for name, value in self.set.items() if name not in later.gone}
        return Changes(set={**kept, **later.set}, gone=(self.gone | later.gone) - later.set.keys())


class Settings(Protocol):
    """A kind of settings.

    Attributes:
        module: what must be loaded for it; `sys` for what is always there.
        imports_count: what an installed library sets while it is imported counts as a change.
    """

    module: str
    imports_count: bool

    def read(self) -> Entries:
        """Give all entries as they are now."""
        ...

    def apply(self, changes: Changes) -> None:
        """Set what changed elsewhere."""
        ...


def changes_between(before: Entries, after: Entries) -> Changes:
    """Give what changed."""
    return Changes(
        set={n: v for n, v in after.items() if n not in before or not is_same(before[n], v)},
        gone=frozenset(before.keys() - after.keys()),
    )


def is_same(one: object, other: object) -> bool:
    """Say whether two values of an entry are equal; what cannot be compared is not."""
    if one is other:
        return True
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # noqa: BLE001 - values are of any type, and so are their errors.
        return False


class _Environment:
    module = "sys"
    imports_count = False

    def read(self) -> Entries:
        found = dict(os.environ)
        # The tracer takes itself out of it when it starts, which the step has no part in.
        if others := without_library(found.pop(PRELOAD, "")):
            found[PRELOAD] = others
        return found

    def apply(self, changes: Changes) -> None:
        os.environ.update(changes.set)
        for name in changes.gone:
            os.environ.pop(name, None)


class _Directory:
    """The working directory, relative to where the kernel started where that is possible."""

    module = "sys"
    imports_count = True

    def __init__(self) -> None:
        self._start = os.getcwd()  # noqa: PTH109 - as text.

    def read(self) -> Entries:
        try:
            here = os.getcwd()  # noqa: PTH109
        except FileNotFoundError:
            return {}
        below = os.path.relpath(here, self._start)
        return {"directory": here if below.startswith(os.pardir) else below}

    def apply(self, changes: Changes) -> None:
        if "directory" in changes.set:
            os.chdir(os.path.join(self._start, changes.set["directory"]))  # noqa: PTH118


class _List(ABC):
    """A list whose items, in order, are entries; those that were there first may stand anywhere."""

    module = "sys"
    imports_count = False

    @abstractmethod
    def items(self) -> list[Any]:
        """Give the list as it is now."""

    @abstractmethod
    def replace(self, items: list[Any]) -> None:
        """Make it another one."""

    def __init__(self) -> None:
        self._first = list(self.items())

    def read(self) -> Entries:
        entries: dict[str, Any] = {}
        items = self.items()
        last = max((i for i, item in enumerate(items) if item in self._first), default=-1)
        for index, item in enumerate(items):
            place = _FRONT if index < last else _BACK
            is_first = item in self._first
            entries.setdefault(repr(item), ("", item) if is_first else (place, item))
        return entries

    def apply(self, changes: Changes) -> None:
        items = [item for item in self.items() if repr(item) not in changes.gone]
        front: list[Any] = []
        back: list[Any] = []
        for name, (place, item) in changes.set.items():
            if name not in {repr(each) for each in items}:
                (back if place == _BACK else front).append(item)
        self.replace([*front, *items, *back])


class _SearchPath(_List):
    def items(self) -> list[Any]:
        return sys.path

    def replace(self, items: list[Any]) -> None:
        sys.path[:] = items


class _Warnings(_List):
    def items(self) -> list[Any]:
        return [_plain_filter(each) for each in warnings.filters]

    def replace(self, items: list[Any]) -> None:
        # This also makes Python forget which warnings were shown, as every new filter does.
        warnings.resetwarnings()
        warnings.filters[:] = [_compiled_filter(each) for each in items]  # type: ignore[index]


class _Logging:
    """Levels, and handlers that write to the screen or to a file."""

    module = "sys"
    imports_count = False

    def read(self) -> Entries:
        found: dict[str, Any] = {"disable": logging.root.manager.disable}
        for name, logger in (("root", logging.root), *sorted(_loggers())):
            # To ask for a logger makes one, which as such is nothing that anybody sets.
            if logger is logging.root or logger.level != logging.NOTSET:
                found[f"level {name}"] = logger.level
            if logger.disabled:
                found[f"disabled {name}"] = True
            if not logger.propagate:
                found[f"alone {name}"] = True
            handlers = [each for each in map(_described, logger.handlers) if each is not None]
            if handlers:
                found[f"handlers {name}"] = handlers
        return found

    def apply(self, changes: Changes) -> None:
        gone = {
            entry: logging.NOTSET if entry.startswith("level ") else False
            for entry in changes.gone
            if entry.startswith(("level ", "disabled ", "alone "))
        }
        for entry, value in {**gone, **changes.set}.items():
            what, _, name = entry.partition(" ")
            logger = logging.root if name == "root" else logging.getLogger(name)
            if what == "disable":
                logging.disable(value)
            elif what == "level":
                logger.setLevel(value)
            elif what == "disabled":
                logger.disabled = value
            elif what == "alone":
                logger.propagate = not value
            else:
                present = [_described(handler) for handler in logger.handlers]
                for each in value:
                    if each not in present:
                        logger.addHandler(_handler(each))


def _loggers() -> Iterator[tuple[str, logging.Logger]]:
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger):
            yield name, logger


def _described(handler: logging.Handler) -> tuple[Any, ...] | None:
    formatter = handler.formatter
    if formatter is None:
        text: tuple[Any, ...] | None = None
    elif type(formatter) is logging.Formatter:
        text = (formatter._fmt, formatter.datefmt, type(formatter._style).__name__)  # noqa: SLF001
    else:
        return None
    if type(handler) is logging.FileHandler:
        return ("file", handler.baseFilename, handler.level, text)
    if type(handler) is logging.StreamHandler:
        for name in ("stdout", "stderr"):
            if handler.stream is getattr(sys, name):
                return (name, "", handler.level, text)
    return None


_STYLES: Final[Mapping[str, Any]] = {
    "PercentStyle": "%",
    "StrFormatStyle": "{",
    "StringTemplateStyle": "$",
}


def _handler(described: tuple[Any, ...]) -> logging.Handler:
    kind, path, level, text = described
    handler = (
        logging.FileHandler(path) if kind == "file" else logging.StreamHandler(getattr(sys, kind))
    )
    handler.setLevel(level)
    if text is not None:
        form, dates, style = text
        handler.setFormatter(logging.Formatter(form, dates, _STYLES[style]))
    return handler


class _Locale:
    module = "sys"
    imports_count = True
    _categories = ("LC_COLLATE", "LC_CTYPE", "LC_MONETARY", "LC_NUMERIC", "LC_TIME", "LC_MESSAGES")

    def read(self) -> Entries:
        known = [name for name in self._categories if hasattr(locale, name)]
        return {name: locale.setlocale(getattr(locale, name)) for name in known}

    def apply(self, changes: Changes) -> None:
        for name, value in changes.set.items():
            with contextlib.suppress(locale.Error):
                locale.setlocale(getattr(locale, name), value)


class _Decimal:
    module = "sys"
    imports_count = True
    _entries = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")

    def read(self) -> Entries:
        context = decimal.getcontext()
        traps = sorted(signal.__name__ for signal, is_on in context.traps.items() if is_on)
        return {**{name: getattr(context, name) for name in self._entries}, "traps": traps}

    def apply(self, changes: Changes) -> None:
        context = decimal.getcontext()
        for name, value in changes.set.items():
            if name == "traps":
                for signal in context.traps:
                    context.traps[signal] = signal.__name__ in value
            else:
                setattr(context, name, value)


class _Interpreter:
    module = "sys"
    imports_count = True

    def read(self) -> Entries:
        return {
            "recursion limit": sys.getrecursionlimit(),
            "digits of integers": sys.get_int_max_str_digits(),
            "switch interval": sys.getswitchinterval(),
            "garbage collection": gc.isenabled(),
            "garbage thresholds": gc.get_threshold(),
            "socket timeout": socket.getdefaulttimeout(),
            "time zone": time.tzname,
        }

    def apply(self, changes: Changes) -> None:
        setters: dict[str, Callable[[Any], object]] = {
            "recursion limit": sys.setrecursionlimit,
            "digits of integers": sys.set_int_max_str_digits,
            "switch interval": sys.setswitchinterval,
            "garbage collection": lambda is_on: gc.enable() if is_on else gc.disable(),
            "garbage thresholds": lambda counts: gc.set_threshold(*counts),
            "socket timeout": socket.setdefaulttimeout,
        }
        for name, value in changes.set.items():
            if name in setters:
                setters[name](value)
        if "time zone" in changes.set and sys.platform != "win32":
            # It follows the variable TZ, which is set again before this.
            time.tzset()


class _Pandas:
    module = "pandas"
    imports_count = True

    def read(self) -> Entries:
        return dict(_flat(sys.modules["pandas"]._config.config._global_config))  # noqa: SLF001

    def apply(self, changes: Changes) -> None:
        pandas = sys.modules["pandas"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, value in changes.set.items():
                with contextlib.suppress(KeyError):  # an option of a part that is not loaded
                    pandas.set_option(name, value)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


class _NumPy:
    module = "numpy"
    imports_count = True

    def read(self) -> Entries:
        numpy = sys.modules["numpy"]
        shown = {f"print {name}": value for name, value in numpy.get_printoptions().items()}
        return shown | {f"error {name}": value for name, value in numpy.geterr().items()}

    def apply(self, changes: Changes) -> None:
        numpy = sys.modules["numpy"]
        entries = [(name.partition(" "), value) for name, value in changes.set.items()]
        numpy.set_printoptions(**{n: v for (kind, _, n), v in entries if kind == "print"})
        numpy.seterr(**{n: v for (kind, _, n), v in entries if kind == "error"})


class _Matplotlib:
    module = "matplotlib"
    imports_count = True
    # The magic `%matplotlib` sets these, and is run again where it counts.
    _left_out = frozenset({"backend", "backend_fallback", "interactive"})

    def read(self) -> Entries:
        # Past the class's own access, which would choose a backend.
        settings = dict.items(sys.modules["matplotlib"].rcParams)
        return {name: value for name, value in settings if name not in self._left_out}

    def apply(self, changes: Changes) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sys.modules["matplotlib"].rcParams.update(changes.set)


class _ScikitLearn:
    module = "sklearn"
    imports_count = True

    def read(self) -> Entries:
        return dict(sys.modules["sklearn"].get_config())

    def apply(self, changes: Changes) -> None:
        sys.modules["sklearn"].set_config(**changes.set)


def _plain_filter(entry: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give a warning filter with texts in the place of compiled patterns, so that it compares."""
    action, message, category, module, line = entry
    return (action, _pattern(message), category, _pattern(module), line)


def _pattern(pattern: Any) -> Any:  # noqa: ANN401 - a pattern, a text or None
    if isinstance(pattern, re.Pattern):
        return ("re", pattern.pattern, pattern.flags)
    if isinstance(pattern, str) and re.escape(pattern) == pattern:
        # Python's own filters have texts; scikit-learn, for one, makes patterns of them.
        return ("re", pattern, int(re.UNICODE))
    return pattern


def _compiled_filter(entry: tuple[Any, ...]) -> tuple[Any, ...]:
    action, message, category, module, line = entry
    return (action, _compiled(message), category, _compiled(module), line)


def _compiled(pattern: Any) -> Any:  # noqa: ANN401 - as above
    return re.compile(pattern[1], pattern[2]) if isinstance(pattern, tuple) else pattern


def all_settings() -> dict[str, Settings]:
    """Give the kinds of settings by the name they have among variables, as this process starts."""
    return {
        "@cwd": _Directory(),
        "@decimal": _Decimal(),
        "@environ": _Environment(),
        "@interpreter": _Interpreter(),
        "@locale": _Locale(),
        "@logging": _Logging(),
        "@matplotlib": _Matplotlib(),
        "@numpy": _NumPy(),
        "@pandas": _Pandas(),
        "@sklearn": _ScikitLearn(),
        "@sys.path": _SearchPath(),
        "@warnings": _Warnings(),
    }
