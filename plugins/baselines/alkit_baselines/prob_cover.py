"""ProbCover: label images whose surroundings, balls in feature space, cover the pool.

References
----------
Yehuda, Dekel, Hacohen, Weinshall. "Active Learning Through a Covering Lens". NeurIPS 2022, arXiv 2205.11320.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from alkit import Selection, View
from alkit.checks import check_integer, check_number
from alkit.features import check_extractor, nearest
from alkit.protocols import FeatureExtractor
from alkit.strategies import Picks

from .coverage import Ball, Coverage, middle_row, represented_rows
from .default_features import default_features

BALLS = 2000
"""Number of images whose balls are judged when the radius is chosen."""

BLOCK = 4096
"""Number of rows that are read at once."""


@dataclass(frozen=True)
class ProbCover:
    """Select images whose balls of radius delta cover the most images that no ball covers yet.

    Images within delta of a labelled image are covered at the start. The strategy needs neither labels nor a trained
    model, so it can select the start set too. It is made for small budgets.

    Parameters
    ----------
    features:
        Feature extractor, fitted on the whole pool. Default: :class:`alkit.features.Pretrained`, which needs
        ``pip install 'alkit[pretrained]'``.
    delta:
        Radius of the balls, an L2 distance in the unit of the features, a finite number > 0. None (default): the
        largest radius at which a share `purity` of the balls is pure.
    purity:
        Least share of pure balls, in (0, 1]. The paper uses 0.95 (default). A ball is pure if all its images belong to
        one cluster of K-means. Used if `delta` is None.
    clusters:
        Number of these clusters, an integer >= 1. The paper uses the number of classes. Default: 10.
    represented:
        Largest number of images that are to be covered, an integer >= 1. In a larger pool a random sample of this size
        is to be covered; the candidates are all images. Default: 20000.

    Raises
    ------
    ConfigurationError
        `features` is not a feature extractor, or a number is out of range.

    Notes
    -----
    Choices, because the paper does not specify these points, and deviations:

    - the radius is computed, not searched on a grid: a ball is pure as long as its radius is below the distance to the
      nearest image of another cluster, so the radius is just below a quantile of these distances. They are computed
      for all images, or for a random sample of 2000. With one cluster, the radius is the largest distance to one
      of these images;
    - the clusters are those of the experiment, so the radius is about the same in every round;
    - deviation: features are compared as they are; the paper scales them to length 1. On embeddings of MNIST this does
      not explain the small radius, see ``docs/explanation/embeddings.md``;
    - if the balls cover everything, the radius is halved, and the labelled images and earlier picks cover again. The
      paper does not say what to select then;
    - images that cover equally many are ordered by id;
    - the graph of neighbours, which needs N^2 memory at worst, is not built. Only images that may be the best are
      counted again, which changes nothing in the result. Memory is bounded, whatever the pool's size.

    The strategy uses `rng` only in pools of more than 2000 images, or of more than `represented` ones if `delta` is
    given.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> ids = ["a", "b", "c", "d"]
    >>> rows = np.array([[0], [1], [2], [9]], np.float32)
    >>> view = SimpleNamespace(ids=ids, candidates=ids, labelled=[], features=lambda extractor: rows)
    >>> chosen = ProbCover(delta=1.5).select(view, 2, np.random.default_rng(0))
    >>> chosen.ids
    ('b', 'd')
    >>> chosen.stands_for[0]
    'pick 1 of 2, stands for 3 images'
    """

    starts_cold: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("features",)
    when_to_use: ClassVar[str] = (
        "Use it only if you can set its radius: with its own, it was worse than random choice for the first"
        " labels on nuclei and on embeddings of MNIST."
    )

    features: FeatureExtractor = field(default_factory=default_features)
    delta: float | None = None
    purity: float = 0.95
    clusters: int = 10
    represented: int = 20_000

    def __post_init__(self) -> None:
        check_extractor("features", self.features)
        if self.delta is not None:
            check_number("delta", self.delta, 0, open_ends="(")
        check_number("purity", self.purity, 0, 1, open_ends="(")
        check_integer("clusters", self.clusters, least=1)
        check_integer("represented", self.represented, least=1)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return `n` candidates, that which covers most first, and how many images each stands for.

        Raises
        ------
        SelectionError
            There are fewer than `n` candidates, or features are not finite.
        """
        features = view.features(self.features)
        picks = Picks(view, features, n)
        if n:
            rows = represented_rows(len(features), self.represented, rng)
            cover_by_balls(picks, features, rows, self.delta or self._radius(view, features, rng))
        return picks.selection()

    def _radius(self, view: View, features: npt.NDArray[np.float32], rng: np.random.Generator) -> float:
        found = view.clusters(self.features, self.clusters)
        label = dict(zip(found.ids, found.labels.tolist(), strict=True))
        labels = np.array([label[id] for id in view.ids])
        return pure_radius(features, labels, represented_rows(len(features), BALLS, rng), self.purity)


def cover_by_balls(picks: Picks, features: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], radius: float) -> None:
    """Pick images whose balls cover the most of `rows`; halve the radius when all that can be covered is."""
    origin = middle_row(features[rows[:101]])
    least = 1e-6 * float(np.abs(features[rows[:101]] - origin).max())  # the rounding error of float32
    while picks.missing:
        coverage = Coverage(features, rows, Ball(origin, radius), [*picks.labelled, *picks.rows])
        while picks.missing:
            row, gain = coverage.best(picks.free)
            if gain < 0.5 and radius > 0:
                break
            picks.pick(row)
            coverage.add(row)
        radius = radius / 2 if radius > least else 0.0


def pure_radius(
    features: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], judged: npt.NDArray[np.int64], purity: float
) -> float:
    """Return the largest radius at which a share of the balls holds images of one cluster only.

    Parameters
    ----------
    features:
        Table, ``(N, d)``; it is read in blocks.
    labels:
        Cluster of each row, ``(N,)``.
    judged:
        Rows whose balls are judged.
    purity:
        Least share of pure balls, in (0, 1].

    Examples
    --------
    >>> rows = np.array([[0], [1], [5], [6]], np.float32)
    >>> round(pure_radius(rows, np.array([0, 0, 1, 1]), np.arange(4), purity=0.5), 3)
    5.0
    """
    distances = np.full(len(judged), np.inf)  # to the nearest image of another cluster
    for start in range(0, len(features), BLOCK):
        block, clusters = features[start : start + BLOCK], labels[start : start + BLOCK]
        for cluster in np.unique(labels[judged]):
            own, others = labels[judged] == cluster, block[clusters != cluster]
            if len(others):
                distances[own] = np.minimum(distances[own], nearest(features[judged[own]], others)[1])
    impure = int((1 - purity) * len(judged) + 1e-9)  # number of balls that may be impure
    distance = float(np.sort(distances)[min(impure, len(judged) - 1)])
    if not np.isfinite(distance):  # one cluster
        distance = float(nearest(features, features[judged[:1]])[1].max())
    return distance * (1 - 1e-6)
