"""Dropout as draws from a network: the same masks for all images of a draw, and other masks for each draw.

References
----------
Gal, Ghahramani. "Dropout as a Bayesian Approximation". ICML 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._pytree import tree_leaves

from alkit.errors import ConfigurationError
from alkit.rng import Stream, keep_torch

MOST = 4 * 2**20
"""Bytes of masks that are kept for later images."""


class MisplacedError(ConfigurationError):
    """The first axis of the output of a dropout layer is not that of the images."""


def dropout_layers(network: nn.Module) -> dict[str, _DropoutNd]:
    """Return the dropout layers of a network with p > 0, by name.

    Raises
    ------
    ConfigurationError
        There are none, or one is not of torch's classes Dropout and Dropout1d to Dropout3d, or of their subclasses.
    """
    layers = active_layers(network)
    if not layers:
        raise ConfigurationError(
            f"{type(network).__name__} has no dropout layer with p > 0 to draw from",
            hint="dropout=0.5 for alkit.UNet or alkit.networks.SmpNetwork, or an alkit.Ensemble",
        )
    for name, layer in layers.items():
        if not isinstance(layer, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d):
            raise ConfigurationError(
                f"dropout layer {name!r} has the wrong class",
                got=type(layer).__name__,
                expected="torch.nn.Dropout, Dropout1d to Dropout3d, or a subclass of one",
            )
    return layers


def active_layers(network: nn.Module) -> dict[str, _DropoutNd]:
    """Return the layers of any dropout class with p > 0, by name."""
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, _DropoutNd) and layer.p > 0}


def has_own_forward(layer: nn.Module) -> bool:
    """Whether a dropout layer is of a subclass that computes something of its own."""
    return type(layer).forward.__module__ != nn.Dropout.__module__


def undrawn(network: nn.Module, images: Tensor) -> list[str]:
    """Return names of the random parts of a network in training that are not dropout layers; empty if there are none.

    These are drop path, dropout by function, and the dropout inside attention and recurrent layers. The network is
    tried in training mode, except for its dropout layers and its normalisation of batches.
    """
    modes = {module: module.training for module in network.modules()}
    before = {name: value.clone() for name, value in network.state_dict().items() if isinstance(value, Tensor)}
    outputs = []
    try:
        network.train()
        for module in modes:
            if isinstance(module, _DropoutNd | _BatchNorm):
                module.eval()
        for seed in (0, 0, 1):
            with keep_torch(), torch.no_grad():
                torch.manual_seed(seed)
                outputs.append(network(images.clone()))
    except Exception:  # in training, the network may need more images
        return []
    finally:
        for module, mode in modes.items():
            module.training = mode
        network.load_state_dict(before, strict=False)
    first, again, other = ([leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)] for output in outputs)
    if _equal(again, other) or not _equal(first, again):
        return []
    named = [
        f"{type(module).__name__} {name!r}"
        for name, module in network.named_modules()
        if not isinstance(module, _DropoutNd)
        and any(isinstance(p := getattr(module, key, None), float) and p > 0 for key in RATES)
    ]
    return named or ["dropout by function"]


RATES = ("p", "drop_prob", "drop_rate", "drop_path", "dropout")
"""Names under which random layers keep their probability."""


def _equal(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


class KnownMasks:
    """Masks that were drawn for some images, for the images that follow: it takes long to draw them."""

    def __init__(self) -> None:
        self._known: dict[object, Tensor] = {}  # which values are kept, by what a mask depends on
        self._stream: Stream | None = None
        self._bytes = 0

    def get(self, layer: _DropoutNd, output: Tensor, stream: Stream, root: Stream) -> Tensor:
        """Return :func:`draw_mask`. Only the masks of the last `root`, the stream of all draws, are kept."""
        if root != self._stream:
            self._known, self._stream, self._bytes = {}, root, 0
        key = stream.path, layer.p, isinstance(layer, nn.Dropout), output.shape[1:]
        if key in self._known:
            return self._known[key] / max(1 - layer.p, 1e-9)
        mask = draw_mask(layer, output, stream)
        if self._bytes + mask.numel() <= MOST:
            self._known[key] = mask != 0
            self._bytes += mask.numel()
        return mask


@contextmanager
def apply_masks(
    layers: Mapping[str, _DropoutNd],
    numbers: Sequence[int],
    n: int,
    stream: Stream,
    known: KnownMasks | None = None,
) -> Iterator[list[str]]:
    """Let the dropout layers of a network in evaluation mode apply the masks of some draws, inside a ``with`` block.

    A mask depends on the seed, the number of the draw, the layer, and how often the layer was called before. It is
    drawn on the CPU, so that it is the same on every device.

    Parameters
    ----------
    layers:
        Dropout layers by name.
    numbers:
        Numbers of the k draws.
    n:
        Images in a batch. The input of the network must be k copies of the batch, one after the other.
    stream:
        Random stream of the masks.
    known:
        Masks of earlier images.

    Yields
    ------
    list of str
        Names of the layers that were called. It grows inside the block.

    Raises
    ------
    MisplacedError
        The first axis of a layer's output is not that of the images.
    ConfigurationError
        A layer with a forward of its own does not return its input.
    """
    called: list[str] = []
    kept = known or KnownMasks()

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]:
        calls = 0

        def drop(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
            nonlocal calls
            shared = len(numbers) == 1 and len(output) == 1  # by all images, such as a positional embedding
            if len(output) % (len(numbers) * n) and not shared:
                raise MisplacedError(
                    f"dropout layer {name!r} must have the images on the first axis of its input",
                    got=f"shape {tuple(output.shape)}",
                    expected=f"a multiple of {len(numbers) * n} rows",
                    hint="batch_first=True if it is part of a transformer",
                )
            called.append(name)
            streams = [stream.child(t, name, calls) for t in numbers]
            masks = [kept.get(cast(_DropoutNd, layer), output, one, stream) for one in streams]
            calls += 1
            if has_own_forward(layer) and not torch.equal(output, inputs[0]):
                raise ConfigurationError(
                    f"dropout layer {name!r} of class {type(layer).__name__} must return its input in evaluation mode, "
                    "because draws multiply its output by their own masks",
                    got="another output",
                    hint="a forward that does nothing if self.training is False, or torch.nn.Dropout",
                )
            factors = torch.stack(masks).to(output)  # (k, ...)
            if len(numbers) == 1:  # without a view, whose strides do not say of one image that its channels come last
                return output * factors
            return (split_copies(output, len(numbers)) * factors[:, None]).flatten(0, 1)

        return drop

    with ExitStack() as hooks:
        for name, layer in layers.items():
            hooks.callback(layer.register_forward_hook(hook(name)).remove)
        yield called


def draw_mask(layer: _DropoutNd, output: Tensor, stream: Stream) -> Tensor:
    """Return the factors of one draw for one image: 0 with the layer's probability p, else 1 / (1 - p).

    The shape is that of an image in `output`, ``(n, ...)``. Layers that drop whole channels have one factor per
    channel.
    """
    shape = output.shape[1:]
    if not isinstance(layer, nn.Dropout):  # Dropout1d to Dropout3d drop whole channels
        shape = shape[:1] + (1,) * (len(shape) - 1)
    keep = 1 - layer.p
    return torch.empty(shape).bernoulli_(keep, generator=stream.torch()) / max(keep, 1e-9)


def split_copies(stacked: Tensor, k: int) -> Tensor:
    """Split k copies of a batch, one after the other: ``(k * n, ...)`` to ``(k, n, ...)``."""
    return stacked.reshape(k, len(stacked) // k, *stacked.shape[1:])
