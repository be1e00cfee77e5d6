"""What it takes to run a pipeline once."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

from nbpipe.errors import ConfigurationError
from nbpipe.model.effects import LearnedEffects
from nbpipe.model.names import RunId, Variable
from nbpipe.model.pipeline import ParameterValue, Pipeline
from nbpipe.runner.selection import Selection
from nbpipe.runner.streams import DEFAULT_LIMIT

_LIMIT_VARIABLE: Final = "NBPIPE_OUTPUT_LIMIT"

Revise: TypeAlias = Callable[[LearnedEffects], tuple[Pipeline, Selection] | None]


def new_run_id(now: datetime) -> RunId:
    """Give an id that sorts by time and that no other run has."""
    return RunId(f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}")


def output_limit_from_environment() -> int:
    """Give how many bytes of printed text are kept of a cell: `NBPIPE_OUTPUT_LIMIT`, or 10 MB.

    Raises:
        ConfigurationError: when the variable is no positive number.
    """
    text = os.environ.get(_LIMIT_VARIABLE, "")
    if not text:
        return DEFAULT_LIMIT
    if not text.isdecimal() or int(text) < 1:
        raise ConfigurationError(f"{_LIMIT_VARIABLE} is a number of bytes, not {text!r}.")
    return int(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One run of a pipeline.

    Attributes:
        directory: of the author's notebook: kernels start there, and paths count from there.
        notebook: the author's notebook as JSON; outputs are stitched into a copy of it.
        notebook_path: how the notebook is called in the record of the run.
        parameters: values that differ from the defaults; names and types are already checked.
        selection: None for every step.
        parallelism: how many steps run at once.
        keep_going: a failure skips only what depends on it.
        strict: a step that does what its code does not show fails.
        reuse_unverified: results that may have read files unseen are reused all the same.
        learned: what steps are known to do although their code does not show it; the pipeline was
            compiled with that.
        revise: gives the pipeline anew, and what to run of it, once a run has found that steps do
            more than was known; None when that makes no difference.
        latest_first: of the steps that are ready, the last in the notebook starts first.
        hash_seed: of the kernels; None for that of this process's environment, or 0.
        python: the Python of the kernels, whatever the notebook names; none for that of its kernel.
        variables: of the environment, for the kernels.
    """

    pipeline: Pipeline
    directory: Path
    notebook: Mapping[str, Any]
    notebook_path: str
    parameters: Mapping[Variable, ParameterValue] = field(default_factory=dict)
    selection: Selection | None = None
    parallelism: int = 1
    keep_going: bool = False
    strict: bool = False
    reuse_unverified: bool = False
    learned: LearnedEffects = field(default_factory=LearnedEffects)
    revise: Revise = lambda _changed: None
    latest_first: bool = False
    hash_seed: int | None = None
    output_limit: int = field(default_factory=output_limit_from_environment)
    make_run_id: Callable[[datetime], RunId] = new_run_id
    python: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_parameters(self) -> dict[Variable, ParameterValue]:
        """Every parameter of the pipeline, with its value in this run."""
        defaults = {parameter.name: parameter.default for parameter in self.pipeline.parameters}
        return defaults | dict(self.parameters)

    @property
    def full_selection(self) -> Selection:
        """The selection, spelled out."""
        if self.selection is not None:
            return self.selection
        return Selection(selected=frozenset(step.name for step in self.pipeline.steps))
