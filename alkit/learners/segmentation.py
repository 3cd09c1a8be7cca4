"""Semantic segmentation with any network of torch.

The protocol is that of "Self-supervised Assisted Active Learning for Skin Lesion Segmentation" (Zhao et al., EMBC
2022, section III): cross-entropy plus Dice, Adam, more epochs on the start set than in later rounds, and the model
carries on from round to round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from alkit.configuration.forms import runtime
from alkit.errors import ConfigurationError
from alkit.learners.network import (
    NetworkPredictor,
    check_recipe,
    copy_previous,
    first_model,
    load_predictor,
    train,
)
from alkit.networks.factory import NetworkFactory
from alkit.networks.training import Loss
from alkit.networks.unet import UNet
from alkit.networks.weights import warm_start
from alkit.protocols import Labelled, Predictor
from alkit.rng import Stream
from alkit.values.label_spec import LabelSpec
from alkit.values.progress import Report, quiet

if TYPE_CHECKING:
    from alkit.features.reconstruction import Reconstruction


class _Pretrained(Protocol):
    network: nn.Module


@dataclass(frozen=True)
class SegmentationLearner:
    """Trains a segmentation network on masks.

    Parameters
    ----------
    network:
        A factory called with ``in_channels=`` and ``classes=``: :class:`alkit.UNet`, or for instance
        ``functools.partial(segmentation_models_pytorch.Unet, "resnet34")``.
    epochs:
        Passes over the labels in the first round and in each later one.
    batch:
        Images a step.
    lr:
        Learning rate of Adam.
    warm_start:
        A pretext whose weights, all but the output layer's, the first round starts from; None for random weights.
    carry_on:
        Whether a round goes on from the last round's weights; otherwise each starts anew, for the first round's epochs.
    device:
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``: no part of an experiment's configuration.
    precision:
        As Lightning Fabric names them: ``32-true``, ``16-mixed``, ``bf16-mixed``.

    Notes
    -----
    Choices where the paper is silent. The output is a soft-max over all classes, as in the authors' released code, so
    that two classes and twenty are one case. The Dice loss is that of segmentation-models-pytorch: the mean over all
    classes of 1 - (I + 1) / (S / 2 + 1), with I the summed products and S the summed sizes of prediction and mask
    over the whole batch, and 0 for a class that the batch does not show. It is taken over the batch because a batch
    always holds lesion pixels where a single image may hold none; the 1 only keeps the quotient defined. Adam starts
    anew each round: its moments are no part of the model, and the record keeps the model alone. No augmentation, no
    validation set, the last weights.

    The initial weights are drawn from the round's stream, which in the first round depends on the experiment's seed
    alone: all strategies of a seed start from the same weights.

    A network with heads of deep supervision is trained on the weighted sum of the heads' losses.

    Examples
    --------
    >>> from functools import partial
    >>> learner = SegmentationLearner(partial(UNet, widths=(8, 16, 32)), epochs=(10, 2))
    """

    network: NetworkFactory = UNet
    epochs: tuple[int, int] = (10, 2)
    batch: int = 10
    lr: float = 1e-4
    warm_start: Reconstruction | None = None
    carry_on: bool = True
    precision: str = "32-true"
    device: str = runtime("auto")

    def __post_init__(self) -> None:
        object.__setattr__(self, "epochs", tuple(self.epochs))
        check_recipe(self)

    def fit(
        self,
        labelled: Labelled,
        rng: np.random.Generator,
        previous: Predictor | None = None,
        report: Report = quiet,
    ) -> NetworkPredictor:
        """Train on all labels so far.

        On a CPU the same labels, `rng`, `previous` and number of threads give the same weights, bit for bit.

        Raises
        ------
        ConfigurationError
            There is one class per image and no masks.
        """
        if labelled.spec.per != "pixel":
            raise ConfigurationError(
                "a segmentation learner needs masks", got="one class per image", hint="ClassificationLearner"
            )
        stream, loss = Stream.from_rng(rng), segmentation_loss(labelled.spec)
        if (model := copy_previous(self, previous)) is not None:
            return train(self, model, self.epochs[1], labelled, loss, stream, report)
        model = first_model(self, labelled, stream)
        if self.warm_start is not None:
            warm_start(model.network, cast(_Pretrained, labelled.fitted(self.warm_start)).network)
        return train(self, model, self.epochs[0], labelled, loss, stream, report)

    def loads(self, dumped: bytes) -> NetworkPredictor:
        """Return the predictor whose ``dumps`` gave these bytes, on this learner's device."""
        return load_predictor(self, dumped)


def segmentation_loss(spec: LabelSpec) -> Loss:
    """Return cross-entropy + Dice loss of logits ``(n, classes, h, w)`` and masks ``(n, h, w)``.

    Pixels of the spec's ignore value are left out.

    >>> import torch
    >>> loss = segmentation_loss(LabelSpec(("skin", "lesion")))
    >>> sure = torch.tensor([[[[99.0, -99.0]], [[-99.0, 99.0]]]])
    >>> round(float(loss(sure, torch.tensor([[[0, 1]]]))), 6)
    0.0
    """
    from segmentation_models_pytorch.losses import DiceLoss

    ignored = -100 if spec.ignore is None else spec.ignore  # torch's own value for "none"
    dice = DiceLoss(mode="multiclass", smooth=1.0, ignore_index=spec.ignore)

    def loss(logits: Tensor, masks: Tensor) -> Tensor:
        logits = logits.float()
        return F.cross_entropy(logits, masks, ignore_index=ignored) + cast(Tensor, dice(logits, masks))

    return loss
