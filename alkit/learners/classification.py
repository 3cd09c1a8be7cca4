"""One class per image, with any network of torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from alkit.configuration.forms import runtime
from alkit.errors import ConfigurationError
from alkit.learners.network import NetworkPredictor, check_recipe, copy_previous, first_model, load_predictor, train
from alkit.networks.factory import NetworkFactory
from alkit.protocols import Labelled, Predictor
from alkit.rng import Stream
from alkit.values.progress import Report, quiet


@dataclass(frozen=True)
class ClassificationLearner:
    """Trains a network to tell which class each image is of, by cross-entropy and Adam.

    Parameters
    ----------
    network:
        A factory called with ``in_channels=`` and ``classes=`` whose network maps images ``(n, in_channels, h, w)`` to
        logits ``(n, classes)``. With dropout layers in it, strategies can draw from it.
    epochs:
        Passes over the labels in the first round and in each later one.
    batch:
        Images a step.
    lr:
        Learning rate of Adam.
    carry_on:
        Whether a round goes on from the last round's weights; otherwise each starts anew, for the first round's epochs.
    device:
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``: no part of an experiment's configuration.
    precision:
        As Lightning Fabric names them: ``32-true``, ``16-mixed``, ``bf16-mixed``.

    Examples
    --------
    >>> from torch import nn
    >>> def network(in_channels, classes):
    ...     return nn.Sequential(
    ...         nn.Flatten(), nn.Linear(in_channels * 8 * 8, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, classes)
    ...     )
    >>> learner = ClassificationLearner(network, epochs=(20, 5))
    """

    network: NetworkFactory
    epochs: tuple[int, int] = (30, 10)
    batch: int = 32
    lr: float = 1e-3
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
            The labels are masks.
        """
        if labelled.spec.per != "image":
            raise ConfigurationError(
                "a classification learner needs one class per image", got="masks", hint="SegmentationLearner for masks"
            )
        stream = Stream.from_rng(rng)
        if (model := copy_previous(self, previous)) is not None:
            return train(self, model, self.epochs[1], labelled, cross_entropy, stream, report)
        return train(self, first_model(self, labelled, stream), self.epochs[0], labelled, cross_entropy, stream, report)

    def loads(self, dumped: bytes) -> NetworkPredictor:
        """Return the predictor whose ``dumps`` gave these bytes, on this learner's device."""
        return load_predictor(self, dumped)


def cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits ``(n, classes)`` and class ids ``(n,)``."""
    if logits.ndim != 2:
        raise ConfigurationError(
            "the network does not give one class per image",
            got=f"logits {tuple(logits.shape)}",
            expected="(n, classes)",
        )
    return F.cross_entropy(logits.float(), classes)
