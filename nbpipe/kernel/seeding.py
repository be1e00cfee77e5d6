"""The per-step seed of the global random generators.

Covered are the generators a process has one of: `random`, and NumPy's legacy one (which pandas,
SciPy and scikit-learn fall back on). NumPy is not imported for this: where it is not loaded yet,
its generator is seeded the moment it comes to life. Not covered are generators that a step makes
itself without a seed (`np.random.default_rng()`), and those of other libraries (torch).
"""

from __future__ import annotations

import importlib.machinery
import random
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from types import ModuleType
from typing import Final

from nbpipe.kernel.random_streams import mark_stream, mark_streams

_NUMPY_GENERATOR: Final = "numpy.random"


def seed_generators(seed: int) -> None:
    """Seed what is loaded now, and NumPy's generator when it is loaded later."""
    random.seed(seed)
    loaded = sys.modules.get(_NUMPY_GENERATOR)
    if loaded is not None:
        loaded.seed(seed)
    else:
        sys.meta_path.insert(0, _SeedOnImport(seed))
    mark_streams()


class _SeedOnImport(MetaPathFinder):
    """Wait for the import of `numpy.random`, and stand aside from then on."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _NUMPY_GENERATOR:
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _SeedingLoader(spec.loader, self._seed)
                return spec
        return None


class _SeedingLoader(Loader):
    def __init__(self, loader: Loader, seed: int) -> None:
        self._loader = loader
        self._seed = seed

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # Whoever looks at the module later sees its own loader again.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        module.seed(self._seed)
        mark_stream("@numpy.random")
