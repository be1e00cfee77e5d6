"""Names for what the script adds, so that they hide nothing of the notebook's."""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Iterable
from typing import Final

from nbpipe.dataflow.standard_library import STANDARD_LIBRARY
from nbpipe.model.pipeline import Pipeline

_BUILTINS: Final = frozenset(dir(builtins))


class FreeNames:
    """Gives out names that are not taken yet."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = {*taken, *_BUILTINS, *keyword.kwlist}

    def take(self, wanted: str, *others: str) -> str:
        """Give `wanted`, or the first of `others` that is free, or one of them with a number."""
        names = (wanted, *others)
        candidates = [*names, *(f"{names[-1]}_{number}" for number in range(2, 10_000))]
        chosen = next(name for name in candidates if name not in self._taken)
        self._taken.add(chosen)
        return chosen


def module_name(pipeline: Pipeline) -> str:
    """Give a module name for the pipeline that hides no module its code imports."""
    name = pipeline.name.replace("-", "_")
    return FreeNames({*STANDARD_LIBRARY, *pipeline.imports}).take(name, f"{name}_pipeline")
