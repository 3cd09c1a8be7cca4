"""Where the tiles of an image lie, and what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterator

from alkit.errors import DataError
from alkit.values.frames import Box, Frame
from alkit.values.label_spec import Size

NAME = re.compile(r"y(\d+)-x(\d+)")


def boxes(image: Size, tile: Size, stride: Size) -> Iterator[Box]:
    """Yield the tiles of an image, row by row. The last ones of a row or column end at the border of the image.

    An image that is smaller than a tile has one tile, of its own size.

    Examples
    --------
    >>> [box[:2] for box in boxes((4, 10), (4, 4), (4, 4))]
    [(0, 0), (0, 4), (0, 6)]
    """
    height, width = min(image[0], tile[0]), min(image[1], tile[1])
    for top in starts(image[0], height, stride[0]):
        for left in starts(image[1], width, stride[1]):
            yield Box(top, left, height, width)


def starts(side: int, tile: int, stride: int) -> list[int]:
    """Return where tiles begin along a side.

    >>> starts(10, 4, 3), starts(4, 4, 3)
    ([0, 3, 6], [0])
    """
    return [*range(0, side - tile, stride), side - tile]


def tile_name(box: Box) -> str:
    """Return the name of a tile by its place.

    >>> tile_name(Box(512, 1024, 256, 256))
    'y512-x1024'
    """
    return f"y{box.top}-x{box.left}"


def corner(name: str) -> tuple[int, int]:
    """Return the first row and column of the tile with a name.

    Raises
    ------
    DataError
        It is not the name of a tile.
    """
    found = NAME.fullmatch(name)
    if found is None:
        raise DataError("a tile must have a name such as 'y0-x512'", got=repr(name))
    return int(found.group(1)), int(found.group(2))


def tile_frame(size: Size, tile: Size, margin: int) -> Frame:
    """Return how a tile of some size lies among its surroundings.

    >>> tile_frame((8, 6), (8, 8), 2).content
    Box(top=2, left=2, height=8, width=6)
    """
    working = tile[0] + 2 * margin, tile[1] + 2 * margin
    return Frame(size, working, "pad", (margin, margin, *size))


def with_surroundings(box: Box, tile: Size, margin: int) -> Box:
    """Return the rectangle that is read for a tile: with its margin, and the size of a whole tile."""
    return Box(box.top - margin, box.left - margin, tile[0] + 2 * margin, tile[1] + 2 * margin)
