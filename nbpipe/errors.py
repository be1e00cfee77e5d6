"""Everything nbpipe raises on purpose.

The tree is drawn by what the caller does about an error::

    NbpipeError
    ├── UserError              the author can fix it: shown without our traceback
    │   ├── CompilationError     carries the diagnostics
    │   ├── ConfigurationError   a wrong option, parameter or setting (also ValueError)
    │   ├── NotFoundError        names the near misses (also LookupError)
    │   └── StepError            a step of the author's failed
    ├── ExternalError          the world failed: a retry may help
    │   ├── KernelDiedError
    │   ├── StoreUnavailableError
    │   └── PluginError
    └── CorruptStoreError      bytes do not match their digest: stop, never retry

Anything else is a defect of nbpipe.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from nbpipe.model.diagnostic import Diagnostic


# Of the names that would have been right, a message lists so many.
_MOST_SHOWN: Final = 12


class NbpipeError(Exception):
    """What nbpipe raises on purpose: what went wrong, and in `hint` what to do about it."""

    code: ClassVar[str] = "nbpipe"
    exit_code: ClassVar[int] = 4

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders; keyword-only state must survive the trip.
        return _rebuild, (type(self), self.message, dict(self.__dict__))

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


def _rebuild(kind: type[NbpipeError], message: str, state: dict[str, object]) -> NbpipeError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class UserError(NbpipeError):
    """The author of the notebook, or whoever typed the command, can fix it."""

    code = "user-error"
    exit_code = 2


class CompilationError(UserError):
    """The notebook cannot become a pipeline; `diagnostics` say why."""

    code = "compilation"

    def __init__(self, message: str, *, diagnostics: Sequence[Diagnostic], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.diagnostics = tuple(diagnostics)

    def __str__(self) -> str:
        # Where nobody prints the diagnostics, as in a traceback, they still say why.
        errors = (str(d) for d in self.diagnostics if d.severity.value == "error")
        return "\n".join([super().__str__(), *errors])


class ConfigurationError(UserError, ValueError):
    """A wrong option, parameter or setting."""

    code = "configuration"


class NotFoundError(UserError, LookupError):
    """A name that means nothing here; the hint lists what was close."""

    code = "not-found"

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str], *, where: str = "") -> NotFoundError:
        """Say that there is no `kind` called `name`, and which of `known` was probably meant."""
        names = sorted(set(known))
        # An ending that all names share makes no two of them alike.
        ending = PurePath(name).suffix
        by_stem = {n.removesuffix(ending): n for n in names if n.endswith(ending)}
        close = [
            by_stem[stem]
            for stem in difflib.get_close_matches(name.removesuffix(ending), by_stem, n=3)
        ]
        if close:
            hint = f"Did you mean {' or '.join(repr(n) for n in close)}?"
        elif names:
            shown = ", ".join(names[:_MOST_SHOWN]) + (", …" if len(names) > _MOST_SHOWN else "")
            hint = f"Known: {shown}."
        else:
            hint = f"There is no {kind} at all{where and ' ' + where}."
        return cls(f"No {kind} {name!r}{where and ' ' + where}.", hint=hint)


class StepError(UserError):
    """A step failed: the author's own exception, with cell and line."""

    code = "step"
    exit_code = 1


class ExternalError(NbpipeError):
    """The world failed; the same call may work later."""

    code = "external"


class KernelDiedError(ExternalError):
    """The process that ran a step ended before its time."""

    code = "kernel-died"


class StoreUnavailableError(ExternalError):
    """The store cannot be read or written: permissions, a full disk, a missing mount."""

    code = "store-unavailable"


class PluginError(ExternalError):
    """A plug-in cannot be loaded; names the package and the entry point."""

    code = "plugin"


class CorruptStoreError(NbpipeError):
    """Stored bytes do not match their digest, or the index is damaged. Never retried."""

    code = "corrupt-store"
