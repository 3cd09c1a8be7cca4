"""Notice whether a network reads values of its images, to decide by a condition on them, or to pick some of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

CONVERSIONS = (Tensor.tolist, Tensor.numpy, Tensor.__array__)
"""Functions that give the values of a tensor to Python without an operation of torch."""


MASKS = (torch.bool, torch.uint8)
"""Types of an index that picks as many entries as it has true values."""


class Reads:
    """What is computed from some images, and whether Python has got a value of it, or a shape that depends on values.

    Parameters
    ----------
    images:
        The images.
    """

    def __init__(self, images: Tensor) -> None:
        self.found = False
        self._computed = WeakTensorKeyDictionary({images: True})

    def note(self, arguments: Any, result: Any, *, sized_by_values: bool = False) -> None:
        """Note an operation, and whether the shape of its result depends on values, as that of ``nonzero`` does."""
        if any(isinstance(leaf, Tensor) and leaf in self._computed for leaf in tree_leaves(arguments)):
            leaves = tree_leaves(result)
            self.found |= sized_by_values or any(isinstance(leaf, bool | int | float) for leaf in leaves)
            self._computed.update({leaf: True for leaf in leaves if isinstance(leaf, Tensor)})


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, reads: Reads) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reads = reads

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import its compiler, 100 MB, only to leave this class out of what it compiles

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        picks = func is torch.ops.aten.index.Tensor and any(
            index is not None and index.dtype in MASKS for index in args[1]
        )
        sized = picks or torch.Tag.dynamic_output_shape in func.tags
        self.reads.note((args, kwargs), result, sized_by_values=sized)
        return result


class _Conversions(TorchFunctionMode):
    def __init__(self, reads: Reads) -> None:
        super().__init__()
        self.reads = reads

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in CONVERSIONS:
            self.reads.note(args, 0)
        return func(*args, **(kwargs or {}))


@contextmanager
def watched_reads(images: Tensor) -> Iterator[Reads]:
    """Yield a record of what a ``with`` block reads from images. Each tensor computed from them counts.

    >>> import torch
    >>> images = torch.tensor([0.2, 0.9])
    >>> with watched_reads(images) as reads:
    ...     bright = 1 - images if (images * 2).max() > 1 else images
    >>> reads.found
    True
    """
    reads = Reads(images)
    with _Operations(reads), _Conversions(reads):
        yield reads
