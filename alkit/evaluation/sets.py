"""Accumulators of labels of several classes per image (multi-label): each class is a question with two answers.

Labels are ``(n, classes)`` of 0 (absent), 1 (present) and the ignore value (unknown), and probabilities ``(n, 2,
classes)``. Unknown classes of an image do not count. The figures are those of scikit-learn and torchmetrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.evaluation.accumulators import BINS, Batch
from alkit.rng import keep_random
from alkit.values.label_spec import LabelSpec


class Sets:
    """Metrics of the predicted sets of classes.

    - ``f1``: the mean of ``f1/<class>``, for each class that occurs in the labels or the predictions (macro F1). A
      class that occurs in only one has 0;
    - ``micro_f1``: F1 of all decisions whether an image has a class, counted together. It is 1 if there are none of
      them in the labels and the predictions;
    - ``exact_match``: the share of images for which all decisions are right;
    - ``recall/<class>``: the share of the images with a class for which it is predicted, and ``recall``, their mean;
    - ``balanced_accuracy``: the mean over the classes of the mean of recall and specificity, for each class that some
      images have and others do not.
    """

    def __init__(self, spec: LabelSpec) -> None:
        self._spec = spec
        self._batches: list[Batch] = []

    def add(self, batch: Batch) -> None:
        """Take some predictions."""
        self._batches.append(batch)

    def figures(self) -> dict[str, float]:
        """Return the figures by name."""
        with keep_random():  # it takes half a second, and masks do not need it
            from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score

        predicted, truth, known = self._joined("predicted"), self._joined("truth"), self._known()
        f1, recalls, balanced = dict[str, float](), dict[str, float](), list[float]()
        for name, true, found in self._columns(predicted):
            if true.any() or found.any():
                f1[name] = float(f1_score(true, found))
            if true.any():
                recalls[name] = float(recall_score(true, found))
            if 0 < true.sum() < len(true):
                balanced.append(float(balanced_accuracy_score(true, found)))
        whole = {
            "f1": _mean(f1),
            "micro_f1": float(f1_score(truth[known] == 1, predicted[known] == 1, zero_division=1.0)),
            "exact_match": float(((predicted == truth) | ~known).all(axis=1).mean()),
            "balanced_accuracy": float(np.mean(balanced)) if balanced else None,
            "recall": _mean(recalls),
        }
        return {
            **{name: value for name, value in whole.items() if value is not None},
            **{f"f1/{name}": value for name, value in f1.items()},
            **{f"recall/{name}": value for name, value in recalls.items()},
        }

    def _joined(self, name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(batch, name) for batch in self._batches])

    def _known(self) -> npt.NDArray[np.bool_]:
        truth = self._joined("truth")
        return np.ones(truth.shape, bool) if self._spec.ignore is None else truth != self._spec.ignore

    def _columns(self, found: npt.NDArray[Any]) -> Iterator[tuple[str, npt.NDArray[np.bool_], npt.NDArray[Any]]]:
        """Yield each class, which images have it, and what was found for them; only images for which it is known."""
        truth, known = self._joined("truth"), self._known()
        for column, name in enumerate(self._spec.classes):
            rows = known[:, column]
            if rows.any():
                yield name, truth[rows, column] == 1, found[rows, column]


class SetRankings(Sets):
    """Figures of the order of the images by the probability of each class, which need no threshold.

    They exist for each class that some images have and others do not.
    """

    def figures(self) -> dict[str, float]:
        """Return ``auroc`` and ``average_precision``, means over the classes, and those of each class."""
        from sklearn.metrics import average_precision_score, roc_auc_score

        scores: dict[str, Callable[..., float]] = {
            "auroc": roc_auc_score,
            "average_precision": average_precision_score,
        }
        columns = list(self._columns(self._joined("probabilities")[:, 1]))
        figures: dict[str, float] = {}
        for metric, score in scores.items():
            each = {name: float(score(true, found)) for name, true, found in columns if 0 < true.sum() < len(true)}
            figures |= {metric: float(np.mean(list(each.values())))} if each else {}
            figures |= {f"{metric}/{name}": value for name, value in each.items()}
        return figures


class SetCalibration(Sets):
    """The expected calibration error of the probability of each class, and their mean."""

    def figures(self) -> dict[str, float]:
        """Return ``ece`` and ``ece/<class>``."""
        import torch
        from torchmetrics.functional.classification import binary_calibration_error

        each: dict[str, float] = {}
        for name, true, found in self._columns(self._joined("probabilities")[:, 1]):
            given = torch.from_numpy(np.ascontiguousarray(found)), torch.from_numpy(true.astype(np.int64))
            each[name] = float(binary_calibration_error(*given, n_bins=BINS))
        return {"ece": float(np.mean(list(each.values()))), **{f"ece/{name}": value for name, value in each.items()}}


def _mean(values: dict[str, float]) -> float | None:
    return float(np.mean(list(values.values()))) if values else None
