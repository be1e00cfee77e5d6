"""A kernel's processes: noticing the end of the kernel at once, and leaving none behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from subprocess import Popen
from typing import Final

_POLL_SECONDS: Final = 0.02


def has_ended(process: Popen[bytes]) -> bool:
    """Say whether the process has ended, without taking its exit status where that is possible."""
    if sys.platform != "linux" or process.returncode is not None:
        return process.poll() is not None
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


async def wait_for_exit(process: Popen[bytes]) -> None:
    """Wait until the process has ended, without taking its exit status from `process`.

    Until the status is taken, the system gives its process id, which is also the id of the
    group and session of all it started, to nobody else.
    """
    if sys.platform != "linux":
        while process.poll() is None:  # noqa: ASYNC110 - there is nothing to wait for.
            await asyncio.sleep(_POLL_SECONDS)
        return
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def kill_session(leader: int) -> None:
    """Kill the process `leader`, which began a session, and every process of that session.

    A process that began a session of its own has left on purpose, and is not found.
    """
    # Nobody left in the group is fine; macOS says "not permitted" when only zombies are.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    for process in _session_members(leader):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)


def _session_members(leader: int) -> Iterator[int]:
    """Find those that left the group but not the session: background jobs of a `%%bash` cell."""
    if sys.platform != "linux":
        return
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and (process := int(entry.name)) != leader:
            try:
                session = os.getsid(process)
            except (ProcessLookupError, PermissionError):
                continue
            if session == leader:
                yield process
