"""The process beside a live kernel that knows the pipeline, as the kernel sees it.

The compiler and all that makes step keys stay out of the author's process, and whatever happens to
them there stays out of the author's cells.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Final, TypeVar

from nbpipe.magics.command import in_its_own_group
from nbpipe.wire.codec import decode, encode

_ANSWER_SECONDS: Final = 30.0

T = TypeVar("T")


class LostError(Exception):
    """The process does not answer, or what it says is no answer."""

    message = "the process that knows the notebook does not answer; restart the kernel"


class LiveProcess:
    """Asks, and waits for the answer.

    Attributes:
        is_running: false once it was closed; it knows nothing of what it was told then.
    """

    def __init__(self, notebook: Path, environ: Mapping[str, str]) -> None:
        self._notebook = notebook
        self._environ = environ
        self.is_running = False
        self.start()

    def start(self) -> None:
        """Begin; again, if it was closed."""
        # `-P`: a file `random.py` beside the notebook must not be imported by nbpipe.
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-X", "utf8"),
                *("-m", "nbpipe.magics.live_answers", str(self._notebook)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._notebook.parent,
            env=dict(self._environ),
            **in_its_own_group(),
        )
        self.is_running = True
        self._lines: SimpleQueue[bytes] = SimpleQueue()
        assert self._process.stdout is not None
        Thread(target=_read, args=(self._process.stdout, self._lines), daemon=True).start()

    def ask(self, question: object, answer: type[T]) -> T:
        """Give the answer to a question.

        Raises:
            LostError: there is none. Nothing can be asked any more.
        """
        kind = type(question).__name__
        line = json.dumps({"is": kind, "value": encode(question)}) + "\n"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode("utf-8", "surrogatepass"))
            self._process.stdin.flush()
            return decode(answer, json.loads(self._lines.get(timeout=_ANSWER_SECONDS)))
        except (OSError, Empty, ValueError) as error:
            self.close()
            raise LostError from error
        except KeyboardInterrupt:
            # Its answer would be taken for that to the next question.
            self.close()
            raise

    def close(self) -> None:
        """End the process."""
        self.is_running = False
        self._process.kill()
        self._process.wait()


def _read(stream: IO[bytes], lines: SimpleQueue[bytes]) -> None:
    with stream:
        for line in stream:
            lines.put(line)
    lines.put(b"")
