"""Small pictures of images, with and without masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from alkit.labels.framing import to_working
from alkit.pages.budget import RGB
from alkit.pictures.overlay import overlay
from alkit.pools.frames import frames_of
from alkit.protocols import Pool
from alkit.values.frames import Frame
from alkit.values.label_spec import Images, LabelSpec, Mask

GAP = 4
"""White pixels between two pictures of one image."""


def seen(image: Images, frame: Frame, longest: int) -> tuple[RGB, tuple[int, int]]:
    """Return an image ``(c, h, w)`` for people, and the height and width that it is shown with.

    Padding is cut off, and the longer side of the original gets `longest` pixels.
    """
    pixels = image[(slice(None), *frame.content.slices)]
    pixels = pixels[:3] if len(pixels) >= 3 else pixels[:1].repeat(3, axis=0)
    height, width = frame.source.size
    scale = longest / max(height, width)
    size = max(1, round(scale * height)), max(1, round(scale * width))
    shown = Image.fromarray(np.moveaxis((255 * pixels).round().astype(np.uint8), 0, -1))
    return np.asarray(shown.resize(size[::-1], Image.Resampling.BICUBIC)), size


def with_mask(picture: RGB, mask: Mask, frame: Frame, spec: LabelSpec) -> RGB:
    """Return a picture from :func:`seen` with a mask of the image on it, of the original or the working size."""
    own = to_working(mask, frame, spec)[frame.content.slices]
    own = np.where(own == spec.with_ignore().ignore, 0, own).astype(np.uint8)
    height, width = picture.shape[:2]
    own = np.asarray(Image.fromarray(own).resize((width, height), Image.Resampling.NEAREST))
    return overlay(np.moveaxis(picture, -1, 0), own)


def side_by_side(pictures: Sequence[RGB]) -> RGB:
    """Return pictures of one height side by side, with a white gap between two.

    >>> side_by_side([np.zeros((2, 3, 3), np.uint8)] * 2).shape
    (2, 10, 3)
    """
    gap = np.full((len(pictures[0]), GAP, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (gap, picture)]
    return np.concatenate(parts[1:], axis=1)


def thumbnails(pool: Pool, ids: Sequence[str], longest: int = 112) -> list[RGB]:
    """Return small pictures of images."""
    frames = frames_of(pool, ids)
    return [seen(image, frame, longest)[0] for image, frame in zip(pool.read(ids), frames, strict=True)]
