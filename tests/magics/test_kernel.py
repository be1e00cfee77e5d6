"""Tagged cells in a real kernel, as a front end sees them."""

from __future__ import annotations

import json
import os
import queue
import re
import sys
import time
from pathlib import Path

import pytest
from jupyter_client.manager import KernelManager

import nbpipe
from tests.builders import notebook_json

pytestmark = pytest.mark.slow


class Client:
    """A kernel, and what it says about each cell."""

    def __init__(self, folder, **environ):
        self.manager = KernelManager(kernel_name="python3")
        self.manager.kernel_cmd = [sys.executable, "-m", "ipykernel_launcher", "-f"]
        # A kernel finds the package that is tested, installed or not.
        path = os.pathsep.join([str(Path(nbpipe.__file__).parents[1]), *filter(None, sys.path)])
        self.manager.start_kernel(cwd=str(folder), env=os.environ | {"PYTHONPATH": path} | environ)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code, *, interrupt_after=None, cell=None, **options):
        """Run code, of a cell with an id or without; give the reply and the messages in between."""
        if cell is None:
            message = self.client.execute(code, **options)
        else:
            content = {"code": code, "silent": False, "store_history": True}
            request = self.client.session.msg("execute_request", content)
            request["metadata"]["cellId"] = cell
            self.client.shell_channel.send(request)
            message = request["header"]["msg_id"]
        messages = []
        start = time.monotonic()
        while True:
            try:
                found = self.client.get_iopub_msg(timeout=0.2)
            except queue.Empty:
                if interrupt_after and time.monotonic() - start > interrupt_after:
                    self.manager.interrupt_kernel()
                    interrupt_after = None
                assert time.monotonic() - start < 60
                continue
            if found["parent_header"].get("msg_id") != message:
                continue
            if found["content"].get("execution_state") == "idle":
                break
            if found["msg_type"] not in ("status", "execute_input"):
                messages.append((found["msg_type"], found["content"]))
        while True:
            reply = self.client.get_shell_msg(timeout=10)
            if reply["parent_header"].get("msg_id") == message:
                return reply["content"], messages

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    client = Client(tmp_path_factory.mktemp("kernel"))
    client.run("%load_ext nbpipe.magics.extension")
    yield client
    client.close()


def text_of(messages):
    return "".join(content["text"] for kind, content in messages if kind == "stream")


def values_of(messages):
    return [
        content["data"]["text/plain"]
        for kind, content in messages
        if kind in ("execute_result", "display_data")
    ]


def traceback_of(messages):
    (error,) = [content for kind, content in messages if kind == "error"]
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"]))
    # The first line is the tag, blank by then, or a comment in its place.
    text = re.sub(r"(?m)^ +1 #? *\n", "", text)
    return re.sub(r"In\[\d+\]", "In[n]", text)


def test_values_and_the_underscore(kernel):
    reply, messages = kernel.run("%%step train --retries 1\nprint('hello')\n6 * 7")
    assert (reply["status"], text_of(messages), values_of(messages)) == ("ok", "hello\n", ["42"])
    assert values_of(kernel.run("_ + 1")[1]) == ["43"]
    assert values_of(kernel.run("%%params\ndisplay('a')\n'b'")[1]) == ["'a'", "'b'"]


def test_an_exception_has_the_traceback_of_an_ordinary_cell(kernel):
    body = "def f():\n    return 1 / 0\n\nf()"
    reply, messages = kernel.run(f"%%step train\n{body}")
    _, ordinary = kernel.run(f"#\n{body}")
    assert (reply["status"], reply["ename"]) == ("error", "ZeroDivisionError")
    assert traceback_of(messages) == traceback_of(ordinary)
    assert "line 5" in traceback_of(messages)


def test_a_syntax_error_has_the_line_of_the_cell(kernel):
    reply, messages = kernel.run("%%step train\nx = 1\nif x\n    y = 2")
    assert reply["ename"] == "SyntaxError"
    assert "line 3" in traceback_of(messages)


def test_a_wrong_tag_is_an_error_without_a_traceback(kernel):
    reply, messages = kernel.run("%%step train --retrys 2\nx_wrong = 1")
    assert (reply["status"], reply["ename"]) == ("error", "UsageError")
    assert "Did you mean --retries?" in text_of(messages)
    assert kernel.run("x_wrong")[0]["ename"] == "NameError"


def test_await_at_the_top_level(kernel):
    _, messages = kernel.run("%%step train\nimport asyncio\nawait asyncio.sleep(0.01, 'slept')")
    assert values_of(messages) == ["'slept'"]


def test_magics_below_the_tag(kernel):
    _, messages = kernel.run("%%step train\n%%time\n5 + 5")
    assert "Wall time" in text_of(messages)
    assert values_of(messages) == ["10"]
    _, messages = kernel.run("%%step train\n\n%%capture kept\nprint('hidden')")
    assert messages == []
    assert values_of(kernel.run("kept.stdout")[1]) == ["'hidden\\n'"]


def test_an_interrupt_stops_the_cell(kernel):
    start = time.monotonic()
    reply, messages = kernel.run(
        "%%step train\nimport time\ntime.sleep(60)\nunreached = 1", interrupt_after=1
    )
    assert reply["ename"] == "KeyboardInterrupt"
    assert "line 3" in traceback_of(messages)
    assert time.monotonic() - start < 30
    assert kernel.run("unreached")[0]["ename"] == "NameError"


def test_an_interrupt_stops_a_command(kernel):
    reply, _ = kernel.run(
        "from nbpipe.magics import command\n"
        "import sys\n"
        "sys.executable, python = '/bin/sleep', sys.executable\n"
        "command.subprocess.Popen, popen = (\n"
        "    lambda words, **options: popen([words[0], '60'], **options),\n"
        "    command.subprocess.Popen,\n"
        ")\n"
        "try:\n"
        "    command.run_command(['run'], print)\n"
        "finally:\n"
        "    sys.executable, command.subprocess.Popen = python, popen",
        interrupt_after=1,
    )
    assert reply["ename"] == "KeyboardInterrupt"


def test_a_command_shows_its_output_in_the_cell(kernel, tmp_path):
    notebook = tmp_path / "small.ipynb"
    notebook.write_text(json.dumps(notebook_json("%%step load\nx = 1", "%%step show\nprint(x)")))
    reply, messages = kernel.run(f"%pipeline show {notebook}")
    assert (reply["status"], values_of(messages)) == ("ok", [])
    assert "x ← load" in text_of(messages)
    assert [path.name for path in tmp_path.iterdir()] == ["small.ipynb"]
    reply, messages = kernel.run("%pipeline show missing.ipynb")
    assert reply["status"] == "error"
    assert "missing.ipynb" in text_of(messages)


def test_completion_offers_the_magics(kernel):
    message = kernel.client.complete("%%pre", 5)
    reply = kernel.client.get_shell_msg(timeout=10)
    assert reply["parent_header"]["msg_id"] == message
    assert "%%prelude" in reply["content"]["matches"]


def test_history_has_the_text_as_typed(kernel):
    kernel.run("%%step remembered\n1", store_history=True)
    message = kernel.client.history(raw=True, hist_access_type="tail", n=1)
    reply = kernel.client.get_shell_msg(timeout=10)
    assert reply["parent_header"]["msg_id"] == message
    assert reply["content"]["history"][-1][2] == "%%step remembered\n1"
