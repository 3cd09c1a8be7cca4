"""The classic U-Net, and the few questions alkit asks of any network.

A network is given as a *factory*, called with ``in_channels=`` and ``classes=``, so that ensembles, seeded
initialisation and the pretext each get a fresh one. :class:`UNet` is such a factory, and so is
``functools.partial(segmentation_models_pytorch.Unet, "resnet34")``.

References
----------
Ronneberger, Fischer, Brox. "U-Net: Convolutional Networks for Biomedical Image Segmentation". MICCAI 2015.
Zhao, Zeng, Xu, Chen, Guan. "DSAL: Deeply Supervised Active Learning From Strong and Weak Labelers for Biomedical
Image Segmentation". IEEE Journal of Biomedical and Health Informatics, 2021 (the heads of deep supervision).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parameter import UninitializedParameter

from alkit.errors import ConfigurationError
from alkit.rng import Stream, forked


class NetworkFactory(Protocol):
    """Makes a fresh network that maps images ``(n, in_channels, h, w)`` to logits ``(n, classes, h, w)``."""

    def __call__(self, *, in_channels: int, classes: int) -> nn.Module:
        """Make one."""


DEEP_SUPERVISION = {2: 0.1, 4: 0.3}
"""Heads of DSAL: loss weights by resolution divisor; the final output has 0.6 (Zhao et al., JBHI 2021)."""


class Heads(nn.ModuleDict):
    """Heads of deep supervision: a 1 x 1 convolution on each of some decoder maps, brought to full size.

    Parameters
    ----------
    weights:
        Share of each head in the loss, by resolution divisor: ``{2: 0.1, 4: 0.3}`` are heads at half and quarter
        resolution, and the final output has the rest, 0.6. None or an empty mapping: no heads.
    channels:
        Channels of the decoder maps there are, by resolution divisor.
    classes:
        Channels of the logits.
    owner:
        Name of the network, for messages.

    Attributes
    ----------
    weights: tuple of float
        Share in the loss of the final output, then of each head by rising divisor; they add up to 1.

    Raises
    ------
    ConfigurationError
        There is no decoder map for a divisor; a weight is not positive; nothing is left for the final output.

    Examples
    --------
    >>> heads = Heads({4: 0.3, 2: 0.1}, channels={2: 16, 4: 32}, classes=2, owner="U-Net")
    >>> heads.weights
    (0.6, 0.1, 0.3)
    >>> maps = {2: torch.zeros(1, 16, 4, 4), 4: torch.zeros(1, 32, 2, 2)}
    >>> [tuple(logits.shape) for logits in heads(torch.zeros(1, 2, 8, 8), maps)]
    [(1, 2, 8, 8), (1, 2, 8, 8), (1, 2, 8, 8)]
    """

    def __init__(
        self, weights: Mapping[int, float] | None, channels: Mapping[int, int], classes: int, owner: str
    ) -> None:
        super().__init__()
        wanted = dict(weights or {})
        # By type too: 2.0 would find the map of 2, and then be another name in the state dict.
        if strange := [divisor for divisor in wanted if divisor not in channels or not isinstance(divisor, int)]:
            raise ConfigurationError(
                f"{owner} has no decoder map for a head there",
                got=f"a head at resolution 1/{strange[0]}",
                expected=", ".join(f"1/{divisor}" for divisor in sorted(channels)) or "no heads",
            )
        final = 1.0 - sum(wanted[divisor] for divisor in sorted(wanted))
        if not all(weight > 0 for weight in wanted.values()) or not final > 0:
            raise ConfigurationError(
                "these are no loss weights of heads",
                got=wanted,
                expected="each positive, and a sum below 1, the rest being the final output's",
            )
        self.weights = (final, *(float(wanted[divisor]) for divisor in sorted(wanted)))
        for divisor in sorted(wanted):
            self[str(divisor)] = nn.Conv2d(channels[divisor], classes, 1)

    def forward(self, final: Tensor, maps: Mapping[int, Tensor]) -> tuple[Tensor, ...]:
        """Return the final logits ``(n, classes, h, w)``, then those of each head by rising divisor, of the same size.

        `maps` are decoder maps by resolution divisor; there may be more than there are heads.
        """
        size = final.shape[-2:]
        logits = [
            F.interpolate(head(maps[int(divisor)]), size=size, mode="bilinear", align_corners=False)
            for divisor, head in self.items()
        ]
        return (final, *logits)


class UNet(nn.Module):
    """U-Net with batch normalisation, transposed convolutions and dropout at the bottleneck.

    Parameters
    ----------
    in_channels, classes:
        Channels of the image and of the logits.
    widths:
        Channels of each level, the bottleneck last; every level but the first halves the image. The default
        turns 256 x 256 into a last feature of 512 x 16 x 16, as in the paper (EMBC 2022, section II).
    dropout:
        Probability at the bottleneck, in [0, 1).
    heads:
        Loss weights of heads of deep supervision by resolution divisor, 2 to 2^(levels - 2): ``{2: 0.1, 4: 0.3}``
        are heads on the decoder maps of half and quarter resolution, and the final output weighs 0.6. Initial weights
        of all other layers are the same with and without heads.

    Raises
    ------
    ConfigurationError
        Widths, dropout or heads that cannot be.

    Notes
    -----
    Two deviations from Ronneberger et al., both usual today: convolutions are padded, so that the mask has the size
    of the image, and each is followed by batch normalisation.

    Examples
    --------
    >>> network = UNet(in_channels=1, classes=2, widths=(4, 8, 16))
    >>> network(torch.zeros(1, 1, 32, 32)).shape
    torch.Size([1, 2, 32, 32])
    >>> network.encode(torch.zeros(1, 1, 32, 32))[-1].shape
    torch.Size([1, 16, 8, 8])
    >>> deep = UNet(in_channels=1, classes=2, widths=(4, 8, 16), heads={2: 0.4})
    >>> [tuple(logits.shape) for logits in deep.decode_all(deep.encode(torch.zeros(1, 1, 32, 32)))]
    [(1, 2, 32, 32), (1, 2, 32, 32)]
    >>> deep.head_weights
    (0.6, 0.4)
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        widths: Sequence[int] = (32, 64, 128, 256, 512),
        dropout: float = 0.5,
        heads: Mapping[int, float] | None = None,
    ) -> None:
        super().__init__()
        if len(widths) < 2 or min(widths) < 1:
            raise ConfigurationError(
                "these widths make no U-Net", got=tuple(widths), expected="two or more, each positive"
            )
        ins = (in_channels, *widths[:-1])
        self.down = nn.ModuleList(_double_convolution(i, o) for i, o in zip(ins, widths, strict=True))
        self.dropout = dropout_layer(dropout)
        pairs = list(pairwise(widths))[::-1]  # (shallow, deep), the deepest first
        self.up = nn.ModuleList(nn.ConvTranspose2d(deep, shallow, 2, stride=2) for shallow, deep in pairs)
        self.merge = nn.ModuleList(_double_convolution(2 * shallow, shallow) for shallow, _ in pairs)
        self.head = nn.Conv2d(widths[0], classes, 1)
        channels = {2**level: width for level, width in enumerate(widths[:-1]) if level}
        # Last, so that the layers above draw the same initial weights with and without them.
        self.heads = Heads(heads, channels, classes, f"a U-Net of {len(widths)} levels")

    def encode(self, images: Tensor) -> list[Tensor]:
        """Return the feature map of each level, the deepest last."""
        factor = 2 ** (len(self.down) - 1)
        if images.shape[-2] % factor or images.shape[-1] % factor:
            raise ConfigurationError(
                f"a U-Net of {len(self.down)} levels halves its images {len(self.down) - 1} times",
                got=f"images of {images.shape[-2]} x {images.shape[-1]}",
                expected=f"sides divisible by {factor}",
                hint="choose another size= for the pool, or fewer widths",
            )
        if self.training and images.shape[0] * images.shape[2] * images.shape[3] == factor**2:
            raise ConfigurationError(
                "batch normalisation needs more than one number of a kind",
                got=f"one image of {factor} x {factor}, a single pixel at the bottleneck",
                hint="more labels, a larger size, or fewer widths",
            )
        maps: list[Tensor] = []
        for level in self.down:
            maps.append(level(F.max_pool2d(maps[-1], 2) if maps else images))
        return maps

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the final logits from the feature maps of :meth:`encode`."""
        for decoded in self._decoded(maps):
            finest = decoded
        return cast(Tensor, self.head(finest))

    def decode_all(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the final logits and those of each head, by rising divisor, all ``(n, classes, h, w)``."""
        finest_first = list(self._decoded(maps))[::-1]
        by_divisor = {2**level: decoded for level, decoded in enumerate(finest_first)}
        return cast("tuple[Tensor, ...]", self.heads(self.head(finest_first[0]), by_divisor))

    @property
    def head_weights(self) -> tuple[float, ...]:
        """Shares in the loss of what :meth:`decode_all` returns, in that order; they add up to 1."""
        return self.heads.weights

    @property
    def output_layers(self) -> tuple[str, ...]:
        """Names of the layers that make logits."""
        return ("head", *(f"heads.{divisor}" for divisor in self.heads))

    def _decoded(self, maps: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the decoder's map of each level, the deepest first."""
        x = self.dropout(maps[-1])
        for up, merge, skip in zip(self.up, self.merge, maps[-2::-1], strict=True):
            x = merge(torch.cat([up(x), skip], dim=1))
            yield x

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, ``(n, classes, h, w)``, of images ``(n, in_channels, h, w)``."""
        return self.decode(self.encode(images))


def _double_convolution(ins: int, outs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (ins, outs):
        # No bias: the batch normalisation that follows would take it away again.
        layers += [
            nn.Conv2d(channels, outs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def dropout_layer(probability: float) -> nn.Dropout:
    """Return a dropout layer; unlike torch, refuse a probability of 1, which lets nothing through."""
    if not 0 <= probability < 1:
        raise ConfigurationError("dropout is no probability", got=probability, expected="0 <= dropout < 1")
    return nn.Dropout(probability)


def fresh(factory: NetworkFactory, *, in_channels: int, classes: int, stream: Stream) -> nn.Module:
    """Make a network whose initial weights depend on `stream` alone."""
    with forked(stream):
        network = factory(in_channels=in_channels, classes=classes)
    if not isinstance(network, nn.Module):
        raise ConfigurationError(
            "the network factory did not make a torch module",
            got=type(network).__name__,
            expected="torch.nn.Module",
        )
    if lazy := [name for name, value in network.named_parameters() if isinstance(value, UninitializedParameter)]:
        raise ConfigurationError(
            "a lazy layer draws its weights only when it first sees images, from torch's global generator",
            got=", ".join(lazy),
            hint="give its input size",
        )
    return network


def deepest(network: nn.Module, images: Tensor) -> Tensor:
    """Return the last feature map of the network's encoder, ``(n, c, h', w')``.

    Asks a method ``encode`` that returns the maps, the deepest last (:class:`UNet`), or else a submodule ``encoder``
    that does (segmentation-models-pytorch).
    """
    encode = getattr(network, "encode", None) or getattr(network, "encoder", None)
    if encode is None:
        raise ConfigurationError(
            f"{type(network).__name__} has no encoder to take features from",
            expected="a method encode(images) or a submodule encoder, returning feature maps with the deepest last",
        )
    return cast(Tensor, encode(images)[-1])


def output_layers(network: nn.Module) -> tuple[str, ...]:
    """Name the layers that make logits.

    They are what the network's attribute ``output_layers`` names, or else the last module that holds parameters of
    its own.

    Raises
    ------
    ConfigurationError
        The attribute is no tuple of names of modules.

    Examples
    --------
    >>> output_layers(UNet(in_channels=1, classes=2, widths=(4, 8, 16), heads={2: 0.4}))
    ('head', 'heads.2')
    >>> output_layers(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.Upsample(scale_factor=2)))
    ('2',)
    """
    modules = dict(network.named_modules())
    said = getattr(network, "output_layers", None)
    if said is None:
        return tuple([name for name, module in modules.items() if list(module.parameters(recurse=False))][-1:])
    if not isinstance(said, tuple) or not all(name in modules for name in said):
        raise ConfigurationError(
            f"the output_layers of {type(network).__name__} are not layers of it",
            got=repr(said),
            expected="a tuple of names as in named_modules()",
        )
    return said


def warm_start(network: nn.Module, source: nn.Module) -> None:
    """Copy the weights of `source` into `network`, all but those of the output layers of either.

    So one of them may have heads of deep supervision that the other lacks.

    Raises
    ------
    ConfigurationError
        The two differ in more than the output layers.

    Examples
    --------
    >>> source = UNet(in_channels=1, classes=1, widths=(2, 4, 8))
    >>> network = UNet(in_channels=1, classes=2, widths=(2, 4, 8), heads={2: 0.4})
    >>> warm_start(network, source)
    >>> network.down[0][0].weight.equal(source.down[0][0].weight)
    True
    """
    theirs, ours = _without_outputs(source), _without_outputs(network)
    differing = sorted(theirs.keys() ^ ours.keys()) or [n for n in ours if ours[n].shape != theirs[n].shape]
    if differing:
        raise ConfigurationError(
            "the pretext's network and the learner's differ in more than the output layers",
            got=f"different {', '.join(differing[:3])}{' ...' if len(differing) > 3 else ''}",
            hint="give both the same network factory",
        )
    network.load_state_dict(theirs, strict=False)


def _without_outputs(network: nn.Module) -> dict[str, Tensor]:
    """Return weights and buffers by name, without those of the output layers."""
    # A network that is a single layer has the empty name, and its weights stand below no dot.
    below = tuple(f"{name}." if name else "" for name in output_layers(network))
    return {name: value for name, value in network.state_dict().items() if not name.startswith(below)}
