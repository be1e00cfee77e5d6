"""IPython shells for tests, in this process."""

from __future__ import annotations

import atexit
import contextlib
import io
import re
import sys
from types import ModuleType

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from nbpipe.magics.extension import load_ipython_extension


class Session:
    """A shell without colours, and what it printed for each cell."""

    def __init__(self, folder):
        config = Config()
        config.HistoryManager.hist_file = ":memory:"
        config.InteractiveShell.colors = "nocolor"
        # Not `__main__`: the shell puts its module into sys.modules.
        module = ModuleType("notebook_under_test")
        self.shell = InteractiveShell(config=config, user_module=module, ipython_dir=str(folder))

    def load(self):
        load_ipython_extension(self.shell)
        return self

    def run(self, cell, **options):
        """Run a cell as a front end does; give its result and what it printed."""
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            result = self.shell.run_cell(cell, **({"store_history": True} | options))
        return result, output.getvalue()

    def close(self):
        self.shell.history_manager.end_session()
        self.shell.history_manager.db.close()
        atexit.unregister(self.shell.atexit_operations)
        sys.modules.pop("notebook_under_test", None)


@pytest.fixture
def sessions(tmp_path, monkeypatch):
    """Makes sessions, and ends them."""
    made = []

    def make():
        made.append(Session(tmp_path))
        return made[-1]

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    hook, displayed = sys.excepthook, sys.displayhook
    yield make
    for session in made:
        session.close()
    sys.excepthook, sys.displayhook = hook, displayed


@pytest.fixture
def session(sessions):
    """A session with the extension loaded."""
    return sessions().load()


def without_numbers(text):
    """Text without times, addresses and digests."""
    text = re.sub(r"0x[0-9a-f]+", "0x…", text)
    text = re.sub(r"<ipython-input-\d+-[0-9a-f]+>", "<cell>", text)
    return re.sub(r"(CPU times|Wall time).*", r"\1", text)
