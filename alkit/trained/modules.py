"""Predictors as modules of torch, which map images to probabilities."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from alkit.arguments.returned import check_returned
from alkit.errors import ConfigurationError
from alkit.learners.ensemble import EnsemblePredictor
from alkit.learners.nnunet.model import NNUNetPredictor
from alkit.learners.predictor import NetworkPredictor
from alkit.networks.computation import EXACT
from alkit.networks.outputs import PLAIN, Reading, find_reading, input_type, read
from alkit.protocols import ExportsModule, HasMembers, Predictor
from alkit.trained.same_padding import simplify_padding


class Probabilities(nn.Module):
    """A network that returns probabilities instead of logits.

    Parameters
    ----------
    network:
        Maps images to logits in some form.
    multiple:
        Whether an image can have several classes. Then the output is the probability that it has each class.
    reading:
        How the output of the network becomes logits.

    Examples
    --------

    >>> module = Probabilities(nn.Conv2d(1, 2, 1))
    >>> round(module(torch.zeros(1, 1, 4, 4)).sum(dim=1).mean().item(), 4)
    1.0
    """

    def __init__(self, network: nn.Module, *, multiple: bool = False, reading: Reading = PLAIN) -> None:
        super().__init__()
        self.network, self.multiple, self.reading = network, multiple, reading
        self.dtype = input_type(network)

    def forward(self, images: Tensor) -> Tensor:
        """Return ``(n, classes, h, w)`` or ``(n, classes)``."""
        logits = read(self.network(images.to(self.dtype)), self.reading, images).float()
        return logits.sigmoid() if self.multiple else logits.softmax(dim=1)


class Mean(nn.Module):
    """The mean of the outputs of several modules."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Return the mean of the members' outputs."""
        return cast(Tensor, sum(member(images) for member in self.members)) / len(self.members)


def export_module(predictor: Predictor, shape: tuple[int, int, int]) -> nn.Module:
    """Return a module on the CPU that maps images to the predictor's probabilities, with weights of its own.

    If an image can have several classes, it gives only the probability that it has each class, ``(n, classes)``.

    Parameters
    ----------
    predictor:
        The model.
    shape:
        Shape of an image: channels, height, width.

    Raises
    ------
    ConfigurationError
        The predictor is neither a torch network nor an ensemble of torch networks, and has no ``export_module``.
    """
    if isinstance(predictor, ExportsModule):
        module = predictor.export_module()
        check_returned(predictor, "export_module", module, nn.Module)
        return module.eval().requires_grad_(False)
    if isinstance(predictor, NetworkPredictor):
        # Channels last, as in the predictor: sums have the same order, and so the same results.
        network = copy.deepcopy(predictor.network).cpu().to(memory_format=torch.channels_last)
        simplify_padding(network)
        reading = _reading(network, shape, predictor)
        return Probabilities(network, multiple=predictor.multiple, reading=reading).eval().requires_grad_(False)
    if isinstance(predictor, HasMembers) and not isinstance(predictor, NNUNetPredictor):
        return Mean([export_module(member, shape) for member in predictor.members]).eval()
    raise ConfigurationError(
        "only torch networks and ensembles of torch networks can be exported",
        got=type(predictor).__name__,
        hint="predict_folder(), which needs no export, or a method export_module() of the predictor",
    )


def _reading(network: nn.Module, shape: tuple[int, int, int], predictor: NetworkPredictor) -> Reading:
    """Return how the output of a network on the CPU becomes logits, as the predictor reads it."""
    network.eval()
    with torch.no_grad():
        output = network(torch.zeros(1, *shape, dtype=input_type(network)))
    name = type(network).__name__
    return find_reading(output, (1, *shape), predictor.classes, name, multiple=predictor.multiple)


def exact(predictor: Predictor) -> Predictor:
    """Return a predictor of alkit on the CPU and in full precision, as an exported module computes; others as is."""
    if isinstance(predictor, EnsemblePredictor):
        return EnsemblePredictor(tuple(map(exact, predictor.members)))
    if not isinstance(predictor, NetworkPredictor):
        return predictor
    network = predictor.network
    if any(value.device.type != "cpu" for value in network.parameters()):
        network = copy.deepcopy(network).cpu()
    return replace(predictor, network=network, precision=EXACT, compile=False)
