"""CEAL: label what a dropout model misses, what it is unsure of and what lies between, and trust it where it is sure.

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

from alkit import Selection, View
from alkit.errors import ConfigurationError, SelectionError
from alkit.strategies import largest_remainder

SHARES = 10, 10, 15
"""How many of 35 labels go to no detection, to the most uncertain and to the middle."""

BINS = 80
"""Bins of the histogram of U > 0; bin 0 begins at the lowest U, bin 79 ends with the highest."""

TOP = 5
"""How many of the last bins the most uncertain are looked for in first."""

MIDDLE = 6, 47
"""The middle goes from so many bins above the modal bin to this bin, both included."""


@dataclass(frozen=True)
class CEAL:
    """Share the labels among three groups by uncertainty, and train on the model's own word where it is certain.

    The uncertainty U of an image is the sum over its pixels of the variance of the lesion probability over dropout
    passes, weighted by the pixel's distance to the predicted contour; 0 where no lesion is predicted. Of 35 labels:

    - 10 go to "no detection": the lowest U;
    - 10 to the most uncertain: from the last 5 of the 80 bins of a histogram of U;
    - 15 to the middle of that histogram, drawn at random.

    From round `pseudo_from` on, images drawn from the histogram's fullest bin, where the model is certain, are trained
    on with the model's own prediction. They are drawn anew each round and can still be queried later.

    Parameters
    ----------
    draws:
        T, how many dropout passes; at least 1. Default: 20.
    pseudo_from:
        The first round with pseudo-labels. Default: 5.
    pseudo_step:
        How many there are in that round, and by how many more in each round after it: 20, 40, 60 ... in rounds 5, 6,
        7 ... by default; 0 for none at all. Fewer where the bin holds fewer.
    score:
        U per pixel, summed over the image, by name or as a function. Default: ``edt-variance``, which looks at the
        inside of the predicted lesion; ``edt-variance-both-sides`` looks at both sides of the contour.

    Raises
    ------
    ConfigurationError
        Less than one draw, one draw for a score that needs two, a negative round or number, or a
        score that is none.

    Notes
    -----
    Choices where the paper is silent:

    - the distance transform is taken inside the mask of the deterministic prediction; an empty one has U = 0;
    - for another number than 35, the groups have the proportions 10 : 10 : 15 by largest remainder;
    - the histogram has 80 equal bins from the lowest to the highest U > 0. With U = 0 in it, its fullest bin would be
      that of the empty predictions, and pseudo-labels empty masks. Of equally full bins the lowest counts as the
      fullest. Where all U > 0 are equal, all are in bin 0;
    - with fewer empty predictions than it has room for, "no detection" goes on with the lowest U > 0;
    - the most uncertain come from the last 5 bins, the least filled bin first (of equally filled ones the higher),
      inside a bin by descending U; then from bin 74, 73 and so on;
    - the middle goes from 6 bins above the fullest bin to bin 47. Where it holds too few, it grows by one bin at
      either end until it does not. A fullest bin above 41 leaves it empty at first, and it grows in the same way;
    - groups are disjoint: an image goes to the first that wants it, in the order no detection, most uncertain,
      middle. What is short in the end is filled by descending U, then at random: in effect with empty predictions,
      for the other groups take all others before they run short;
    - all ties of U are broken at random, by one shuffle of the sorted candidates, so the pool's order is of no
      consequence;
    - pseudo-labels are never among the images queried in the same round.

    The selection carries no scores, since neither high nor low U is wanted as such; U is told in words.

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

    draws: int = 20
    pseudo_from: int = 5
    pseudo_step: int = 20
    score: str | Callable[..., Any] = "edt-variance"

    def __post_init__(self) -> None:
        for name, least in (("draws", 1), ("pseudo_from", 0), ("pseudo_step", 0)):
            check_whole(name, getattr(self, name), least)
        from alkit import scores  # brings torch, which listing the strategies does not need

        object.__setattr__(self, "score", scores.name_or_function(self.score))
        scores.check_draws(self.score, self.draws)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the three groups one after the other, what each image stands for, and the pseudo-labels wanted."""
        from alkit import Dropout, scores

        uncertainty = shuffled(view.scores(scores.score_function(self.score), Dropout(self.draws), scores.total), rng)
        chosen = groups(uncertainty, n)
        wanted = pseudo_budget(view.round, self.pseudo_from, self.pseudo_step)
        return Selection(
            tuple(chosen),
            stands_for=tuple(in_words(group, uncertainty[id]) for id, group in chosen.items()),
            pseudo_labels=tuple(certain(histogram(uncertainty), chosen, wanted)),
        )


def shuffled(uncertainty: Mapping[str, float], rng: np.random.Generator) -> dict[str, float]:
    """Return U by id in an order that depends on the ids and `rng` alone: all chance of the selection is in it."""
    ids = sorted(uncertainty)
    return {ids[place]: uncertainty[ids[place]] for place in rng.permutation(len(ids))}


def groups(uncertainty: Mapping[str, float], n: int) -> dict[str, str]:
    """Choose `n` ids: which group each was chosen for, in the order of the groups.

    Parameters
    ----------
    uncertainty:
        U by id, finite and 0 or more, in a random order: of equals, and in the middle, earlier ones are taken.
    n:
        0 to as many as there are.

    Raises
    ------
    SelectionError
        `n` is outside that range.

    Examples
    --------
    >>> groups({"c": 3.0, "a": 0.0, "b": 1.0}, 3)
    {'a': 'no detection', 'c': 'most uncertain', 'b': 'middle of the histogram'}
    """
    if not 0 <= n <= len(uncertainty):
        raise SelectionError("there are not so many images", got=n, expected=f"0 to {len(uncertainty)}")
    empty, uncertain, between = sizes(n)
    bins = histogram(uncertainty)
    chosen = dict.fromkeys(no_detection(uncertainty, empty), "no detection")
    chosen |= dict.fromkeys(most_uncertain(uncertainty, bins, chosen, uncertain), "most uncertain")
    chosen |= dict.fromkeys(middle(bins, chosen, between), "middle of the histogram")
    return chosen | dict.fromkeys(fill(uncertainty, chosen, n - len(chosen)), "fill")


def sizes(n: int) -> list[int]:
    """Return how many of `n` labels each group gets.

    >>> sizes(35), sizes(70), sizes(12)
    ([10, 10, 15], [20, 20, 30], [4, 3, 5])
    """
    batches = -(-n // sum(SHARES))  # so that the shares hold n
    return largest_remainder(n, [share * batches for share in SHARES])


def histogram(uncertainty: Mapping[str, float]) -> dict[str, int]:
    """Return the bin of every id with U > 0, 0 to 79, in the order given.

    >>> histogram({"c": 3.0, "a": 0.0, "d": 81.0, "b": 1.0})
    {'c': 2, 'd': 79, 'b': 0}
    """
    return binned({id: value for id, value in uncertainty.items() if value > 0}, BINS)


def binned(values: Mapping[str, float], bins: int) -> dict[str, int]:
    """Return the bin of each value, among equal bins from the lowest to the highest: 0 to `bins` - 1.

    A value on the border of two bins is in the upper one, the highest in the last; where all are equal, all are in 0.

    >>> binned({"a": 1.0, "b": 2.0, "c": 3.0}, 2)
    {'a': 0, 'b': 1, 'c': 1}
    """
    low, high = min(values.values(), default=0.0), max(values.values(), default=0.0)
    if low == high:
        return dict.fromkeys(values, 0)
    return {id: min(int((value - low) * bins / (high - low)), bins - 1) for id, value in values.items()}


def modal(bins: Mapping[str, int]) -> int:
    """Return the fullest bin, the lowest of equally full ones; 0 where nothing is in any.

    >>> modal({"a": 7, "b": 3, "c": 3, "d": 7, "e": 9})
    3
    """
    counts = Counter(bins.values())
    return min(counts, key=lambda place: (-counts[place], place), default=0)


def no_detection(uncertainty: Mapping[str, float], n: int) -> list[str]:
    """Return the `n` ids of the lowest U, the lowest first."""
    return sorted(uncertainty, key=uncertainty.__getitem__)[:n]


def most_uncertain(
    uncertainty: Mapping[str, float], bins: Mapping[str, int], taken: Collection[str], n: int
) -> list[str]:
    """Return `n` ids from the top of the histogram: of the last 5 bins the least filled first, then downwards."""
    counts = Counter(bins.values())

    def turn(id: str) -> tuple[bool, int, int, float]:
        below = bins[id] < BINS - TOP
        return below, 0 if below else counts[bins[id]], -bins[id], -uncertainty[id]

    return sorted((id for id in bins if id not in taken), key=turn)[:n]


def middle(bins: Mapping[str, int], taken: Collection[str], n: int) -> list[str]:
    """Return the first `n` ids between the fullest bin + 6 and bin 47, or around it as far as it takes."""
    first, last = modal(bins) + MIDDLE[0], MIDDLE[1]
    while True:
        inside = [id for id, place in bins.items() if first <= place <= last and id not in taken]
        if len(inside) >= n or (first <= 0 and last >= BINS - 1):
            return inside[:n]
        first, last = first - 1, last + 1


def fill(uncertainty: Mapping[str, float], taken: Collection[str], n: int) -> list[str]:
    """Return `n` of the rest, by descending U."""
    return sorted((id for id in uncertainty if id not in taken), key=lambda id: -uncertainty[id])[:n]


def certain(bins: Mapping[str, int], taken: Collection[str], n: int) -> list[str]:
    """Return the first `n` ids of the fullest bin, or as many as there are."""
    fullest = modal(bins)
    return [id for id, place in bins.items() if place == fullest and id not in taken][:n]


def pseudo_budget(round: int, first: int, step: int) -> int:
    """Return how many pseudo-labels a round has: none before `first`, then `step` more in every round.

    >>> [pseudo_budget(round, first=5, step=20) for round in (4, 5, 6, 9)]
    [0, 20, 40, 100]
    """
    return step * max(0, round - first + 1)


def in_words(group: str, uncertainty: float) -> str:
    """Say what an image stands for; "no detection" only of one in which nothing was detected.

    >>> in_words("no detection", 0.0), in_words("no detection", 12.3456)
    ('no detection, U = 0', 'least uncertain, U = 12.35')
    """
    name = "least uncertain" if group == "no detection" and uncertainty > 0 else group
    return f"{name}, U = {uncertainty:.4g}"


def check_whole(name: str, value: object, least: int) -> None:
    """Raise a :class:`ConfigurationError` unless `value` is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{name} cannot be this", got=repr(value), expected=f"a whole number, {least} or more")
