"""CEAL: label images with no detection, the most uncertain and those in between; pseudo-label the most certain.

References
----------
Górriz, Carlier, Faure, Giró-i-Nieto. "Cost-Effective Active Learning for Melanoma Segmentation". ML4H workshop at
NIPS 2017, arXiv 1711.09168.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from alkit import LabelSpec, Selection, View
from alkit.checks import check_integer
from alkit.strategies import check_n, largest_remainder

SHARES = 10, 10, 15
"""Numbers of images with no detection, of the most uncertain and of those in the middle, in a batch of 35."""

BINS = 80
"""Number of bins of the histogram of U > 0; bin 0 starts at the lowest U, bin 79 ends at the highest."""

TOP = 5
"""Number of last bins that the most uncertain images are taken from first."""

MIDDLE = 6, 47
"""The middle starts this many bins above the fullest bin, and ends with this bin."""


@dataclass(frozen=True)
class CEAL:
    """Select from three groups by uncertainty, and request pseudo-labels for images about which the model is certain.

    The uncertainty U of an image is the sum over its pixels of the variance of the lesion probability over dropout
    draws, weighted by the pixel's distance to the predicted contour. It is 0 if no lesion is predicted. A batch of 35
    consists of:

    - 10 images with "no detection", those with the lowest U;
    - the 10 most uncertain images, from the last 5 of the 80 bins of a histogram of U;
    - 15 images from the middle of that histogram, drawn at random.

    From round `pseudo_from` on, images drawn from the histogram's fullest bin, where the model is certain, are trained
    on with the model's own prediction. They are drawn again in each round, and can still be queried later.

    Parameters
    ----------
    draws:
        Number of dropout draws T, an integer >= 1. Default: 20.
    pseudo_from:
        First round with pseudo-labels, an integer >= 0. Default: 5.
    pseudo_step:
        Number of pseudo-labels in that round, and the number by which they grow in each later round: by default 20,
        40, 60 ... in rounds 5, 6, 7 ... 0 means none. Fewer if the bin holds fewer images.
    score:
        U per pixel, summed over the image, by name or as a function. Default: ``edt-variance``, which counts the
        inside of the predicted lesion; ``edt-variance-both-sides`` counts both sides of the contour.

    Raises
    ------
    ConfigurationError
        A number is out of range, `draws` is 1 with a score that needs several draws, or `score` is not a score.

    Notes
    -----
    Choices, because the paper does not specify these points:

    - the distance transform is taken inside the mask of the deterministic prediction; an empty mask has U = 0;
    - a batch of another size is divided 10 : 10 : 15 by largest remainder;
    - the histogram has 80 equal bins from the lowest to the highest U > 0. It leaves out U = 0: otherwise the empty
      predictions would make the fullest bin, and pseudo-labels would be empty masks. Among equally full bins the
      lowest counts as the fullest. If all U > 0 are equal, all are in bin 0;
    - if there are too few empty predictions, "no detection" continues with the lowest U > 0;
    - the most uncertain images come from the last 5 bins, the least full bin first (among equally full bins the
      highest first), by descending U inside a bin; then from bins 74, 73 and so on;
    - the middle goes from 6 bins above the fullest bin to bin 47. If it holds too few images, it grows by one bin at
      both ends until it holds enough. A fullest bin above 41 makes it empty at first; it grows in the same way;
    - groups are disjoint: an image belongs to the first group that takes it, in the order no detection, most
      uncertain, middle. A batch that is still too small is filled by descending U, then at random. In effect only
      empty predictions fill it, since the other groups take all other images before they run short;
    - ties of U are broken at random, by one shuffle of the sorted candidates, so the pool's order does not matter;
    - images that are queried in a round get no pseudo-label in that round.

    The selection has no scores, because neither a high nor a low U is wanted as such; ``stands_for`` states U.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> found = {"a": 0.0, "b": 0.0, "c": 1.5, "d": 2.0, "e": 9.0}
    >>> view = SimpleNamespace(round=1, scores=lambda score, sampler, reduction: found)
    >>> CEAL().select(view, 2, np.random.default_rng(0)).stands_for
    ('no detection, U = 0', 'middle of the histogram, U = 2')
    """

    starts_cold: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("dropout", "pseudo-labels")
    when_to_use: ClassVar[str] = (
        "Use it to repeat its paper, or to try pseudo-labels: on ISIC 2017 at 64 x 64 pixels, it did not beat"
        " random from 300 labels on."
    )

    draws: int = 20
    pseudo_from: int = 5
    pseudo_step: int = 20
    score: str | Callable[..., Any] = "edt-variance"

    def __post_init__(self) -> None:
        from alkit import scores  # imports torch, so not before an instance is made

        for name, least in (("draws", 1), ("pseudo_from", 0), ("pseudo_step", 0)):
            check_integer(name, getattr(self, name), least)
        object.__setattr__(self, "score", scores.name_or_function(self.score))
        scores.check_draws(self.score, self.draws)

    def check_spec(self, spec: LabelSpec) -> None:
        """Raise a :class:`alkit.errors.ConfigurationError` if the score cannot be computed for such labels."""
        from alkit import scores

        scores.check_labels(self.score, spec)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the three groups one after the other, the group of each image, and the requests for pseudo-labels."""
        from alkit import Dropout, scores

        uncertainty = shuffle(view.scores(scores.score_function(self.score), Dropout(self.draws), scores.total), rng)
        chosen = groups(uncertainty, n)
        wanted = pseudo_budget(view.round, self.pseudo_from, self.pseudo_step)
        return Selection(
            tuple(chosen),
            stands_for=tuple(describe(group, uncertainty[id]) for id, group in chosen.items()),
            pseudo_labels=tuple(most_certain(histogram(uncertainty), chosen, wanted)),
        )


def shuffle(uncertainty: Mapping[str, float], rng: np.random.Generator) -> dict[str, float]:
    """Return U by id in a random order that depends only on the ids and `rng`; nothing else here is random."""
    ids = sorted(uncertainty)
    return {ids[place]: uncertainty[ids[place]] for place in rng.permutation(len(ids))}


def groups(uncertainty: Mapping[str, float], n: int) -> dict[str, str]:
    """Select `n` ids, and return the group of each, in the order of the groups.

    Parameters
    ----------
    uncertainty:
        U by id, finite and >= 0, in a random order: among equals, and in the middle, earlier ids are selected.
    n:
        Number of ids, 0 to the number of images.

    Raises
    ------
    SelectionError
        `n` is outside that range.

    Examples
    --------
    >>> groups({"c": 3.0, "a": 0.0, "b": 1.0}, 3)
    {'a': 'no detection', 'c': 'most uncertain', 'b': 'middle of the histogram'}
    """
    check_n(n, uncertainty)
    empty, uncertain, between = sizes(n)
    bins = histogram(uncertainty)
    chosen = dict.fromkeys(no_detection(uncertainty, empty), "no detection")
    chosen |= dict.fromkeys(most_uncertain(uncertainty, bins, chosen, uncertain), "most uncertain")
    chosen |= dict.fromkeys(middle(bins, chosen, between), "middle of the histogram")
    return chosen | dict.fromkeys(fill(uncertainty, chosen, n - len(chosen)), "fill")


def sizes(n: int) -> list[int]:
    """Return the number of images of each group in a batch of `n`.

    >>> sizes(35), sizes(70), sizes(12)
    ([10, 10, 15], [20, 20, 30], [4, 3, 5])
    """
    batches = -(-n // sum(SHARES))  # so that the shares sum to at least n
    return largest_remainder(n, [share * batches for share in SHARES])


def histogram(uncertainty: Mapping[str, float]) -> dict[str, int]:
    """Return the bin, 0 to 79, of every id with U > 0, in the order of `uncertainty`.

    >>> histogram({"c": 3.0, "a": 0.0, "d": 81.0, "b": 1.0})
    {'c': 2, 'd': 79, 'b': 0}
    """
    return assign_bins({id: value for id, value in uncertainty.items() if value > 0}, BINS)


def assign_bins(values: Mapping[str, float], bins: int) -> dict[str, int]:
    """Return the bin of each value, 0 to `bins` - 1, among equal bins from the lowest to the highest value.

    A value on the border of two bins is in the upper bin, and the highest value is in the last bin. If all values are
    equal, all are in bin 0.

    >>> assign_bins({"a": 1.0, "b": 2.0, "c": 3.0}, 2)
    {'a': 0, 'b': 1, 'c': 1}
    """
    low, high = min(values.values(), default=0.0), max(values.values(), default=0.0)
    if low == high:
        return dict.fromkeys(values, 0)
    return {id: min(int((value - low) * bins / (high - low)), bins - 1) for id, value in values.items()}


def fullest_bin(bins: Mapping[str, int]) -> int:
    """Return the fullest bin, the lowest among equally full bins; 0 if all are empty.

    >>> fullest_bin({"a": 7, "b": 3, "c": 3, "d": 7, "e": 9})
    3
    """
    counts = Counter(bins.values())
    return min(counts, key=lambda place: (-counts[place], place), default=0)


def no_detection(uncertainty: Mapping[str, float], n: int) -> list[str]:
    """Return the `n` ids with the lowest U, the lowest first."""
    return sorted(uncertainty, key=uncertainty.__getitem__)[:n]


def most_uncertain(
    uncertainty: Mapping[str, float], bins: Mapping[str, int], taken: Collection[str], n: int
) -> list[str]:
    """Return `n` ids from the top of the histogram: the last 5 bins, the least full first, then lower bins."""
    counts = Counter(bins.values())

    def turn(id: str) -> tuple[bool, int, int, float]:
        below = bins[id] < BINS - TOP
        return below, 0 if below else counts[bins[id]], -bins[id], -uncertainty[id]

    return sorted((id for id in bins if id not in taken), key=turn)[:n]


def middle(bins: Mapping[str, int], taken: Collection[str], n: int) -> list[str]:
    """Return the first `n` ids from 6 bins above the fullest bin to bin 47, or from a wider range if necessary."""
    first, last = fullest_bin(bins) + MIDDLE[0], MIDDLE[1]
    while True:
        inside = [id for id, place in bins.items() if first <= place <= last and id not in taken]
        if len(inside) >= n or (first <= 0 and last >= BINS - 1):
            return inside[:n]
        first, last = first - 1, last + 1


def fill(uncertainty: Mapping[str, float], taken: Collection[str], n: int) -> list[str]:
    """Return `n` of the remaining ids, by descending U."""
    return sorted((id for id in uncertainty if id not in taken), key=lambda id: -uncertainty[id])[:n]


def most_certain(bins: Mapping[str, int], taken: Collection[str], n: int) -> list[str]:
    """Return the first `n` ids of the fullest bin that are not taken, or all of them if there are fewer."""
    fullest = fullest_bin(bins)
    return [id for id, place in bins.items() if place == fullest and id not in taken][:n]


def pseudo_budget(round: int, first: int, step: int) -> int:
    """Return the number of pseudo-labels of a round: none before round `first`, then `step` more in every round.

    >>> [pseudo_budget(round, first=5, step=20) for round in (4, 5, 6, 9)]
    [0, 20, 40, 100]
    """
    return step * max(0, round - first + 1)


def describe(group: str, uncertainty: float) -> str:
    """Describe the group of an image; only an image with U = 0 is described as "no detection".

    >>> describe("no detection", 0.0), describe("no detection", 12.3456)
    ('no detection, U = 0', 'least uncertain, U = 12.35')
    """
    name = "least uncertain" if group == "no detection" and uncertainty > 0 else group
    return f"{name}, U = {uncertainty:.4g}"
