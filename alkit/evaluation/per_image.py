"""The figures of each image alone, for intervals of the figures of all.

References
----------
Efron, Stein. "The Jackknife Estimate of Variance". The Annals of Statistics 9, 1981 (pseudo-values).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from alkit.evaluation.accumulators import Batch
from alkit.evaluation.chosen import Measurement, Metrics, is_original, stem_of
from alkit.evaluation.kinds import DEFAULTS, kind_of
from alkit.statistics.intervals import interval_from
from alkit.values.interval import Interval
from alkit.values.label_spec import LabelSpec

Values = npt.NDArray[np.float64]

IN_UNIT_RANGE = (
    *("dice", "iou", "surface_dice", "accuracy", "balanced_accuracy", "f1", "micro_f1", "exact_match", "recall"),
    *("auroc", "average_precision", "ece"),
)
"""Metrics in [0, 1]."""

MOST_LEFT_OUT = 300
"""Figures that are not means over images have an interval for at most so many images; each is left out in turn."""


class PerImage:
    """Collects the batches of :func:`alkit.evaluation.measure.measure`, image by image.

    Parameters
    ----------
    metrics:
        Checked metrics; None for the defaults.
    spec:
        The classes.
    """

    def __init__(self, metrics: Metrics | None, spec: LabelSpec) -> None:
        self._metrics, self._spec = metrics, spec
        self.ids: list[str] = []
        self._figures: dict[str, dict[str, float]] = {}  # of masks, by id
        self._kept: list[Batch] = []  # of classes

    def add(self, batch: Batch) -> None:
        """Take some predictions at the working size."""
        self.ids += list(batch.ids)
        if self._spec.per == "image":
            self._kept.append(batch)
            return
        for row, id in enumerate(batch.ids):
            self._figures.setdefault(id, {}).update(self._of(batch.take([row])))

    def add_original(self, batch: Batch) -> None:
        """Take the prediction of an image at its original size."""
        alone = Measurement(self._chosen(original=True), self._spec)
        alone.add_original(batch)
        self._figures.setdefault(batch.ids[0], {}).update(alone.figures())

    def _of(self, batch: Batch) -> dict[str, float]:
        alone = Measurement(self._chosen(original=False), self._spec)
        alone.add(batch)
        return alone.figures()

    def _chosen(self, *, original: bool) -> Metrics:
        """Return the metrics that are measured at the original size of an image, or those at the working size."""
        chosen = DEFAULTS[kind_of(self._spec)] if self._metrics is None else self._metrics
        if isinstance(chosen, Mapping):
            return {name: metric for name, metric in chosen.items() if is_original(metric) == original}
        return tuple(metric for metric in chosen if is_original(metric) == original)

    def values(self, whole: Mapping[str, float]) -> dict[str, Values]:
        """Return by name one value per image of those figures that are means over images; NaN for one without it."""
        found: dict[str, Values] = {}
        if self._spec.per == "pixel":
            for name, figure in whole.items():
                own = np.array([self._figures.get(id, {}).get(name, np.nan) for id in self.ids])
                if not np.isnan(own).all() and abs(np.nanmean(own) - figure) < 1e-6 * max(1.0, abs(figure)):
                    found[name] = own
        return found

    def intervals(
        self, whole: Mapping[str, float], groups: Sequence[str] | None, rng: Callable[[str], np.random.Generator]
    ) -> dict[str, Interval]:
        """Return an interval for each figure that can have one.

        A mean over images has that of its values. Other figures of classes have that of the jackknife's pseudo-values.

        Parameters
        ----------
        whole:
            The figures on all images.
        groups:
            Group of each image of :attr:`ids`; None if each is its own.
        rng:
            Random numbers for a name.
        """
        found = {}
        for name, own in {**self._pseudo_values(whole), **self.values(whole)}.items():
            bounds = (0.0, 1.0) if stem_of(name) in IN_UNIT_RANGE and "worst_group" not in name else None
            found[name] = interval_from(whole[name], own, groups, bounds, rng=rng(name))
        return found

    def _pseudo_values(self, whole: Mapping[str, float]) -> dict[str, Values]:
        """Return by name n times the figure minus n - 1 times that without the image, for each image of classes."""
        names = [name for name in whole if "@" not in name and "worst_group" not in name and "member_" not in name]
        if not self._kept or not 2 <= len(self.ids) <= MOST_LEFT_OUT:
            return {}
        columns = [[getattr(one, name) for one in self._kept] for name in ("predicted", "probabilities", "truth")]
        every = Batch(self.ids, *map(np.concatenate, columns))
        n = len(self.ids)
        without = [self._of(every.take([other for other in range(n) if other != row])) for row in range(n)]
        return {
            name: np.array([n * whole[name] - (n - 1) * figures.get(name, whole[name]) for figures in without])
            for name in names
        }
