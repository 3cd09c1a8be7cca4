"""MaxHerding: label images that maximise the generalised coverage of the pool, a smooth form of ProbCover.

References
----------
Bae, Noh, Sutherland. "Generalized Coverage for More Robust Low-Budget Active Learning". ECCV 2024, arXiv 2407.12212.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from alkit import Selection, View
from alkit.checks import check_integer, check_number
from alkit.features import check_extractor
from alkit.protocols import FeatureExtractor
from alkit.strategies import Picks

from .coverage import Coverage, Gaussian, cover, middle_row, represented_rows
from .default_features import default_features

PAIRED = 1000
"""Number of images whose distances to each other give the width of the kernel."""


@dataclass(frozen=True)
class MaxHerding:
    """Select images that maximise the generalised coverage of the pool: the mean of max k(x, s).

    k is a Gaussian kernel and s a labelled or selected image. The next image is the one that raises the coverage most.
    The strategy needs neither labels nor a trained model, so it can select the start set too.

    Parameters
    ----------
    features:
        Feature extractor, fitted on the whole pool. Default: :class:`alkit.features.Pretrained`, which needs
        ``pip install 'alkit[pretrained]'``.
    width:
        Width w of the kernel exp(-d^2 / (2 w^2)) of the L2 distance d, a finite number > 0 in the unit of the features.
        None (default): the median distance between images, of all images or of a random sample of 1000.
    represented:
        Largest number of images in the mean, an integer >= 1. In a larger pool the mean is over a random sample of this
        size; the candidates are all images. Default: 20000.

    Raises
    ------
    ConfigurationError
        `features` is not a feature extractor, or a number is out of range.

    Notes
    -----
    Choices and deviations:

    - the paper scales features to length 1 and uses width 1, which is close to the median distance of such features.
      Here features are compared as they are, so the width follows their scale. With a single image or only
      identical ones the width does not matter;
    - labelled images count as selected before the first image;
    - gains within the rounding error of float32 are equal, and equal gains are ordered by id.

    With a kernel that is 1 up to a distance and 0 beyond, the coverage is that of ProbCover. Only images whose old gain
    is high enough are computed again, which changes nothing in the result. Memory is bounded, whatever the pool's size.

    The strategy uses `rng` only in pools of more than 1000 images, or of more than `represented` ones if a width is
    given.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> ids = ["a", "b", "c", "d"]
    >>> rows = np.array([[0], [1], [2], [9]], np.float32)
    >>> view = SimpleNamespace(ids=ids, candidates=ids, labelled=[], features=lambda extractor: rows)
    >>> chosen = MaxHerding(width=1.0).select(view, 2, np.random.default_rng(0))
    >>> chosen.ids
    ('b', 'd')
    >>> chosen.stands_for[0]
    'pick 1 of 2, stands for 3 images'
    """

    starts_cold: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("features",)
    when_to_use: ClassVar[str] = (
        "Use it for the first 5 to 20 labels: with ten labels on three data sets, a linear learner gained .026 in "
        "Dice over random choice, and .038 in the mean over kinds of image."
    )

    features: FeatureExtractor = field(default_factory=default_features)
    width: float | None = None
    represented: int = 20_000

    def __post_init__(self) -> None:
        check_extractor("features", self.features)
        check_integer("represented", self.represented, least=1)
        if self.width is not None:
            check_number("width", self.width, 0, open_ends="(")

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return `n` candidates, that with the highest gain first, and how many images each stands for.

        Raises
        ------
        SelectionError
            There are fewer than `n` candidates, or features are not finite.
        """
        features = view.features(self.features)
        picks = Picks(view, features, n)
        if n:
            rows = represented_rows(len(features), self.represented, rng)
            width = self.width or median_distance(features[represented_rows(len(features), PAIRED, rng)])
            kernel = Gaussian(middle_row(features[rows[:101]]), width)
            cover(picks, Coverage(features, rows, kernel, picks.labelled))
        return picks.selection()


def median_distance(rows: npt.NDArray[np.float32]) -> float:
    """Return the median L2 distance between different rows, over all pairs; 1 if there are none.

    >>> median_distance(np.array([[0], [0], [3], [4]], np.float32))
    3.0
    """
    from scipy.spatial.distance import pdist  # slow to import

    distances = pdist(rows.astype(np.float64))
    distances = distances[distances > 0]
    return float(np.median(distances)) if len(distances) else 1.0
