"""Where a network computes, and in which precision: a device of torch, its autocast and its scaler of gradients."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from alkit.errors import ConfigurationError

LOW = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}
"""Type of the large operations in each mixed precision. Weights and sums stay float32."""

EXACT = "32-true"
"""Precision without lower types."""

PRECISIONS = (EXACT, *LOW)
"""Names of the precisions."""

KINDS = ("auto", "cpu", "cuda", "mps")
"""Kinds of devices."""

Movable = TypeVar("Movable", Tensor, nn.Module)


@dataclass(frozen=True, eq=False)
class Computation:
    """A device and a precision, for one training or one model.

    Parameters
    ----------
    device:
        Device of torch.
    precision:
        One of :data:`PRECISIONS`.
    scaler:
        Scales the loss, so that the gradients of float16 do not become 0. It does nothing in other precisions.
    """

    device: torch.device
    precision: str
    scaler: Any = field(init=False)

    def __post_init__(self) -> None:
        scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "16-mixed")
        object.__setattr__(self, "scaler", scaler)

    def move(self, what: Movable) -> Movable:
        """Return a tensor or a network on the device. A network is moved in place."""
        if isinstance(what, nn.Module):
            return what.to(self.device)
        return what.to(self.device, non_blocking=self.device.type == "cuda")

    def run(self, network: nn.Module, images: Tensor) -> Any:
        """Return the output of a network for images, with all its numbers as float32."""
        if self.precision not in LOW:
            return network(images)
        with autocast(self.device, self.precision):
            output = network(images)
        return tree_map_only(Tensor, lambda tensor: tensor.float() if tensor.is_floating_point() else tensor, output)

    def step(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        """Compute the gradients of a loss, and take a step of the optimizer."""
        self.scaler.scale(loss).backward()
        self.scaler.step(optimizer)
        self.scaler.update()


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Return a ``with`` block in which large operations run in the lower type of a mixed precision.

    >>> with autocast(torch.device("cpu"), "bf16-mixed"):
    ...     (torch.ones(1, 1) @ torch.ones(1, 1)).dtype
    torch.bfloat16
    """
    return torch.autocast(device.type, LOW[precision]) if precision in LOW else nullcontext()


def computation_for(device: str, precision: str) -> Computation:
    """Return the computation on a device in a precision.

    Parameters
    ----------
    device:
        ``auto``, ``cpu``, ``cuda``, ``mps``, or a numbered device such as ``cuda:1``. ``auto`` takes a GPU if torch
        finds one.
    precision:
        One of :data:`PRECISIONS`.

    Raises
    ------
    ConfigurationError
        The precision is unknown, or this machine does not have the device, or the device does not have the precision.

    Examples
    --------
    >>> computation_for("cpu", "bf16-mixed").device
    device(type='cpu')
    """
    check_precision(precision)
    kind, colon, number = device.partition(":")
    if kind not in KINDS or (colon and not _is_number(kind, number)):
        raise ConfigurationError(
            "device must be auto, cpu, cuda, mps, or a numbered device such as cuda:1",
            got=repr(device),
            hint="device='cpu'",
        )
    if problem := _missing(kind, number):
        raise ConfigurationError(
            "device must be usable on this machine", got=f"{device!r}, but {problem}", hint="device='cpu'"
        )
    if kind == "auto":
        kind = "mps" if torch.backends.mps.is_available() else "cuda" if torch.cuda.is_available() else "cpu"
    computation = Computation(torch.device("cpu") if kind == "cpu" else torch.device(kind, int(number or 0)), precision)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # torch warns of a type that autocast does not have, and ignores it
            autocast(computation.device, precision)
    except Exception as reason:  # of a type that depends on the device
        raise ConfigurationError(
            f"precision must be usable on the device {device!r}", got=repr(precision), hint="precision='32-true'"
        ) from reason
    return computation


def check_precision(precision: str) -> None:
    """Raise a :class:`ConfigurationError` if a precision is unknown."""
    if precision not in PRECISIONS:
        raise ConfigurationError(f"precision must be one of {', '.join(PRECISIONS)}", got=repr(precision))


def _is_number(kind: str, number: str) -> bool:
    """Return whether a kind of device has a device of this number, if there are enough."""
    return number.isascii() and number.isdecimal() and (kind == "cuda" or (kind == "mps" and int(number) == 0))


def _missing(kind: str, number: str) -> str | None:
    """Say which device of torch is missing; None if it exists."""
    if kind == "mps" and not torch.backends.mps.is_available():
        return "torch finds no MPS device"
    if kind == "cuda" and not torch.cuda.is_available():
        return "torch finds no CUDA device"
    if kind == "cuda" and number and int(number) >= (count := torch.cuda.device_count()):
        return f"torch finds {count} CUDA devices, numbered from 0"
    return None
