"""What the rows say: curves, ceilings, labels to reach a share of the ceiling, areas and their comparison."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from alkit.statistics import Curve, Estimate, Runs, estimate, holm, labels_to_reach
from benchmarks.labels.protocol import BUDGETS, FULL, RANDOM
from benchmarks.labels.runs import Row

MEASURES = {"images": "mean over images", "kinds": "mean over kinds", "worst": "worst kind"}

Case = tuple[str, int, str]
"""A data set, the side of its images, and a learner."""


@dataclass(frozen=True)
class Ceiling:
    """The Dice of a learner that was trained on the whole pool.

    Parameters
    ----------
    length:
        Steps, or epochs of the paper's learner, with the highest mean over seeds.
    by_seed:
        Dice of each seed with this length.
    means:
        Mean Dice over the seeds that have every length, by length.
    labels:
        Size of the pool.
    """

    length: int
    by_seed: Mapping[int, float]
    means: Mapping[int, float]
    labels: int

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return fmean(self.by_seed.values())


class Results:
    """The rows of the benchmark, in order."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = list(rows)
        self._rows: dict[tuple[Case, str], dict[int, dict[int, Row]]] = defaultdict(dict)
        self._full: dict[Case, dict[int, dict[int, Row]]] = defaultdict(dict)
        for row in self.rows:
            case = row.data, row.size, row.learner
            if row.arm == FULL:
                self._full[case].setdefault(row.length, {})[row.seed] = row
            else:
                self._rows[case, row.arm].setdefault(row.seed, {})[row.labels] = row

    def cases(self) -> list[Case]:
        """Return the cases that have a finished run of random selection."""
        found = dict.fromkeys((row.data, row.size, row.learner) for row in self.rows)
        return [case for case in found if self.finished(case, RANDOM)]

    def finished(self, case: Case, arm: str) -> dict[int, dict[int, Row]]:
        """Return the rows of an arm by seed and labels, of the seeds that have every budget."""
        needed = set(BUDGETS[case[0]])
        return {seed: rows for seed, rows in sorted(self._rows[case, arm].items()) if needed <= set(rows)}

    def arms(self, case: Case) -> list[str]:
        """Return the arms with a finished run, random selection first."""
        named = dict.fromkeys(arm for some, arm in self._rows if some == case)
        return sorted((arm for arm in named if self.finished(case, arm)), key=lambda arm: arm != RANDOM)

    def runs(self, case: Case, arm: str, measure: str = "images") -> Runs:
        """Return the curves of an arm by seed."""
        finished = self.finished(case, arm)
        return {
            seed: {labels: float(getattr(row, measure)) for labels, row in sorted(rows.items())}
            for seed, rows in finished.items()
        }

    def ceiling(self, case: Case, measure: str = "images") -> Ceiling | None:
        """Return the ceiling of a case; None if no whole pool was trained on. Its length is the best over images."""
        data, size, learner = case
        own = (data, size, "strong") if learner == "long" else case
        lengths = {length: rows for length, rows in sorted(self._full[own].items()) if rows}
        if not lengths:
            return None
        common = set.intersection(*(set(rows) for rows in lengths.values()))
        means = {length: fmean(rows[seed].images for seed in common) for length, rows in lengths.items() if common}
        best = max(means, key=means.__getitem__) if means else max(lengths)
        rows = lengths[best]
        by_seed = {seed: float(getattr(row, measure)) for seed, row in rows.items()}
        return Ceiling(best, by_seed, means, next(iter(rows.values())).labels)


def mean_curve(runs: Runs) -> dict[int, float]:
    """Return the mean over seeds at each number of labels."""
    labels = sorted(next(iter(runs.values())))
    return {there: fmean(curve[there] for curve in runs.values()) for there in labels}


def area(curve: Curve) -> float:
    """Return the area under a curve over the logarithm of the number of labels, divided by the range.

    >>> area({10: 0.5, 100: 0.7, 1000: 0.7})
    0.65
    """
    points = sorted((math.log(labels), value) for labels, value in curve.items())
    total = sum((right - left) * (low + high) / 2 for (left, low), (right, high) in pairwise(points))
    return round(total / (points[-1][0] - points[0][0]), 12)


def gain(results: Results, case: Case, arm: str, measure: str = "images") -> Estimate | None:
    """Return the mean difference of the area from that of random selection within seeds; None without common seeds."""
    own, other = results.runs(case, arm, measure), results.runs(case, RANDOM, measure)
    seeds = sorted(set(own) & set(other))
    return estimate([area(own[seed]) - area(other[seed]) for seed in seeds]) if seeds else None


def corrected(results: Results, measure: str) -> dict[tuple[Case, str], float | None]:
    """Return p after Holm's correction of all gains of a measure, by case and arm."""
    found = {
        (case, arm): gain(results, case, arm, measure)
        for case in results.cases()
        for arm in results.arms(case)
        if arm != RANDOM
    }
    return holm({name: None if own is None else own.p for name, own in found.items()})


def needed(runs: Runs, value: float) -> float | None:
    """Return the labels at which the mean curve of some runs reaches a value."""
    return labels_to_reach(mean_curve(runs), value)


def needed_by_seed(runs: Runs, values: Mapping[int, float]) -> list[float | None]:
    """Return the labels at which each run reaches the value of its seed."""
    return [labels_to_reach(curve, values[seed]) for seed, curve in runs.items() if seed in values]


def labels_text(labels: float | None, budgets: Sequence[int]) -> str:
    """Return a number of labels in words.

    >>> labels_text(10.0, (10, 20)), labels_text(13.2, (10, 20)), labels_text(None, (10, 20))
    ('at most 10', '13', 'more than 20')
    """
    if labels is None:
        return f"more than {budgets[-1]}"
    return f"at most {budgets[0]}" if labels <= budgets[0] else f"{labels:.0f}"
