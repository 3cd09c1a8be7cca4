"""Models of segmentation-models-pytorch with dropout to draw from and heads of deep supervision.

They come as they are where a plain segmentation network is enough. What asks for uncertainty by dropout, or for the
heads that DSAL compares, needs layers that most of them lack: :class:`SmpNetwork` adds these around any of them. The
library itself is not imported here.

References
----------
Iakubovskii. "Segmentation Models Pytorch", 2019, https://github.com/qubvel-org/segmentation_models.pytorch. Zhao, Zeng,
Xu, Chen, Guan. "DSAL: Deeply Supervised Active Learning From Strong and Weak Labelers for Biomedical Image
Segmentation". IEEE Journal of Biomedical and Health Informatics, 2021.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from alkit.errors import ConfigurationError
from alkit.networks.factory import NetworkFactory, dropout_layer
from alkit.networks.heads import Heads


class SmpNetwork(nn.Module):
    """A model of segmentation-models-pytorch, with dropout at its deepest map and heads of deep supervision.

    Parameters
    ----------
    model:
        Factory of the model, called with ``in_channels=`` and ``classes=``. Without an ``activation``, since learners
        expect logits. (Its ``encoder_weights=None`` keeps it from downloading any.)
    in_channels, classes:
        Channels of the image and of the logits.
    dropout:
        Probability at the deepest map of the encoder, in [0, 1).
    heads:
        Loss weights of heads by resolution divisor: ``{2: 0.1, 4: 0.3}`` are heads at half and quarter resolution, and
        the final output weighs 0.6. Initial weights of the model are the same with and without heads.

    Raises
    ------
    ConfigurationError
        The model is no such model or has a second output, its decoder has no map at the resolution of a head, or
        dropout or heads cannot be.

    Notes
    -----
    The decoder's map of a resolution is found by one pass of zeros: of the modules of the decoder that return a map of
    that size, the outermost, and of those the last. In a U-Net that is the block that comes to this resolution, in a
    U-Net++ its last node there.

    Examples
    --------
    >>> import functools
    >>> import segmentation_models_pytorch as smp
    >>> unet = functools.partial(smp.Unet, "resnet18", encoder_weights=None)
    >>> factory = functools.partial(SmpNetwork, unet, dropout=0.5, heads={2: 0.1, 4: 0.3})
    >>> network = factory(in_channels=1, classes=2).eval()
    >>> [tuple(logits.shape) for logits in network.decode_all(network.encode(torch.zeros(1, 1, 64, 64)))]
    [(1, 2, 64, 64), (1, 2, 64, 64), (1, 2, 64, 64)]
    >>> network.head_weights
    (0.6, 0.1, 0.3)
    """

    def __init__(
        self,
        model: NetworkFactory,
        in_channels: int,
        classes: int,
        dropout: float = 0.5,
        heads: Mapping[int, float] | None = None,
    ) -> None:
        super().__init__()
        self.dropout = dropout_layer(dropout)
        self.model = _checked(model(in_channels=in_channels, classes=classes))
        self._places = _decoder_maps(self.model, in_channels) if heads else {}
        channels = {divisor: place.channels for divisor, place in self._places.items()}
        # After the model, whose layers so draw the same initial weights with and without heads.
        self.heads = Heads(heads, channels, classes, type(self.model).__name__)

    def encode(self, images: Tensor) -> list[Tensor]:
        """Return the maps of the model's encoder, the deepest last; the first may be the images themselves.

        Raises
        ------
        ConfigurationError
            Images of a size the model cannot take, or an encoder that returns something else than maps.
        """
        model: Any = self.model
        try:
            model.check_input_shape(images)
        except RuntimeError as reason:
            raise ConfigurationError(
                f"{type(model).__name__} cannot take images of this size",
                got=f"images of {images.shape[-2]} x {images.shape[-1]}",
                expected=f"sides divisible by {model.encoder.output_stride}",
                hint="choose another size= for the pool",
            ) from reason
        maps = list(model.encoder(images))
        if not all(isinstance(entry, Tensor) for entry in maps):
            raise ConfigurationError(
                f"the encoder of {type(model).__name__} returns more than feature maps",
                got=", ".join(type(entry).__name__ for entry in maps),
                expected="tensors, the deepest last",
            )
        return maps

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the final logits from the feature maps of :meth:`encode`."""
        model: Any = self.model
        return cast(Tensor, model.segmentation_head(model.decoder([*maps[:-1], self.dropout(maps[-1])])))

    def decode_all(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the final logits and those of each head, by rising divisor, all ``(n, classes, h, w)``."""
        decoder: Any = self.model.decoder
        returned: defaultdict[str, list[Tensor]] = defaultdict(list)

        def keep(name: str) -> Callable[..., None]:
            return lambda module, inputs, output: returned[name].append(output)

        wanted = {int(divisor): self._places[int(divisor)] for divisor in self.heads}
        with ExitStack() as hooks:
            for name in {place.name for place in wanted.values()}:
                hooks.callback(decoder.get_submodule(name).register_forward_hook(keep(name)).remove)
            final = self.decode(maps)
        by_divisor = {divisor: returned[place.name][place.call] for divisor, place in wanted.items()}
        return cast("tuple[Tensor, ...]", self.heads(final, by_divisor))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, ``(n, classes, h, w)``, of images ``(n, in_channels, h, w)``."""
        return self.decode(self.encode(images))

    @property
    def head_weights(self) -> tuple[float, ...]:
        """Shares in the loss of what :meth:`decode_all` returns, in that order; they add up to 1."""
        return self.heads.weights

    @property
    def output_layers(self) -> tuple[str, ...]:
        """Names of the layers that make logits."""
        return ("model.segmentation_head", *(f"heads.{divisor}" for divisor in self.heads))


class _Place(NamedTuple):
    """Where in a decoder a map is made."""

    name: str  # of the module, as in named_modules()
    call: int  # the map is what it returns when called for this time, from 0
    channels: int


def _checked(model: nn.Module) -> nn.Module:
    parts = ("encoder", "decoder", "segmentation_head", "check_input_shape")
    if missing := [part for part in parts if not hasattr(model, part)]:
        raise ConfigurationError(
            f"{type(model).__name__} is no model of segmentation-models-pytorch",
            got=f"one without {', '.join(missing)}",
            expected="such as functools.partial(segmentation_models_pytorch.Unet, 'resnet18')",
        )
    if getattr(model, "classification_head", None) is not None:
        raise ConfigurationError(
            f"this {type(model).__name__} has a second output, which nothing would train",
            got="a classification head",
            hint="leave out aux_params",
        )
    return model


def _decoder_maps(model: nn.Module, in_channels: int) -> dict[int, _Place]:
    """Find where the decoder makes its map of each resolution below the full one, by divisor, a power of two."""
    network: Any = model
    stride = int(network.encoder.output_stride)
    side = stride * math.ceil(64 / stride)
    # No square: what is pooled to 1 x 1 or to a fixed grid then has the ratio of no resolution.
    image = torch.zeros(1, in_channels, 2 * side, 3 * side).to(next(model.parameters()))
    found: dict[int, tuple[int, _Place]] = {}
    calls: Counter[str] = Counter()
    depth = 0

    def enter(*_: object) -> None:
        nonlocal depth
        depth += 1

    def leave(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            nonlocal depth
            depth -= 1
            divisor = _divisor(image, output)
            if divisor > 1 and (divisor not in found or depth <= found[divisor][0]):
                found[divisor] = depth, _Place(name, calls[name], cast(Tensor, output).shape[1])
            calls[name] += 1

        return hook

    with _undisturbed(model), ExitStack() as hooks:
        for name, module in network.decoder.named_modules():
            if not isinstance(module, nn.Identity):  # it would pass off a map of the encoder as one of the decoder
                hooks.callback(module.register_forward_pre_hook(enter).remove)
                hooks.callback(module.register_forward_hook(leave(name)).remove)
        try:
            network.decoder(list(network.encoder(image)))
        except Exception as reason:  # whatever a third party's model may raise
            raise ConfigurationError(
                f"{type(model).__name__} cannot be asked for its decoder maps ({reason})",
                got=f"zeros of {2 * side} x {3 * side}",
                hint="leave out heads=, or take a model for images of any size",
            ) from reason
    return {divisor: place for divisor, (_, place) in found.items()}


def _divisor(image: Tensor, output: object) -> int:
    """Return how many times smaller than the image a map is, a power of two; 0 for what is no such map."""
    if not isinstance(output, Tensor) or output.ndim != 4 or not output.numel():
        return 0
    times = image.shape[2] // output.shape[2]
    whole = (times * output.shape[2], times * output.shape[3]) == (image.shape[2], image.shape[3])
    return times if whole and times.bit_count() == 1 else 0


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Let a model compute in evaluation mode; afterwards its modes and torch's global generators are as found."""
    modes = {module: module.training for module in model.modules()}
    try:
        for module in modes:
            module.training = False
        # Not inference_mode: what a model keeps from its first pass could take no part in training.
        with torch.no_grad(), torch.random.fork_rng():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
