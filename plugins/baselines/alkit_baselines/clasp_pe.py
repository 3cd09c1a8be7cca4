"""ClaSP PE: label images with a high entropy, a share of them for each class, with noise that decays over the rounds.

References
----------
Lüth et al. "Finally Outshining the Random Baseline: A Simple and Effective Solution for Active Learning in 3D
Biomedical Imaging". TMLR 2026, arXiv 2601.13677: class-stratified scheduled power predictive entropy.

Kirsch et al. "Stochastic Batch Acquisition: A Simple Baseline for Deep Active Learning". TMLR 2023, arXiv 2106.12059:
the noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from alkit import Selection, View
from alkit.checks import check_number
from alkit.strategies import Picks, check_n, describe_picks

from .predicted import as_rows, count_identical, image_digests, prediction_digests


@dataclass(frozen=True)
class ClaSPPE:
    """Select by predictive entropy, partly one class at a time, with random noise that decays from round to round.

    Every image has one score for each foreground class, the mean over its pixels of entropy times the probability of
    the class, and one score without a class, the mean entropy. A share of the batch is divided equally among the
    foreground classes, the rest is selected by the score without a class. Each takes the images with the highest
    log(score) + Gumbel noise / beta, where beta grows with the rounds. The strategy needs a trained model.

    Parameters
    ----------
    share:
        Share of the batch that is selected by class, in [0, 1]. Default: 0.66, as in the authors' code.
    beta:
        Power of the scores in round 1, a finite number > 0: images are drawn with a probability that grows with
        ``score ** beta``. Default: 1.
    growth:
        Factor of beta from round to round, a finite number >= 1. Default: 2; 1 means that the noise does not decay.

    Raises
    ------
    ConfigurationError
        A number is out of range.

    Notes
    -----
    Choices and deviations:

    - deviation: the paper selects 3-D patches, here whole images are selected;
    - deviation: the paper lets the noise decay over a number of rounds that is known beforehand. A project with people
      has no such number, so beta is ``beta * growth ** (round - 1)``;
    - foreground is every class but the first one. If a label is a class of the whole image, every class takes part;
    - images that the division leaves over go to classes drawn at random;
    - classes take turns in random order, and each takes its best image that is left; the images without a class come
      after them;
    - a score of 0 comes last, in the order of the noise;
    - a candidate that is identical to a labelled image or to an earlier pick comes last. A view without digests of its
      images cannot tell; then a candidate with the same prediction as an earlier pick comes last;
    - entropy does not compare images, so a pick stands for itself and for the images that are identical to it.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from alkit import Predictions
    >>> found = Predictions(("a", "b", "c"), np.array([[0.99, 0.01], [0.5, 0.5], [0.98, 0.02]], np.float32))
    >>> view = SimpleNamespace(
    ...     ids=["a", "b", "c"], candidates=["a", "b", "c"], labelled=[], round=9, predictions=lambda: [found]
    ... )
    >>> ClaSPPE(share=0).select(view, 1, np.random.default_rng(0)).stands_for
    ('pick 1 of 1, stands for 1 image, among all candidates, entropy 0.6931',)
    """

    starts_cold: ClassVar[bool] = False
    when_to_use: ClassVar[str] = (
        "Use it for segmentation with rare classes over several rounds: in its paper it is the only method "
        "that generally beats foreground-aware random choice."
    )

    share: float = 0.66
    beta: float = 1.0
    growth: float = 2.0

    def __post_init__(self) -> None:
        check_number("share", self.share, 0, 1)
        check_number("beta", self.beta, 0, open_ends="(")
        check_number("growth", self.growth, 1)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return `n` candidates: those of the classes in turn, then those without a class; and why each was selected.

        Raises
        ------
        SelectionError
            There are fewer than `n` candidates.
        """
        check_n(n, view.candidates)
        if n == 0:
            return Selection(())
        place = {id: row for row, id in enumerate(view.ids)}
        known, found = image_digests(view), dict[str, bytes]()
        scores = np.zeros((0, 0))
        first = 0
        for batch in view.predictions():
            if not known:
                found.update(zip(batch.ids, prediction_digests(batch.probabilities), strict=True))
            part = class_scores(batch.probabilities)
            if not len(scores):
                scores, first = np.zeros((len(place), part.shape[1])), int(batch.probabilities.ndim == 4)
            scores[[place[id] for id in batch.ids]] = part
        found = known or found
        picks = Picks(view, as_rows(view.ids, found), n)
        noisy = self._noisy(scores, view.round, rng)
        classes = rng.permutation(np.arange(first, scores.shape[1] - 1)).tolist()
        turns = turns_of(n, round(self.share * n) if classes else 0, classes)
        for column in turns:
            picks.pick(picks.best(noisy[:, column]))
        counts = count_identical(view, found, picks.ids)
        return Selection(picks.ids, stands_for=tuple(_words(picks, counts, turns, scores)))

    def _noisy(self, scores: npt.NDArray[np.float64], round: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Return log(score) + Gumbel noise / beta; scores of 0 come after all others."""
        exponent = min(np.log(self.beta) + (max(round, 1) - 1) * np.log(self.growth), 60.0)
        noise = rng.gumbel(size=scores.shape) / np.exp(exponent)
        positive = scores > 0
        noisy: npt.NDArray[np.float64] = np.log(np.where(positive, scores, 1)) + noise
        noisy[~positive] = noise[~positive] - 1e9
        return noisy


def class_scores(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the scores of each image, ``(n, classes + 1)``: entropy times probability of each class, then entropy.

    Entropy is in nats. Scores of pixels are averaged over the image. If an image can have several classes, the entropy
    is that of whether the image has a class, times the probability that it has it; the last score is their mean.

    >>> class_scores(np.array([[0.5, 0.5], [1.0, 0.0]], np.float32)).round(3)
    array([[0.347, 0.347, 0.693],
           [0.   , 0.   , 0.   ]])
    """
    p = probabilities.reshape(*probabilities.shape[:2], -1)  # (n, classes, pixels)
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=1, keepdims=True)
    entropy = np.maximum(entropy, 0)
    if probabilities.ndim == 3:
        each = entropy[:, 0].astype(np.float64)
        return np.concatenate([each * probabilities[:, 1], each.mean(axis=1, keepdims=True)], axis=1)
    scores: npt.NDArray[np.float64] = np.concatenate([entropy * p, entropy], axis=1).mean(axis=2, dtype=np.float64)
    return scores


def turns_of(n: int, by_class: int, classes: list[int]) -> list[int]:
    """Return the column of scores for each of `n` picks: the classes in turn, then the last column, -1.

    >>> turns_of(5, 3, [2, 1])
    [2, 1, 2, -1, -1]
    """
    return [classes[turn % len(classes)] if turn < by_class else -1 for turn in range(n)]


def _words(picks: Picks, counts: list[int], turns: list[int], scores: npt.NDArray[np.float64]) -> list[str]:
    return [
        f"{begin}, {f'for class {column}' if column >= 0 else 'among all candidates'}, entropy {scores[row, -1]:.4g}"
        for begin, row, column in zip(describe_picks(counts), picks.rows, turns, strict=True)
    ]
