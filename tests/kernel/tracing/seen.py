"""Runs cases, each in a fork of this process, with a tracer: `seen.py DIRECTORY PRIVATE`.

Reads `[[name, code], …]` from stdin, and writes `{name: {"trace": …, "native": …, "error": …}}`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path

from nbpipe.kernel.imports import WATCH
from nbpipe.kernel.tracing import StepTracer
from nbpipe.wire.codec import encode


def main() -> None:
    directory, private = map(Path, sys.argv[1:3])
    os.chdir(directory)
    for name in ("numpy", "pandas", "polars"):
        with suppress(ImportError):
            importlib.import_module(name)
    json.dump({name: seen(code, private) for name, code in json.load(sys.stdin)}, sys.stdout)


def seen(code: str, private: Path) -> dict[str, object]:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        with os.fdopen(writer, "w") as answer:
            answer.write(json.dumps(traced(code, private)))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return json.loads(text)


def traced(code: str, private: Path) -> dict[str, object]:
    log = Path(tempfile.mkdtemp(dir=private)) / "trace.log"
    tracer = StepTracer(log, [str(private)], copies=log.with_name("copies"))
    WATCH.quietly = tracer.paused
    WATCH.start()
    namespace: dict[str, object] = {"__name__": "__main__"}
    error = ""
    tracer.start()
    try:
        exec(compile(code, "<cell>", "exec"), namespace)
    except Exception:  # noqa: BLE001 - whatever the case raises, the test shows.
        error = traceback.format_exc()
    trace = tracer.finish(namespace)
    return {"trace": encode(trace), "native": log.exists(), "error": error}


if __name__ == "__main__":
    main()
