"""Small, real parts for the tests: a world of images with masks, and a learner that needs no gradient."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

import alkit
from alkit.values import quiet

CLASSES = ("skin", "lesion")


@dataclass(frozen=True, eq=False)
class MeanPredictor:
    """Predicts, for every image, how often each pixel was a lesion in training; chance adds a little noise."""

    lesion: np.ndarray

    def probabilities(self, images):
        lesion = np.broadcast_to(self.lesion, (len(images), *self.lesion.shape))
        return np.stack([1 - lesion, lesion], axis=1).astype(np.float32)

    def dumps(self) -> bytes:
        return np.array(self.lesion.shape, np.int64).tobytes() + self.lesion.tobytes()


@dataclass(frozen=True)
class MeanLearner:
    """The least learner that uses all it is given: labels, chance, and the previous model."""

    noise: float = 0.01

    def fit(self, labelled, rng, previous=None, report=quiet):
        mean = labelled.labels(labelled.ids).mean(axis=0)
        if previous is not None:
            mean = (mean + previous.lesion) / 2
        report(alkit.values.Progress("fit", 1, 1))
        return MeanPredictor(np.clip(mean + self.noise * rng.standard_normal(mean.shape), 0, 1))

    def loads(self, dumped):
        shape = np.frombuffer(dumped[:16], np.int64)
        return MeanPredictor(np.frombuffer(dumped[16:]).reshape(shape))


@dataclass(frozen=True)
class Blind:
    """A learner of somebody else: it reports no progress, and its models see nothing.

    Each pixel has the probability `first` of the first class, and the rest is that of the second.
    """

    first: float

    def fit(self, labelled, rng, previous=None, report=None):
        return self

    def loads(self, dumped):
        return self

    def dumps(self):
        return b""

    def probabilities(self, images):
        first = np.full((len(images), *images.shape[-2:]), self.first, np.float32)
        return np.stack([first, 1 - first], axis=1)


@dataclass(frozen=True)
class World:
    """A small problem with everything an experiment needs."""

    pool: alkit.protocols.Pool
    test: alkit.protocols.Pool
    oracle: alkit.MaskOracle
    masks: dict[str, np.ndarray]
    learner: MeanLearner = field(default_factory=MeanLearner)

    def experiment(self, store=None, strategy=None, **arguments) -> alkit.Experiment:
        arguments = {"learner": self.learner, "strategy": strategy or alkit.strategy("random"), **arguments}
        return alkit.Experiment(self.pool, store=store, **arguments)
