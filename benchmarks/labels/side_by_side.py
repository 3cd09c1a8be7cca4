"""Several networks of one kind side by side, as one network whose layers have groups.

A step of a small network on small images leaves a large GPU idle, because each of its kernels is small. Networks that
are trained at the same time share their kernels here: their channels stand side by side, ``(n, count * channels, h,
w)``, and a convolution has `count` times as many groups, so that no network sees another one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class SideBySide(nn.Module):
    """Copies of a network that share their kernels.

    Parameters
    ----------
    network:
        A network of convolutions, batch normalisations, and layers without weights that treat all channels alike or
        concatenate maps.
    count:
        Number of copies.

    Raises
    ------
    ValueError
        The network has another layer with weights.
    """

    def __init__(self, network: nn.Module, count: int) -> None:
        super().__init__()
        self.count = count
        self.wide = copy.deepcopy(network)
        for name, module in self.wide.named_modules():
            _widen(name, module, count)

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs ``(n, count, channels, h, w)`` of images, which have the same axes."""
        with _Apart(self.count):
            maps: Tensor = self.wide(images.flatten(1, 2))
        return maps.unflatten(1, (self.count, -1))


def _widen(name: str, module: nn.Module, count: int) -> None:
    """Change a layer so that it serves `count` networks."""
    own = dict(module.named_parameters(recurse=False))
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        module.in_channels, module.out_channels = module.in_channels * count, module.out_channels * count
        module.groups *= count
    elif isinstance(module, nn.BatchNorm2d):
        module.num_features *= count
        module.num_batches_tracked = None  # a counter that nothing reads, and that costs a kernel each
    elif own:
        raise ValueError(f"networks side by side have convolutions and batch normalisations: got {name}, {module!r}")
    for key, value in own.items():
        setattr(module, key, nn.Parameter(_repeat(value.detach(), count, axis=0)))
    for key, value in module.named_buffers(recurse=False):
        setattr(module, key, _repeat(value, count, axis=1 if value.ndim == 4 else 0))


def _repeat(value: Tensor, count: int, axis: int) -> Tensor:
    return torch.cat([value] * count, axis)


class _Apart(TorchFunctionMode):
    """Keeps the channels of each network together where maps are concatenated."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Collection[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if function is not torch.cat:
            return function(*args, **(kwargs or {}))
        maps: Sequence[Tensor] = args[0]
        if (args[1] if len(args) > 1 else (kwargs or {}).get("dim", 0)) != 1:
            raise ValueError("networks side by side concatenate maps along their channels only")
        return torch.cat([one.unflatten(1, (self._count, -1)) for one in maps], 2).flatten(1, 2)
