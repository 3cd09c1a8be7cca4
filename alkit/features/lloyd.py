"""K-means for large tables: few passes over the rows, each a product of matrices in blocks.

The result is about as good as the best of many runs of Lloyd's algorithm, or better, at the cost of one:

1. The first centres are drawn by k-means||, and k-means++ selects k of its candidates by their weights.
2. Lloyd's algorithm improves them.
3. Centres that do little are moved to where two are needed: a cluster is divided if that lowers the sum of squared
   distances by more than it costs to dissolve another one.
4. Hartigan's rule improves them further. It takes into account that a cluster's mean follows the row that joins or
   leaves, so it finds moves that Lloyd's algorithm misses. All rows move at once here.
5. Lloyd's algorithm ends it, so that every row is in the cluster with the nearest centre.

With few clusters there are several starts of steps 1 to 3, and the best goes on. With many rows for each cluster,
steps 1 to 3 begin on a sample. Steps 3 to 5 always work on all rows.

References
----------
Bahmani, Moseley, Vattani, Kumar, Vassilvitskii. "Scalable K-Means++". VLDB 2012.
Telgarsky, Vattani. "Hartigan's Method: k-means Clustering without Voronoi". AISTATS 2010.
Fritzke. "Breathing K-Means". 2020, arXiv 2006.15666, for the idea of step 3.
"""

from __future__ import annotations

import numpy as np

from alkit.features.passes import Passes, PassesByNumpy, Step
from alkit.features.search import Search, find_device
from alkit.features.tables import Float32, Float64, Integers, Table, count_distinct
from alkit.rng import keep_random

SAMPLE = 256
"""Rows per cluster of a sample on which steps 1 to 3 begin, if the table is at least twice as large."""

SAMPLED = 2**25
"""Number of rows times clusters from which all starts begin on the sample; below, every third one."""

STARTS, FEW = 6, 1000
"""Largest number of starts of steps 1 to 3, and the k from which there is only one: FEW / k, at most STARTS."""

ROUNDS, MANY_ROUNDS = 5, 3
"""Rounds of k-means||, and for :data:`FEW` clusters or more; each draws about k candidates."""

GREEDY = 1000
"""Largest k for which k-means++ compares several candidates in each step."""

LLOYD = 30
"""Largest number of Lloyd's steps before the centres are moved."""

MOVES = 8
"""Largest number of times that centres are moved, with :data:`AFTER` of Lloyd's steps after each."""

AFTER = 3

DIVIDING = 8
"""Steps of two-means that divide a cluster."""

HARTIGAN = 60
"""Largest number of steps by Hartigan's rule."""

LAST = 10
"""Largest number of Lloyd's steps at the end."""

COARSE, FINE = 1e-3, 5e-5
"""Relative improvements of the sum of squared distances in a step, below which steps end: at first, and later."""

MANY_COARSE, MANY_FINE = 3e-3, 1e-3
"""The same for :data:`FEW` clusters or more. The sum still ends below that of five starts, by Hartigan's rule."""


def find_centres(table: Table, k: int, rng: np.random.Generator, device: str | None = None) -> Float64:
    """Return the centres of k clusters in the unit of the features, ``(k, d)``; the table has k different rows."""
    device = find_device(device, 50 * len(table) * table.width * k)
    passes, sample = _passes(table, device), _sample(table, k, rng)
    sources = [table, table, sample] if len(table) * k < SAMPLED else [sample]
    coarse, fine = (COARSE, FINE) if k < FEW else (MANY_COARSE, MANY_FINE)
    starts = [
        _start(sources[start % len(sources)], table, passes, k, rng, (coarse, fine), device)
        for start in range(max(1, min(STARTS, FEW // k)))
    ]
    centres = starts[0] if len(starts) == 1 else min(starts, key=lambda start: passes.nearest(start).cost)
    centres = _hartigan(passes, centres, fine)
    return table.unshifted(_lloyd(passes, centres, LAST if k < FEW else 1, fine))


def _start(
    source: Table,
    table: Table,
    passes: Passes,
    k: int,
    rng: np.random.Generator,
    least: tuple[float, float],
    device: str | None,
) -> Float32:
    """Return the centres of steps 1 to 3, begun on another table of some of the rows, in the frame of the table."""
    coarse, fine = least
    own = passes if source is table else _passes(source, device)
    centres = source.shifted(_first_centres(source, k, rng, device))
    centres = _move(own, source, _lloyd(own, centres, LLOYD, coarse), fine)
    if source is table:
        return centres
    return _move(passes, table, table.shifted(source.unshifted(centres)), fine)


def _sample(table: Table, k: int, rng: np.random.Generator) -> Table:
    """Return a sample of a much larger table, if it has k different rows, or the table."""
    if len(table) < 2 * SAMPLE * k:
        return table
    rows = np.sort(rng.choice(len(table), SAMPLE * k, replace=False))
    sample = Table(table.features, rows if table.order is None else table.order[rows])
    return sample if count_distinct(sample, up_to=k) == k else table


def _passes(table: Table, device: str | None) -> Passes:
    if device is None:
        return PassesByNumpy(table)
    from alkit.features.lloyd_torch import PassesByTorch  # imports torch, which a CPU does not need

    return PassesByTorch(table, device)


def _first_centres(table: Table, k: int, rng: np.random.Generator, device: str | None) -> Float32:
    """Return k different rows by k-means||, in the unit of the features."""
    with keep_random():
        from sklearn.cluster import kmeans_plusplus

    rounds = ROUNDS if k < FEW else MANY_ROUNDS
    search = Search(table, rounds * k, device)
    chosen = np.array([rng.integers(len(table))])
    search.add(table.take(chosen))
    round = 0
    while round < rounds or len(chosen) < k:  # more rounds are for tables with few different rows
        chance = k * (search.squared / search.squared.sum()) if search.squared.any() else search.squared
        drawn = np.flatnonzero(rng.random(len(table)) < chance)
        if round >= rounds:  # the farthest row is certain, so that each round finds a different one
            drawn = np.union1d(drawn[: k - len(chosen)], [search.squared.argmax()])
        if len(drawn):
            search.add(table.take(drawn))
            # Drawn rows that are identical to others are nearest to none.
            kept = np.flatnonzero(np.bincount(search.best))
            chosen, search.best = np.append(chosen, drawn)[kept], np.searchsorted(kept, search.best)
            search.added = len(chosen)
        round += 1
    candidates = table.take(chosen)
    if len(chosen) <= k:
        return candidates
    _, best = kmeans_plusplus(
        table.shifted(candidates),
        k,
        sample_weight=np.bincount(search.best, minlength=len(chosen)).astype(np.float64),
        random_state=int(rng.integers(2**31)),
        n_local_trials=None if k <= GREEDY else 1,
    )
    return table.take(chosen[best])


def _means(step: Step, centres: Float32) -> Float32:
    """Return the means of the new clusters; an empty one keeps its centre."""
    sizes = np.bincount(step.labels, minlength=len(centres))
    means: Float32 = np.where(sizes[:, None], step.sums / np.maximum(sizes, 1)[:, None], centres).astype(np.float32)
    return means


def _lloyd(passes: Passes, centres: Float32, steps: int, least: float) -> Float32:
    """Return the centres after Lloyd's algorithm."""
    before = np.inf
    for _ in range(steps):
        step = passes.nearest(centres)
        centres = _means(step, centres)
        if before - step.cost <= least * step.cost:
            break
        before = step.cost
    return centres


def _hartigan(passes: Passes, centres: Float32, fine: float) -> Float32:
    """Return the best centres of several steps by Hartigan's rule."""
    step = passes.nearest(centres)
    best, lowest, before = centres, step.cost, np.inf
    for _ in range(HARTIGAN):
        centres = _means(step, centres)
        step = passes.hartigan(centres, step.labels, np.bincount(step.labels, minlength=len(centres)))
        if step.cost < lowest:
            best, lowest = centres, step.cost
        if before - step.cost <= fine * step.cost:
            break
        before = step.cost
    return best


def _move(passes: Passes, table: Table, centres: Float32, fine: float = FINE) -> Float32:
    """Return the centres after some have moved from where they do little to where two are needed."""
    for _ in range(MOVES):
        step, other, farther = passes.second(centres)
        centres = _means(step, centres)
        moved = _moved(passes, table, centres, step, other, farther, fine * step.cost)
        if moved is None:
            break
        moved = _lloyd(passes, moved, AFTER, 0)
        after = passes.nearest(moved)
        if after.cost >= step.cost * (1 - fine):
            return moved if after.cost < step.cost else centres
        centres = _means(after, moved)
    return centres


def _moved(
    passes: Passes, table: Table, centres: Float32, step: Step, other: Integers, farther: Float32, least: float
) -> Float32 | None:
    """Return the centres after each move that lowers the cost; None if all together are expected to do less than that.

    The expectation is a sum over clusters as they are. Two clusters that take part in one move take part in no other.
    """
    k, labels = len(centres), step.labels
    loss = np.bincount(labels, farther - step.squared, minlength=k)  # of dissolving a cluster
    gain, first, second = _divide(passes, table, centres, step)
    receivers = np.full(k, -1)  # the cluster that gets most rows of a dissolved one
    pairs, counts = np.unique(labels * k + other, return_counts=True)
    for pair in pairs[np.argsort(counts, kind="stable")].tolist():
        receivers[pair // k] = pair % k
    centres, used, lower = centres.copy(), np.zeros(k, bool), 0.0
    dissolved = iter(np.argsort(loss, kind="stable").tolist())
    for divided in np.argsort(-gain, kind="stable").tolist():
        if used[divided]:
            continue
        free = next((c for c in dissolved if not used[c] and c != divided and not used[receivers[c]]), None)
        if free is None or loss[free] >= gain[divided]:
            break
        centres[divided], centres[free] = first[divided], second[divided]
        used[[divided, free, receivers[free]]] = True
        lower += gain[divided] - loss[free]
    return centres if lower > least else None


def _divide(passes: Passes, table: Table, centres: Float32, step: Step) -> tuple[Float64, Float32, Float32]:
    """Divide each cluster by two-means: return how much that lowers the cost, and the centres of both parts."""
    k = len(centres)
    order = np.lexsort((-step.squared, step.labels))
    clusters, begins = np.unique(step.labels[order], return_index=True)
    first, second = centres.copy(), centres.copy()
    second[clusters] = table.shifted(table.take(order[begins]))  # the row farthest from the centre
    gain = np.zeros(k)
    for _ in range(DIVIDING):
        directions = second - first
        limits = (np.einsum("kd,kd->k", second, second) - np.einsum("kd,kd->k", first, first)) / 2
        sums, sizes = passes.halves(step.labels, directions, limits)
        means = sums / np.maximum(sizes, 1)[:, None]
        apart = means[k:] - means[:k]
        gain = np.einsum("kd,kd->k", apart, apart) * (sizes[:k] * sizes[k:] / np.maximum(sizes[:k] + sizes[k:], 1))
        both = (sizes[:k] > 0) & (sizes[k:] > 0)
        gain[~both] = 0
        first[both], second[both] = means[:k][both], means[k:][both]
    return gain, first, second
