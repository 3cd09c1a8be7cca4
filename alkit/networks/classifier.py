"""A network that classifies images: an encoder, the mean of its deepest map, dropout and one linear layer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional as F

from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError
from alkit.networks.factory import NetworkFactory, dropout_layer
from alkit.networks.smp import SmpNetwork
from alkit.networks.unet import UNet


@checked
class Classifier(nn.Module):
    """A classifier of images, with a pre-trained encoder or that of a U-Net.

    Parameters
    ----------
    model:
        Name of an encoder as in :class:`alkit.networks.SmpNetwork`, such as ``resnet34`` or ``tu-`` and the name of a
        model of timm. Or a factory of :class:`alkit.UNet`, whose encoder is taken.
    in_channels, classes:
        Channels of the image, and number of classes.
    dropout:
        Dropout probability before the linear layer, in [0, 1).
    weights, mean, std:
        Pre-trained weights of the encoder and the normalisation of images inside the network, as in
        :class:`alkit.networks.SmpNetwork`.

    Raises
    ------
    ConfigurationError
        The factory does not make a :class:`alkit.UNet`, `dropout` is not in [0, 1), or the weights are not on this
        machine, cannot be read, or belong to another encoder.
    UnknownNameError
        There is no such encoder.
    MissingDependencyError
        The weights need the extra ``pretrained``.

    Examples
    --------
    >>> import functools
    >>> import torch
    >>> from alkit import UNet
    >>> Classifier(functools.partial(UNet, widths=(4, 8)), in_channels=1, classes=3)(torch.zeros(2, 1, 16, 24)).shape
    torch.Size([2, 3])
    """

    names_weights = True
    """Whether the parameter `weights` may be a file, which records name by its content."""

    output_layers = ("head",)
    """Names of the layers that compute logits."""

    _mean: Tensor
    _std: Tensor

    def __init__(
        self,
        model: NetworkFactory | str,
        in_channels: int,
        classes: int,
        dropout: float = 0.5,
        weights: str | os.PathLike[str] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.dropout = dropout_layer(dropout)
        if isinstance(model, str):
            made: Any = SmpNetwork(model, in_channels, classes, weights=weights, mean=mean, std=std)
            self.encoder: nn.Module = made.model.encoder
            width = int(made.model.encoder.out_channels[-1])
            for name in ("_mean", "_std"):
                if hasattr(made, name):
                    self.register_buffer(name, getattr(made, name))
        else:
            if not (weights is None and mean is None and std is None):
                raise ConfigurationError("weights, mean and std must be None, unless model is the name of an encoder")
            unet = model(in_channels=in_channels, classes=classes)
            if not isinstance(unet, UNet):
                raise ConfigurationError(
                    "model must be the name of an encoder, or a factory of alkit.UNet", got=type(unet).__name__
                )
            self.encoder = unet.down
            width = unet.down[-1][-2].num_features  # type: ignore[index]
        self.head = nn.Linear(width, classes)

    @checked
    def encode(self, images: Tensor) -> list[Tensor]:
        """Return the deepest map of the encoder, the only entry of the list."""
        if isinstance(self.encoder, nn.ModuleList):
            for number, level in enumerate(self.encoder):
                images = level(F.max_pool2d(images, 2) if number else images)
            return [images]
        if hasattr(self, "_mean"):
            images = (images.expand(-1, self._mean.shape[1], -1, -1) - self._mean) / self._std
        return [self.encoder(images)[-1]]

    @checked
    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the logits, ``(n, classes)``, from the map of :meth:`encode`."""
        return cast(Tensor, self.head(self.dropout(maps[-1].mean((-2, -1)))))

    @checked
    def forward(self, images: Tensor) -> Tensor:
        """Return logits, ``(n, classes)``, of images ``(n, in_channels, h, w)``."""
        return self.decode(self.encode(images))
