"""What all learners that train a network of torch share: the model they return, and one round of gradient descent."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from safetensors import torch as safetensors
from torch import Tensor, nn

from alkit.errors import ConfigurationError
from alkit.networks.cut import CutNetwork
from alkit.networks.factory import NetworkFactory, make_network
from alkit.networks.posterior import NetworkPosterior
from alkit.networks.training import Example, Loss, adam, evaluating, fabric_for, minibatches, train_epoch
from alkit.protocols import Labelled, Predictor
from alkit.rng import Stream
from alkit.values.label_spec import Images
from alkit.values.progress import Progress, Report


@dataclass(frozen=True, eq=False)
class NetworkPredictor:
    """A trained network of torch.

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
        """Return soft-max probabilities in evaluation mode, ``(n, classes, h, w)`` or ``(n, classes)``."""
        inputs = self._inputs(images)
        with evaluating(self.network) as network:
            logits = network(inputs)
            return cast("npt.NDArray[np.float32]", logits.float().softmax(dim=1).cpu().numpy())

    def posterior(self, images: Images) -> NetworkPosterior:
        """Return the prediction, draws by dropout and heads of these images."""
        inputs = self._inputs(images).contiguous(memory_format=torch.channels_last)  # as in training
        return NetworkPosterior(self._cut, inputs)

    def images_at_once(self, images: Images) -> int:
        """Return how many images like these a posterior should be asked for at once."""
        return self._cut.images_at_once(self._inputs(images))

    def dumps(self) -> bytes:
        """Return weights and buffers in the safetensors format."""
        state = {name: value.detach().cpu().contiguous() for name, value in self.network.state_dict().items()}
        facts = json.dumps([self.in_channels, self.classes])  # one entry: safetensors keeps no order among several
        return safetensors.save(state, metadata={"network": facts})

    @cached_property
    def _cut(self) -> CutNetwork:
        return CutNetwork(self.network)

    def _inputs(self, images: Images) -> Tensor:
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ConfigurationError(
                "these images do not fit the model",
                got=f"shape {images.shape}",
                expected=f"(n, {self.in_channels}, h, w)",
            )
        return torch.from_numpy(images).to(next(self.network.parameters()).device)


class Recipe(Protocol):
    """How a network is trained: the fields that network learners have in common."""

    @property
    def network(self) -> NetworkFactory:
        """A factory called with ``in_channels=`` and ``classes=``."""

    @property
    def epochs(self) -> tuple[int, int]:
        """Passes over the labels in the first round and in each later one."""

    @property
    def batch(self) -> int:
        """Images a step."""

    @property
    def lr(self) -> float:
        """Learning rate of Adam."""

    @property
    def carry_on(self) -> bool:
        """Whether a round goes on from the last round's weights."""

    @property
    def precision(self) -> str:
        """As Lightning Fabric names it."""

    @property
    def device(self) -> str:
        """As Lightning Fabric names it, with a number where there are several."""


def check_recipe(recipe: Recipe) -> None:
    """Refuse numbers that cannot work.

    Raises
    ------
    ConfigurationError
        Epochs that are not two positive numbers, or a batch or learning rate that is not positive.
    """
    if len(recipe.epochs) != 2 or min(recipe.epochs) < 1:
        raise ConfigurationError(
            "epochs", got=recipe.epochs, expected="two positive numbers: first round, later rounds"
        )
    if recipe.batch < 1 or not recipe.lr > 0:
        raise ConfigurationError("batch and lr must be positive", got=f"batch={recipe.batch}, lr={recipe.lr}")


def first_model(recipe: Recipe, labelled: Labelled, stream: Stream) -> NetworkPredictor:
    """Return a fresh model whose weights depend on `stream` alone."""
    in_channels, classes = labelled.images(labelled.ids[:1]).shape[1], len(labelled.spec.classes)
    network = make_network(recipe.network, in_channels=in_channels, classes=classes, stream=stream.child("weights"))
    return NetworkPredictor(network, in_channels, classes)


def copy_previous(recipe: Recipe, previous: Predictor | None) -> NetworkPredictor | None:
    """Return a copy of the last round's model to go on with; None where a round starts anew."""
    if previous is None or not recipe.carry_on:
        return None
    if not isinstance(previous, NetworkPredictor):
        raise ConfigurationError(
            "a learner of networks carries on from its own kind of model",
            got=type(previous).__name__,
            expected="NetworkPredictor",
        )
    # A model of its own: what else the last one keeps, such as where it is cut, belongs to its own network.
    return NetworkPredictor(copy.deepcopy(previous.network), previous.in_channels, previous.classes)


def train(
    recipe: Recipe, model: NetworkPredictor, epochs: int, labelled: Labelled, loss: Loss, stream: Stream, report: Report
) -> NetworkPredictor:
    """Train `model` for some epochs on all of `labelled` and return it.

    A network with heads of deep supervision is trained on the sum of their losses by its ``head_weights``.
    """
    fabric = fabric_for(recipe.device, recipe.precision)
    network = model.network.to(memory_format=torch.channels_last)  # a fifth faster on CPU, more on GPU
    if len(getattr(network, "head_weights", ())) > 1:
        network, loss = _AllOutputs(network), _weighted(loss, cast(Any, network).head_weights)
    wrapped, optimizer = fabric.setup(network, adam(network, recipe.lr))
    for epoch in range(epochs):
        examples = _examples(labelled, recipe.batch, stream.child("order", epoch))
        value = train_epoch(fabric, wrapped, optimizer, examples, loss, stream.child("dropout", epoch))
        report(Progress("fit", epoch + 1, epochs, {"loss": value}))
    network.zero_grad(set_to_none=True)
    return model


def load_predictor(recipe: Recipe, dumped: bytes) -> NetworkPredictor:
    """Return the predictor whose ``dumps`` gave these bytes, on the recipe's device."""
    length = int.from_bytes(dumped[:8], "little")  # a safetensors file starts with the length of a JSON header
    in_channels, classes = json.loads(json.loads(dumped[8 : 8 + length])["__metadata__"]["network"])
    # The weights drawn here are overwritten by the next line.
    network = make_network(recipe.network, in_channels=in_channels, classes=classes, stream=Stream(0))
    network.load_state_dict(safetensors.load(dumped))
    network.to(memory_format=torch.channels_last).to(fabric_for(recipe.device, recipe.precision).device)
    return NetworkPredictor(network, in_channels, classes)


def _examples(labelled: Labelled, size: int, stream: Stream) -> Iterator[Example]:
    for positions in minibatches(len(labelled.ids), size, stream):
        ids = [labelled.ids[position] for position in positions]
        images = torch.from_numpy(labelled.images(ids)).contiguous(memory_format=torch.channels_last)
        yield images, torch.from_numpy(labelled.labels(ids)).long()


class _AllOutputs(nn.Module):
    """A network that returns the logits of all its heads."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        network = cast(Any, self.network)
        return cast("tuple[Tensor, ...]", network.decode_all(network.encode(images)))


def _weighted(loss: Loss, weights: tuple[float, ...]) -> Loss:
    def total(outputs: Any, target: Tensor) -> Tensor:
        losses = [weight * loss(logits, target) for weight, logits in zip(weights, outputs, strict=True)]
        return cast(Tensor, sum(losses))

    return total
