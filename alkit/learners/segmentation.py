"""Semantic segmentation with any network of torch.

The protocol is that of "Self-supervised Assisted Active Learning for Skin Lesion Segmentation" (Zhao et al., EMBC
2022, section III): cross-entropy plus Dice, Adam, more epochs on the start set than in later rounds, and the model
carries on from round to round.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from safetensors import torch as safetensors
from torch import Tensor, nn
from torch.nn import functional as F

from alkit.declare import runtime
from alkit.errors import ConfigurationError
from alkit.networks import NetworkFactory, UNet, fresh, warm_start
from alkit.protocols import Labelled, Predictor
from alkit.rng import Stream
from alkit.training import Example, Loss, adam, evaluating, fabric_for, minibatches, train_epoch
from alkit.types import Images, LabelSpec, Progress, Report, quiet

if TYPE_CHECKING:
    from alkit.pretext import Reconstruction


class _Pretrained(Protocol):
    network: nn.Module


@dataclass(frozen=True, eq=False)
class NetworkPredictor:
    """A trained segmentation network.

    Parameters
    ----------
    network:
        Maps images to logits, on whichever device its parameters are.
    in_channels, classes:
        What its factory was called with.
    """

    network: nn.Module
    in_channels: int
    classes: int

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Return soft-max probabilities, ``(n, classes, h, w)``, in evaluation mode."""
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ConfigurationError(
                "these images do not fit the model",
                got=f"shape {images.shape}",
                expected=f"(n, {self.in_channels}, h, w)",
            )
        device = next(self.network.parameters()).device
        with evaluating(self.network) as network:
            logits = network(torch.from_numpy(images).to(device))
            return cast("npt.NDArray[np.float32]", logits.float().softmax(dim=1).cpu().numpy())

    def dumps(self) -> bytes:
        """Return weights and buffers in the safetensors format."""
        state = {name: value.detach().cpu().contiguous() for name, value in self.network.state_dict().items()}
        facts = json.dumps([self.in_channels, self.classes])  # one entry: safetensors keeps no order among several
        return safetensors.save(state, metadata={"network": facts})


def _called_with(dumped: bytes) -> tuple[int, int]:
    """Read in_channels and classes from what ``dumps`` gave."""
    length = int.from_bytes(dumped[:8], "little")  # a safetensors file starts with the length of a JSON header
    in_channels, classes = json.loads(json.loads(dumped[8 : 8 + length])["__metadata__"]["network"])
    return in_channels, classes


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
        if len(self.epochs) != 2 or min(self.epochs) < 1:
            raise ConfigurationError(
                "epochs", got=self.epochs, expected="two positive numbers: first round, later rounds"
            )
        if self.batch < 1 or not self.lr > 0:
            raise ConfigurationError("batch and lr must be positive", got=f"batch={self.batch}, lr={self.lr}")

    def fit(
        self,
        labelled: Labelled,
        rng: np.random.Generator,
        previous: Predictor | None = None,
        report: Report = quiet,
    ) -> NetworkPredictor:
        """Train on all labels so far.

        On a CPU the same labels, `rng`, `previous` and number of threads give the same weights, bit for bit.
        """
        stream = Stream.drawn(rng)
        start = previous if self.carry_on else None
        model = self._first(labelled, stream) if start is None else copy.deepcopy(_own(start))
        epochs = self.epochs[start is not None]
        fabric = fabric_for(self.device, self.precision)
        network = model.network.to(memory_format=torch.channels_last)  # a fifth faster on CPU, more on GPU
        wrapped, optimizer = fabric.setup(network, adam(network, self.lr))
        for epoch in range(epochs):
            examples = self._examples(labelled, stream.child("order", epoch))
            loss = train_epoch(
                fabric,
                wrapped,
                optimizer,
                examples,
                segmentation_loss(labelled.spec),
                stream.child("dropout", epoch),
            )
            report(Progress("fit", epoch + 1, epochs, {"loss": loss}))
        network.zero_grad(set_to_none=True)
        return model

    def loads(self, dumped: bytes) -> NetworkPredictor:
        """Return the predictor whose ``dumps`` gave these bytes, on this learner's device."""
        in_channels, classes = _called_with(dumped)
        # The weights drawn here are overwritten by the next line.
        network = fresh(self.network, in_channels=in_channels, classes=classes, stream=Stream(0))
        network.load_state_dict(safetensors.load(dumped))
        network.to(memory_format=torch.channels_last).to(fabric_for(self.device, self.precision).device)
        return NetworkPredictor(network, in_channels, classes)

    def _first(self, labelled: Labelled, stream: Stream) -> NetworkPredictor:
        in_channels = labelled.images(labelled.ids[:1]).shape[1]
        classes = len(labelled.spec.classes)
        network = fresh(self.network, in_channels=in_channels, classes=classes, stream=stream.child("weights"))
        if self.warm_start is not None:
            warm_start(network, cast(_Pretrained, labelled.fitted(self.warm_start)).network)
        return NetworkPredictor(network, in_channels, classes)

    def _examples(self, labelled: Labelled, stream: Stream) -> Iterator[Example]:
        for positions in minibatches(len(labelled.ids), self.batch, stream):
            ids = [labelled.ids[position] for position in positions]
            images = torch.from_numpy(labelled.images(ids)).contiguous(memory_format=torch.channels_last)
            yield images, torch.from_numpy(labelled.masks(ids)).long()


def _own(previous: Predictor) -> NetworkPredictor:
    if not isinstance(previous, NetworkPredictor):
        raise ConfigurationError(
            "a segmentation learner carries on from its own kind of model",
            got=type(previous).__name__,
            expected="NetworkPredictor",
        )
    return previous


def segmentation_loss(spec: LabelSpec) -> Loss:
    """Return cross-entropy + Dice loss of logits ``(n, classes, h, w)`` and masks ``(n, h, w)``.

    Pixels of the spec's ignore value are left out.

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
