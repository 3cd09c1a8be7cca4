"""One batch of images inside a network: its prediction, its draws by dropout, its heads.

Everything before the first dropout layer, above all the encoder, is computed once per batch for all draws.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from alkit.errors import ConfigurationError
from alkit.networks.cut import CutNetwork, Shared
from alkit.networks.dropout import apply_masks, dropout_layers, split_copies
from alkit.networks.training import evaluation_mode
from alkit.rng import Stream


class NetworkPosterior:
    """The posterior of one batch of images by a network: see :class:`alkit.protocols.Posterior`.

    Parameters
    ----------
    cut:
        The network.
    images:
        ``(n, c, h, w)``, on the network's device.
    """

    def __init__(self, cut: CutNetwork, images: Tensor) -> None:
        self._cut, self._images = cut, images
        self._halves = cut.halves(images)
        # A network that mixes the images of a batch gets them one at a time.
        one_by_one = torch.split(images, 1) if self._halves.mixes and len(images) > 1 else ()
        self._parts = [NetworkPosterior(cut, image) for image in one_by_one]

    def prediction(self) -> Tensor:
        """Return soft-max probabilities with dropout off, ``(n, classes, *space)``."""
        return self._prediction

    def heads(self) -> tuple[Tensor, ...]:
        """Return the probabilities of each head of deep supervision, the final output first.

        Raises
        ------
        ConfigurationError
            The network has no heads.
        """
        network: Any = self._cut.network
        if len(getattr(network, "head_weights", ())) < 2:
            raise ConfigurationError(
                f"{type(network).__name__} has no heads of deep supervision",
                hint="heads={2: 0.1, 4: 0.3} for alkit.UNet or alkit.networks.SmpNetwork",
            )
        if self._parts:
            return tuple(torch.cat(heads) for heads in zip(*(part.heads() for part in self._parts), strict=True))
        with evaluation_mode(network):
            maps = self._shared if self._halves.encoded else network.encode(self._images)
            return tuple(_probabilities(logits) for logits in network.decode_all(maps))

    def dropout(self, draws: int, stream: Stream) -> Iterator[Tensor]:
        """Yield `draws` predictions with dropout on, k at a time as memory allows: ``(k, n, classes, *space)``.

        Raises
        ------
        ConfigurationError
            The network has no dropout layers, one of an unknown class, one whose input does not have the images on its
            first axis, or none that takes part in its prediction.
        """
        layers = dropout_layers(self._cut.network)
        for name, shape in self._halves.misplaced.items():
            raise ConfigurationError(
                f"dropout layer {name!r} must have the images on the first axis of its input",
                got=f"shape {shape} for two images",
                hint="batch_first=True if it is part of a transformer",
            )
        if self._parts:
            for chunks in zip(*(part.dropout(draws, stream) for part in self._parts), strict=True):
                yield torch.cat(chunks, dim=1)
            return
        n, shared = len(self._images), self._shared
        at_once = max(1, self._cut.images_at_once(self._images) // n) if self._halves.stacks else 1
        for begin in range(0, draws, at_once):
            numbers = range(begin, min(begin + at_once, draws))
            with evaluation_mode(self._cut.network), apply_masks(layers, numbers, n, stream) as called:
                logits = self._halves.rest(_repeat(shared, len(numbers)))
                chunk = split_copies(_probabilities(logits), len(numbers))
            if not called:
                raise ConfigurationError(
                    "the network's prediction must call a dropout layer as a module",
                    got=f"no call of {', '.join(layers)}",
                    hint="an alkit.Ensemble",
                )
            yield chunk  # outside the block, whose settings would apply to the caller's code

    @cached_property
    def _prediction(self) -> Tensor:
        if self._parts:
            return torch.cat([part.prediction() for part in self._parts])
        shared = self._shared
        with evaluation_mode(self._cut.network):
            return _probabilities(self._halves.rest(shared))

    @cached_property
    def _shared(self) -> Shared:
        with evaluation_mode(self._cut.network):
            return self._halves.shared(self._images)


def _repeat(shared: Shared, k: int) -> Shared:
    """Return k copies of a batch, one after the other."""
    return shared if k == 1 else [value.repeat(k, *[1] * (value.ndim - 1)) for value in shared]


def _probabilities(logits: Tensor) -> Tensor:
    return logits.float().softmax(dim=1)
