"""Methods with their runs, their scores and their differences, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from alkit.arguments.checked import checked
from alkit.report.records import Skipped
from alkit.statistics.curves import Runs
from alkit.statistics.estimates import Estimate
from alkit.statistics.savings import LabelsSaved
from alkit.values.shown import short_repr


@checked
@dataclass(frozen=True, repr=False)
class Method:
    """A strategy with a learner, and its runs.

    Parameters
    ----------
    name:
        Name of the method.
    strategy, learner:
        Names of its parts; empty if the method is only known by its runs.
    runs:
        Learning curves by seed.
    settings:
        Parameters in which the methods of the comparison differ, as texts.
    records:
        Records by seed.
    """

    name: str
    strategy: str
    learner: str
    runs: Runs
    settings: Mapping[str, str] = field(default_factory=dict)
    records: Mapping[int, str] = field(default_factory=dict)

    __repr__ = short_repr


@checked
@dataclass(frozen=True)
class Scores:
    """Results of one method.

    Attributes
    ----------
    area:
        Area under the learning curve divided by its width, over seeds; None if all runs share only one number of
        labels.
    last:
        Metric at the largest number of labels that all runs have.
    labels:
        Median number of labels to reach the level; None unless more than half of the seeds reach it.
    reached, began:
        Number of seeds that reach the level, and of those that have it with their first labels. What a run has beyond
        the most labels that all runs have does not count, here and in `labels`.
    """

    area: Estimate | None
    last: Estimate
    labels: float | None
    reached: int
    began: int


@checked
@dataclass(frozen=True)
class Difference:
    """A method minus its baseline, within seeds.

    Attributes
    ----------
    method, baseline:
        Names of the two methods.
    area:
        Difference of the areas under the learning curves; None if all runs share only one number of labels.
    p:
        p-value of this difference, corrected for all tests of the comparison by Holm's method; None without a test.
    last:
        Difference at the largest number of labels that all runs have.
    saved:
        Labels that the method saves to reach the level, without what a run has beyond the most labels of all runs.
    """

    method: str
    baseline: str
    area: Estimate | None
    p: float | None
    last: Estimate
    saved: LabelsSaved


@checked
@dataclass(frozen=True, repr=False)
class Compared:
    """The fields of a :class:`alkit.report.Comparison`."""

    metric: str
    lower: bool
    labels: tuple[int, ...]
    level: float
    methods: tuple[Method, ...]
    scores: Mapping[str, Scores]
    differences: tuple[Difference, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return everything as plain data, as ``alkit compare --json`` prints it."""
        return {
            **{name: getattr(self, name) for name in ("metric", "lower", "level")},
            "labels": list(self.labels),
            "methods": [
                {
                    **{name: getattr(method, name) for name in ("name", "strategy", "learner")},
                    "settings": dict(method.settings),
                    "records": {str(seed): record for seed, record in method.records.items()},
                    "curves": {
                        str(seed): {str(n): value for n, value in curve.items()} for seed, curve in method.runs.items()
                    },
                    "scores": asdict(self.scores[method.name]),
                }
                for method in self.methods
            ],
            "differences": [asdict(difference) for difference in self.differences],
            "skipped": [asdict(record) for record in self.skipped],
            "notes": list(self.notes),
        }
