"""Classification of images by any network of torch."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError
from alkit.learners.network import NetworkLearner
from alkit.networks.training import Loss
from alkit.values.label_spec import LabelSpec


@checked
@dataclass(frozen=True)
class ClassificationLearner(NetworkLearner):
    """Trains a network to classify images, with cross-entropy and Adam.

    Parameters
    ----------
    network:
        Factory of networks, called with ``in_channels=`` and ``classes=``. The network maps images
        ``(n, in_channels, h, w)`` to logits ``(n, classes)``. If it has dropout layers, strategies can draw by dropout.
    epochs:
        Numbers of epochs in the first round and in each later round, both at least 1.
    batch:
        Images per training step, at least 1.
    lr:
        Learning rate of Adam, above 0.
    carry_on:
        Whether each round continues from the weights of the last one. If False, each round starts from new initial
        weights and trains for the epochs of the first round.
    precision:
        ``32-true``; or ``16-mixed`` or ``bf16-mixed``, in which large operations run in 16 bits (torch's autocast).
    device:
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``. It is not part of an experiment's configuration, so a record
        can be resumed on another device.

    Raises
    ------
    ConfigurationError
        `epochs`, `batch` or `lr` is out of range.

    Examples
    --------
    >>> from torch import nn
    >>> def network(in_channels, classes):
    ...     return nn.Sequential(
    ...         nn.Flatten(), nn.Linear(in_channels * 8 * 8, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, classes)
    ...     )
    >>> learner = ClassificationLearner(network, epochs=(20, 5))
    """

    epochs: tuple[int, int] = (30, 10)
    batch: int = 32
    lr: float = 1e-3

    @checked
    def loss(self, spec: LabelSpec) -> Loss:
        """Return cross-entropy; raise a :class:`ConfigurationError` if the labels are masks."""
        if spec.per != "image":
            raise ConfigurationError(
                "ClassificationLearner needs labels of one class per image", got="masks", hint="SegmentationLearner"
            )
        return cross_entropy


def cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits ``(n, classes)`` and class ids ``(n,)``.

    Raises
    ------
    ConfigurationError
        The logits have another shape.
    """
    if logits.ndim != 2:
        raise ConfigurationError(
            "the network of a ClassificationLearner must return logits (n, classes)", got=f"{tuple(logits.shape)}"
        )
    return F.cross_entropy(logits.float(), classes)
