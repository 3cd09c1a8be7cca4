"""From scores or distances to an order of ids: pure functions, the last step of a strategy.

Every function speaks of ids. Ties are broken by ids, in sorted order, never by an image's place in the pool:
place often carries meaning (one patient after another), and another listing of the same folder would choose
other images.

References
----------
Zhao, Lu, Zeng, Xu, Veeravalli, Guan. "Self-supervised Assisted Active Learning for Skin Lesion Segmentation".
EMBC 2022, arXiv 2205.07021, section II.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from alkit.errors import ConfigurationError, SelectionError
from alkit.values.clusters import Clusters
from alkit.values.selection import Selection


def top_k(ids: Sequence[str], scores: npt.ArrayLike, n: int) -> tuple[str, ...]:
    """Return the `n` ids with the highest scores, the highest first; equal scores go by id, in sorted order.

    Parameters
    ----------
    ids:
        N different ids.
    scores:
        ``(N,)``, finite, higher is more wanted.
    n:
        0 to N.

    Raises
    ------
    SelectionError
        A score that is not finite or no number, ids and scores of different lengths, repeated ids, `n` outside 0 to N.

    Examples
    --------
    >>> top_k(["c", "b", "a"], [0.5, 0.9, 0.5], n=2)
    ('b', 'a')
    """
    try:
        values = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as reason:
        raise SelectionError(f"scores are no numbers ({reason})") from reason
    if values.shape != (len(ids),) or len(set(ids)) != len(ids):
        raise SelectionError(
            "ids and scores do not go together",
            got=f"{len(ids)} ids, {len(set(ids))} of them different, and scores of shape {values.shape}",
            expected="one score for each id, each id once",
        )
    if not 0 <= n <= len(ids):
        raise SelectionError("there are not so many images", got=n, expected=f"0 to {len(ids)}")
    if not np.isfinite(values).all():
        bad = int(np.argmin(np.isfinite(values)))
        raise SelectionError(
            f"the score of {ids[bad]!r} is not finite",
            got=values[bad],
            hint="look at the model's predictions for that image; it may have diverged in training",
        )
    return tuple(ids[i] for i in np.lexsort((_alphabetical(ids), -values))[:n])


def highest(scores: Mapping[str, float], n: int) -> Selection:
    """Select the `n` images with the highest scores, the highest first; equal scores go by id, in sorted order.

    Parameters
    ----------
    scores:
        By id a finite number, higher is more wanted, such as :meth:`alkit.View.scores` returns.
    n:
        0 to the number of scores.

    Raises
    ------
    SelectionError
        A score that is not finite or not a number, or `n` out of range.

    Examples
    --------
    >>> highest({"c": 0.5, "b": 0.9, "a": 0.5}, n=2)
    Selection(ids=('b', 'a'), scores=(0.9, 0.5), stands_for=None, pseudo_labels=())
    """
    ids = top_k(list(scores), list(scores.values()), n)
    return Selection(ids, scores=tuple(scores[id] for id in ids))


def ranks(clusters: Clusters) -> npt.NDArray[np.int64]:
    """Return each image's rank in its own cluster, ``(N,)``: 0 is the nearest to the centre; ties go by id.

    >>> ranks(Clusters(("c", "b", "a"), np.array([0, 1, 0]), np.array([0.2, 0.3, 0.2]), k=2))
    array([1, 0, 0])
    """
    order = np.lexsort((_alphabetical(clusters.ids), clusters.distances, clusters.labels))
    starts = np.cumsum(clusters.sizes) - clusters.sizes
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - starts[clusters.labels[order]]
    return rank


def cluster_order(clusters: Clusters) -> tuple[str, ...]:
    """Order all images so that the first C, for every C, are what SSL-cluster labels with a budget of C.

    An image of rank r (0 is the nearest to the centre) in a cluster of N_i images comes at r / N_i; ties go
    to the larger cluster, then to the lower cluster number.

    Parameters
    ----------
    clusters:
        The clusters of the whole pool.

    Notes
    -----
    The paper takes ceil(C N_i / N) images from cluster i, the nearest to its centre first. These are exactly
    the images with r / N_i < C / N, but over all clusters they can be more than C. Choice: the order is cut
    at C, so sizes are exact, each larger budget contains the smaller ones, and no cluster gives more than the
    paper's number.

    Fractions are compared exactly, in integers: r / N_i is written with two digits in base S, the size of the
    largest cluster. Two different fractions lie at least 1 / S^2 apart, so two digits tell them apart, and
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


def stands_for(clusters: Clusters) -> dict[str, str]:
    """Say of each image which cluster it stands for; clusters are counted from 1, the largest first.

    >>> stands_for(Clusters(("a", "b", "c"), np.array([0, 0, 1]), np.array([0.3, 0.1, 0.0]), k=2))["a"]
    'cluster 1 of 2, 2 images, 2nd nearest to its centre'
    """
    sizes = clusters.sizes.tolist()
    return {
        id: f"cluster {label + 1} of {clusters.k}, {sizes[label]} image{'s' * (sizes[label] != 1)}, "
        f"{_ordinal(rank + 1)} nearest to its centre"
        for id, label, rank in zip(clusters.ids, clusters.labels.tolist(), ranks(clusters).tolist(), strict=True)
    }


def quota(budget: int, sizes: Sequence[int]) -> list[int]:
    """Return ceil(C N_i / N) for each group: the paper's number of labels for cluster i.

    They may sum to more than C; :func:`largest_remainder` sums to it exactly.

    Parameters
    ----------
    budget:
        C, 0 to N.
    sizes:
        N_i, how many images each group holds; N is their sum.

    Raises
    ------
    ConfigurationError
        A budget outside 0 to N, or a negative size.

    Notes
    -----
    Computed in integers: in floats, ``ceil(440 / 1600 * 200)`` is 56, where 440 * 200 / 1600 is 55.

    Examples
    --------
    >>> quota(440, [200, 1400])
    [55, 385]
    >>> quota(2, [5, 3, 2])
    [1, 1, 1]
    """
    counts, total = _groups(budget, sizes)
    return [-(-budget * count // total) for count in counts] if total else counts


def largest_remainder(budget: int, sizes: Sequence[int]) -> list[int]:
    """Share `budget` among groups in proportion to their sizes, as whole numbers that sum to it exactly.

    Each group gets floor(C N_i / N); what is left goes, one each, to the largest remainders, ties to the
    larger group, then to the earlier one. No group gets more than it holds. (The method of Hare and
    Niemeyer.)

    Parameters
    ----------
    budget:
        C, 0 to N.
    sizes:
        N_i, how many images each group holds; N is their sum.

    Raises
    ------
    ConfigurationError
        A budget outside 0 to N, or a negative size.

    Examples
    --------
    >>> largest_remainder(5, [4, 3, 3])
    [2, 2, 1]
    """
    counts, _ = _groups(budget, sizes)
    return _hare_niemeyer(budget, counts, sorted(range(len(counts)), key=lambda i: -counts[i]))


def shares(n: int, weights: Sequence[float]) -> list[int]:
    """Share `n` in proportion to weights, as whole numbers that sum to it exactly.

    As :func:`largest_remainder`, but ties go to the earlier one, and no share is bounded. A weight counts as the
    number that it is written as: 0.3 is three tenths.

    Parameters
    ----------
    n:
        0 or more.
    weights:
        At least one; positive and finite.

    Examples
    --------
    >>> shares(10, [0.7, 0.3]), shares(2, [0.3, 0.1]), shares(1, [1, 1, 5])
    ([7, 3], [2, 0], [0, 0, 1])
    """
    exact = [Fraction(weight) if isinstance(weight, int) else Fraction(str(weight)) for weight in weights]
    return _hare_niemeyer(n, exact, range(len(exact)))


def _hare_niemeyer(n: int, weights: Sequence[int] | Sequence[Fraction], turns: Sequence[int]) -> list[int]:
    """Share `n` by largest remainder, exactly; of equal remainders the one whose place is earlier in `turns` wins."""
    total = sum(weights)
    parts = [divmod(n * weight, total) if total else (0, 0) for weight in weights]
    short = n - sum(whole for whole, _ in parts)
    favoured = set(sorted(turns, key=lambda i: -parts[i][1])[:short])  # stable
    return [int(whole) + (i in favoured) for i, (whole, _) in enumerate(parts)]


def _groups(budget: int, sizes: Sequence[int]) -> tuple[list[int], int]:
    counts = [int(size) for size in sizes]  # Python's integers: no overflow
    total = sum(counts)
    if min(counts, default=0) < 0 or not 0 <= budget <= total:
        raise ConfigurationError(
            "this budget cannot be shared among these groups",
            got=f"{budget} for sizes {counts}",
            expected=f"no negative size, and a budget of 0 to {total}",
        )
    return counts, total


def _alphabetical(ids: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the place of each id among the sorted ids, ``(N,)``."""
    place = np.empty(len(ids), dtype=np.int64)
    place[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    return place


def _ordinal(n: int) -> str:
    suffix = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{suffix}"
