"""The images and labels of a training on its device: as stored bytes, which are scaled there, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from alkit.errors import is_out_of_memory
from alkit.learners.batches import Source
from alkit.networks.training import Example
from alkit.pools.scaling import scale_range
from alkit.protocols import HasStored, Labelled

SHARE = 0.25
"""Largest share of the free memory of a CUDA device for the images and labels of a training."""

BYTES = 2**28
"""Largest number of bytes for them in the memory of another device, such as a CPU."""

AT_ONCE = 64
"""Images that are read at once."""


def source_of(labelled: Labelled, ids: Sequence[str], device: torch.device) -> Source:
    """Return the images and labels of a training: on the device if they fit and the images can be had as stored.

    Both ways give the same batches, bit for bit.

    Parameters
    ----------
    ids:
        All that the training uses.
    """
    first = labelled.stored(list(ids[:1])) if isinstance(labelled, HasStored) else None
    if first is None or len(ids) * (first[0].nbytes + labelled.labels(list(ids[:1])).nbytes) > _limit(device):
        return Source(labelled)
    try:
        return _Resident(labelled, ids, device)
    except RuntimeError as reason:
        if is_out_of_memory(reason):
            return Source(labelled)
        raise


def _limit(device: torch.device) -> float:
    return SHARE * torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else BYTES


class _Resident(Source):
    """Images as they are stored, and labels, on a device."""

    resident = True

    def __init__(self, labelled: Labelled, ids: Sequence[str], device: torch.device) -> None:
        super().__init__(labelled)
        assert isinstance(labelled, HasStored)
        self._device, self._places = device, {id: place for place, id in enumerate(ids)}
        parts: list[tuple[Tensor, ...]] = []
        ignored, ignore = list[bool](), labelled.spec.ignore
        for start in range(0, len(ids), AT_ONCE):
            some = list(ids[start : start + AT_ONCE])
            labels, found = labelled.labels(some), labelled.stored(some)
            assert found is not None  # it was not for the first image
            pixels, scale = found
            ignored += [ignore is not None and bool((label == ignore).all()) for label in labels]
            arrays = _plain(pixels), *scale_range(pixels, scale), labels
            parts.append(tuple(torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays))
        self._pixels, self._low, self._span, self._labels = map(torch.cat, zip(*parts, strict=True))
        self._wide = pixels.dtype == np.uint16
        self._ignored = ignored

    def example(self, ids: Sequence[str]) -> Example | None:
        """Return images and labels of a batch on the device; None if all its labels are ignored."""
        places = [self._places[id] for id in ids]
        if all(self._ignored[place] for place in places):
            return None
        rows = torch.tensor(places)
        if self._device.type == "cuda":
            rows = rows.pin_memory()  # the copy does not wait for the last step then
        rows = rows.to(self._device, non_blocking=True)
        pixels = self._pixels[rows]
        if self._wide:
            pixels = pixels.int() & 0xFFFF
        images = (pixels.float() - self._low[rows]).div_(self._span[rows])
        return images.contiguous(memory_format=torch.channels_last), self._labels[rows].long()


def _plain(pixels: np.ndarray) -> np.ndarray:
    """Return stored pixels in a type that torch can index on every device."""
    if pixels.dtype == np.uint16:
        return np.ascontiguousarray(pixels).view(np.int16)
    return pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32)
