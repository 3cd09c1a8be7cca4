"""Accumulators: they take the predictions of a test set batch by batch, and give figures at the end."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from alkit.errors import AlkitError, ConfigurationError, DataError
from alkit.values.label_spec import LabelSpec

BINS = 15
"""Number of bins of the calibration error, as in its paper."""


@dataclass(frozen=True)
class Batch:
    """Some images that count, with what is predicted for them and their labels.

    Parameters
    ----------
    ids:
        Ids of n images.
    predicted:
        Most probable classes, ``(n, h, w)`` or ``(n,)``; of several classes, ``(n, classes)`` of 0 and 1.
    probabilities:
        Probabilities, ``(n, classes, h, w)`` or ``(n, classes)``, float32; of several classes, ``(n, 2, classes)``.
    truth:
        Labels, ``(n, h, w)`` with at least one pixel that counts in each image, or ``(n,)``; of several classes,
        ``(n, classes)``.
    """

    ids: Sequence[str]
    predicted: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float32]
    truth: npt.NDArray[Any]

    def take(self, rows: Sequence[int]) -> Batch:
        """Return some of the images."""
        ids = [self.ids[row] for row in rows]
        return Batch(ids, self.predicted[rows], self.probabilities[rows], self.truth[rows])


class Accumulator(Protocol):
    """Collects batches."""

    def add(self, batch: Batch) -> None:
        """Take the predictions of some images."""

    def figures(self) -> dict[str, float]:
        """Return the figures by name; those that are not defined for these images are left out."""


class Overlaps:
    """Dice and IoU: see :func:`alkit.evaluation.metrics.segmentation_metrics`."""

    def __init__(self, spec: LabelSpec) -> None:
        self._spec = spec
        self._scores: list[npt.NDArray[np.float64]] = []

    def add(self, batch: Batch) -> None:
        """Take some masks."""
        from alkit.evaluation.metrics import dice

        self._scores.append(dice(batch.predicted, batch.truth, self._spec))

    def figures(self) -> dict[str, float]:
        """Return ``dice`` and ``iou``, and ``dice/<class>`` if there is more than one foreground class."""
        from alkit.evaluation.metrics import segmentation_metrics

        return segmentation_metrics(self._scores, self._spec)


class Outlines:
    """HD95 and surface Dice: see :func:`alkit.evaluation.surfaces.outline_figures`."""

    def __init__(self, spec: LabelSpec, tolerance: float) -> None:
        self._spec, self._tolerance = spec, tolerance
        self._found: list[npt.NDArray[np.float64]] = []

    def add(self, batch: Batch) -> None:
        """Take some masks."""
        from alkit.evaluation.surfaces import outline_figures

        self._found.append(outline_figures(batch.predicted, batch.truth, self._spec, self._tolerance))

    def figures(self) -> dict[str, float]:
        """Return ``hd95`` and ``surface_dice``, averaged as Dice is."""
        from alkit.evaluation.metrics import mean_over_images, means_by_class

        distances, shares = np.concatenate(self._found, axis=1)
        return {
            "hd95": mean_over_images(distances, empty=0.0),
            "surface_dice": mean_over_images(shares, empty=1.0),
            **means_by_class("hd95", distances, self._spec),
            **means_by_class("surface_dice", shares, self._spec),
        }


class Calibration:
    """The expected calibration error of the most probable class, over images or pixels.

    It is computed as by ``torchmetrics.classification.MulticlassCalibrationError`` with the L1 norm, which keeps the
    probability of every pixel of the test set in memory. Here only sums are kept.
    """

    def __init__(self, spec: LabelSpec) -> None:
        self._ignore = spec.ignore
        self._sums = np.zeros((3, BINS))  # number, confidence and hits in each bin

    def add(self, batch: Batch) -> None:
        """Take some predictions."""
        counted = np.ones(batch.truth.shape, bool) if self._ignore is None else batch.truth != self._ignore
        confidence = batch.probabilities.max(axis=1)[counted].astype(np.float64)
        right = (batch.predicted == batch.truth)[counted]
        bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
        for row, weights in enumerate((None, confidence, right)):
            self._sums[row] += np.bincount(bins, weights, minlength=BINS)

    def figures(self) -> dict[str, float]:
        """Return ``ece``."""
        number, confidence, right = self._sums
        return {"ece": float(np.abs(confidence - right).sum() / number.sum())}


class Classes:
    """Metrics of one class per image: see :func:`alkit.evaluation.metrics.classification_metrics`."""

    def __init__(self, spec: LabelSpec) -> None:
        self._spec = spec
        self._batches: list[Batch] = []

    def add(self, batch: Batch) -> None:
        """Take some predictions."""
        self._batches.append(batch)

    def figures(self) -> dict[str, float]:
        """Return accuracy, balanced accuracy, F1 and recalls."""
        from alkit.evaluation.metrics import classification_metrics

        return classification_metrics(self._joined("predicted"), self._joined("truth"), self._spec)

    def _joined(self, name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(batch, name) for batch in self._batches])


class Rankings(Classes):
    """The area under the ROC curve of each class against the others."""

    def figures(self) -> dict[str, float]:
        """Return ``auroc``, and ``auroc/<class>`` if there are more than two; classes without a contrast have none."""
        from sklearn.metrics import roc_auc_score

        truth, probabilities = self._joined("truth"), self._joined("probabilities")
        areas = {
            label: float(roc_auc_score(truth == label, probabilities[:, label]))
            for label in np.unique(truth).tolist()
            if not (truth == label).all()
        }
        if not areas:
            return {}
        names = self._spec.classes
        each = {f"auroc/{names[label]}": area for label, area in areas.items()} if len(names) > 2 else {}
        return {"auroc": float(np.mean(list(areas.values()))), **each}


class OfFunction:
    """A metric by a function of predicted and true classes."""

    def __init__(self, name: str, function: Callable[[Any, Any], float], spec: LabelSpec) -> None:
        self._name, self._function, self._per_image = name, function, spec.per == "pixel"
        self._values: list[float] = []
        self._kept: list[Batch] = []

    def add(self, batch: Batch) -> None:
        """Take some predictions: call the function for each mask, or keep the classes until all are known."""
        if not self._per_image:
            self._kept.append(batch)
            return
        for id, predicted, truth in zip(batch.ids, batch.predicted, batch.truth, strict=True):
            self._values.append(self._call(f"image {id!r}", predicted, truth))

    def figures(self) -> dict[str, float]:
        """Return the mean over the images that are not NaN, or the value for all classes."""
        if not self._per_image:
            predicted, truth = (np.concatenate([getattr(b, n) for b in self._kept]) for n in ("predicted", "truth"))
            self._values = [self._call("the test set", predicted, truth)]
        known = [value for value in self._values if not np.isnan(value)]
        return {self._name: float(np.mean(known))} if known else {}

    def _call(self, what: str, predicted: npt.NDArray[Any], truth: npt.NDArray[Any]) -> float:
        try:
            value = float(self._function(predicted.copy(), truth.copy()))  # it may write into them
        except AlkitError:
            raise
        except Exception as reason:
            raise ConfigurationError(
                f"the metric {self._name} failed for {what} ({type(reason).__name__}: {reason})",
                hint="it gets the predicted and the true class ids, and returns a number",
            ) from reason
        if np.isinf(value):
            raise ConfigurationError(
                f"the metric {self._name} must be finite, or NaN if it is not defined", got=f"{value} for {what}"
            )
        return value


class OfTorchmetrics:
    """A metric by an object with ``update(preds, target)`` and ``compute()``, such as those of torchmetrics."""

    def __init__(self, name: str, metric: Any, spec: LabelSpec) -> None:
        self._name, self._spec = name, spec
        self._metric = copy.deepcopy(metric)
        self._metric.reset()
        self._form = getattr(metric, "input_format", None)
        self._planes = max(len(spec.classes), getattr(metric, "num_classes", None) or 0)
        known = any(kind.__module__.startswith("torchmetrics.segmentation") for kind in type(metric).__mro__)
        if known and self._form != "one-hot" and spec.ignore is not None:  # an ignored pixel has no index
            self._form = self._metric.input_format = "one-hot"
        self._binary = type(metric).__name__.startswith("Binary")
        self._ignore = spec.ignore
        self._added = False

    def add(self, batch: Batch) -> None:
        """Pass the predictions on."""
        import torch

        ignored = None if self._ignore is None else batch.truth == self._ignore
        if self._spec.multiple:
            self._add_sets(batch, ignored)
            return
        truth = torch.from_numpy(np.where(False if ignored is None else ignored, 0, batch.truth).astype(np.int64))
        if self._form is not None:  # of torchmetrics.segmentation
            classes = np.where(False if ignored is None else ignored, 0, batch.predicted).astype(np.int64)
            given = torch.from_numpy(classes)
            if self._form == "one-hot":
                counted = torch.from_numpy(~ignored if ignored is not None else np.ones(batch.truth.shape, bool))
                given, truth = (
                    (torch.nn.functional.one_hot(masks, self._planes) * counted[..., None]).movedim(-1, 1)
                    for masks in (given, truth)
                )
        else:
            given = torch.from_numpy(batch.probabilities.copy())  # a metric of the user may write into it
            if self._binary:
                given = given[:, 1]
            if ignored is not None and ignored.any():
                counted = torch.from_numpy(~ignored)
                given = given[counted] if self._binary else given.movedim(1, -1)[counted]
                truth = truth[counted]
        self._run("update", given, truth)
        self._added = True

    def _add_sets(self, batch: Batch, ignored: npt.NDArray[np.bool_] | None) -> None:
        """Pass on the probability of each class and the labels ``(n, classes)``; all together to a binary metric."""
        import torch

        given, truth = (
            torch.from_numpy(batch.probabilities[:, 1].copy()),
            torch.from_numpy(batch.truth.astype(np.int64)),
        )
        if self._binary:
            counted = torch.from_numpy(np.ones(batch.truth.shape, bool) if ignored is None else ~ignored)
            given, truth = given[counted], truth[counted]
        elif ignored is not None and ignored.any() and getattr(self._metric, "ignore_index", None) != self._ignore:
            raise ConfigurationError(
                f"the metric {self._name} must leave unknown classes out",
                got=f"labels with the ignore value {self._ignore}",
                hint=f"ignore_index={self._ignore} for the metric",
            )
        self._run("update", given, truth)
        self._added = True

    def figures(self) -> dict[str, float]:
        """Return the value, one for each class, or those of a collection by their names; NaN is left out."""
        if not self._added:
            return {}
        found = self._run("compute")
        values = found if isinstance(found, Mapping) else {self._name: found}
        figures: dict[str, float] = {}
        for name, value in values.items():
            flat = np.asarray(value, np.float64).reshape(-1)
            if flat.size == 1:
                figures[name] = float(flat[0])
            elif flat.size in (len(self._spec.classes), len(self._spec.classes) - 1):
                names = self._spec.classes[-flat.size :]
                figures[name] = float(np.nanmean(flat))
                figures.update({f"{name}/{own}": float(one) for own, one in zip(names, flat, strict=True)})
            else:
                raise ConfigurationError(
                    f"the metric {name} must give one number, or one for each class", got=f"{flat.size} numbers"
                )
        return {name: value for name, value in figures.items() if np.isfinite(value)}

    def _run(self, method: str, *given: Any) -> Any:
        try:
            return getattr(self._metric, method)(*given)
        except Exception as reason:
            raise ConfigurationError(
                f"the metric {self._name} failed in {method} ({type(reason).__name__}: {reason})",
                hint="it gets probabilities and class ids, or masks in its input_format",
            ) from reason


class ByGroup:
    """Figures of each group of images, their mean over the groups, and the worst one."""

    def __init__(
        self, start: Callable[[], Accumulator], groups: Mapping[str, str], lower_is_better: Callable[[str], bool]
    ) -> None:
        self._start, self._groups, self._lower = start, groups, lower_is_better
        self._own: dict[str, Accumulator] = {}

    def add(self, batch: Batch) -> None:
        """Take some predictions, each for its group."""
        rows: dict[str, list[int]] = {}
        for row, id in enumerate(batch.ids):
            if id not in self._groups:
                raise DataError(
                    f"groups must have a group for each image that is measured, and {id!r} has none",
                    hint="add it, or measure on a test set without this image",
                )
            rows.setdefault(self._groups[id], []).append(row)
        for group, own in rows.items():
            if group not in self._own:
                self._own[group] = self._start()
            self._own[group].add(batch.take(own))

    def figures(self) -> dict[str, float]:
        """Return ``<metric>_over_groups`` and ``<metric>_worst_group``, and ``<metric>@<group>`` for each group."""
        each = {group: self._own[group].figures() for group in sorted(self._own)}
        names = dict.fromkeys(name for figures in each.values() for name in figures if "/" not in name)
        found: dict[str, float] = {}
        for name in names:
            values = {group: figures[name] for group, figures in each.items() if name in figures}
            worst = max if self._lower(name) else min
            found[f"{name}_over_groups"] = float(np.mean(list(values.values())))
            found[f"{name}_worst_group"] = worst(values.values())
            found.update({f"{name}@{group}": value for group, value in values.items()})
        return found
