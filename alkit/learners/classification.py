"""Classification of images by any network of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from alkit.arguments.checked import checked, checked_except
from alkit.configuration.parameter_changes import changes
from alkit.errors import ConfigurationError
from alkit.learners.losses import CLASS_LOSSES, class_loss
from alkit.learners.network import NetworkLearner
from alkit.networks.training import Loss
from alkit.values.label_spec import LabelSpec


@changes(added={"loss": "cross-entropy"})
@checked_except("epochs", "steps", "augment", "loss", "optimizer", "schedule")
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

    epochs: tuple[int, int] | None = None
    batch: int = 32
    lr: float = 1e-3

    losses: ClassVar[Sequence[str]] = CLASS_LOSSES

    @checked
    def make_loss(self, spec: LabelSpec, weights: Sequence[float] | None = None) -> Loss:
        """Return the loss of logits and class ids.

        Raises
        ------
        ConfigurationError
            The labels are masks.
        """
        if spec.per != "image":
            raise ConfigurationError(
                "ClassificationLearner needs labels of one class per image", got="masks", hint="SegmentationLearner"
            )
        return self.loss(spec) if callable(self.loss) else class_loss(self.loss, weights)
