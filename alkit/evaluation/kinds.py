"""The metrics of each kind of labels, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from alkit.evaluation import accumulators, sets
from alkit.evaluation.accumulators import Accumulator
from alkit.values.label_spec import LabelSpec

TOLERANCE = 1.0
"""Default tolerance of the surface Dice, in pixels."""

Make = Callable[[LabelSpec], Accumulator]


def _outlines(spec: LabelSpec) -> Accumulator:
    return accumulators.Outlines(spec, TOLERANCE)


OF_MASKS: Mapping[str, Make] = MappingProxyType(
    {
        "dice": accumulators.Overlaps,
        "iou": accumulators.Overlaps,
        "hd95": _outlines,
        "surface_dice": _outlines,
        "ece": accumulators.Calibration,
    }
)
"""Metrics of masks by name."""

OF_CLASSES: Mapping[str, Make] = MappingProxyType(
    {
        "accuracy": accumulators.Classes,
        "balanced_accuracy": accumulators.Classes,
        "f1": accumulators.Classes,
        "recall": accumulators.Classes,
        "auroc": accumulators.Rankings,
        "ece": accumulators.Calibration,
    }
)
"""Metrics of one class per image by name."""

OF_SETS: Mapping[str, Make] = MappingProxyType(
    {
        "f1": sets.Sets,
        "micro_f1": sets.Sets,
        "exact_match": sets.Sets,
        "balanced_accuracy": sets.Sets,
        "recall": sets.Sets,
        "auroc": sets.SetRankings,
        "average_precision": sets.SetRankings,
        "ece": sets.SetCalibration,
    }
)
"""Metrics of several classes per image by name."""

DEFAULTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "pixel": ("dice", "iou"),
        "image": ("accuracy", "balanced_accuracy", "f1", "recall"),
        "set": ("f1", "micro_f1", "exact_match"),
    }
)
"""Metrics that are measured by default, by the kind of the labels, see :func:`kind_of`."""

KINDS: Mapping[str, tuple[str, Mapping[str, Make]]] = MappingProxyType(
    {
        "pixel": ("masks", OF_MASKS),
        "image": ("one class per image", OF_CLASSES),
        "set": ("several classes per image", OF_SETS),
    }
)
"""By the kind of the labels what they are, and their metrics."""


def kind_of(spec: LabelSpec) -> str:
    """Return the kind of labels: ``pixel`` for masks, ``image`` for one class per image, ``set`` for several.

    >>> kind_of(LabelSpec(("cat", "dog"), per="image", multiple=True))
    'set'
    """
    return "set" if spec.multiple else spec.per
