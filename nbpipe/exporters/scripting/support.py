"""Functions that a script needs besides the notebook's own, to do what IPython does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Support:
    """The source of a function or class, and the modules that it uses."""

    source: str
    modules: tuple[str, ...] = ()


SUPPORT: Final[Mapping[str, Support]] = {
    "_show": Support(
        '''\
def _show(value):
    """Print a value as a notebook shows the last one of a cell."""
    if value is not None:
        print(repr(value))
'''
    ),
    "display": Support(
        '''\
def display(*values, **_options):
    """Print values as a notebook displays them."""
    for value in values:
        print(repr(value))
'''
    ),
    "_show_figures": Support(
        '''\
def _show_figures():
    """Show the figures and start anew, as a notebook does after each cell."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.show()
        pyplot.close("all")
''',
        ("sys",),
    ),
    "_shell": Support(
        '''\
def _shell(command):
    """Run a shell command and print its output, as `!command` does."""
    with subprocess.Popen(
        command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout:
            print(line, end="")
''',
        ("subprocess",),
    ),
    "_shell_lines": Support(
        '''\
def _shell_lines(command):
    """Run a shell command and give the lines of its output, as `lines = !command` does."""
    result = subprocess.run(
        command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return result.stdout.splitlines()
''',
        ("subprocess",),
    ),
    "_run_script": Support(
        '''\
def _run_script(command, text):
    """Hand a text to a program and print its output, as `%%bash` does."""
    result = subprocess.run(
        command, input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    print(result.stdout, end="")
    print(result.stderr, end="", file=sys.stderr)
    result.check_returncode()
''',
        ("subprocess", "sys"),
    ),
    "_write_file": Support(
        '''\
def _write_file(path, text, mode="w"):
    """Write a text to a file, as `%%writefile` does."""
    path = os.path.expanduser(path)
    known = "Appending to" if mode == "a" else "Overwriting"
    print(known if os.path.exists(path) else "Writing", path)
    with open(path, mode, encoding="utf-8") as file:
        file.write(text)
''',
        ("os",),
    ),
    "_Captured": Support(
        '''\
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
''',
        ("contextlib", "io", "sys"),
    ),
    "_json": Support(
        '''\
def _json(kind):
    """Give a reader of JSON values of this kind, for argparse."""

    def read(text):
        value = json.loads(text)
        if not isinstance(value, kind):
            raise ValueError(text)
        return value

    read.__name__ = f"JSON {kind.__name__}"
    return read
''',
        ("json",),
    ),
    "_anything": Support(
        '''\
def _anything(text):
    """Read JSON, or else keep the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
''',
        ("json",),
    ),
}
