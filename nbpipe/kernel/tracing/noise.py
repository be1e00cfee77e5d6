"""What is left out of a trace: paths and variables that are nobody's input.

Python and what is installed count by version. The system, its configuration, fonts and caches
make no difference that a step is about, and differ from machine to machine. What nbpipe and
Jupyter leave around would differ from run to run.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

_SYSTEM: Final = (
    *("/proc", "/sys", "/dev", "/run", "/etc"),
    *("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"),
    *("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec"),
    *("/usr/include", "/usr/local/bin", "/usr/local/sbin", "/usr/local/lib"),
    *("/usr/local/include", "/usr/games", "/usr/local/games"),
    *("/usr/share/fonts", "/usr/local/share/fonts", "/usr/share/fontconfig", "/usr/X11R6"),
    *("/usr/share/zoneinfo", "/usr/share/locale", "/usr/share/i18n", "/usr/share/terminfo"),
    *("/usr/share/texmf", "/usr/share/texlive", "/var/cache", "/var/lib/texmf"),
    *("/System", "/Library/Fonts", "/Library/Caches", "/opt/homebrew", "/private/etc"),
)
_OF_HOME: Final = (
    *(".cache", ".config/matplotlib", ".matplotlib", ".fonts", ".local/share/fonts"),
    *(".ipython", ".jupyter", ".local/share/jupyter", ".local/lib", ".config/fontconfig"),
    *("Library/Caches", "Library/Fonts", "Library/Jupyter", ".terminfo", ".nbpipe"),
)
_ANYWHERE: Final = (
    *("/site-packages/", "/dist-packages/", "/__pycache__/", "/.nbpipe/"),
    *("/.ipynb_checkpoints/",),
)

# Programs that no tracer can follow, and that read only what is left out here, too. The standard
# library, and through it every import of torch, asks `ldconfig` which libraries there are.
_PROGRAMS: Final = frozenset({"/sbin/ldconfig", "/usr/sbin/ldconfig"})

# What a kernel is made of: it runs the author's code, and is no part of it.
MACHINERY: Final = frozenset(
    {
        *("IPython", "ipykernel", "traitlets", "jupyter_client", "jupyter_core", "zmq", "tornado"),
        *("comm", "debugpy", "psutil", "matplotlib_inline", "jedi", "prompt_toolkit"),
        *("pexpect", "ptyprocess", "nbpipe"),
    }
)

# Set for each run by nbpipe or Jupyter, or otherwise than around the driver: never noted.
_OF_KERNELS: Final = frozenset(
    {
        *(
            "LD_PRELOAD",
            "PYTHONHASHSEED",
            "PYDEVD_USE_FRAME_EVAL",
            "PYDEVD_DISABLE_FILE_VALIDATION",
        ),
        *("TERM", "CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "PAGER", "GIT_PAGER", "MPLBACKEND"),
        *("COLUMNS", "LINES", "PYTEST_CURRENT_TEST"),
    }
)
_FAMILIES_OF_KERNELS: Final = ("NBPIPE_", "JPY_", "JUPYTER", "IPYTHON", "IPY_", "KERNEL_")

# Where things are and how many threads there are: libraries ask for these on their own account.
_OF_LIBRARIES: Final = frozenset(
    {
        *("HOME", "USER", "LOGNAME", "SHELL", "PATH", "TMPDIR", "TEMP", "TMP", "PWD"),
        *("DISPLAY", "WAYLAND_DISPLAY", "LANG", "LANGUAGE", "MPLCONFIGDIR", "TZ"),
        *("NO_COLOR", "HOSTNAME", "OSTYPE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR"),
    }
)
_FAMILIES_OF_LIBRARIES: Final = (
    *("XDG_", "LC_", "OMP_", "KMP_", "MKL_", "OPENBLAS_", "GOTO_", "BLIS_", "VECLIB_"),
    *("NUMEXPR_", "LOKY_", "JOBLIB_", "PYTEST_", "PYTHON"),
)

# Of a terminal or a login, not of the work: not noted when somebody copies everything.
_OF_SESSIONS: Final = frozenset(
    {
        *("_", "SHLVL", "OLDPWD", "PWD", "WINDOWID", "DISPLAY", "WAYLAND_DISPLAY", "TMUX"),
        *("TMUX_PANE", "STY", "COLORTERM", "LS_COLORS", "MAIL", "HISTFILE", "INVOCATION_ID"),
        *("JOURNAL_STREAM", "MANAGERPID", "PPID", "SECURITYSESSIONID", "MEMORY_PRESSURE_WATCH"),
        *("MEMORY_PRESSURE_WRITE", "SYSTEMD_EXEC_PID", "PS1", "PROMPT", "PROMPT_COMMAND"),
    }
)
_FAMILIES_OF_SESSIONS: Final = (
    *("SSH_", "XDG_SESSION", "XDG_RUNTIME", "DBUS_", "TERM_", "VSCODE_", "GNOME_", "VTE_"),
    *("KITTY_", "ITERM_", "LC_TERMINAL", "WT_", "XPC_", "__CF", "BASH_FUNC_", "PYTEST_"),
)


def noisy_directories(
    own: Iterable[str], environ: Mapping[str, str] = os.environ
) -> tuple[str, ...]:
    """Give the directories below which nothing counts; `own` are nbpipe's for this step."""
    home = Path.home()
    found = {
        *_SYSTEM,
        *_pythons(),
        *own,
        *(str(home / name) for name in _OF_HOME),
        *(environ[name] for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR") if environ.get(name)),
        str(Path(tempfile.gettempdir()) / f"ipykernel_{os.getpid()}"),
        str(Path(__file__).parents[2]),
    }
    absolute = {os.path.abspath(path) for path in found}  # noqa: PTH100 - links are not followed.
    return tuple(sorted(absolute | {os.path.realpath(path) for path in absolute}))


def _pythons() -> Iterator[str]:
    """Give where this Python, its environment, and the installed packages are."""
    yield from sysconfig.get_paths().values()
    for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}:
        place = Path(prefix)
        # An environment is Python's as a whole; /usr is not.
        if (place / "pyvenv.cfg").exists() or (place / "conda-meta").is_dir():
            yield prefix
        for name in ("bin", "lib", "lib64", "include", "etc", "share/jupyter", "pyvenv.cfg"):
            yield str(place / name)
    executable = Path(os.path.realpath(sys.executable))
    yield str(executable.parent)


class PathNoise:
    """Says which paths are left out."""

    def __init__(self, directories: Iterable[str]) -> None:
        self._directories = frozenset(directories) - {"/"}

    def __call__(self, path: str) -> bool:
        """Say whether the path is left out."""
        if any(part in path for part in _ANYWHERE) or path.endswith((".pyc", "/.nbpipe")):
            return True
        if path.endswith(">") and "/<" in path:  # Code that came from no file.
            return True
        if path in self._directories:
            return True
        at = path.rfind("/")
        while at > 0:
            if path[:at] in self._directories:
                return True
            at = path.rfind("/", 0, at)
        return False


def is_noisy_program(path: str) -> bool:
    """Say whether it says nothing about a step that it ran a program unseen."""
    return path in _PROGRAMS


def is_noisy_variable(name: str, *, by_library: bool, as_one_of_all: bool) -> bool:
    """Say whether the read of an environment variable is left out."""
    if name in _OF_KERNELS or name.startswith(_FAMILIES_OF_KERNELS):
        return True
    if as_one_of_all and (
        by_library or name in _OF_SESSIONS or name.startswith(_FAMILIES_OF_SESSIONS)
    ):
        return True
    return by_library and (name in _OF_LIBRARIES or name.startswith(_FAMILIES_OF_LIBRARIES))
