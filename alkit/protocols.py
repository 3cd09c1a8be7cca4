"""The seams: what a pool, an oracle, a strategy, a learner and a feature extractor must offer.

Anything that has these verbs will do; nothing needs to inherit from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from alkit.rng import Stream
from alkit.values.answers import Answer
from alkit.values.label_spec import Images, Label, LabelSpec
from alkit.values.predictions import Predictions
from alkit.values.progress import Report, quiet
from alkit.values.queries import Query
from alkit.values.selection import Selection

if TYPE_CHECKING:
    from torch import Tensor

    from alkit.values.clusters import Clusters


Score = Callable[..., "Tensor"]
"""An acquisition score: from moments of a batch to ``(n, *space)`` or ``(n,)``; higher is more informative."""

Reduction = Callable[["Tensor"], "Tensor"]
"""From the pixels of each image, ``(n, *space)``, to one number per image, ``(n,)``."""


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
    """Somebody, or something, that labels. Asking never waits; answers are fetched.

    One that can pass on why an answer was not taken, or was sent back, has a method ``refused(answer, reason)``; and
    one that can say which queries were withdrawn, ``cancelled(queries)``.
    """

    @property
    def spec(self) -> LabelSpec:
        """What its labels look like."""

    def ask(self, queries: Sequence[Query]) -> None:
        """Hand over queries and return at once. A query handed over twice is asked once."""

    def poll(self) -> Iterable[Answer]:
        """Return the answers there are by now: in any order, in part, possibly again."""


class View(Protocol):
    """What a strategy may see: a read-only, lazy look at the state of an experiment.

    Features, clusters and scores pass over the pool at most once and are cached: asking for the same again is free.
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

    def scores(
        self, score: Score, sampler: Sampler | None = None, reduction: Reduction | None = None
    ) -> Mapping[str, float]:
        """Return the acquisition score of each candidate by the last round's model, finite, in sorted order of ids.

        Parameters
        ----------
        score:
            From :mod:`alkit.scores`, or any function of the same kind.
        sampler:
            Draws predictions: :class:`alkit.Dropout` or :class:`alkit.samplers.Members`. None takes the deterministic
            prediction as the only draw.
        reduction:
            From an image's pixels to one number; default: their mean, :func:`alkit.scores.mean`.

        Raises
        ------
        ColdStartError
            There is no model yet.
        ConfigurationError
            The model cannot be sampled in this way.
        SelectionError
            A prediction or a score is not finite; the image is named.
        """

    def predictions(self) -> Iterator[Predictions]:
        """Yield the last model's predictions of the candidates, in batches that fit in memory."""


@runtime_checkable
class Strategy(Protocol):
    """Decides which images are worth labelling.

    A strategy that cannot choose before there is a model says so by an attribute ``starts_cold = False``; what else it
    relies on it may say by ``needs``, a tuple of ``features``, ``dropout``, ``members``, ``heads``, ``pseudo-labels``.
    """

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return exactly `n` of ``view.candidates``, the most wanted first; all chance comes from `rng`."""


class Labelled(Protocol):
    """What a learner may see: the labelled images, and the pretext models the experiment fitted on the pool."""

    @property
    def ids(self) -> Sequence[str]:
        """Ids to learn from: those with a label, in the order they were chosen, then those with a pseudo-label."""

    @property
    def pseudo_ids(self) -> Sequence[str]:
        """Those of :attr:`ids` whose label is a model's prediction and nobody's answer."""

    @property
    def spec(self) -> LabelSpec:
        """What the labels look like."""

    def images(self, ids: Sequence[str]) -> Images:
        """Return these images, ``(n, c, h, w)``, float32 in [0, 1]."""

    def labels(self, ids: Sequence[str]) -> Label:
        """Return these labels: masks at the working size, ``(n, h, w)``, uint8; or class ids, ``(n,)``, int64."""

    def fitted(self, extractor: FeatureExtractor) -> FittedExtractor:
        """Return `extractor` fitted on the whole pool."""


@runtime_checkable
class Predictor(Protocol):
    """A trained model. There is no untrained one: a learner returns it, or a record.

    One that can say more than its prediction has a method ``posterior(images) -> Posterior``; an ensemble also has its
    ``members``, a sequence of predictors, and predicts the mean of their probabilities.
    """

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Return class probabilities, float32, of images ``(n, c, h, w)`` in [0, 1].

        Of each pixel, ``(n, classes, h, w)``, or of each image, ``(n, classes)``.
        """

    def dumps(self) -> bytes:
        """Return the model as bytes; the learner's ``loads`` brings it back, number for number."""


class Posterior(Protocol):
    """One batch of images inside a model; what all questions share, such as the encoder, is computed once.

    A model offers those verbs it can. Each tensor holds class probabilities, ``(n, classes, *space)``, on the model's
    device; ``space`` is ``(h, w)``, or empty for one class per image.
    """

    def prediction(self) -> Tensor:
        """Return the deterministic prediction."""

    def dropout(self, draws: int, stream: Stream) -> Iterator[Tensor]:
        """Yield `draws` predictions with dropout, several at a time: ``(k, n, classes, *space)``."""

    def members(self) -> Iterator[Tensor]:
        """Yield the prediction of each member of an ensemble: ``(1, n, classes, *space)``."""

    def heads(self) -> tuple[Tensor, ...]:
        """Return the prediction of each head of deep supervision, the final one first."""


class Sampler(Protocol):
    """Draws predictions from a model: by dropout, or by the members of an ensemble.

    What the model must have for that it may say by ``needs``, as a strategy does: ``("dropout",)``.
    """

    def sample(self, posterior: Posterior, stream: Stream) -> Iterator[Tensor]:
        """Yield all draws, several at a time, ``(k, n, classes, *space)``; all chance comes from `stream`."""


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
    "Oracle",
    "Pool",
    "Posterior",
    "Predictor",
    "Reduction",
    "Sampler",
    "Score",
    "Strategy",
    "View",
]
