"""Runs an `nbpipe` command as a process of its own, and shows its output as it comes."""

from __future__ import annotations

import codecs
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import IO, Any, Final

# After an interrupt the command may end kernels and note what is done, for this long.
_GRACE_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.2


def run_command(arguments: Sequence[str], show: Callable[[str], None]) -> int:
    """Run `nbpipe` with `arguments`, hand its output to `show` as it comes, give its exit code.

    An interrupt is passed on: the command gets time to stop cleanly, then it is killed.
    """
    # `-P`: a file `random.py` beside the notebook must not be imported by nbpipe.
    command = [sys.executable, "-P", "-u", "-X", "utf8", "-m", "nbpipe", *arguments]
    process = subprocess.Popen(
        command,
        bufsize=0,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **in_its_own_group(),
    )
    assert process.stdout is not None
    chunks: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_read, args=(process.stdout, chunks), daemon=True).start()
    text = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def show_chunk(chunk: bytes) -> None:
        show(text.decode(chunk))

    try:
        _follow(process, chunks, show_chunk)
        return process.wait()
    except KeyboardInterrupt:
        _interrupt(process)
        _follow(process, chunks, show_chunk, seconds=_GRACE_SECONDS)
        raise
    finally:
        _end(process)


def in_its_own_group() -> dict[str, Any]:
    """Jupyter interrupts a kernel's whole process group; the command must hear of it once."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"process_group": 0}


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        process.send_signal(signal.CTRL_BREAK_EVENT)
    else:
        process.send_signal(signal.SIGINT)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Make sure that nothing is left running; a process that just closed its output may end."""
    try:
        process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _read(stream: IO[bytes], chunks: SimpleQueue[bytes]) -> None:
    """Read in a thread: on Windows nothing interrupts a read, but a wait for a queue ends soon."""
    with stream:
        while chunk := stream.read(65536):
            chunks.put(chunk)
    chunks.put(b"")


def _follow(
    process: subprocess.Popen[bytes],
    chunks: SimpleQueue[bytes],
    show: Callable[[bytes], None],
    *,
    seconds: float = float("inf"),
) -> None:
    end = monotonic() + seconds
    while monotonic() < end:
        try:
            chunk = chunks.get(timeout=_POLL_SECONDS)
        except Empty:
            # The end of the output never comes while a grandchild holds it open.
            if process.poll() is not None:
                return
            continue
        if not chunk:
            return
        show(chunk)
