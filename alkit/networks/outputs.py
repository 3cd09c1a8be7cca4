"""The outputs of networks, read as logits.

Many networks do not return plain logits: those of torchvision return dictionaries, others tuples with auxiliary
outputs, one channel for two classes, or maps that are coarser than the images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alkit._logs import logger
from alkit.errors import AlkitError, ConfigurationError
from alkit.networks.probabilities import are_bounded, are_probabilities, seem_probabilities
from alkit.networks.training import evaluation_mode
from alkit.rng import keep_torch

log = logger(__name__)

KEYS = ("out", "logits")
"""Keys under which dictionaries hold the logits: those of torchvision and of transformers."""


class Reading(NamedTuple):
    """How to make logits from an output.

    Parameters
    ----------
    key:
        Key of a dictionary or position in a tuple; None for a tensor.
    missing:
        Number of missing axes and channels: 1 if one channel stands for two classes, 2 if there is no axis of channels.
    coarse:
        Whether the map is enlarged to the size of the images.
    """

    key: str | int | None = None
    missing: int = 0
    coarse: bool = False


PLAIN = Reading()
"""The output is the logits."""


class Logits(nn.Module):
    """A network whose output is read as logits.

    Parameters
    ----------
    network:
        Maps images ``(n, c, h, w)`` to logits in some form.
    classes:
        Number of classes.
    reading:
        How each output is read; None to look at each output.
    multiple:
        Whether an image can have several classes, so that there is one logit for each and none may be missing.

    Examples
    --------
    >>> binary = Logits(nn.Conv2d(1, 1, 1), classes=2)
    >>> binary(torch.zeros(3, 1, 8, 8)).shape
    torch.Size([3, 2, 8, 8])
    """

    def __init__(
        self, network: nn.Module, classes: int, reading: Reading | None = None, *, multiple: bool = False
    ) -> None:
        super().__init__()
        self.network, self.classes, self.reading, self.multiple = network, classes, reading, multiple
        self.dtype = input_type(network)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, ``(n, classes, h, w)`` or ``(n, classes)``."""
        output = self.network(images.to(self.dtype))
        reading = self.reading
        if reading is None:
            name = type(self.network).__name__
            reading = find_reading(output, tuple(images.shape), self.classes, name, multiple=self.multiple)
        return read(output, reading, images)


def as_logits(network: nn.Module, images: Tensor, classes: int, *, multiple: bool = False) -> nn.Module:
    """Return the network itself if it returns logits, else a module that reads its output.

    Parameters
    ----------
    images:
        An image, ``(1, c, h, w)``, to try the network on in evaluation mode.

    Raises
    ------
    ConfigurationError
        The output cannot be read as logits of these classes.
    """
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad(), keep_torch():
            output = network(images.clone())
    finally:
        network.train(was_training)
    reading = find_reading(output, tuple(images.shape), classes, type(network).__name__, multiple=multiple)
    return network if reading == PLAIN else Logits(network, classes, reading, multiple=multiple)


def check_logits(network: nn.Module, image: Tensor, classes: int, *, multiple: bool = False) -> None:
    """Raise a :class:`ConfigurationError` if a network, tried on an image on the CPU, returns no logits.

    Probabilities are recognised by their sum, or by a sigmoid before operations that keep their range. A warning says
    if all outputs lie between 0 and 1.
    """
    was_training = network.training
    network.eval()
    try:
        with torch.enable_grad(), keep_torch():
            output = network(image.to(_device(network), input_type(network), copy=True))
    except AlkitError:
        raise
    except Exception as reason:
        raise ConfigurationError(
            f"network {type(network).__name__} fails on one image of {image.shape[-1]} x {image.shape[-2]} pixels in "
            f"evaluation mode ({str(reason).strip() or type(reason).__name__})",
            hint="another size= of the pool, or another network",
        ) from reason
    finally:
        network.train(was_training)
    reading = find_reading(output, tuple(image.shape), classes, type(network).__name__, multiple=multiple)
    logits = pick(output, reading.key)
    if are_probabilities(logits):
        raise ConfigurationError(
            f"network {type(network).__name__} must return logits",
            got="probabilities",
            hint="the network without its last soft-max or sigmoid",
        )
    if not are_bounded(logits):
        return
    try:
        with evaluation_mode(network), keep_torch():
            given = image.to(_device(network), input_type(network), copy=True)
            bounded = seem_probabilities(lambda images: pick(network(images.clone()), reading.key), given)
    except Exception:  # the network may refuse such images
        return
    if bounded:
        log.warning(
            "all outputs of network %s lie between 0 and 1, as probabilities do. They are read as logits: leave out "
            "the last layer if it makes probabilities",
            type(network).__name__,
        )


def _device(network: nn.Module) -> torch.device:
    return next((value.device for value in network.parameters()), torch.device("cpu"))


def input_type(network: nn.Module) -> torch.dtype:
    """Return the type of the images that a network computes with: that of its first real weights."""
    weights = (value.dtype for value in [*network.parameters(), *network.buffers()] if value.is_floating_point())
    return next(weights, torch.float32)


def pick(output: Any, key: str | int | None) -> Tensor:
    """Return the tensor in an output that holds the logits."""
    return cast(Tensor, output if key is None else output[key])


def read(output: Any, reading: Reading, images: Tensor) -> Tensor:
    """Return logits, ``(n, classes, h, w)`` or ``(n, classes)``."""
    logits = pick(output, reading.key)
    if reading.missing == 2:
        logits = logits[:, None]
    if reading.missing:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)  # its soft-max is (1 - sigmoid, sigmoid)
    if reading.coarse:
        logits = F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)
    return logits


def find_reading(output: Any, shape: Sequence[int], classes: int, name: str, *, multiple: bool = False) -> Reading:
    """Return how to read an output as logits.

    Parameters
    ----------
    output:
        The output for some images.
    shape:
        Shape of the images, ``(n, c, h, w)``.
    classes:
        Number of classes.
    name:
        Name of the network, for messages.
    multiple:
        Whether an image can have several classes, so that there is one logit for each.

    Raises
    ------
    ConfigurationError
        The output is not of a known form, is not of real numbers, or has another number of classes or another size.

    Examples
    --------
    >>> find_reading({"out": torch.zeros(2, 3, 8, 8), "aux": None}, (2, 1, 8, 8), classes=3, name="FCN")
    Reading(key='out', missing=0, coarse=False)
    >>> find_reading((torch.zeros(2, 1, 4, 4), None), (2, 1, 8, 8), classes=2, name="SegFormer")
    Reading(key=0, missing=1, coarse=True)
    """
    key = _key(output, name)
    logits = pick(output, key)
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        raise ConfigurationError(
            f"network {name} must return logits, a tensor of real numbers",
            got=str(logits.dtype) if isinstance(logits, Tensor) else f"an object of type {type(logits).__name__}",
            hint="a network that returns (n, classes, h, w) or (n, classes)",
        )
    found, (n, _, *size) = tuple(logits.shape), shape
    missing = 0
    if multiple and found != (n, classes):
        raise ConfigurationError(
            f"network {name} must return one logit for each of {classes} classes, ({n}, {classes}), for {n} "
            f"image{'s' if n != 1 else ''} that can have several",
            got=f"shape {found}",
            hint="a network that classifies images and uses its argument classes=",
        )
    if not multiple and classes == 2 and (found in ((n,), (n, *size)) or (found[1:2] == (1,) and len(found) in (2, 4))):
        missing = 2 if len(found) in (1, 3) else 1
        found = (n, classes, *found[1 if missing == 2 else 2 :])
    if len(found) not in (2, 4) or found[:2] != (n, classes):
        raise ConfigurationError(
            f"network {name} must return logits of {classes} classes, ({n}, {classes}, h, w) or ({n}, {classes}), "
            f"for {n} image{'s' if n != 1 else ''}",
            got=f"shape {tuple(logits.shape)}",
            hint="a network that uses its argument classes=",
        )
    space = found[2:]
    coarse = bool(space) and space != tuple(size)
    if coarse and not _is_fraction(space, size):
        raise ConfigurationError(
            f"network {name} must return maps of the size of the images, or of a whole fraction of it",
            got=f"{space[0]} x {space[1]} for images of {size[0]} x {size[1]}",
            hint="padded convolutions, or an interpolation to the size of the images",
        )
    return Reading(key, missing, coarse)


def _key(output: Any, name: str) -> str | int | None:
    if isinstance(output, Mapping):
        key = next((key for key in KEYS if key in output), None)
        if key is None:
            raise ConfigurationError(
                f"network {name} must return logits, or a dictionary with the key {' or '.join(map(repr, KEYS))}",
                got=f"the keys {', '.join(map(repr, output))}" if output else "an empty dictionary",
            )
        return key
    if isinstance(output, tuple | list):
        if not output:
            raise ConfigurationError(f"network {name} must return logits", got=f"an empty {type(output).__name__}")
        return 0
    return None


def _is_fraction(space: Sequence[int], size: Sequence[int]) -> bool:
    """Whether a map is smaller than the images by the same whole factor on both axes, and has several pixels.

    >>> _is_fraction((8, 17), (32, 65)), _is_fraction((28, 28), (32, 32)), _is_fraction((1, 1), (32, 32))
    (True, False, False)
    """
    if not all(space) or space[0] * space[1] == 1:
        return False
    factors = {size[0] // space[0], -(-size[0] // space[0])}
    sides = list(zip(space, size, strict=True))
    return any(f > 1 and all(side in (whole // f, -(-whole // f)) for side, whole in sides) for f in factors)


def probabilities_from(logits: Tensor, *, multiple: bool = False) -> Tensor:
    """Return probabilities of the form of logits, by a soft-max over the classes; if `multiple`, by a sigmoid of each.

    The latter are ``(n, 2, classes)``: that an image does not have each class, and that it has it.

    >>> probabilities_from(torch.zeros(1, 2)), probabilities_from(torch.zeros(1, 3), multiple=True).shape
    (tensor([[0.5000, 0.5000]]), torch.Size([1, 2, 3]))
    """
    logits = logits.float()
    return torch.stack([-logits, logits], dim=1).sigmoid() if multiple else logits.softmax(dim=1)
