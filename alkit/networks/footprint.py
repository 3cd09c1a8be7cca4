"""The memory that one image takes inside a network, which is measured: the bytes of the tensors that exist at once.

Tensors are counted, and not the memory of the process: their number does not depend on the machine or on the memory
that is free there. So batches that are sized by it are the same everywhere, and with them the last bits of results.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from alkit._logs import logger
from alkit.errors import is_out_of_memory
from alkit.networks.trial import without_gradients
from alkit.rng import keep_torch

log = logger(__name__)

BUDGET = {"cpu": 14 * 2**20, "cuda": 2**30}
"""Bytes of tensors that a batch may take inside a network, by type of device. Other devices have that of ``cpu``."""

WITHOUT_DRAWS = 2
"""How many times as much a batch may take that is passed through the network once, for predictions or features."""

COPIES = 5
"""Tensors of the size of the logits that follow the network, such as probabilities, their logarithms and moments."""

CONVOLUTION = torch.ops.aten.convolution.default


class LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]  # as torch declares it
    """Counts the bytes of the tensors that are made inside a ``with`` block, as long as they exist.

    Examples
    --------
    >>> with LiveTensors() as live:
    ...     kept = torch.zeros(100)
    ...     kept += torch.ones(1)
    ...     passed = torch.zeros(7)
    ...     del passed
    >>> live.most(), live.most(without_rest=True)
    (428, 28)
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.convolution = 0
        """Bytes of the input and output of the largest convolution."""
        self._bytes: list[int] = []  # of each memory
        self._changes: list[tuple[int, int]] = []  # numbers of memories, and 1 or -1
        self._alive: dict[int, int] = {}  # numbers of memories by address

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, which takes a second and 80 MiB

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call an operation of torch, and count its results."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._count(leaf)
        if func is CONVOLUTION:
            self.convolution = max(self.convolution, args[0].nbytes + result.nbytes)
        return result

    def _count(self, tensor: Tensor) -> None:
        try:
            memory = tensor.untyped_storage()
            size = memory.nbytes()
        except (NotImplementedError, RuntimeError):  # a sparse tensor has no such memory
            return
        if memory._cdata not in self._alive:
            self._alive[memory._cdata] = number = len(self._bytes)
            self._bytes.append(size)
            self._changes.append((number, 1))
            weakref.finalize(memory, self._forget, memory._cdata)

    def _forget(self, address: int) -> None:
        self._changes.append((self._alive.pop(address), -1))

    def most(self, *, without_rest: bool = False) -> int:
        """Return the most bytes at one time, all in all or without the tensors that still exist."""
        rest = set(self._alive.values()) if without_rest else ()
        return max(
            accumulate(sign * self._bytes[number] for number, sign in self._changes if number not in rest), default=0
        )


def fitting(footprint: int, device: torch.device, budgets: int = 1) -> int:
    """Return how many images fit into some times :data:`BUDGET` if one takes so many bytes, at least 1."""
    return max(1, budgets * BUDGET.get(device.type, BUDGET["cpu"]) // max(1, footprint))


class Fitting:
    """How many images something does with a network at once, by their shape."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], int] = {}

    def images_at_once(self, network: nn.Module, images: Tensor, run: Callable[[Tensor], Tensor]) -> int:
        """Return the number for these images, at least 1. If there are several of a new shape, one is measured."""
        key = tuple(images.shape[1:])
        if len(images) > 1 and key not in self._known:
            self._known[key] = fitting(footprint(network, images[:1], run), images.device, WITHOUT_DRAWS)
        return self._known.get(key, 1)


def footprint(network: nn.Module, image: Tensor, run: Callable[[Tensor], Tensor] | None = None) -> int:
    """Return the bytes that one image ``(1, c, h, w)`` takes inside a network, which returns logits.

    What the network keeps, such as weights in a lower precision, is the same for all images of a batch, and does not
    count. The convolutions of CUDA in full float32 need memory for themselves. If torch does not show the memory of an
    operation, such as ``torch.cond``, they are too many for a second image.

    Parameters
    ----------
    run:
        What is done with the network. Default: its call.
    """
    try:
        with without_gradients(network), keep_torch(), LiveTensors() as live:
            given = image.clone()
            result = (run or network)(given)
            after = COPIES * result.nbytes
            del given, result
    except Exception as reason:
        if is_out_of_memory(reason):
            raise
        log.debug("the memory inside %s cannot be measured (%s)", type(network).__name__, reason)
        return WITHOUT_DRAWS * BUDGET.get(image.device.type, BUDGET["cpu"])
    scratch = 2 * live.convolution if image.is_cuda and not _rounds_inputs() else 0
    most: int = image.nbytes + live.most(without_rest=True) + scratch + after
    return most


def _rounds_inputs() -> bool:
    """Return whether the convolutions of CUDA round their inputs to TF32, torch's default."""
    try:
        return bool(torch.backends.cudnn.allow_tf32)
    except RuntimeError:  # the caller has set it through the newer interface of torch, which has more values
        return False
