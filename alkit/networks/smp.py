"""Models of segmentation-models-pytorch with dropout and heads of deep supervision.

Learners can use a model of that library as it is. Strategies that draw by dropout, or compare heads as DSAL does, need
layers that most of its models do not have. :class:`SmpNetwork` adds these layers to any of them. This module does not
import the library.

References
----------
Iakubovskii. "Segmentation Models Pytorch", 2019, https://github.com/qubvel-org/segmentation_models.pytorch. Zhao, Zeng,
Xu, Chen, Guan. "DSAL: Deeply Supervised Active Learning From Strong and Weak Labelers for Biomedical Image
Segmentation". IEEE Journal of Biomedical and Health Informatics, 2021.
"""

from __future__ import annotations

import functools
import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from alkit.arguments.checked import check_argument, checked, checked_except
from alkit.checks import check_number
from alkit.errors import ConfigurationError
from alkit.networks.encoders import check_weights, load_encoder, read_pretraining, refuse_unknown
from alkit.networks.factory import NetworkFactory, dropout_layer
from alkit.networks.heads import Heads
from alkit.networks.sizes import fitting_size
from alkit.networks.smp_factories import are_left_out, encoder_name_of, without_download
from alkit.rng import keep_torch
from alkit.values.label_spec import size_text


@checked_except("heads")
class SmpNetwork(nn.Module):
    """A model of segmentation-models-pytorch with dropout at its deepest map and heads of deep supervision.

    Parameters
    ----------
    model:
        Name of an encoder, such as ``resnet34`` or ``tu-`` and the name of a model of timm, for a U-Net. Or a factory
        of another model, called with ``in_channels=`` and ``classes=``. The model must return logits, so it has no
        ``activation``.
    in_channels, classes:
        Channels of the image and of the logits.
    dropout:
        Dropout probability at the deepest map of the encoder, in [0, 1).
    heads:
        Loss weights of heads by resolution divisor. ``{2: 0.1, 4: 0.3}`` makes heads at half and quarter resolution,
        and the final output has the weight 0.6. The initial weights of the model do not depend on the heads.
    weights:
        Pre-trained weights of the encoder. ``efficientnet-lite0`` are those of the encoder ``tu-tf_efficientnet_lite0``
        that the extra ``pretrained`` installs. ``imagenet``, and other names that the library has for the encoder, are
        found if they were downloaded before. A path ends in .safetensors, .pth, .pt or .bin, and records name it by the
        digest of the file. None (default): random.
    mean, std:
        How images in [0, 1] are normalised inside the network, one number for each channel of the encoder. Default: as
        `weights` were trained; not at all without weights.

    Raises
    ------
    ConfigurationError
        The model is not one of segmentation-models-pytorch, has a second output or a forward that does more than to
        call its encoder, decoder and head; `dropout` is not in [0, 1); or
        `heads` are at resolutions without a decoder map or have weights that are not positive or have a sum of 1 or
        more. Or the weights are not on this machine, cannot be read, or belong to another encoder.
    UnknownNameError
        There is no such encoder.
    MissingDependencyError
        The weights need the extra ``pretrained``.

    Notes
    -----
    The normalisation is a part of the network, so training, prediction, dropout draws, features and exported models all
    have it. With pre-trained weights or `mean` and `std`, an image with one channel is repeated in three, which the
    encoder was made for. For two, four or more channels, the weights of its first layer are repeated, and divided so
    that the sum of the channels stays the same.

    Nothing is downloaded: the error says which command gets missing weights. A network that is read from a record, or
    trained further, needs no pre-trained weights.

    One forward pass of zeros finds the decoder map of each resolution. It is the output of the outermost module of the
    decoder that returns a map of this size, and of the last one if there are several. In a U-Net this is the block of
    the resolution, in a U-Net++ the last node of the resolution.

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

    A pre-trained encoder, for gray images or photographs:

    >>> lite0 = functools.partial(SmpNetwork, "tu-tf_efficientnet_lite0", weights="efficientnet-lite0")
    >>> lite0(in_channels=1, classes=2).eval()(torch.zeros(1, 1, 64, 64)).shape
    torch.Size([1, 2, 64, 64])
    """

    names_weights = True
    """Whether the parameter `weights` may be a file, which records name by its content."""

    _mean: Tensor
    _std: Tensor

    def __init__(
        self,
        model: NetworkFactory | str,
        in_channels: int,
        classes: int,
        dropout: float = 0.5,
        heads: Mapping[int, float] | None = None,
        weights: str | os.PathLike[str] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        check_argument("heads", heads, Mapping | None)
        self.dropout = dropout_layer(dropout)
        normalised = not (weights is None and mean is None and std is None)
        channels = 3 if normalised and in_channels == 1 else in_channels
        factory = _factory(model)
        if weights is not None or are_left_out():
            factory = without_download(factory)
        self.model = _check_model(_make(factory, channels, classes))
        _check_forward(self.model, channels)
        self._normalise(factory, weights, mean, std, channels) if normalised else None
        self._places = _decoder_maps(self.model, channels) if heads else {}
        widths = {divisor: place.channels for divisor, place in self._places.items()}
        # Heads come last, so that the initial weights of the model do not depend on them.
        self.heads = Heads(heads, widths, classes, type(self.model).__name__)

    def _normalise(
        self,
        factory: NetworkFactory,
        weights: str | os.PathLike[str] | None,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        channels: int,
    ) -> None:
        """Load pre-trained weights, and set how images are normalised."""
        own: tuple[Sequence[float], Sequence[float]] = (0.0,), (1.0,)
        encoder: Any = self.model.encoder
        if weights is not None and not are_left_out():
            name = encoder_name_of(factory)
            found = read_pretraining(encoder, name, check_weights(weights, name))
            load_encoder(encoder, found.tensors, channels, repr(str(weights)))
            own = found.mean, found.std
        for key, given, default in (("mean", mean, own[0]), ("std", std, own[1])):
            values = default if given is None else _check_numbers(key, given, channels)
            # Stored with the weights, so that a network that is read from a record has it.
            row = torch.tensor([values[channel % len(values)] for channel in range(channels)])
            self.register_buffer(f"_{key}", row.reshape(1, -1, 1, 1))

    @checked
    def encode(self, images: Tensor) -> list[Tensor]:
        """Return the maps of the model's encoder, the deepest last. The first map may be the images themselves.

        Raises
        ------
        ConfigurationError
            The model does not support images of this size, or its encoder returns values that are not tensors.
        """
        model: Any = self.model
        try:
            model.check_input_shape(images)
        except RuntimeError as reason:
            raise ConfigurationError(
                f"images for this {type(model).__name__} must have sides divisible by {model.encoder.output_stride}",
                got=size_text(tuple(images.shape[-2:])),
                hint=f"{fitting_size(images.shape[-2], images.shape[-1], model.encoder.output_stride)} for the pool",
            ) from reason
        if hasattr(self, "_mean"):
            images = (images.expand(-1, self._mean.shape[1], -1, -1) - self._mean) / self._std
        maps = list(model.encoder(images))
        if not all(isinstance(entry, Tensor) for entry in maps):
            raise ConfigurationError(
                f"the encoder of {type(model).__name__} must return feature maps only",
                got=", ".join(type(entry).__name__ for entry in maps),
                expected="tensors, the deepest last",
            )
        return maps

    @checked
    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the final logits from the feature maps of :meth:`encode`."""
        model: Any = self.model
        return cast(Tensor, model.segmentation_head(model.decoder([*maps[:-1], self.dropout(maps[-1])])))

    @checked
    def decode_all(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the final logits and those of each head by ascending divisor, all ``(n, classes, h, w)``."""
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

    @checked
    def forward(self, images: Tensor) -> Tensor:
        """Return logits, ``(n, classes, h, w)``, of images ``(n, in_channels, h, w)``."""
        return self.decode(self.encode(images))

    @property
    def head_weights(self) -> tuple[float, ...]:
        """Loss weights of the outputs of :meth:`decode_all`, in that order. Their sum is 1."""
        return self.heads.weights

    @property
    def output_layers(self) -> tuple[str, ...]:
        """Names of the layers that compute logits."""
        return ("model.segmentation_head", *(f"heads.{divisor}" for divisor in self.heads))


class _Place(NamedTuple):
    """The place in a decoder that returns a map."""

    name: str  # of the module, as in named_modules()
    call: int  # number of the call that returns the map, from 0
    channels: int


def _factory(model: NetworkFactory | str) -> NetworkFactory:
    if not isinstance(model, str):
        return model
    import segmentation_models_pytorch as smp

    return cast(NetworkFactory, functools.partial(smp.Unet, model, encoder_weights=None))


def _make(factory: NetworkFactory, channels: int, classes: int) -> nn.Module:
    """Make the model; an encoder that the library does not have is an error that names similar ones."""
    try:
        return factory(in_channels=channels, classes=classes)
    except (KeyError, RuntimeError) as reason:
        if "encoder name" in str(reason) or "Unknown model" in str(reason):
            refuse_unknown(encoder_name_of(factory))
        raise


def _check_numbers(name: str, values: Sequence[float], channels: int) -> Sequence[float]:
    least, open_ends = (0.0, "(") if name == "std" else (-math.inf, "")
    found = [check_number(f"each of {name}", value, least, open_ends=open_ends) for value in values]
    if len(found) not in (1, channels):
        raise ConfigurationError(
            f"{name} must have one number, or one for each of the {channels} channels of the encoder", got=repr(values)
        )
    return found


def _check_model(model: nn.Module) -> nn.Module:
    """Return `model` after a check that it has the parts of a model of segmentation-models-pytorch."""
    parts = ("encoder", "decoder", "segmentation_head", "check_input_shape")
    if missing := [part for part in parts if not hasattr(model, part)]:
        raise ConfigurationError(
            "model must make a model of segmentation-models-pytorch",
            got=f"{type(model).__name__} without {', '.join(missing)}",
            hint="functools.partial(segmentation_models_pytorch.Unet, 'resnet18')",
        )
    if getattr(model, "classification_head", None) is not None:
        raise ConfigurationError(
            "model must not have a classification head, because no learner trains it",
            got=f"{type(model).__name__} with aux_params",
            hint="the model without aux_params",
        )
    return model


def _least_side(network: Any) -> int:
    """Return the least side of an image that a model supports, 64 pixels or more."""
    stride = int(network.encoder.output_stride)
    return stride * math.ceil(64 / stride)


def _check_forward(model: nn.Module, in_channels: int) -> None:
    """Check that a model with a forward of its own computes what its parts do, which are called one by one here."""
    if type(model).forward.__module__.partition(".")[0] == "segmentation_models_pytorch":
        return
    network: Any = model
    side = _least_side(network)
    image = torch.rand(1, in_channels, side, side, generator=torch.Generator().manual_seed(0))
    image = image.to(next(model.parameters()))
    with _preserve_state(model):
        parts = network.segmentation_head(network.decoder(list(network.encoder(image))))
        whole = model(image)
    if not isinstance(whole, Tensor) or whole.shape != parts.shape or not torch.allclose(whole, parts, 1e-3, 1e-4):
        raise ConfigurationError(
            f"forward of {type(model).__name__} must return segmentation_head(decoder(encoder(images))), because these "
            "parts are called one by one",
            got="another output",
            hint="mean= and std= in place of a normalisation in forward",
        )


def _decoder_maps(model: nn.Module, in_channels: int) -> dict[int, _Place]:
    """Return the places of the decoder's maps below full resolution, by divisor, a power of two."""
    network: Any = model
    side = _least_side(network)
    # Not a square: a map that is pooled to 1 x 1 or to a fixed grid then has another aspect ratio than the image.
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

    with _preserve_state(model), ExitStack() as hooks:
        for name, module in network.decoder.named_modules():
            if not isinstance(module, nn.Identity):  # its output is a map of the encoder
                hooks.callback(module.register_forward_pre_hook(enter).remove)
                hooks.callback(module.register_forward_hook(leave(name)).remove)
        try:
            network.decoder(list(network.encoder(image)))
        except Exception as reason:  # models of third parties raise errors of any type
            raise ConfigurationError(
                f"{type(model).__name__} cannot have heads, because it fails on an image of zeros ({reason})",
                got=size_text((2 * side, 3 * side)),
                hint="no heads=, or a model for images of any size",
            ) from reason
    return {divisor: place for divisor, (_, place) in found.items()}


def _divisor(image: Tensor, output: object) -> int:
    """Return how many times smaller than the image a map is, if that is a power of two; else 0."""
    if not isinstance(output, Tensor) or output.ndim != 4 or not output.numel():
        return 0
    times = image.shape[2] // output.shape[2]
    whole = (times * output.shape[2], times * output.shape[3]) == (image.shape[2], image.shape[3])
    return times if whole and times.bit_count() == 1 else 0


@contextmanager
def _preserve_state(model: nn.Module) -> Iterator[None]:
    """Switch a model to evaluation mode inside a ``with`` block; restore its modes and torch's generators after it."""
    modes = {module: module.training for module in model.modules()}
    try:
        for module in modes:
            module.training = False
        # Not inference_mode: if a model stores tensors in its first pass, training could not use them.
        with torch.no_grad(), keep_torch():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
