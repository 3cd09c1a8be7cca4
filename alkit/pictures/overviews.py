"""Contact sheets of hundreds of images as one picture, drawn pixel by pixel because figures take seconds."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageDraw, ImageFont

from alkit.pictures.cells import Cell, cells_of
from alkit.pictures.colours import CLASS_COLOURS
from alkit.protocols import Pool

SIDE, GAP, LINE, FONT = 168, 12, 14, 11
"""Pixels of the longer side of an image, between two cells, of a line of text, and of a letter's height."""


def overview(
    pool: Pool,
    ids: Sequence[str],
    *,
    masks: Mapping[str, npt.ArrayLike],
    captions: Mapping[str, str],
    title: Sequence[str],
    columns: int,
) -> Image.Image:
    """Return a picture of images of a pool, row by row, with their proportions and the outlines of their masks.

    Parameters
    ----------
    pool, ids, masks, captions:
        As :func:`alkit.pictures.contact_sheet` takes them; each image needs a caption.
    title:
        Lines above the images.
    columns:
        Number of images in a row.

    Examples
    --------
    >>> import alkit
    >>> images, masks = alkit.synthetic.lesions(3, size=16)
    >>> pool = alkit.ArrayPool(images)
    >>> captions = dict.fromkeys(pool.ids, "chosen by random")
    >>> overview(pool, pool.ids, masks={"0000": masks[0]}, captions=captions, title=["Round 0"], columns=2).size
    (372, 438)
    """
    columns = min(columns, len(ids))
    texts = [[piece for line in captions[id].splitlines() for piece in _wrapped(line)] for id in ids]
    rows = [range(first, min(first + columns, len(ids))) for first in range(0, len(ids), columns)]
    heights = [SIDE + GAP + LINE * max(len(texts[place]) for place in row) for row in rows]
    width = GAP + columns * (SIDE + GAP)
    head = [piece for line in title for piece in _wrapped(line, width - 2 * GAP)]
    top = GAP + LINE * len(head) + (GAP if head else 0)
    sheet = Image.new("RGB", (width, top + sum(heights) + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, GAP), "\n".join(head), fill="black", font=_font(), spacing=LINE - FONT)
    cells = cells_of(pool, ids, masks)
    for row, height in zip(rows, heights, strict=True):
        for place, cell in zip(row, cells, strict=False):
            left = GAP + (place - row.start) * (SIDE + GAP)
            picture = Image.fromarray(_picture(cell))
            sheet.paste(picture, (left + (SIDE - picture.width) // 2, top + (SIDE - picture.height) // 2))
            for number, line in enumerate(texts[place]):
                pen.text((left, top + SIDE + 2 + number * LINE), line, fill="black", font=_font())
        top += height
    return sheet


def _picture(cell: Cell) -> npt.NDArray[np.uint8]:
    """Return a small picture of an image, with the outline of its mask."""
    left, top, width, height = cell.seen
    scale = SIDE / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = np.round(255 * np.clip(cell.shown, 0, 1)).astype(np.uint8)
    how = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    picture = np.array(Image.fromarray(pixels).convert("RGB").resize(size, how))
    if cell.mask is None:
        return picture
    across = _places(left, width, size[0], cell.covered[0], cell.covered[2], cell.mask.shape[1])
    down = _places(top, height, size[1], cell.covered[1], cell.covered[3], cell.mask.shape[0])
    picture[_outline(cell.mask[np.ix_(down, across)])] = ImageColor.getrgb(CLASS_COLOURS[0])
    return picture


def _places(start: float, length: float, n: int, origin: float, extent: float, side: int) -> npt.NDArray[np.intp]:
    """Return for n pixels of a picture the rows, or columns, of a mask that lie below their middles."""
    middles = start + (np.arange(n) + 0.5) * length / n
    found: npt.NDArray[np.intp] = np.clip(((middles - origin) * side / extent).astype(np.intp), 0, side - 1)
    return found


def _outline(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the pixels of a mask that touch others; the border of the picture is no outline."""
    around = np.pad(mask, 1, mode="edge")
    return mask & ~(around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:])


def _wrapped(line: str, most: int = SIDE) -> list[str]:
    """Return a line of text in pieces of at most so many pixels."""
    letters = max(1, most // 6)
    while True:
        pieces = textwrap.wrap(line, letters) or [""]
        if letters == 1 or all(_font().getlength(piece) <= most for piece in pieces):
            return pieces
        letters = max(1, letters * 9 // 10)


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", FONT)
