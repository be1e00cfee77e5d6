from __future__ import annotations

import os
import signal
import threading

import pytest

from nbpipe.runner.signals import signals_caught


def test_the_first_signal_cancels_and_the_second_interrupts():
    calls = []
    before = signal.getsignal(signal.SIGINT)
    with signals_caught(lambda: calls.append("cancel")):
        os.kill(os.getpid(), signal.SIGTERM)
        assert calls == ["cancel"]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert calls == ["cancel"]
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_leave_signals_alone():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def run():
        with signals_caught(lambda: None):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]
