"""The exponential moving average of a network's weights during training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from alkit.networks.state import copy_network


class WeightAverage:
    """The average of the weights that a network had after each step. Later steps count more.

    Floating-point buffers, such as the statistics of batch normalisation, are averaged like the weights, so that they
    belong to them. Other buffers are those of the last step.

    Parameters
    ----------
    network:
        The network in training, on its device.
    decay:
        Share of the average that remains after each step, in (0, 1). It is lower in the first steps, so that a short
        training does not keep the initial weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network, self._decay, self._steps = network, decay, 0
        # A copy of a copy, because the first one drops what the network keeps of its last pass.
        self._averaged = AveragedModel(copy_network(network), multi_avg_fn=self._average, use_buffers=True)

    def update(self) -> None:
        """Count the present weights."""
        self._averaged.update_parameters(self._network)
        self._steps += 1

    @property
    def network(self) -> nn.Module:
        """A network with the averaged weights."""
        return self._averaged.module

    def _average(self, averaged: Sequence[Tensor], current: Sequence[Tensor], _: Tensor | int) -> None:
        if torch.is_floating_point(averaged[0]):
            decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
            cast(Any, get_ema_multi_avg_fn)(decay)(averaged, current, _)
            return
        for kept, new in zip(averaged, current, strict=True):
            kept.copy_(new)
