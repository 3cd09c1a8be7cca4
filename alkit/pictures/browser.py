"""Image files that every web browser shows."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from alkit.errors import ImageError
from alkit.pictures.shown import Picture, picture
from alkit.pools.decoding import decode
from alkit.pools.scaling import scaled
from alkit.protocols import Pool

FORMATS = {"PNG": ".png", "JPEG": ".jpg", "MPO": ".jpg", "WEBP": ".webp", "BMP": ".bmp"}
"""Formats that every browser shows, with the suffix of their files."""


def browser_picture(pool: Pool, id: str) -> Picture:
    """Return an image as a file that a browser shows, at its original size if the pool has its file.

    A file that a browser shows is returned unchanged; the browser turns it as its EXIF orientation says. Other files,
    such as TIFF or 16 bits, become an 8-bit PNG of the same size. Values beyond 8 bits are scaled from the lowest of
    the image (black) to the highest (white). An image without a file is drawn at the working size, as by
    :func:`~alkit.pictures.shown.picture`.

    Parameters
    ----------
    pool:
        The pool that has the image.
    id:
        Id of the image.

    Raises
    ------
    ImageError
        The file cannot be read.

    Examples
    --------
    >>> import alkit
    >>> browser_picture(alkit.ArrayPool(np.zeros((1, 8, 8), np.uint8)), "0000").suffix
    '.png'
    """
    own = getattr(pool, "file", None)
    path: Path | None = own(id) if callable(own) else None
    if path is None:
        return picture(pool, id)
    try:
        content = path.read_bytes()
        with Image.open(BytesIO(content)) as image:
            if image.format in FORMATS and not image.mode.startswith("I;16"):
                return Picture(content, FORMATS[image.format])
    except Exception as reason:  # damaged files raise OSError, SyntaxError, struct.error and others
        raise ImageError(f"{path} cannot be read", got=reason) from reason
    pixels, _ = decode(path, None, False)
    if pixels.dtype != np.uint8:
        pixels = np.rint(255 * scaled(pixels[None], "minmax")[0]).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0).squeeze())).save(file, "PNG")
    return Picture(file.getvalue(), ".png")
