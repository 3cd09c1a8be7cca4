"""BADGE: label a diverse batch of images that would change the model's last layer much.

References
----------
Ash, Zhang, Krishnamurthy, Langford, Agarwal. "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds".
ICLR 2020, arXiv 1906.03671.

Arthur, Vassilvitskii. "k-means++: The Advantages of Careful Seeding". SODA 2007.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from alkit import Predictions, Selection, View
from alkit.features import OfLearner
from alkit.strategies import Picks

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class BADGE:
    """Draw a batch by k-means++ from the gradients of the model's last layer: uncertain images, unlike each other.

    The gradient of an image is that of the loss if the model's own prediction were the label, (p - y) times the
    features before the last layer. Its length is large if the model is uncertain, its direction says what would
    change. An image is drawn with a probability proportional to the squared distance of its gradient to the nearest
    one drawn before. The strategy needs a trained model whose features alkit can read
    (:class:`alkit.features.OfLearner`).

    Notes
    -----
    Choices and deviations:

    - the first image is drawn in proportion to the squared length of the gradient. The paper draws it uniformly, and
      the authors' code takes the longest gradient. An image that is labelled and learned has a gradient near 0, so
      this is the distance to the labelled images;
    - pooled form for segmentation: the gradient of a mask would need the features of every pixel. Here p - y is
      averaged over the pixels of each predicted class, one block for each class, and multiplied by the pooled features
      of the image. With one block, uncertain pixels on both sides of a contour would cancel;
    - if an image can have several classes, the gradient is that of binary cross-entropy summed over the classes: p is
      the probability that the image has a class, and y is 1 if p is above 1/2, else 0;
    - an image with the same features as a labelled image or an image drawn before is drawn last;
    - if all gradients left are equal to those drawn, the next image is drawn uniformly.

    The gradients, classes times features numbers for each image, are never computed: a distance follows from the
    products of both factors.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from alkit import Predictions
    >>> ids = ["a", "b", "c"]
    >>> found = Predictions(("a", "b", "c"), np.array([[0.99, 0.01], [0.5, 0.5], [1.0, 0.0]], np.float32))
    >>> view = SimpleNamespace(
    ...     ids=ids, candidates=ids, labelled=[], features=lambda extractor: np.eye(3, dtype=np.float32),
    ...     predictions=lambda: [found],
    ... )
    >>> BADGE().select(view, 1, np.random.default_rng(0)).ids
    ('b',)
    """

    starts_cold: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("model-features",)
    when_to_use: ClassVar[str] = (
        "Use it after the first labels, for large batches: in its paper it is as good as or better than "
        "uncertainty and diversity alone in most settings."
    )

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return `n` candidates in the order in which they were drawn, and how many images each stands for.

        Raises
        ------
        SelectionError
            There are fewer than `n` candidates, or features are not finite.
        """
        features = view.features(OfLearner())
        picks = Picks(view, features, n)
        if n:
            errors = prediction_errors(view.ids, view.predictions())
            distances = Distances(errors, features)
            while picks.missing:
                row = draw(np.where(picks.free, distances.squared, 0), picks.free, rng)
                picks.pick(row)
                distances.add(row)
        return picks.selection()


def prediction_errors(ids: Iterable[str], predictions: Iterable[Predictions]) -> Floats:
    """Return p - y of each image, y the predicted class; rows of images without a prediction are 0.

    Per image, ``(N, classes)``, also if an image can have several classes. Per pixel, ``(N, classes * classes)``: a
    block for each predicted class, the sum of p - y over its pixels divided by the number of all pixels.

    Examples
    --------
    >>> prediction_errors(["a", "b"], [Predictions(("b",), np.array([[0.25, 0.75]], np.float32))])
    array([[ 0.  ,  0.  ],
           [ 0.25, -0.25]], dtype=float32)
    """
    place = {id: row for row, id in enumerate(ids)}
    errors: Floats = np.zeros((len(place), 0), np.float32)
    for batch in predictions:
        found = _errors(batch.probabilities)
        if not errors.shape[1]:
            errors = np.zeros((len(place), found.shape[1]), np.float32)
        errors[[place[id] for id in batch.ids]] = found
    return errors


def _errors(probabilities: Floats) -> Floats:
    n, classes = probabilities.shape[:2]
    predicted = probabilities.argmax(axis=1)
    if probabilities.ndim == 3:  # of several classes per image, absent and present
        of_sets: Floats = probabilities[:, 1] - predicted.astype(np.float32)
        return of_sets
    if probabilities.ndim == 2:
        errors = probabilities.copy()
        errors[np.arange(n), predicted] -= 1
        return errors
    found = np.empty((n, classes, classes), np.float32)
    for label in range(classes):
        chosen = predicted == label  # (n, h, w)
        found[:, label] = np.where(chosen[:, None], probabilities, 0).mean(axis=(2, 3), dtype=np.float64)
        found[:, label, label] -= chosen.mean(axis=(1, 2))
    return found.reshape(n, -1)


class Distances:
    """Squared distance of each gradient to the nearest one drawn so far; at first, to 0.

    The gradient of row i is the outer product of ``errors[i]`` and ``features[i]``.
    """

    def __init__(self, errors: Floats, features: Floats) -> None:
        self._errors, self._features = errors, features
        self._lengths = np.einsum("nc,nc->n", errors, errors, dtype=np.float64)
        self._lengths *= _squared_lengths(features)
        self.squared = self._lengths.copy()
        self._first = True

    def add(self, row: int) -> None:
        """Let one more row be drawn."""
        products = (self._errors @ self._errors[row]).astype(np.float64) * (self._features @ self._features[row])
        squared = np.maximum(self._lengths + self._lengths[row] - 2 * products, 0)
        squared[squared < 1e-6 * (self._lengths + self._lengths[row])] = 0  # the rounding error of float32
        self.squared = squared if self._first else np.minimum(self.squared, squared)
        self._first = False


def _squared_lengths(features: Floats) -> npt.NDArray[np.float64]:
    lengths = np.empty(len(features))
    for start in range(0, len(features), 4096):
        block = features[start : start + 4096]
        lengths[start : start + 4096] = np.einsum("nd,nd->n", block, block, dtype=np.float64)
    return lengths


def draw(weights: npt.NDArray[np.float64], free: npt.NDArray[np.bool_], rng: np.random.Generator) -> int:
    """Draw a free row with a probability proportional to its weight; uniformly if all weights are 0.

    >>> draw(np.array([0.0, 2.0, 0.0]), np.array([True, True, True]), np.random.default_rng(0))
    1
    """
    total = np.cumsum(weights)
    if total[-1] <= 0:
        total = np.cumsum(free, dtype=np.float64)
    row = int(np.searchsorted(total, rng.random() * total[-1], side="right"))
    return min(row, int(np.searchsorted(total, total[-1], side="left")))  # a product may round up to the total
