"""The seams: what a pool, an oracle, a strategy, a learner and a feature extractor must offer.

Anything that has these verbs will do; nothing needs to inherit from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from alkit.types import Answer, Images, LabelSpec, Mask, Query, Report, Selection, quiet

if TYPE_CHECKING:
    from alkit.clustering import Clusters


@runtime_checkable
class Pool(Protocol):
    """Images that can be asked for by id."""

    @property
    def ids(self) -> Sequence[str]:
        """All ids, different from each other, in an order that does not change."""

    def read(self, ids: Sequence[str]) -> Images:
        """Return these images, ``(n, c, h, w)``, float32 in [0, 1], all of one size, in the order asked."""


@runtime_checkable
class Oracle(Protocol):
    """Somebody, or something, that labels. Asking never waits; answers are fetched."""

    @property
    def spec(self) -> LabelSpec:
        """What its labels look like."""

    def ask(self, queries: Sequence[Query]) -> None:
        """Hand over queries and return at once. A query handed over twice is asked once."""

    def poll(self) -> Iterable[Answer]:
        """Return the answers there are by now: in any order, in part, possibly again."""


class View(Protocol):
    """What a strategy may see: a read-only, lazy look at the state of an experiment.

    Each question passes over the pool at most once and is cached: asking twice is free.
    """

    @property
    def ids(self) -> Sequence[str]:
        """All ids of the pool, sorted."""

    @property
    def candidates(self) -> Sequence[str]:
        """Ids that may be selected, sorted."""

    @property
    def labelled(self) -> Sequence[str]:
        """Ids that have a label, in the order they were chosen."""

    @property
    def round(self) -> int:
        """The round that is being selected for; 0 is the start set."""

    def features(self, extractor: FeatureExtractor) -> npt.NDArray[np.float32]:
        """Return one row per image of :attr:`ids`, ``(len(ids), d)``; `extractor` is fitted first if need be."""

    def clusters(self, extractor: FeatureExtractor, k: int) -> Clusters:
        """Return the K-means clusters of the whole pool. They belong to the experiment: every round sees the same."""


@runtime_checkable
class Strategy(Protocol):
    """Decides which images are worth labelling.

    A strategy that cannot choose before there is a model says so by a class attribute ``starts_cold = False``.
    """

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return exactly `n` of ``view.candidates``, the most wanted first; all chance comes from `rng`."""


class Labelled(Protocol):
    """What a learner may see: the labelled images, and the pretext models the experiment fitted on the pool."""

    @property
    def ids(self) -> Sequence[str]:
        """Ids that have a label, in the order they were chosen."""

    @property
    def spec(self) -> LabelSpec:
        """What the masks look like."""

    def images(self, ids: Sequence[str]) -> Images:
        """Return these images, ``(n, c, h, w)``, float32 in [0, 1]."""

    def masks(self, ids: Sequence[str]) -> npt.NDArray[np.uint8]:
        """Return these masks at the working size, ``(n, h, w)``: class ids, or the spec's ignore value."""

    def fitted(self, extractor: FeatureExtractor) -> FittedExtractor:
        """Return `extractor` fitted on the whole pool."""


@runtime_checkable
class Predictor(Protocol):
    """A trained model. There is no untrained one: a learner returns it, or a record."""

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Return class probabilities, ``(n, classes, h, w)``, float32, of images ``(n, c, h, w)`` in [0, 1]."""

    def dumps(self) -> bytes:
        """Return the model as bytes; the learner's ``loads`` brings it back, number for number."""


@runtime_checkable
class Learner(Protocol):
    """Turns labels into a predictor."""

    def fit(
        self,
        labelled: Labelled,
        rng: np.random.Generator,
        previous: Predictor | None = None,
        report: Report = quiet,
    ) -> Predictor:
        """Train on `labelled`; `previous` is the last round's model, None in the first."""

    def loads(self, dumped: bytes) -> Predictor:
        """Return the predictor whose ``dumps`` gave these bytes."""


class FittedExtractor(Protocol):
    """A fitted feature extractor."""

    def features(self, images: Images) -> npt.NDArray[np.float32]:
        """Return one row per image, ``(n, d)``, float32."""


@runtime_checkable
class FeatureExtractor(Protocol):
    """Learns to describe images without labels. An experiment fits it on its pool's images, and on no others."""

    def fit(self, pool: Pool, rng: np.random.Generator, report: Report = quiet) -> FittedExtractor:
        """Learn from the images of `pool`."""


__all__ = [
    "FeatureExtractor",
    "FittedExtractor",
    "Labelled",
    "Learner",
    "Mask",
    "Oracle",
    "Pool",
    "Predictor",
    "Strategy",
    "View",
]
