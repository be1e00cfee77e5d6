"""The process beside a live kernel: `python -m nbpipe.magics.live_answers NOTEBOOK`.

It answers one JSON line with another, as `live_process` asks, and ends when the kernel does.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from nbpipe.api.live import LiveNotebook
from nbpipe.errors import NbpipeError
from nbpipe.kernel.live_exchange import Advice, Kept, Offer, Question
from nbpipe.wire.codec import decode, encode


def main() -> None:
    """Answer until nobody asks any more."""
    # What a library prints must not stand among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="surrogatepass")
    os.dup2(2, 1)
    notebook = LiveNotebook(Path(sys.argv[1]))
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        answers.write(json.dumps(encode(_answer(notebook, asked["is"], asked["value"]))) + "\n")
        answers.flush()


def _answer(notebook: LiveNotebook, kind: str, value: object) -> Advice | Kept:
    try:
        if kind == Question.__name__:
            return notebook.advise(decode(Question, value))
        return notebook.keep(decode(Offer, value))
    except Exception as error:  # noqa: BLE001 - whatever it is, cells run as ever.
        message = error.message if isinstance(error, NbpipeError) else f"a defect, {error!r}"
        if kind == Question.__name__:
            # Whether it is a step's cell nobody knows; what is not compiled is kept nowhere.
            return Advice(objection=message)
        return Kept(objection=message)


if __name__ == "__main__":
    main()
