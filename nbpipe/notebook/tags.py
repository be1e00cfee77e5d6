"""The grammar of tags, in its three spellings.

==========================  =============================  ======================
magic, first line           comments, first lines          cell tag (metadata)
==========================  =============================  ======================
``%%step NAME [options]``   ``#| step: NAME`` + options    ``step:NAME``
``%%params``                ``#| params``                  ``parameters``
``%%prelude``               ``#| prelude``                 ``prelude``
``%%skip``                  ``#| skip``                    ``skip``
==========================  =============================  ======================

Options are one table, whatever the spelling: ``--retries 2`` in a magic is ``#| retries: 2`` in a
comment and ``{"retries": 2}`` in the cell's `metadata.nbpipe`.
"""

from __future__ import annotations

import dataclasses
import difflib
import keyword
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nbpipe.model.names import StepName, Variable, why_not_a_step_name
from nbpipe.model.notebook import (
    CellTag,
    PipelineOptions,
    RandomPolicy,
    Role,
    Spelling,
    StepOptions,
)


class TagError(ValueError):
    """A tag that cannot be read. `line` counts from 1 in the cell; `code` is the diagnostic's."""

    def __init__(
        self, message: str, *, help: str = "", line: int = 1, code: str = "NBP110"
    ) -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        self.line = line
        self.code = code


# ---- values of options ------------------------------------------------------------------------


def _variables(words: Sequence[str]) -> tuple[Variable, ...]:
    for word in words:
        if not word.isidentifier() or keyword.iskeyword(word):
            raise ValueError(f"{word!r} is not a variable name")
    return tuple(Variable(word) for word in dict.fromkeys(words))


def _steps(words: Sequence[str]) -> tuple[StepName, ...]:
    return tuple(_step_name(word) for word in dict.fromkeys(words))


def _paths(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _whole(words: Sequence[str]) -> int:
    (word,) = words
    if not re.fullmatch(r"\d+", word):
        raise ValueError(f"{word!r} is not a whole number")
    return int(word)


def _positive(words: Sequence[str]) -> float:
    (word,) = words
    if not re.fullmatch(r"\d+(\.\d+)?|\.\d+", word) or float(word) <= 0:
        raise ValueError(f"{word!r} is not a positive number")
    return float(word)


_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def _duration(words: Sequence[str]) -> float:
    (word,) = words
    if re.fullmatch(r"\d+(\.\d+)?", word):
        return float(word)
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|min|s|m|h|d)", word)
    if not parts or "".join(number + unit for number, unit in parts) != word:
        raise ValueError(f"{word!r} is not a duration such as 30s, 10m or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _bytes(words: Sequence[str]) -> int:
    (word,) = words
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(i?)B?", word, re.IGNORECASE)
    if not match or not word:
        raise ValueError(f"{word!r} is not a size such as 512M or 4G")
    power = " KMGT".index(match[2].upper() or " ")
    # As Kubernetes reads them, K M G T are powers of 1024 only with an "i"; people who write 4G
    # for memory mean 4 GiB, and asking for 7 % more never makes a step fail.
    return int(float(match[1]) * 1024**power)


def _flag(words: Sequence[str]) -> bool:
    if not words or words[0].lower() in {"true", "yes", "on"}:
        return True
    if words[0].lower() in {"false", "no", "off"}:
        return False
    raise ValueError(f"{words[0]!r} is neither true nor false")


def _no_cache(words: Sequence[str]) -> bool:
    return not _flag(words)


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a step: the field it fills, how its words are read, how many it takes."""

    field: str
    read: Callable[[Sequence[str]], object]
    takes: str
    meaning: str


STEP_OPTIONS: Final[Mapping[str, Option]] = {
    "out": Option("outputs", _variables, "NAME…", "store these variables besides what is inferred"),
    "in": Option("inputs", _variables, "NAME…", "load these variables besides what is inferred"),
    "after": Option("after", _steps, "STEP…", "run after these steps although no variable says so"),
    "reads": Option("reads", _paths, "PATH…", "files the step reads; a change re-runs it (globs)"),
    "metrics": Option("metrics", _variables, "NAME…", "outputs that are figures of merit"),
    "retries": Option("retries", _whole, "N", "try a failed step again, N times at most"),
    "retry-delay": Option("retry_delay_seconds", _duration, "30s", "wait before each retry"),
    "timeout": Option("timeout_seconds", _duration, "10m", "stop the step after this long"),
    "ttl": Option("ttl_seconds", _duration, "1d", "reuse no result that is older than this"),
    "no-cache": Option("cache", _no_cache, "", "always run, never reuse a stored result"),
    "force": Option("force", _flag, "", "in a live kernel, run although a result is stored"),
    "cpu": Option("cpu", _positive, "2", "processors asked of the engine"),
    "memory": Option("memory_bytes", _bytes, "4G", "memory asked of the engine"),
    "gpu": Option("gpu", _whole, "1", "accelerators asked of the engine"),
}
_SHOWN: Final = 40
_FLAGS: Final = frozenset({"no-cache", "force"})
_MANY: Final = frozenset({"out", "in", "after", "reads", "metrics"})

# What `%pipeline` can set for every step.
PIPELINE_DEFAULTS: Final = (
    "retries",
    "retry-delay",
    "timeout",
    "ttl",
    "no-cache",
    "cpu",
    "memory",
    "gpu",
)
PIPELINE_COMMANDS: Final = frozenset({"show", "run", "status", "export"})
_ROLE_WORDS: Final = {role.value: role for role in Role}
_CELL_TAGS: Final = {"parameters": Role.PARAMS, "prelude": Role.PRELUDE, "skip": Role.SKIP}


def _step_name(text: str) -> StepName:
    trouble = why_not_a_step_name(text)
    if trouble:
        shown = text[:_SHOWN] + "…" * (len(text) > _SHOWN)
        raise TagError(
            f"{shown!r} cannot name a step: {trouble}.",
            help="Names are Python identifiers or kebab-case, such as train_model or train-model.",
            code="NBP111",
        )
    return StepName(text)


def _unknown_option(name: str, known: Sequence[str], line: int, dashes: str) -> TagError:
    close = difflib.get_close_matches(name, known, n=1)
    advice = f"Did you mean {dashes}{close[0]}?" if close else ""
    listed = ", ".join(dashes + word for word in known)
    return TagError(
        f"unknown option {dashes}{name}.", help=advice or f"Options are {listed}.", line=line
    )


def _read_options(pairs: Sequence[tuple[str, Sequence[str], int]], dashes: str) -> StepOptions:
    values: dict[str, object] = {}
    for name, words, line in pairs:
        option = STEP_OPTIONS.get(name)
        if option is None:
            raise _unknown_option(name, list(STEP_OPTIONS), line, dashes)
        if name not in _FLAGS and (not words or (name not in _MANY and len(words) > 1)):
            wanted = "at least one value" if name in _MANY else "one value"
            raise TagError(
                f"option {dashes}{name} takes {wanted}, not {len(words)}.",
                help=f"Write {dashes}{name} {option.takes}: {option.meaning}.",
                line=line,
            )
        try:
            value = option.read(words)
        except TagError as error:
            error.line = line
            raise
        except ValueError as error:
            raise TagError(
                f"option {dashes}{name}: {error}.",
                help=f"Write {dashes}{name} {option.takes}: {option.meaning}.",
                line=line,
            ) from None
        if option.field in values and isinstance(value, tuple):
            value = (*values[option.field], *value)  # type: ignore[misc]
        values[option.field] = value
    return StepOptions(**values)  # type: ignore[arg-type]


# ---- the magic spelling -----------------------------------------------------------------------


def parse_magic(line: str) -> CellTag | None:
    """Read `%%step NAME [options]` and its siblings; None when the line is no tag of ours.

    Raises:
        TagError: for a tag that cannot be read.
    """
    match = re.match(r"%%(\w+)(?:\s+(.*))?\Z", line.rstrip())
    if not match or match[1] not in _ROLE_WORDS:
        return None
    role = _ROLE_WORDS[match[1]]
    words = _split(match[2] or "")
    if role is not Role.STEP:
        if words:
            raise TagError(
                f"%%{role.value} takes no arguments.", help=f"Write %%{role.value} alone."
            )
        return CellTag(role=role, spelling=Spelling.MAGIC, lines=1)
    if not words or words[0].startswith("-"):
        raise TagError("%%step needs a name.", help="Write %%step NAME, such as %%step train.")
    name = _step_name(words[0])
    options = _read_options(list(_magic_options(words[1:])), "--")
    return CellTag(role=role, spelling=Spelling.MAGIC, step=name, options=options, lines=1)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError as error:
        raise TagError(f"cannot read the tag: {error}.", help="Close the quotation mark.") from None


def _magic_options(words: Sequence[str]) -> Iterator[tuple[str, list[str], int]]:
    name: str | None = None
    values: list[str] = []
    for word in words:
        if word.startswith("--"):
            if name is not None:
                yield name, values, 1
            name, equals, value = word[2:].partition("=")
            values = [value] if equals else []
        elif name is None:
            raise TagError(
                f"unexpected {word!r} after the step's name.",
                help="A step has one name; options start with --.",
            )
        else:
            values.extend(part for part in word.split(",") if part)
    if name is not None:
        yield name, values, 1


# ---- the comment spelling ---------------------------------------------------------------------

_COMMENT = re.compile(r"#\|\s*([A-Za-z][\w-]*)\s*(?::\s*(.*?))?\s*\Z")


def parse_comments(source: str) -> tuple[CellTag | None, str | None]:
    """Read the `#|` lines at the top of a cell: the tag, and the name given by `#| pipeline:`.

    Lines of other tools (Quarto, nbdev) are left alone, but near misses of our options are not.

    Raises:
        TagError: for a tag that cannot be read.
    """
    role: Role | None = None
    step: StepName | None = None
    pipeline: str | None = None
    pairs: list[tuple[str, list[str], int]] = []
    others: list[tuple[str, int]] = []
    for number, line in enumerate(source.split("\n"), start=1):
        if not line.strip():
            continue
        match = _COMMENT.match(line)
        if not line.startswith("#|"):
            break
        if not match:
            continue
        word, value = match[1], match[2] or ""
        if word == "pipeline":
            pipeline = value
        elif word in _ROLE_WORDS and role is None and (word == "step" or not value):
            role = _ROLE_WORDS[word]
            if role is Role.STEP:
                step = _comment_step(value, number)
        elif word in _ROLE_WORDS and not (word != "step" and value):
            raise TagError("this cell has two tags.", help="Keep one of them.", line=number)
        elif word in STEP_OPTIONS:
            pairs.append((word, _comment_words(value), number))
        else:
            others.append((word, number))
    if role is None:
        return None, pipeline
    if role is not Role.STEP:
        return CellTag(role=role, spelling=Spelling.COMMENT), pipeline
    for word, number in others:
        if difflib.get_close_matches(word, STEP_OPTIONS, n=1, cutoff=0.7):
            raise _unknown_option(word, list(STEP_OPTIONS), number, "")
    options = _read_options(pairs, "")
    return CellTag(role=role, spelling=Spelling.COMMENT, step=step, options=options), pipeline


def _comment_step(value: str, line: int) -> StepName:
    if not value:
        raise TagError("the tag needs a name.", help="Write #| step: NAME.", line=line)
    try:
        return _step_name(value)
    except TagError as error:
        error.line = line
        if " " in value:
            error.help = "Options go on lines of their own, such as #| retries: 2."
        raise


def _comment_words(value: str) -> list[str]:
    text = value.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    return [word for word in re.split(r"[,\s]+", text) if word]


# ---- cell tags --------------------------------------------------------------------------------


def parse_cell_tags(tags: Sequence[str], facts: object) -> CellTag | None:
    """Read the tags of a cell's metadata; options come from `metadata.nbpipe` (`facts`).

    Raises:
        TagError: for a tag that cannot be read.
    """
    found: list[CellTag] = []
    for tag in tags:
        if tag in _CELL_TAGS:
            found.append(CellTag(role=_CELL_TAGS[tag], spelling=Spelling.CELL_TAG))
        elif tag.startswith("step:"):
            pairs = []
            if isinstance(facts, Mapping):
                pairs = [
                    (str(name), _words_of(value), 1)
                    for name, value in facts.items()
                    if name in STEP_OPTIONS or difflib.get_close_matches(name, STEP_OPTIONS, 1, 0.7)
                ]
            found.append(
                CellTag(
                    role=Role.STEP,
                    spelling=Spelling.CELL_TAG,
                    step=_step_name(tag[len("step:") :].strip()),
                    options=_read_options(pairs, ""),
                )
            )
    if len(found) > 1:
        raise TagError(
            "this cell has two tags that disagree.",
            help="Keep one of " + ", ".join(repr(tag) for tag in tags) + ".",
            code="NBP114",
        )
    return found[0] if found else None


def _words_of(value: object) -> list[str]:
    if isinstance(value, list):
        return [str(word) for word in value]
    return [str(value)]


# ---- %pipeline --------------------------------------------------------------------------------


def parse_pipeline_magic(line: str) -> PipelineOptions | None:
    """Read `%pipeline NAME [options]`; None for other lines and for commands (`%pipeline run`).

    Raises:
        TagError: for options that cannot be read.
    """
    match = re.match(r"%pipeline(?:\s+(.*))?\Z", line.strip())
    if not match:
        return None
    words = _split(match[1] or "")
    if not words or words[0] in PIPELINE_COMMANDS:
        return None
    if words[0].startswith("-"):
        raise TagError(
            "%pipeline needs a name before its options.", help="Write %pipeline NAME --retries 2."
        )
    options = _pipeline_options(list(_magic_options(words[1:])))
    return dataclasses.replace(options, name=pipeline_name(words[0]))


def parse_pipeline_facts(facts: object) -> PipelineOptions | None:
    """Read the notebook's `metadata.nbpipe`: `{"name": …, "rng": …, "retries": …}`.

    Raises:
        TagError: for options that cannot be read.
    """
    if not isinstance(facts, Mapping):
        return None
    known = {*PIPELINE_DEFAULTS, "rng"}
    pairs = [(str(n), _words_of(v), 1) for n, v in sorted(facts.items()) if n in known]
    name = facts.get("name")
    if name is None and not pairs:
        return None
    options = _pipeline_options(pairs)
    return dataclasses.replace(options, name=pipeline_name(str(name)) if name else None)


def pipeline_name(text: str) -> str:
    """Give `text` when it can name a pipeline; the rules are those of step names."""
    try:
        return _step_name(text)
    except TagError as error:
        error.message = error.message.replace("name a step", "name a pipeline")
        raise


def _pipeline_options(pairs: list[tuple[str, list[str], int]]) -> PipelineOptions:
    policy = RandomPolicy.CARRY
    for name, words, line in pairs:
        if name == "rng":
            try:
                policy = RandomPolicy(words[0] if words else "")
            except ValueError:
                raise TagError(
                    f"--rng is carry or per-step, not {' '.join(words)!r}.", line=line
                ) from None
        elif name not in PIPELINE_DEFAULTS:
            raise _unknown_option(name, [*PIPELINE_DEFAULTS, "rng"], line, "--")
    defaults = _read_options([pair for pair in pairs if pair[0] != "rng"], "--")
    return PipelineOptions(defaults=defaults, random=policy)
