"""Classification of images by any network of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from alkit.arguments.checked import checked, checked_except
from alkit.configuration.parameter_changes import changes
from alkit.errors import ConfigurationError
from alkit.learners.losses import CLASS_LOSSES, class_loss, presence_loss
from alkit.learners.network import NetworkLearner
from alkit.networks.training import Loss
from alkit.values.label_spec import LabelSpec


@changes(added={"loss": "cross-entropy"})
@checked_except("epochs", "steps", "augment", "loss", "optimizer", "schedule")
@dataclass(frozen=True)
class ClassificationLearner(NetworkLearner):
    """Trains a network to classify images, by default with cross-entropy and Adam.

    If an image can have several classes (``LabelSpec(..., per="image", multiple=True)``), each logit is that of one
    class by itself: probabilities are sigmoids, and the loss is binary cross-entropy.

    :func:`alkit.learners.strong` with ``per="image"`` returns one with the settings that we recommend.

    Parameters
    ----------
    network:
        Factory of networks, called with ``in_channels=`` and ``classes=``. The network maps images
        ``(n, in_channels, h, w)`` to logits ``(n, classes)``. If it has dropout layers, strategies can draw by dropout.
    epochs:
        Numbers of epochs in the first round and in each later round, both at least 1, in place of `steps`.
    batch:
        Images per training step, at least 1.
    lr:
        Learning rate, above 0. With a schedule, it is the highest.
    carry_on:
        Whether each round continues from the weights of the last one. If False, each round starts from new initial
        weights and trains as long as the first round.
    precision:
        ``32-true``; or ``16-mixed`` or ``bf16-mixed``, in which large operations run in 16 bits (torch's autocast), in
        training, predictions and scores.
    device:
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``. It is not part of an experiment's configuration, so a record
        can be resumed on another device.
    steps:
        Numbers of training steps in the first round and in each later round, or one number for all rounds. Each step
        has `batch` images, even if there are fewer labels, so few labels are trained as long as many. The default is
        (300, 100), unless `epochs` are given.
    augment:
        Changes images and labels at random: :class:`alkit.learners.Augment`, or a function of images, targets and a
        generator of torch that returns both. None for no change.
    loss:
        ``cross-entropy``, ``focal``, or a function that makes a loss of logits and class ids from a
        :class:`alkit.LabelSpec`. If an image can have several classes, a loss gets logits and labels ``(n, classes)``
        of 0, 1 and the ignore value, which must not count.
    class_weights:
        Weights of the classes in cross-entropy: ``frequency`` for the inverse of their frequency among the labels, or
        numbers by class name. None for equal ones. If an image can have several classes, the weights are those of
        images that have the class against images that do not; ``frequency`` makes both equal.
    optimizer:
        ``adam``, ``adamw``, ``sgd`` (with a momentum of 0.9), or a function of parameters and learning rate. Each round
        begins with a new one.
    weight_decay:
        Weight decay of a named optimizer, at least 0.
    schedule:
        How the learning rate changes in a round: ``cosine`` rises in a tenth of the steps and then falls to 0,
        ``one-cycle`` is torch's ``OneCycleLR``, and a function of optimizer and number of steps returns a schedule of
        torch. None for a constant rate.
    stop:
        :class:`alkit.learners.Stop` ends a training early, by labels that it holds out. None to train to the end.
    average:
        The model has the moving average of the weights after each step, and this share of it remains after a step, in
        (0, 1). None for the weights of the last step.
    freeze:
        Number of steps at the beginning of a training from initial weights in which the encoder is not trained, at
        least 0. The network needs a module named ``encoder``.
    compile:
        Whether torch compiles the network, for training, predictions, and what comes before the first dropout layer in
        draws. It takes minutes at first, a compiler of C++ on this machine, and changes the last bits of the results.
        It is not part of an experiment's configuration.

    Raises
    ------
    ConfigurationError
        A parameter is out of range, `steps` and `epochs` are both given, `network` is not a factory.

    Examples
    --------
    >>> from torch import nn
    >>> def network(in_channels, classes):
    ...     return nn.Sequential(
    ...         nn.Flatten(), nn.Linear(in_channels * 8 * 8, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, classes)
    ...     )
    >>> learner = ClassificationLearner(network, steps=200)
    """

    epochs: tuple[int, int] | None = None
    batch: int = 32
    lr: float = 1e-3

    losses: ClassVar[Sequence[str]] = CLASS_LOSSES

    @checked
    def make_loss(self, spec: LabelSpec, weights: Sequence[float] | None = None) -> Loss:
        """Return the loss of logits and class ids, or of logits and labels of several classes.

        Raises
        ------
        ConfigurationError
            The labels are masks.
        """
        if spec.per != "image":
            raise ConfigurationError(
                "ClassificationLearner needs labels of one class per image", got="masks", hint="SegmentationLearner"
            )
        if callable(self.loss):
            return self.loss(spec)
        return presence_loss(self.loss, spec, weights) if spec.multiple else class_loss(self.loss, weights)
