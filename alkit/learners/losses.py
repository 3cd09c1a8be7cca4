"""Losses by name. Those beside cross-entropy are of segmentation-models-pytorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from alkit.arguments.checked import checked
from alkit.checks import check_number
from alkit.errors import ConfigurationError
from alkit.learners.smp_losses import smp_losses
from alkit.networks.training import Loss
from alkit.protocols import Labelled
from alkit.values.label_spec import LabelSpec

LossFactory = Callable[[LabelSpec], Loss]
"""From the label specification to a loss of logits and labels."""

DEFAULT = "cross-entropy+dice"
MASK_LOSSES = (DEFAULT, "cross-entropy", "dice", "focal", "tversky")
CLASS_LOSSES = ("cross-entropy", "focal")
WEIGHTED = (DEFAULT, "cross-entropy")
"""Losses that take weights of the classes."""

FREQUENCY = "frequency"
"""Name of the class weights that are inverse to the frequency of the class."""

ClassWeights = str | Mapping[str, float] | None


def check_loss(loss: object, weights: ClassWeights, known: Sequence[str]) -> None:
    """Check the parameters `loss` and `class_weights` of a learner, as far as possible without labels."""
    if not (loss in known if isinstance(loss, str) else callable(loss)):
        raise ConfigurationError(
            f"loss must be one of {', '.join(known)}, or a function that makes a loss from a label specification",
            got=repr(loss),
        )
    if weights is None:
        return
    if isinstance(weights, str) and weights != FREQUENCY:
        raise ConfigurationError(
            "class_weights must be 'frequency', or numbers by the names of classes", got=repr(weights)
        )
    if isinstance(weights, Mapping):
        for name, weight in weights.items():
            check_number(f"class_weights[{name!r}]", weight, 0)
    if loss not in WEIGHTED:
        raise ConfigurationError(
            "class_weights need a loss with cross-entropy",
            got=f"loss={loss!r}" if isinstance(loss, str) else "a loss of your own",
            hint=f"loss={next(name for name in known if name in WEIGHTED)!r}, or class_weights=None",
        )


def weigh_classes(weights: ClassWeights, labelled: Labelled) -> tuple[float, ...] | None:
    """Return the weight of each class in cross-entropy; None for equal ones.

    Weights by frequency are inverse to the number of pixels or images of the class. Their mean over pixels or images is
    1, and a class without labels has the weight 1.

    If an image can have several classes, the weight of a class is that of the images that have it. By frequency, it is
    the number of images without the class divided by the number of those with it, and 1 if one of them is 0.

    Raises
    ------
    ConfigurationError
        The weights name an unknown class.
    """
    classes = labelled.spec.classes
    if weights is None:
        return None
    if isinstance(weights, Mapping):
        if unknown := [name for name in weights if name not in classes]:
            raise ConfigurationError(
                f"class_weights name {unknown[0]!r}, which is not a class", expected=f"some of {', '.join(classes)}"
            )
        return tuple(float(weights.get(name, 1.0)) for name in classes)
    if labelled.spec.multiple:
        labels = labelled.labels(labelled.ids)
        absent, present = (np.count_nonzero(labels == value, axis=0) for value in (0, 1))
        both = (absent > 0) & (present > 0)
        return tuple(np.where(both, absent / np.maximum(present, 1), 1.0).tolist())
    counts = np.zeros(len(classes))
    for id in labelled.ids:
        label = labelled.labels([id])
        counts += np.bincount(label[label != labelled.spec.ignore].ravel(), minlength=len(classes))[: len(classes)]
    seen = counts > 0
    return tuple(np.where(seen, counts.sum() / np.maximum(counts, 1) / max(1, seen.sum()), 1.0).tolist())


@checked
def segmentation_loss(spec: LabelSpec) -> Loss:
    """Return the sum of cross-entropy and Dice loss, of logits ``(n, classes, h, w)`` and masks ``(n, h, w)``.

    Pixels with the ignore value of `spec` do not count. The loss of a batch without other pixels is 0.

    >>> import torch
    >>> loss = segmentation_loss(LabelSpec(("skin", "lesion")))
    >>> certain = torch.tensor([[[[99.0, -99.0]], [[-99.0, 99.0]]]])
    >>> round(float(loss(certain, torch.tensor([[[0, 1]]]))), 6)
    0.0
    """
    return mask_loss(DEFAULT, spec)


def mask_loss(name: str, spec: LabelSpec, weights: Sequence[float] | None = None) -> Loss:
    """Return a loss of :data:`MASK_LOSSES`, of logits ``(n, classes, h, w)`` and masks ``(n, h, w)``.

    Parameters
    ----------
    weights:
        Weight of each class in cross-entropy; None for equal ones.
    """
    losses = smp_losses()

    ignored = -100 if spec.ignore is None else spec.ignore  # torch's default, which ignores nothing
    terms: list[Loss] = []
    if "cross-entropy" in name:
        terms.append(lambda logits, masks: _cross_entropy(logits, masks, ignored, weights))
    if "dice" in name:
        terms.append(losses.DiceLoss(mode="multiclass", smooth=1.0, ignore_index=spec.ignore))
    if name == "focal":
        focal = losses.FocalLoss(mode="multiclass", ignore_index=spec.ignore)
        terms.append(lambda logits, masks: focal(_log_odds(logits), masks))
    if name == "tversky":
        # Missed pixels count more than those that are found too much.
        tversky = losses.TverskyLoss(mode="multiclass", smooth=1.0, ignore_index=spec.ignore, alpha=0.3, beta=0.7)
        terms.append(tversky)

    def loss(logits: Tensor, masks: Tensor) -> Tensor:
        if logits.ndim != 4:
            raise ConfigurationError(
                "the network of a SegmentationLearner must return logits (n, classes, h, w)",
                got=f"shape {tuple(logits.shape)}",
                hint="a network for segmentation, such as alkit.UNet",
            )
        logits = logits.float()
        if spec.ignore is not None and bool((masks == spec.ignore).all()):
            return logits.sum() * 0.0  # the mean over no pixels would be NaN
        first, *others = (term(logits, masks) for term in terms)
        return sum(others, start=first)

    return loss


def class_loss(name: str, weights: Sequence[float] | None = None) -> Loss:
    """Return a loss of :data:`CLASS_LOSSES`, of logits ``(n, classes)`` and class ids ``(n,)``."""
    focal = smp_losses().FocalLoss(mode="multiclass")

    def loss(logits: Tensor, classes: Tensor) -> Tensor:
        if logits.ndim != 2:
            raise ConfigurationError(
                "the network of a ClassificationLearner must return logits (n, classes)", got=f"{tuple(logits.shape)}"
            )
        logits = logits.float()
        if name == "focal":
            return cast(Tensor, focal(_log_odds(logits), classes))
        weight = _tensor(weights, logits)
        if weight is not None and not _counts(classes, -100, weight):
            return logits.sum() * 0.0
        return F.cross_entropy(logits, classes, weight)

    return loss


def presence_loss(name: str, spec: LabelSpec, weights: Sequence[float] | None = None) -> Loss:
    """Return a loss of :data:`CLASS_LOSSES`, of logits and labels ``(n, classes)``, if images can have several classes.

    It is the mean over the images and classes that are known: binary cross-entropy, or the focal loss.

    Parameters
    ----------
    weights:
        Weight in cross-entropy of the images that have a class, by class; None for equal ones.

    Examples
    --------
    >>> import torch
    >>> spec = LabelSpec(("cat", "dog"), per="image", multiple=True, ignore=255)
    >>> loss = presence_loss("cross-entropy", spec)(torch.tensor([[99.0, 0.0]]), torch.tensor([[1, 255]]))
    >>> round(float(loss), 6)
    0.0
    """
    focal = smp_losses().FocalLoss(mode="binary", ignore_index=spec.ignore)

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        if logits.ndim != 2:
            raise ConfigurationError(
                "the network of a ClassificationLearner must return logits (n, classes)", got=f"{tuple(logits.shape)}"
            )
        logits = logits.float()
        known = torch.ones_like(labels, dtype=torch.bool) if spec.ignore is None else labels != spec.ignore
        if not bool(known.any()):
            return logits.sum() * 0.0  # the mean over nothing would be NaN
        if name == "focal":
            return cast(Tensor, focal(logits, labels))
        each = F.binary_cross_entropy_with_logits(
            logits,
            (labels == 1).to(logits.dtype),
            weight=known.to(logits.dtype),
            reduction="none",
            pos_weight=_tensor(weights, logits),
        )
        return each.sum() / known.sum()

    return loss


def _cross_entropy(logits: Tensor, masks: Tensor, ignored: int, weights: Sequence[float] | None) -> Tensor:
    """Return the mean cross-entropy of the pixels that are not ignored."""
    weight = _tensor(weights, logits)
    if weight is not None and not _counts(masks, ignored, weight):
        return logits.sum() * 0.0  # the mean over no pixels would be NaN
    if not logits.is_cuda:
        return F.cross_entropy(logits, masks, weight, ignore_index=ignored)
    # On CUDA, the mean by torch adds the pixels in an order that changes from run to run.
    each = F.cross_entropy(logits, masks, weight, ignore_index=ignored, reduction="none")
    counted = masks != ignored
    return each.sum() / (counted if weight is None else weight[masks * counted] * counted).sum()


def _counts(labels: Tensor, ignored: int, weight: Tensor) -> bool:
    """Return whether a label counts: those of a class with the weight 0 do not."""
    return bool((weight > 0).all()) or bool((weight[labels[labels != ignored]] > 0).any())


def _tensor(weights: Sequence[float] | None, logits: Tensor) -> Tensor | None:
    return None if weights is None else torch.tensor(weights, dtype=logits.dtype, device=logits.device)


def _log_odds(logits: Tensor) -> Tensor:
    """Return the logarithm of p / (1 - p) of the soft-max probabilities p of two or more classes.

    The focal loss takes one probability per class, the sigmoid of its input, and so gets that of the soft-max.
    """
    others = [torch.cat([logits[:, :one], logits[:, one + 1 :]], dim=1) for one in range(logits.shape[1])]
    return torch.stack([logits[:, one] - rest.logsumexp(dim=1) for one, rest in enumerate(others)], dim=1)
