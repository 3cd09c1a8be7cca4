"""Stand-ins for torch in a process that is forked thousands of times: with torch a child costs ten times more.

The torture tests train nothing that needs torch. alkit imports it even so, to set the number of threads, to resize
masks, and to predict pseudo-labels. Here the masks have the size of their images, and a model returns arrays.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import alkit
from alkit.features import clustering
from alkit.pools.batches import batches
from alkit.record import guard, sqlite


class _Module(ModuleType):
    """A module that has every class."""

    __path__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _Finder(MetaPathFinder, Loader):
    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] == "torch" else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = _Module(spec.name)
        compiler, random = SimpleNamespace(is_compiling=lambda: False), SimpleNamespace(fork_rng=nullcontext)
        vars(module).update(compiler=compiler, random=random, manual_seed=lambda seed: None)
        vars(module).update(get_num_threads=lambda: 1, set_num_threads=lambda count: None)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


class Scoring:
    """Predictions for pseudo-labels, as :class:`alkit.scores.streamed.Scoring` gives them."""

    def __init__(self, pool: Any, predictor: Any, stream: Any, report: Any = alkit.values.quiet, **_: Any) -> None:
        self._pool, self._predictor = pool, predictor

    def predictions(self, ids: Sequence[str]) -> Iterator[alkit.Predictions]:
        for some in batches(ids, self._pool):
            yield alkit.Predictions(tuple(some), self._predictor.probabilities(self._pool.read(some)))


def stand_in() -> None:
    """Put the stand-ins in place of torch; it must not have been imported."""
    assert "torch" not in sys.modules
    sys.meta_path.insert(0, _Finder())
    streamed = ModuleType("alkit.scores.streamed")
    vars(streamed).update(Scoring=Scoring)
    sys.modules[streamed.__name__] = streamed


def preload() -> None:
    """Import what the children use, and nothing that is large."""
    for name in (
        "experiment.loop", "trained.folder", "oracles.folder.oracle", "features.clustering", "pictures.overlay",
        "labels.resizing", "record.check", "record.repairing",
    ):  # fmt: skip
        __import__(f"alkit.{name}")
    clustering._centres = lambda rows, k, rng: rows[:k]  # without scikit-learn and faiss
    sqlite.make_engine = functools.cache(sqlite.make_engine)  # its compiled statements; it keeps no connection


def trust_schemas() -> None:
    """Leave out the check of a database's schema: it writes nothing, and takes a third of the time of a connection."""
    guard.check_schema = lambda shown, connection: None
