"""One batch of images inside a network: its prediction, its draws by dropout, its heads.

Everything before the first dropout layer, above all the encoder, is computed once per batch for all draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd

from alkit.errors import ConfigurationError
from alkit.networks.cut import CutNetwork, Shared
from alkit.networks.dropout import MisplacedError, apply_masks, dropout_layers, split_copies
from alkit.networks.outputs import probabilities_from
from alkit.networks.turns import alone_with
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
        with alone_with(cut.network):
            self._divide()

    def _divide(self) -> None:
        """Take the parts of the network, and one posterior for each image if the network mixes images of a batch."""
        self._halves = self._cut.halves(self._images)
        one_by_one = torch.split(self._images, 1) if self._halves.mixes and len(self._images) > 1 else ()
        self._parts = [NetworkPosterior(self._cut, image) for image in one_by_one]

    def prediction(self) -> Tensor:
        """Return probabilities with dropout off, ``(n, classes, *space)``; of several classes, ``(n, 2, classes)``."""
        with alone_with(self._cut.network):
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
        with alone_with(self._cut.network), self._cut.passes(self._images):
            maps = self._shared if self._halves.encoded else network.encode(self._images)
            return tuple(self._probabilities(logits) for logits in network.decode_all(maps))

    def dropout(self, draws: int, stream: Stream) -> Iterator[Tensor]:
        """Yield `draws` predictions with dropout on, k at a time as memory allows: ``(k, n, classes, *space)``.

        Raises
        ------
        ConfigurationError
            The network has no dropout layers, one of an unknown class, one whose input does not have the images on its
            first axis, or none that takes part in its prediction.
        """
        _ = self._layers  # raises the error if there are none
        for name, shape in self._halves.misplaced.items():
            raise ConfigurationError(
                f"dropout layer {name!r} must have the images on the first axis of its input",
                got=f"shape {shape} for two images",
                hint="batch_first=True if it is part of a transformer",
            )
        done = 0
        while done < draws:
            with alone_with(self._cut.network):
                chunk = self._chunk(range(done, draws), stream)
            if chunk is not None:
                done += len(chunk)
                yield chunk

    def _chunk(self, left: Sequence[int], stream: Stream) -> Tensor | None:
        """Return as many of the draws that are left as memory allows; None if the images were divided instead."""
        at_once = max(1, self._cut.images_at_once(self._images) // len(self._images)) if self._halves.stacks else 1
        numbers = left[:at_once]
        try:
            chunk = self._draws(numbers, stream)
        except MisplacedError:  # the network splits large batches
            if self._halves.mixes:
                raise
            self._cut.divide(self._images)
            self._divide()
            return None
        if self._agrees(chunk, numbers, stream):
            return chunk
        self._divide()
        return None

    def _agrees(self, chunk: Tensor, numbers: Sequence[int], stream: Stream) -> bool:
        """Return whether the last image and draw of a chunk are those of a pass over them alone, where this is new."""
        last = NetworkPosterior(self._cut, self._images[-1:])
        return self._cut.agrees(
            self._images, len(numbers), chunk[-1, -1:], lambda: last._draws(numbers[-1:], stream)[0]
        )

    def _draws(self, numbers: Sequence[int], stream: Stream) -> Tensor:
        """Return the draws with these numbers in one batch, ``(k, n, classes, *space)``."""
        if self._parts:
            return torch.cat([part._draws(numbers, stream) for part in self._parts], dim=1)
        n, layers, (draw, ready) = len(self._images), self._layers, self._ready
        with self._cut.passes(self._images), apply_masks(layers, numbers, n, stream, self._cut.masks) as called:
            logits = draw(_repeat(ready, len(numbers)))
            chunk = split_copies(self._probabilities(logits), len(numbers))
        if not called and not self._halves.drops:
            raise ConfigurationError(
                "the network's prediction must call a dropout layer as a module",
                got=f"no call of {', '.join(layers)}",
                hint="an alkit.Ensemble",
            )
        return chunk

    @cached_property
    def _layers(self) -> dict[str, _DropoutNd]:
        return dropout_layers(self._cut.network)

    @cached_property
    def _prediction(self) -> Tensor:
        together = self._predict()
        last = NetworkPosterior(self._cut, self._images[-1:])
        if self._cut.agrees(self._images, 0, together[-1:], last._predict):
            return together
        self._divide()
        return self._predict()

    def _predict(self) -> Tensor:
        if self._parts:
            return torch.cat([part._predict() for part in self._parts])
        shared = self._shared
        with self._cut.passes(self._images):
            return self._probabilities(self._halves.rest(shared))

    def _probabilities(self, logits: Tensor) -> Tensor:
        return probabilities_from(logits, multiple=self._cut.multiple)

    @cached_property
    def _ready(self) -> tuple[Callable[[Shared], Tensor], Shared]:
        """The function that makes a draw, and what it takes."""
        lean, shared = self._cut.lean(self._images), self._shared
        if lean is None:
            return self._halves.rest, shared
        with self._cut.passes(self._images):
            return lean.draw, lean.prepare(shared)

    @cached_property
    def _shared(self) -> Shared:
        with self._cut.passes(self._images):
            return (self._halves.fast or self._halves.shared)(self._images)


def _repeat(shared: Shared, k: int) -> Shared:
    """Return k copies of a batch, one after the other."""
    return shared if k == 1 else [value.repeat(k, *[1] * (value.ndim - 1)) for value in shared]
