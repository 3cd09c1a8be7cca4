"""The parts of the campaign, without torch; what they do is a point, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from alkit.values import Progress, Selection, quiet


def reach(name: str) -> None:
    """Tell that a point is reached."""
    reached[0](name)


reached: list[Callable[[str], None]] = [lambda name: None]

ENTRY_POINTS = """\
[alkit.learners]
brief = interleaving.parts:Brief
briefer = interleaving.parts:Briefer
[alkit.features]
rows = interleaving.parts:Rows
[alkit.strategies]
last = interleaving.parts:Last
"""


@dataclass(frozen=True, eq=False)
class Model:
    """Predicts how frequent each class was in training: at each pixel, or of images."""

    shares: np.ndarray

    def probabilities(self, images: Any) -> np.ndarray:
        return np.broadcast_to(self.shares, (len(images), *self.shares.shape)).astype(np.float32)

    def dumps(self) -> bytes:
        shape = np.array([self.shares.ndim, *self.shares.shape], np.int64)
        return shape.tobytes() + self.shares.astype(np.float64).tobytes()


@dataclass(frozen=True)
class Brief:
    """Learns the shares of the classes."""

    smooth: float = 0.5

    def fit(self, labelled: Any, rng: Any, previous: Any = None, report: Any = quiet) -> Model:
        reach("learner fits")
        labels = labelled.labels(labelled.ids)
        labelled.images(labelled.ids)
        classes = len(labelled.spec.classes)
        counts = np.stack([(labels == number).sum(axis=0) for number in range(classes)]) + self.smooth
        report(Progress("fit", 1, 1))
        reach("learner has fitted")
        return Model(counts / counts.sum(axis=0))

    def loads(self, dumped: bytes) -> Model:
        reach("learner loads")
        (ndim,) = np.frombuffer(dumped[:8], np.int64)
        shape = np.frombuffer(dumped[8 : 8 * (1 + ndim)], np.int64)
        return Model(np.frombuffer(dumped[8 * (1 + ndim) :]).reshape(shape))


@dataclass(frozen=True)
class Briefer(Brief):
    """Another learner."""


@dataclass(frozen=True)
class Rows:
    """The least feature extractor: the pixels of an image."""

    def fit(self, pool: Any, rng: Any, report: Any = quiet) -> Rows:
        reach("extractor fits")
        return self

    def features(self, images: Any) -> np.ndarray:
        return np.asarray(images.reshape(len(images), -1))


@dataclass(frozen=True)
class Last:
    """Chooses the candidates that are last by id, and asks for a pseudo-label of the first."""

    needs = ()
    starts_cold = False

    def select(self, view: Any, n: int, rng: Any) -> Selection:
        reach("strategy selects")
        candidates = sorted(view.candidates)
        return Selection(tuple(candidates[-n:]), pseudo_labels=tuple(candidates[: len(candidates) - n][:1]))
