"""Pure functions that turn scores or cluster distances into an order of ids: the last step of a strategy.

Ties are broken by id, in sorted order, never by an image's position in the pool. Positions often carry meaning (one
patient after another), and a folder that is listed in another order would give another selection.

References
----------
Zhao, Lu, Zeng, Xu, Veeravalli, Guan. "Self-supervised Assisted Active Learning for Skin Lesion Segmentation".
EMBC 2022, arXiv 2205.07021, section II.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import check_argument, checked, checked_except
from alkit.errors import ConfigurationError, SelectionError
from alkit.values.clusters import Clusters
from alkit.values.selection import Selection


@checked
def check_n(n: int, candidates: Collection[str]) -> None:
    """Check that `n` images can be selected from `candidates`.

    Raises
    ------
    SelectionError
        `n` is negative, or greater than the number of candidates.

    Examples
    --------
    >>> check_n(9, ["a", "b", "c", "d"])
    Traceback (most recent call last):
    alkit.errors.SelectionError: cannot select 9 images: only 4 candidates are left
    """
    if n < 0:
        raise SelectionError("n must be an integer >= 0", got=n)
    if n > len(candidates):
        left = "1 candidate is" if len(candidates) == 1 else f"{len(candidates)} candidates are"
        raise SelectionError(f"cannot select {n} image{'' if n == 1 else 's'}: only {left} left")


@checked_except("scores")
def top_k(ids: Sequence[str], scores: npt.ArrayLike, n: int) -> tuple[str, ...]:
    """Return the `n` ids with the highest scores, the highest first; equal scores are ordered by id.

    :func:`highest` does the same for a mapping from id to score.

    Parameters
    ----------
    ids:
        N different ids.
    scores:
        Array of N finite scores. Higher means more wanted.
    n:
        Number of ids, 0 to N.

    Raises
    ------
    SelectionError
        A score is not a finite number, ids and scores differ in length, an id is repeated, or `n` is not in 0 to N.

    Examples
    --------
    >>> top_k(["c", "b", "a"], [0.5, 0.9, 0.5], n=2)
    ('b', 'a')
    """
    try:
        values = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as reason:  # an integer beyond all floats
        raise SelectionError(f"scores must be numbers ({reason})") from reason
    if values.shape != (len(ids),) or len(set(ids)) != len(ids):
        raise SelectionError(
            "ids and scores must have the same length, and each id must occur once",
            got=f"{len(ids)} ids, {len(set(ids))} of them different, and scores of shape {values.shape}",
        )
    check_n(n, ids)
    if not np.isfinite(values).all():
        bad = int(np.argmin(np.isfinite(values)))
        raise SelectionError(
            f"the score of {ids[bad]!r} is not finite",
            got=values[bad],
            hint="look at the model's predictions for that image; training may have diverged",
        )
    return tuple(ids[i] for i in np.lexsort((_sorted_positions(ids), -values))[:n])


@checked_except("scores")
def highest(scores: Mapping[str, float], n: int) -> Selection:
    """Select the `n` images with the highest scores, the highest first; equal scores are ordered by id.

    Parameters
    ----------
    scores:
        Mapping from id to a finite score, for example the result of :meth:`alkit.View.scores`. Higher means more
        wanted.
    n:
        Number of images, 0 to the number of scores.

    Raises
    ------
    SelectionError
        A score is not a finite number, or `n` is out of range.

    Examples
    --------
    >>> highest({"c": 0.5, "b": 0.9, "a": 0.5}, n=2)
    Selection(ids=('b', 'a'), scores=(0.9, 0.5), stands_for=None, pseudo_labels=())
    """
    check_argument("scores", scores, Mapping[str, Any])
    ids = top_k(list(scores), list(scores.values()), n)
    return Selection(ids, scores=tuple(scores[id] for id in ids))


def ranks(clusters: Clusters) -> npt.NDArray[np.int64]:
    """Return each image's rank in its cluster, ``(N,)``: 0 is the nearest to the centre; ties are broken by id.

    >>> ranks(Clusters(("c", "b", "a"), np.array([0, 1, 0]), np.array([0.2, 0.3, 0.2]), k=2))
    array([1, 0, 0])
    """
    order = np.lexsort((_sorted_positions(clusters.ids), clusters.distances, clusters.labels))
    starts = np.cumsum(clusters.sizes) - clusters.sizes
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - starts[clusters.labels[order]]
    return rank


@checked
def cluster_order(clusters: Clusters) -> tuple[str, ...]:
    """Order all images so that the first C are the SSL-cluster selection for a budget of C, for every C.

    Images are sorted by r / N_i, the rank r in the cluster (0 is the nearest to the centre) over the cluster's size
    N_i. Ties go to the larger cluster, then to the lower cluster number.

    Parameters
    ----------
    clusters:
        The clusters of the whole pool.

    Notes
    -----
    Deviation: the paper takes the ceil(C N_i / N) images nearest to the centre from cluster i. These are the images
    with r / N_i < C / N, and their number over all clusters can exceed C. Here the order is cut after C images.
    So the selection has the exact size, a larger budget contains every smaller one, and no cluster gives more images
    than in the paper.

    Fractions are compared exactly, in integers: r / N_i is written with two digits in base S, the size of the
    largest cluster. Two different fractions are at least 1 / S^2 apart, so two digits distinguish them, and
    equal fractions have equal digits. No number exceeds S^2.

    Examples
    --------
    >>> clusters = Clusters(("a", "b", "c", "d"), np.array([0, 0, 0, 1]), np.array([0.3, 0.1, 0.2, 0.0]), k=2)
    >>> cluster_order(clusters)
    ('b', 'd', 'c', 'a')
    """
    size = clusters.sizes[clusters.labels]
    base = size.max(initial=1)
    first, rest = np.divmod(ranks(clusters) * base, size)
    second = rest * base // size
    return tuple(clusters.ids[i] for i in np.lexsort((clusters.labels, -size, second, first)))


@checked
def stands_for(clusters: Clusters) -> dict[str, str]:
    """Describe, for each id, the cluster that the image represents; clusters are counted from 1, the largest first.

    >>> stands_for(Clusters(("a", "b", "c"), np.array([0, 0, 1]), np.array([0.3, 0.1, 0.0]), k=2))["a"]
    'cluster 1 of 2, 2 images, 2nd nearest to its centre'
    """
    sizes = clusters.sizes.tolist()
    return {
        id: f"cluster {label + 1} of {clusters.k}, {sizes[label]} image{'' if sizes[label] == 1 else 's'}, "
        f"{_ordinal(rank + 1)} nearest to its centre"
        for id, label, rank in zip(clusters.ids, clusters.labels.tolist(), ranks(clusters).tolist(), strict=True)
    }


@checked
def largest_remainder(budget: int, sizes: Sequence[int]) -> list[int]:
    """Divide `budget` among groups in proportion to their sizes, as integers that sum to `budget` exactly.

    Each group gets floor(C N_i / N). The rest goes, one each, to the groups with the largest remainders; ties go to
    the larger group, then to the earlier one. No group gets more than its size. (The Hare-Niemeyer method.)

    Parameters
    ----------
    budget:
        Budget C, 0 to N.
    sizes:
        Number of images N_i of each group; N is their sum.

    Raises
    ------
    ConfigurationError
        `budget` is not in 0 to N, or a size is negative.

    Examples
    --------
    >>> largest_remainder(5, [4, 3, 3])
    [2, 2, 1]
    """
    counts = [int(size) for size in sizes]  # Python's integers cannot overflow
    if min(counts, default=0) < 0:
        raise ConfigurationError("sizes must be integers >= 0", got=counts)
    if not 0 <= budget <= sum(counts):
        raise ConfigurationError(f"budget must be from 0 to {sum(counts)}, the sum of sizes", got=budget)
    return _hare_niemeyer(budget, counts, sorted(range(len(counts)), key=lambda i: -counts[i]))


def shares(n: int, weights: Sequence[float]) -> list[int]:
    """Divide `n` in proportion to weights, as integers that sum to `n` exactly.

    Like :func:`largest_remainder`, but ties go to the earlier weight, and a share has no upper bound. A weight is
    taken as the decimal number that is printed for it: 0.3 is exactly three tenths.

    Parameters
    ----------
    n:
        Integer >= 0.
    weights:
        Positive finite numbers, at least one.

    Examples
    --------
    >>> shares(10, [0.7, 0.3]), shares(2, [0.3, 0.1]), shares(1, [1, 1, 5])
    ([7, 3], [2, 0], [0, 0, 1])
    """
    exact = [Fraction(weight) if isinstance(weight, int) else Fraction(str(weight)) for weight in weights]
    return _hare_niemeyer(n, exact, range(len(exact)))


def _hare_niemeyer(n: int, weights: Sequence[int] | Sequence[Fraction], turns: Sequence[int]) -> list[int]:
    """Divide `n` by largest remainder, exactly; among equal remainders, positions earlier in `turns` win."""
    total = sum(weights)
    parts = [divmod(n * weight, total) if total else (0, 0) for weight in weights]
    short = n - sum(whole for whole, _ in parts)
    favoured = set(sorted(turns, key=lambda i: -parts[i][1])[:short])  # stable
    return [int(whole) + (i in favoured) for i, (whole, _) in enumerate(parts)]


def _sorted_positions(ids: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the position of each id among the sorted ids, ``(N,)``."""
    position = np.empty(len(ids), dtype=np.int64)
    position[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    return position


def _ordinal(n: int) -> str:
    suffix = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{suffix}"
