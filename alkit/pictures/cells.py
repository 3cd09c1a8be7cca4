"""What a contact sheet shows of an image and of its mask, and where they lie in the original image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.errors import LabelError
from alkit.pools.frames import frames_of
from alkit.protocols import Pool

Extent = tuple[float, float, float, float]
"""Left, top, width and height in pixels of the original image."""


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """An image on a contact sheet.

    Parameters
    ----------
    id:
        Id of the image.
    shown:
        The pixels that the model sees, without padding: ``(h, w)`` or ``(h, w, 3)`` in [0, 1].
    seen:
        Where they lie in the original image.
    mask:
        Where the mask is not 0; None if there is no mask.
    covered:
        Where the mask lies.
    """

    id: str
    shown: npt.NDArray[Any]
    seen: Extent
    mask: npt.NDArray[np.bool_] | None
    covered: Extent


def cells_of(pool: Pool, ids: Sequence[str], masks: Mapping[str, npt.ArrayLike]) -> Iterator[Cell]:
    """Yield the images in the order of their ids; `masks` may have any size.

    Raises
    ------
    LabelError
        A mask does not have two dimensions.
    """
    for id, image, frame in zip(ids, pool.read(ids), frames_of(pool, ids), strict=True):
        part, source = image[(slice(None), *frame.content.slices)], frame.source
        shown = part[0] if len(part) < 3 else np.moveaxis(part[:3], 0, -1)
        seen = float(source.left), float(source.top), float(source.width), float(source.height)
        height, width = frame.original
        covered, mask = (0.0, 0.0, float(width), float(height)), None
        if id in masks:
            mask = np.asarray(masks[id]) != 0
            if mask.ndim != 2:
                raise LabelError(f"the mask of image {id!r} must be (h, w)", got=f"shape {mask.shape}")
            if mask.shape == frame.working != frame.original:  # then it covers what is seen
                mask, covered = mask[frame.content.slices], seen
        yield Cell(id, shown, seen, mask, covered)
