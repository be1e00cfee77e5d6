"""What a step was seen to depend on besides its key, as parts that can be looked at again.

Pure: `Surroundings` looks. A part says what was found there once the step had run, and a result
is reused while all its parts hold. What the step itself made is a part, too, as it left it: who
deletes or changes a product gets it made anew.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import Final, Protocol

from nbpipe.model.effects import FileEffects, lies_below
from nbpipe.model.names import normal_distribution
from nbpipe.model.observed import Observed
from nbpipe.model.trace import Trace

ABSENT: Final = "absent"
IS_DIRECTORY: Final = "directory"
APART: Final = "apart"
TOGETHER: Final = "together"
UNKNOWN: Final = "unknown"
UNSET: Final = "unset"

# Of kernels, and of the window or the connection in which a command was typed.
_NOBODYS_VARIABLES: Final = re.compile(
    r"""NBPIPE_ | JPY_ | (?: _ | SHLVL | OLDPWD | WINDOWID | STY | TMUX | TMUX_PANE | XDG_SESSION_ID
        | DBUS_SESSION_BUS_ADDRESS | SSH_(?: CLIENT | CONNECTION | TTY | AUTH_SOCK | AGENT_PID )
        ) \Z""",
    re.VERBOSE,
)
_OURSELVES: Final = "jupyterlab_nbpipe"


class Surroundings(Protocol):
    """What lies around a pipeline: looked at anew at each call."""

    def indexes(self) -> str:
        """Say whether frames are stored `APART` or `TOGETHER` when they have one index."""
        ...

    def last_user(self, constant: str) -> str:
        """Give the digest of the step furthest down that uses a constant, or `ABSENT`."""
        ...

    def package(self, distribution: str) -> str:
        """Give the installed version, or `ABSENT`."""
        ...

    def variable(self, name: str) -> str:
        """Give the digest of the value that kernels get of an environment variable, or `UNSET`."""
        ...

    def directory(self, name: str, without: Collection[str]) -> str:
        """Give the digest of the names of the entries, leaving some out, or `ABSENT`."""
        ...

    def file(self, name: str) -> str:
        """Give the digest of the content, `IS_DIRECTORY` or `ABSENT`."""
        ...

    def name_of(self, path: str) -> str | None:
        """Give the name of a path in parts; None for what is no author's business."""
        ...

    def is_scratch(self, name: str) -> bool:
        """Say whether it was a temporary file, gone by now."""
        ...

    def changed_since(self, name: str, time: datetime) -> bool:
        """Say whether a file or directory was changed, or put in place, after `time`."""
        ...


def observe(  # noqa: PLR0913 - all but three are optional
    trace: Trace,
    around: Surroundings,
    *,
    started: datetime,
    held_files: Collection[str] = (),
    held_packages: Collection[str] = (),
    ran_alone: bool = False,
) -> Observed:
    """Make parts of what was seen of a step that has just ended.

    `held_files` and `held_packages` are in its key already. `ran_alone` says that no other step
    ran meanwhile.
    """
    written = {n for n in _named(trace.files_written, around) if not around.is_scratch(n)}
    scratch = _named(trace.files_written, around) - written
    read = _named(trace.files_read, around) - scratch
    missed = _named(trace.files_absent, around) - scratch
    listed = _named(trace.directories_listed, around)
    found = _named(trace.paths_found, around) - scratch
    state = {name: around.file(name) for name in sorted(read | missed | found | written)}
    changed = {n for n in read if state[n] == ABSENT or around.changed_since(n, started)}
    appeared = {n for n in missed - read if state[n] != ABSENT}
    gone = {n for n in found if state[n] == ABSENT}
    # Where not all is seen, what changed meanwhile may well be the step's own doing.
    unseen = (changed | appeared | gone) - written if trace.unverified else set[str]()
    own = unseen if ran_alone else set[str]()
    filled = {
        directory
        for directory in listed
        if around.changed_since(directory, started)
        and not any(lies_below(name, directory) for name in written | unseen | scratch)
    }
    rewritten = changed & written
    # The key has a file as the step found it, which is not all for one that it read and changed.
    held = {*held_files} - rewritten
    files = {f"file {name}": value for name, value in state.items() if name not in held}
    return Observed(
        parts={
            **({"indexes": APART} if trace.parts_indexes else {}),
            **{f"constant {name}": around.last_user(name) for name in trace.parts_constants},
            **dict(_packages(trace, around, held_packages)),
            **dict(_variables(trace, around)),
            **dict(_directories(listed, files, around)),
            **files,
        },
        files=FileEffects(
            reads=tuple(sorted(read | missed | found)),
            lists=tuple(sorted(listed)),
            # That a directory is made orders nobody: what is put into it does.
            writes=tuple(sorted(n for n in written | unseen if state[n] != IS_DIRECTORY)),
        ),
        found=tuple(sorted(found - read)),
        unverified=tuple(sorted(trace.unverified)),
        moving=tuple(sorted((changed | appeared | gone | filled) - written - own)),
        rewritten=tuple(sorted(rewritten - {*held_files})),
    )


def changes_of(observed: Observed, around: Surroundings) -> Iterator[tuple[str, str, str]]:
    """Give the parts that do not hold any more, as name, then, and now; cheap ones first."""
    for part, then in observed.parts.items():
        kind, _, name = part.partition(" ")
        match kind:
            case "indexes":
                now = around.indexes()
            case "constant":
                now = around.last_user(name)
            case "package":
                now = around.package(name)
                if _is_same_version(now, then):
                    continue
            case "variable":
                now = around.variable(name)
            case "directory":
                now = around.directory(name, _held_in(name, observed.parts))
            case _:
                now = around.file(name)
        if now != then:
            yield part, then, now


def holds(observed: Observed, around: Surroundings) -> bool:
    """Say whether everything is again as it was seen."""
    return next(changes_of(observed, around), None) is None


def _named(paths: Collection[str], around: Surroundings) -> set[str]:
    return {name for path in paths if (name := around.name_of(path)) is not None}


def _packages(
    trace: Trace, around: Surroundings, held: Collection[str]
) -> Iterator[tuple[str, str]]:
    for distribution, version in sorted(trace.packages.items()):
        name = normal_distribution(distribution)
        if name not in held and name != _OURSELVES:
            now = around.package(name)
            # A module that no distribution brought has no version that could change.
            is_seen_so = version == UNKNOWN or _is_same_version(now, version)
            yield f"package {name}", now if is_seen_so else version


def _variables(trace: Trace, around: Surroundings) -> Iterator[tuple[str, str]]:
    # Not what the kernel saw, which the step itself may have set, but what kernels are given.
    for name in sorted(trace.environment_read):
        if not _NOBODYS_VARIABLES.match(name):
            yield f"variable {name}", around.variable(name)


def _directories(
    listed: Collection[str], files: Mapping[str, str], around: Surroundings
) -> Iterator[tuple[str, str]]:
    for name in sorted(listed):
        yield f"directory {name}", around.directory(name, _held_in(name, files))


def _held_in(directory: str, parts: Mapping[str, str]) -> frozenset[str]:
    """Name the entries of a directory that are parts themselves, such as products of the step."""
    names = (part.removeprefix("file ") for part in parts if part.startswith("file "))
    return frozenset(PurePosixPath(name).name for name in names if _parent(name) == directory)


def _parent(name: str) -> str:
    return str(PurePosixPath(name).parent)


def _is_same_version(one: str, other: str) -> bool:
    # A directory name writes some characters of a version in another way than its metadata.
    return re.sub("[-_]", ".", one.lower()) == re.sub("[-_]", ".", other.lower())
