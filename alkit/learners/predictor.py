"""The predictor of the learners that train a network of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError
from alkit.networks.before_head import features_before_head
from alkit.networks.compiled import compiled
from alkit.networks.computation import EXACT, autocast, check_precision, computation_for
from alkit.networks.cut import CutNetwork
from alkit.networks.dropout import undrawn
from alkit.networks.factory import NetworkFactory, make_network
from alkit.networks.footprint import WITHOUT_DRAWS
from alkit.networks.outputs import find_reading, input_type, probabilities_from, read
from alkit.networks.posterior import NetworkPosterior
from alkit.networks.smp_factories import weights_left_out
from alkit.networks.state import Bounded, axes, dump_state, load_state, read_axes
from alkit.networks.turns import alone_with
from alkit.rng import Stream
from alkit.values.label_spec import Images


@checked
@dataclass(frozen=True, eq=False)
class NetworkPredictor:
    """A trained network of torch, by any learner: with draws by dropout, heads, features and storage.

    Parameters
    ----------
    network:
        Maps images to logits, on the device of its parameters.
    in_channels, classes:
        Arguments that its factory was called with.
    precision:
        ``32-true``, ``16-mixed`` or ``bf16-mixed``: how predictions, draws and features are computed.
    compile:
        Whether torch compiles the network for predictions, and for draws its part before the first dropout layer.
    multiple:
        Whether an image can have several classes: the logits are then those of each class by itself.

    Raises
    ------
    ConfigurationError
        `precision` is unknown.

    Notes
    -----
    Several threads can use it: they wait for each other.
    """

    network: nn.Module
    in_channels: int
    classes: int
    precision: str = field(default=EXACT, kw_only=True, repr=False)
    compile: bool = field(default=False, kw_only=True, repr=False)
    multiple: bool = field(default=False, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        check_precision(self.precision)

    @checked
    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Return soft-max probabilities in evaluation mode, ``(n, classes, h, w)`` or ``(n, classes)``.

        If an image can have several classes, these are sigmoid probabilities, ``(n, 2, classes)``: that it does not
        have each class, and that it has it.

        Raises
        ------
        ConfigurationError
            `images` are not ``(n, in_channels, h, w)``.
        """
        inputs = self._inputs(images)
        found = list[Tensor]()
        with alone_with(self.network):
            for part in self._parts(inputs):
                last = part[-1:].clone()  # before a network writes into its input
                found.append(self._together(part))
                if not self._cut.agrees(part, 0, found[-1][-1:], partial(self._together, last)):
                    found = [self._together(one) for one in torch.split(self._inputs(images), 1)]
                    break
        return cast("npt.NDArray[np.float32]", torch.cat(found).cpu().numpy())

    def _parts(self, inputs: Tensor) -> Sequence[Tensor]:
        """Return batches that the network may compute at once: single images, if it mixes those of a batch."""
        at_once = self._cut.images_at_once(inputs, WITHOUT_DRAWS) if len(inputs) > 1 else 1
        return torch.split(inputs, 1 if at_once > 1 and self._cut.mixes(inputs) else at_once)

    def _together(self, inputs: Tensor) -> Tensor:
        with self._cut.passes(inputs):
            return probabilities_from(self._logits(self._forward(inputs), inputs), multiple=self.multiple)

    @checked
    def posterior(self, images: Images) -> NetworkPosterior:
        """Return the posterior of these images: prediction, draws by dropout, and heads."""
        inputs = self._inputs(images).contiguous(memory_format=torch.channels_last)  # as in training
        return NetworkPosterior(self._cut, inputs)

    @checked
    def features(self, images: Images) -> npt.NDArray[np.float32]:
        """Return what the network sees before its head, averaged over the pixels, ``(n, d)``.

        For a network that segments, that is the deepest map of its encoder; for others, the input of the last layer.

        Raises
        ------
        ConfigurationError
            `images` are not ``(n, in_channels, h, w)``, or the network does not call its output layer as a module.
        """
        inputs = self._inputs(images)
        with alone_with(self.network), autocast(inputs.device, self.precision):
            rows = torch.cat([features_before_head(self.network, part) for part in self._parts(inputs)])
        return cast("npt.NDArray[np.float32]", rows.cpu().numpy())

    @checked
    def images_at_once(self, images: Images) -> int:
        """Return the largest batch of images like these for :meth:`posterior`, at least 1.

        One image is passed through the network, and the memory of its tensors is measured.
        """
        with alone_with(self.network):
            return self._cut.images_at_once(self._inputs(images))

    @checked
    def undrawn(self, images: Images) -> list[str]:
        """Return names of the random parts of the network that draws by dropout leave off, such as drop path."""
        with alone_with(self.network):
            return undrawn(self.network, self._inputs(images))

    @classmethod
    @checked
    def loads(cls, dumped: bytes, network: NetworkFactory, device: str = "auto") -> NetworkPredictor:
        """Return the predictor whose :meth:`dumps` returned these bytes, for learners of your own.

        Parameters
        ----------
        dumped:
            The bytes.
        network:
            Factory of the network, called with ``in_channels=`` and ``classes=``.
        device:
            ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

        Raises
        ------
        ConfigurationError
            The bytes are others, or the factory makes another network.

        Examples
        --------
        >>> predictor = NetworkPredictor(nn.Conv2d(1, 2, 1), in_channels=1, classes=2)
        >>> NetworkPredictor.loads(predictor.dumps(), lambda in_channels, classes: nn.Conv2d(in_channels, classes, 1))
        NetworkPredictor(network=Conv2d(1, 2, kernel_size=(1, 1), stride=(1, 1)), in_channels=1, classes=2)
        """
        in_channels, classes, multiple = read_axes(dumped)
        with weights_left_out(), Bounded(dumped):  # the next line but one overwrites the initial weights
            made = make_network(network, in_channels=in_channels, classes=classes, stream=Stream(0))
        load_state(made, dumped)
        return cls(made.to(computation_for(device, "32-true").device), in_channels, classes, multiple=multiple)

    def dumps(self) -> bytes:
        """Return weights and buffers in the safetensors format."""
        return dump_state(self.network, axes(self.in_channels, self.classes, multiple=self.multiple))

    @cached_property
    def _cut(self) -> CutNetwork:
        return CutNetwork(self.network, self.classes, self.precision, self.compile, multiple=self.multiple)

    @cached_property
    def _forward(self) -> nn.Module:
        return compiled(self.network) if self.compile else self.network

    def _logits(self, output: Any, images: Tensor) -> Tensor:
        name = type(self.network).__name__
        reading = find_reading(output, tuple(images.shape), self.classes, name, multiple=self.multiple)
        return read(output, reading, images)

    def _inputs(self, images: Images) -> Tensor:
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ConfigurationError(
                f"images for this model must have the shape (n, {self.in_channels}, h, w)", got=f"{images.shape}"
            )
        if not images.shape[2] or not images.shape[3]:
            raise ConfigurationError("images for this model must have pixels", got=f"the shape {images.shape}")
        # A copy, because a network may write into its input, and an ensemble gives all members the same images.
        device = next((value.device for value in self.network.parameters()), torch.device("cpu"))
        return torch.from_numpy(np.ascontiguousarray(images)).to(device, input_type(self.network), copy=True)
