"""A picture of an image with its surroundings, and of its place in the whole that it is part of."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw

from alkit.pictures.colours import BLACK, YELLOW
from alkit.protocols import HasSurroundings, Pool
from alkit.values.frames import Box
from alkit.values.label_spec import Images

HEIGHT = 768
"""Height of both parts of the picture, in pixels."""

WIDEST = 3 * HEIGHT
"""Greatest width of a part; a wider one is not as high."""

GAP = 12
"""Distance between the two parts."""


def surroundings_file(pool: Pool, id: str) -> bytes | None:
    """Return a JPEG: the image with its surroundings on the left, its place in an overview on the right.

    A line around the image marks it. None if the pool does not know what surrounds its images.

    Raises
    ------
    ImageError
        The file cannot be read.
    """
    found = pool.surroundings(id) if isinstance(pool, HasSurroundings) else None
    if found is None:
        return None
    parts = [_marked(found.near, found.place), _marked(found.overview, found.place_in_overview)]
    picture = Image.new("RGB", (sum(part.width for part in parts) + GAP, max(part.height for part in parts)), "white")
    picture.paste(parts[0], (0, 0))
    picture.paste(parts[1], (parts[0].width + GAP, 0))
    file = BytesIO()
    picture.save(file, "JPEG", quality=90, subsampling=0)
    return file.getvalue()


def _marked(image: Images, place: Box) -> Image.Image:
    """Return an image at the height of the picture, with a rectangle in yellow inside one in black."""
    shown = image[:1] if len(image) < 3 else image[:3]
    pixels = np.rint(shown * 255).astype(np.uint8)
    whole = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(np.moveaxis(pixels, 0, -1)))
    factor = min(HEIGHT / whole.height, WIDEST / whole.width)
    size = max(1, round(factor * whole.width)), max(1, round(factor * whole.height))
    picture = whole.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    left, top = round(factor * place.left), round(factor * place.top)
    right, bottom = round(factor * (place.left + place.width)) - 1, round(factor * (place.top + place.height)) - 1
    draw = ImageDraw.Draw(picture)
    draw.rectangle((left - 3, top - 3, max(left, right) + 3, max(top, bottom) + 3), outline=BLACK, width=2)
    draw.rectangle((left - 2, top - 2, max(left, right) + 2, max(top, bottom) + 2), outline=YELLOW, width=2)
    return picture
