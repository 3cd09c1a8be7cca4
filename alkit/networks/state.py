"""Weights and buffers of a network as bytes, and back."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import torch as safetensors
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from alkit._reading.tensors import MOST_CLASSES, read_facts, read_tensors, unreadable
from alkit.errors import ConfigurationError

FACTS = "network"
"""Entry of the metadata with facts about the network."""

FLOOR, TIMES = 2**30, 8
"""Bytes that a network may take while it is made to load its weights, and how often those of the weights besides."""


def dump_state(network: nn.Module, facts: Any) -> bytes:
    """Return weights and buffers in the safetensors format, with `facts` as JSON.

    A tensor with two names, such as tied weights, is written twice.

    Raises
    ------
    ConfigurationError
        The state dict of the network contains something that is not a tensor, or of a type that cannot be stored.
    """
    given = network.state_dict()
    for name, value in given.items():
        if not isinstance(value, Tensor) or value.is_quantized or value.layout != torch.strided or value.is_meta:
            raise ConfigurationError(
                f"network {type(network).__name__} must have ordinary tensors only in its state dict",
                got=f"{name!r}, {_kind(value)}",
                hint="buffers of plain tensors, or persistent=False for what can be computed again",
            )
    state = apart(given)
    try:
        # One entry, because safetensors does not keep the order of several.
        return safetensors.save(state, metadata={FACTS: json.dumps(facts)})
    except Exception as reason:  # it raises errors of several types
        raise ConfigurationError(
            f"network {type(network).__name__} must have weights that can be stored ({type(reason).__name__}: "
            f"{reason})",
            got=", ".join(sorted({str(value.dtype) for value in state.values()})),
            hint="torch.float32",
        ) from reason


def apart(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors on the CPU of which no two share memory, as safetensors needs them."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in state.items():
        plain = value.detach().cpu().contiguous()
        storage = plain.untyped_storage().data_ptr()
        found[name] = plain.clone() if storage in seen else plain
        seen.add(storage)
    return found


def weights_digest(network: nn.Module) -> str:
    """Return a SHA-256, in hexadecimal, of the names, types, shapes and values of a network's weights and buffers.

    >>> weights_digest(nn.Linear(2, 1)) == weights_digest(nn.Linear(2, 1))
    False
    """
    sha = hashlib.sha256()
    for name, value in sorted(apart(network.state_dict()).items()):
        sha.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        sha.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def copy_network(network: nn.Module) -> nn.Module:
    """Return a deep copy of a network, and of what it keeps of its last pass.

    Raises
    ------
    ConfigurationError
        The network keeps something that cannot be copied.
    """
    memo: dict[int, Any] = {}
    for module in network.modules():
        for value in vars(module).values():
            if isinstance(value, Tensor) and not value.is_leaf:  # torch copies only tensors without a history
                memo[id(value)] = value.detach().clone()
    try:
        return copy.deepcopy(network, memo)
    except Exception as reason:  # a network may keep anything
        raise ConfigurationError(
            f"network {type(network).__name__} cannot be copied ({reason})",
            hint="a network that keeps nothing of its last pass",
        ) from reason


def axes(channels: int, classes: int, *, multiple: bool = False) -> list[Any]:
    """Return the facts about a network that predicts classes, for :func:`dump_state`."""
    return [channels, classes, *(["multiple"] if multiple else [])]


def read_axes(dumped: bytes) -> tuple[int, int, bool]:
    """Return the numbers of channels and classes, and whether an image can have several: what :func:`axes` returned.

    Raises
    ------
    ConfigurationError
        These are other bytes.
    """
    match read_facts(dumped, FACTS):
        case [int(channels), int(classes), *several] if several in ([], ["multiple"]) and (
            0 < channels <= MOST_CLASSES and 0 < classes <= MOST_CLASSES
        ):
            return channels, classes, bool(several)
        case other:
            raise unreadable(dumped, f"{str(other)[:100]!r} as its numbers of channels and classes")


class Bounded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Lets a network that is made inside a ``with`` block take no memory that its stored weights do not justify.

    A record of a stranger can describe a network of any width.

    Parameters
    ----------
    dumped:
        The bytes of :func:`dump_state` that the network is for.
    """

    def __init__(self, dumped: bytes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._left = FLOOR + TIMES * len(dumped)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch, unless it makes a tensor that is too large."""
        if args and isinstance(args[0], list | tuple) and all(isinstance(side, int) for side in args[0]):
            self._left -= 4 * math.prod(args[0])
        if self._left < 0:
            raise ConfigurationError(
                "the network is far larger than its stored weights", hint="the factory that the record was created with"
            )
        return func(*args, **(kwargs or {}))


def load_state(network: nn.Module, dumped: bytes) -> None:
    """Overwrite the weights and buffers of a network by those in the bytes of :func:`dump_state`.

    Raises
    ------
    ConfigurationError
        They belong to another network: the factory has changed. Or they are damaged.
    """
    state = read_tensors(safetensors.load, dumped)
    if not (differing := differences(network, state)):
        network.load_state_dict(state)
        return
    raise ConfigurationError(
        f"network {type(network).__name__} does not fit the stored weights: its factory has changed since",
        got="; ".join(differing[:3]) + (f" and {len(differing) - 3} more" if len(differing) > 3 else ""),
        hint="the factory that the record was created with",
    )


def differences(network: nn.Module, state: Mapping[str, Any]) -> list[str]:
    """Return a clause for each weight or buffer of a network that a state lacks or has with another type or shape.

    >>> differences(nn.Linear(1, 1, bias=False), {"weight": torch.zeros(2, 1)})
    ['weight is float32 (1, 1), stored float32 (2, 1)']
    """
    own = network.state_dict()
    return [
        *(f"{name} is missing" for name in own if name not in state),
        *(f"{name} is unknown" for name in sorted(state) if name not in own),
        *(
            f"{name} is {_shape(value)}, stored {_shape(state[name])}"
            for name, value in own.items()
            if name in state and _shape(value) != _shape(state[name])
        ),
    ]


def to_channels_last(network: nn.Module) -> nn.Module:
    """Store the images' weights with the channels last, which is a fifth faster on a CPU and more on a GPU."""
    tensors = [*network.parameters(), *network.buffers()]
    if all(value.ndim != 5 for value in tensors):
        return network.to(memory_format=torch.channels_last)
    for value in tensors:  # torch refuses networks that have tensors of five axes
        if value.ndim == 4:
            value.data = value.data.contiguous(memory_format=torch.channels_last)
    return network


def _shape(value: Any) -> str:
    return f"{value.dtype} {tuple(value.shape)}".removeprefix("torch.") if isinstance(value, Tensor) else _kind(value)


def _kind(value: object) -> str:
    if not isinstance(value, Tensor):
        return f"an object of type {type(value).__name__}"
    return "a quantised tensor" if value.is_quantized else f"a tensor on {value.device} of layout {value.layout}"
