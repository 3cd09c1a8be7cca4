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

from .predicted import as_rows, image_digests, prediction_digests


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
      of the whole image, an image has foreground if its predicted class is not the first one; if it can have several
      classes, if any is predicted, and its share of foreground is that of the classes;
    - deviation: nnActive draws patches whose centre lies in the foreground of the true labels, which real projects do
      not have. Here whole images are drawn, by the foreground that the last model predicts;
    - if there are too few images with foreground, other candidates fill the batch at random;
    - a candidate that is identical to a labelled image or to an earlier pick is drawn last. A view without digests of
      its images cannot tell; then a candidate with the same prediction as an earlier pick is drawn last;
    - a pick stands for its share of the candidates with predicted foreground, or of those without, which are divided
      equally among the picks of their kind. With a `share` of 1, the images without foreground have no pick unless the
      others run out.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from alkit import Predictions
    >>> found = Predictions(("a", "b", "c"), np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]], np.float32))
    >>> ids = ["a", "b", "c"]
    >>> view = SimpleNamespace(ids=ids, candidates=ids, labelled=[], predictions=lambda: [found])
    >>> chosen = ForegroundRandom().select(view, 2, np.random.default_rng(0))
    >>> chosen.ids[0], chosen.stands_for[0]
    ('b', 'pick 1 of 2, stands for 1 of 1 image with predicted foreground')
    >>> chosen.stands_for[1]
    'pick 2 of 2, stands for 2 of 2 images without predicted foreground'
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
        known, found = image_digests(view), dict[str, bytes]()
        areas: dict[str, float] = {}  # shares of foreground
        for batch in view.predictions():
            if not known:
                found.update(zip(batch.ids, prediction_digests(batch.probabilities), strict=True))
            shown = (batch.labels > 0).reshape(len(batch.ids), -1).mean(axis=1)
            areas.update(zip(batch.ids, shown.tolist(), strict=True))
        picks = Picks(view, as_rows(view.ids, known or found), n)
        foreground = np.array([areas.get(id, 0.0) > self.least for id in view.ids])
        noise = rng.random(len(view.ids))
        wanted = min(n, int(np.ceil(self.share * n - 1e-9)))
        for turn in range(n):
            among = noise + 2.0 * foreground if turn < wanted else noise
            picks.pick(picks.best(among))
        kinds = [bool(kind) for kind in foreground[picks.rows]]
        most = {True: sum(area > self.least for area in areas.values())}
        most[False] = len(view.candidates) - most[True]
        return Selection(picks.ids, stands_for=tuple(_words(kinds, most)))


def _words(kinds: list[bool], candidates: dict[bool, int]) -> list[str]:
    """Describe picks by whether they have predicted foreground, and by the number of candidates that have it or not.

    >>> _words([True, False, True], {True: 5, False: 9})[::2]
    ['pick 1 of 3, stands for 3 of 5 images with predicted foreground',
     'pick 3 of 3, stands for 2 of 5 images with predicted foreground']
    """
    seen = {True: 0, False: 0}
    words = []
    for turn, kind in enumerate(kinds, start=1):
        whole, picks = candidates[kind], kinds.count(kind)
        own = whole // picks + (seen[kind] < whole % picks)
        seen[kind] += 1
        images = f"{own} of {whole} image{'' if whole == 1 else 's'} {'with' if kind else 'without'}"
        words.append(f"pick {turn} of {len(kinds)}, stands for {images} predicted foreground")
    return words
