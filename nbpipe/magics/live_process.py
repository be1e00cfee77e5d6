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
from typing import Final, TypeVar

from nbpipe.magics.command import in_its_own_group
from nbpipe.wire.codec import decode, encode

_ANSWER_SECONDS: Final = 30.0

T = TypeVar("T")


class LostError(Exception):
    """The process does not answer, or what it says is no answer."""


class LiveProcess:
    """Asks, and waits for the answer."""

    def __init__(self, notebook: Path, environ: Mapping[str, str]) -> None:
        # `-P`: a file `random.py` beside the notebook must not be imported by nbpipe.
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-X", "utf8"),
                *("-m", "nbpipe.magics.live_answers", str(notebook)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=notebook.parent,
            env=dict(environ),
            **in_its_own_group(),
        )
        self._lines: SimpleQueue[bytes] = SimpleQueue()
        Thread(target=self._read, daemon=True).start()

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
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self._lines.put(line)
        self._lines.put(b"")
