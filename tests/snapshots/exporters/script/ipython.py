"""The pipeline ipython, as a program that needs no Jupyter.

Made by nbpipe 1.2.3 from the notebook. It gives the values of the notebook, run from top to
bottom. Relative paths in it start in the folder of the notebook: run it there.

    python ipython.py --help
"""

import argparse
import asyncio
import contextlib
import io
import os
import subprocess
import sys


def shell():
    """Step shell: cell 1 of the notebook."""
    _shell("echo one")
    _shell(f"echo two {3 + 4}")
    lines = _shell_lines("ls")
    os.chdir("data")
    os.environ["NAME"] = "value"
    where = os.getcwd()
    if lines:
        pass  # %matplotlib inline
    # lines?


def script():
    """Step script: cell 2 of the notebook."""
    _run_script(["bash"], """\
echo three
""")


def files():
    """Step files: cell 3 of the notebook.

    Files: notes.txt.
    """
    _write_file("notes.txt", """\
One "line".
Another.
""")


def captured():
    """Step captured: cell 4 of the notebook.

    Gives: out, x.
    """
    with _Captured(stderr=False) as out:
        print('''not
indented''')
        x = 1
    return out, x


def timed(x):
    """Step timed: cell 5 of the notebook.

    Takes: x.
    Gives: z.
    """
    x + 1;
    def _timed():
        y = x

    _timed()
    z = x
    return z


def drawn(z):
    """Step drawn: cell 6 of the notebook.

    Takes: z.
    """
    import matplotlib.pyplot as plt
    plt.plot([z])
    _show_figures()
    _show(plt.hist([z]))
    _show_figures()


async def waits():
    """Step waits: cell 7 of the notebook."""
    import asyncio
    _show(await asyncio.sleep(0))


def shown(out, z):
    """Step shown: cell 8 of the notebook.

    Takes: out, z.
    """
    display(z, out)


def _show(value):
    """Print a value as a notebook shows the last one of a cell."""
    if value is not None:
        print(repr(value))


def display(*values, **_options):
    """Print values as a notebook displays them."""
    for value in values:
        print(repr(value))


def _show_figures():
    """Show the figures and start anew, as a notebook does after each cell."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.show()
        pyplot.close("all")


def _shell(command):
    """Run a shell command and print its output, as `!command` does."""
    with subprocess.Popen(
        command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout:
            print(line, end="")


def _shell_lines(command):
    """Run a shell command and give the lines of its output, as `lines = !command` does."""
    result = subprocess.run(
        command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return result.stdout.splitlines()


def _run_script(command, text):
    """Hand a text to a program and print its output, as `%%bash` does."""
    result = subprocess.run(
        command, input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    print(result.stdout, end="")
    print(result.stderr, end="", file=sys.stderr)
    result.check_returncode()


def _write_file(path, text, mode="w"):
    """Write a text to a file, as `%%writefile` does."""
    path = os.path.expanduser(path)
    known = "Appending to" if mode == "a" else "Overwriting"
    print(known if os.path.exists(path) else "Writing", path)
    with open(path, mode, encoding="utf-8") as file:
        file.write(text)


class _Captured:
    """Keeps what is printed, as `%%capture` does."""

    def __init__(self, stdout=True, stderr=True):
        self._texts = io.StringIO(), io.StringIO()
        self._stack = contextlib.ExitStack()
        self._redirect = stdout, stderr

    def __enter__(self):
        if self._redirect[0]:
            self._stack.enter_context(contextlib.redirect_stdout(self._texts[0]))
        if self._redirect[1]:
            self._stack.enter_context(contextlib.redirect_stderr(self._texts[1]))
        return self

    def __exit__(self, *_error):
        self._stack.close()

    def __str__(self):
        return self.stdout

    @property
    def stdout(self):
        return self._texts[0].getvalue()

    @property
    def stderr(self):
        return self._texts[1].getvalue()

    def show(self):
        print(self.stdout, end="")
        print(self.stderr, end="", file=sys.stderr)


def read_parameters(arguments=None):
    """Take the parameters from the command line."""
    parser = argparse.ArgumentParser(
        description="The pipeline ipython: its steps, in the order of the notebook.",
        allow_abbrev=False,
    )
    parser.parse_args(arguments)


async def run_steps():
    """Run the steps in one event loop, as the notebook does."""
    shell()
    script()
    files()
    out, x = captured()
    z = timed(x)
    drawn(z)
    await waits()
    shown(out, z)


def main(arguments=None):
    """Run the steps in the order of the notebook."""
    read_parameters(arguments)
    asyncio.run(run_steps())


if __name__ == "__main__":
    main()
