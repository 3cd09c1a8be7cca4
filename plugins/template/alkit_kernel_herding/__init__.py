"""Kernel herding: label images whose distribution is that of the pool.

References
----------
Chen, Welling, Smola. "Super-Samples from Kernel Herding". UAI 2010, arXiv 1203.3472, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from alkit import Selection, View
from alkit.checks import check_number
from alkit.features import check_extractor
from alkit.protocols import FeatureExtractor
from alkit.strategies import Picks
from scipy.spatial.distance import cdist

BLOCK = 256
"""Number of rows whose distances are in memory at once; otherwise memory would grow as the square of the pool."""


def _reconstruction() -> FeatureExtractor:
    from alkit import Reconstruction  # imports torch, so not before an instance is made

    return Reconstruction()


@dataclass(frozen=True)
class KernelHerding:
    """Select images that together resemble the whole pool: in dense regions, and away from labelled images.

    After t images s, the next image x maximises the mean of k(x, y) over the images y of the pool, minus the sum of
    k(x, s) divided by t + 1. k is a Gaussian kernel. The strategy needs neither labels nor a trained model, so it can
    select the start set too.

    Parameters
    ----------
    features:
        Feature extractor, fitted on the whole pool. Default: :class:`alkit.Reconstruction`.
    width:
        Width w of the kernel exp(-d^2 / (2 w^2)), as a multiple of the root of the mean squared L2 distance between
        images; a finite number > 0. Default: 0.5.

    Raises
    ------
    ConfigurationError
        `features` is not a feature extractor, or `width` is out of range.

    Notes
    -----
    Choices, because the paper does not specify these points, and deviations:

    - deviation: the paper samples from a distribution, and may take a point twice. Here an image is selected once, and
      an image with the same features as a selected one comes last;
    - labelled images count as selected before the first image;
    - an image that was queried and has no label, such as a skipped image, belongs to the pool and not to the selected
      images;
    - ties are broken by id.

    Nothing is random. A pool of N images costs N^2 distances.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> ids = ["a", "b", "c", "d", "e"]
    >>> rows = np.array([[0], [1], [2], [90], [91]], dtype=np.float32)
    >>> view = SimpleNamespace(ids=ids, candidates=ids, labelled=[], features=lambda extractor: rows)
    >>> chosen = KernelHerding(width=0.1).select(view, 2, np.random.default_rng(0))
    >>> chosen.ids
    ('b', 'd')
    >>> chosen.stands_for
    ('pick 1 of 2, stands for 3 images', 'pick 2 of 2, stands for 2 images')
    """

    starts_cold: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("features",)
    when_to_use: ClassVar[str] = "Use it for the first labels, if they are to look like a sample of the pool."

    features: FeatureExtractor = field(default_factory=_reconstruction)
    width: float = 0.5

    def __post_init__(self) -> None:
        check_extractor("features", self.features)
        check_number("width", self.width, 0, open_ends="(")

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return `n` candidates, the one most like the pool first, and how many images each stands for."""
        rows = view.features(self.features)
        picks = Picks(view, rows, n)
        if n == 0:
            return Selection(())
        width = self.width * float(np.sqrt(2 * rows.var(axis=0, dtype=np.float64).sum())) or 1.0
        wanted = mean_kernel(rows, width)
        selected = np.zeros(len(rows))  # the sum of the kernel over labelled and selected images
        for row in picks.labelled:
            selected += kernel(rows, rows[[row]], width)[:, 0]
        for turn in range(len(picks.labelled), len(picks.labelled) + n):
            row = picks.best(np.round(wanted - selected / (turn + 1), 12))
            picks.pick(row)
            selected += kernel(rows, rows[[row]], width)[:, 0]
        return picks.selection()


def kernel(rows: npt.NDArray[np.float32], others: npt.NDArray[np.float32], width: float) -> npt.NDArray[np.float64]:
    """Return the Gaussian kernel of all pairs, ``(n, m)``."""
    return np.exp(cdist(rows, others, "sqeuclidean") / (-2 * width**2))


def mean_kernel(rows: npt.NDArray[np.float32], width: float) -> npt.NDArray[np.float64]:
    """Return the mean of the kernel between each row and all rows.

    Parameters
    ----------
    rows:
        Features, ``(N, d)``, finite, N >= 1.
    width:
        Width of the kernel in the unit of the features.

    Returns
    -------
    ndarray
        ``(N,)``, float64, in (0, 1].

    Examples
    --------
    >>> mean_kernel(np.array([[0], [0], [100]], dtype=np.float32), width=1.0).round(3)
    array([0.667, 0.667, 0.333])
    """
    starts = range(0, len(rows), BLOCK)
    return np.concatenate([kernel(rows[start : start + BLOCK], rows, width).mean(axis=1) for start in starts])


__all__ = ["KernelHerding", "kernel", "mean_kernel"]
