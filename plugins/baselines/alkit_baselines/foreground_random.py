"""Foreground-random: label random images in which the model sees something.

References
----------
Lüth et al. "nnActive: A Framework for Evaluation of Active Learning in 3D Biomedical Segmentation". TMLR 2025, arXiv
2511.19183: "foreground aware random" sampling, which no method beat reliably.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alkit import Selection, View
from alkit.checks import check_number
from alkit.strategies import Picks, check_n

from .predicted import as_rows, digests


@dataclass(frozen=True)
class ForegroundRandom:
    """Draw images at random among those for which the model predicts foreground.

    The strategy needs a trained model; before the first one, :class:`Random` selects.

    Parameters
    ----------
    share:
        Share of the batch that is drawn among images with predicted foreground, in (0, 1]; the rest is drawn among all
        candidates. Default: 1. nnActive uses 2/3 and 1/3.
    least:
        Least share of an image's pixels that must be predicted as foreground, in [0, 1). Default: 0, so that one pixel
        is enough.

    Raises
    ------
    ConfigurationError
        A number is out of range.

    Notes
    -----
    Choices and deviations:

    - foreground is every class but the first one, at pixels where it is the most probable. If a label is a class
      of the whole image, an image has foreground if its predicted class is not the first one;
    - deviation: nnActive draws patches whose centre lies in the foreground of the true labels, which real projects do
      not have. Here whole images are drawn, by the foreground that the last model predicts;
    - if there are too few images with foreground, other candidates fill the batch at random;
    - a candidate with the same prediction as an image drawn before, which identical images have, is drawn last.
      Labelled images do not take part: they have no prediction.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from alkit import Predictions
    >>> found = Predictions(("a", "b", "c"), np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]], np.float32))
    >>> ids = ["a", "b", "c"]
    >>> view = SimpleNamespace(ids=ids, candidates=ids, labelled=[], predictions=lambda: [found])
    >>> chosen = ForegroundRandom().select(view, 2, np.random.default_rng(0))
    >>> chosen.ids[0], chosen.stands_for[0]
    ('b', 'pick 1 of 2, one of 1 image with predicted foreground')
    """

    starts_cold: ClassVar[bool] = False
    when_to_use: ClassVar[str] = (
        "Use it as the baseline of segmentation after the first labels: in nnActive, no method reliably beat "
        "random choice with enough foreground."
    )

    share: float = 1.0
    least: float = 0.0

    def __post_init__(self) -> None:
        check_number("share", self.share, 0, 1, open_ends="(")
        check_number("least", self.least, 0, 1, open_ends=")")

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return `n` candidates in random order: those with predicted foreground first, then the others.

        Raises
        ------
        SelectionError
            There are fewer than `n` candidates.
        """
        check_n(n, view.candidates)
        if n == 0:
            return Selection(())
        found: dict[str, bytes] = {}
        areas: dict[str, float] = {}  # shares of foreground
        for batch in view.predictions():
            found.update(zip(batch.ids, digests(batch.probabilities), strict=True))
            shown = (batch.labels > 0).reshape(len(batch.ids), -1).mean(axis=1)
            areas.update(zip(batch.ids, shown.tolist(), strict=True))
        picks = Picks(view, as_rows(view.ids, found), n)
        foreground = np.array([areas.get(id, 0.0) > self.least for id in view.ids])
        noise = rng.random(len(view.ids))
        wanted = min(n, int(np.ceil(self.share * n - 1e-9)))
        for turn in range(n):
            among = noise + 2.0 * foreground if turn < wanted else noise
            picks.pick(picks.best(among))
        count = int(foreground.sum())
        return Selection(picks.ids, stands_for=tuple(_words(picks, foreground, count, n)))


def _words(picks: Picks, foreground: np.ndarray, count: int, n: int) -> list[str]:
    seen = f"one of {count} image{'' if count == 1 else 's'} with predicted foreground"
    return [
        f"pick {turn} of {n}, {seen if foreground[row] else 'no predicted foreground'}"
        for turn, row in enumerate(picks.rows, start=1)
    ]
