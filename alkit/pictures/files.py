"""Image files for people: the image itself, and a pre-label whose values are class ids and which looks coloured."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from alkit._reading.images import open_image, orientation, read_image, refuse_damage, upright
from alkit._reading.inside import read_inside
from alkit.errors import ImageError
from alkit.pictures.colours import colour, rgb
from alkit.pools.decoding import decode
from alkit.pools.scaling import scale_pixels
from alkit.pools.unchanged import check_unchanged
from alkit.protocols import HasFiles, HasPictures, Pool
from alkit.values.label_spec import LabelSpec, Mask

BROWSER = {"PNG": ".png", "JPEG": ".jpg", "MPO": ".jpg", "WEBP": ".webp", "BMP": ".bmp"}
"""Formats that every browser shows, with the suffix of their files."""

TURNED_BY_BROWSERS = ("JPEG", "MPO")
"""Formats whose EXIF orientation every browser applies."""

KEY, PRELABEL = "alkit", "pre-label"
"""Key and text that mark the PNG file of a pre-label. Other programs drop the mark when they save the file."""


class ImageFile(NamedTuple):
    """The content of an image file, and the suffix of its name."""

    content: bytes
    suffix: str


def image_file(pool: Pool, id: str) -> ImageFile:
    """Return an image as a file for annotators: the pool's own file, byte for byte, if it has one.

    A file whose EXIF orientation is not upright is rotated and becomes a PNG, because only some tools apply that tag
    and masks must fit in all of them. If the pool has no file, the image becomes an 8-bit PNG: at its original size if
    the pool has pictures, otherwise at the working size; its first channel, or three channels as red, green and blue.

    Raises
    ------
    ImageError
        The file cannot be read, or has other pixels than when the pool was opened.

    Examples
    --------
    >>> import alkit
    >>> pool = alkit.ArrayPool(np.zeros((1, 8, 8), np.uint8))
    >>> image_file(pool, "0000").suffix
    '.png'
    """
    check_unchanged(pool, id)
    path = _path(pool, id)
    if path is None:
        shown = pool.picture(id) if isinstance(pool, HasPictures) else None
        image = np.rint((pool.read([id])[0] if shown is None else shown) * 255).astype(np.uint8)
        return _png(image[:1] if len(image) < 3 else image[:3])
    with refuse_damage(partial(_unreadable, path)):
        content = read_image(path, ImageError)
        with open_image(BytesIO(content), str(path), ImageError) as image:
            if orientation(image, path) == 1:
                return ImageFile(content, path.suffix.lower())
            turned = upright(image, path)
    # More than 8 bits can be signed or inverted, and a PNG cannot say so.
    return _encode(Image.fromarray(decode(path, None, True)[0][0]) if turned.mode.startswith("I") else turned)


def browser_file(pool: Pool, id: str) -> ImageFile:
    """Return an image as a file that every browser shows, at its original size if the pool has its file.

    A file in a format that browsers show is returned unchanged; browsers apply the EXIF orientation of a JPEG. Other
    files, such as TIFF or 16 bits, become an upright 8-bit PNG, and so do other formats with an EXIF orientation, which
    only some browsers apply; 16 bits are scaled from the lowest value of the image (black) to its highest (white). If
    the pool has no file, the image is that of :func:`image_file`.

    Raises
    ------
    ImageError
        The file cannot be read.
    """
    check_unchanged(pool, id)
    path = _path(pool, id)
    if path is None:
        return image_file(pool, id)
    with refuse_damage(partial(_unreadable, path)):
        content = read_image(path, ImageError)
        with open_image(BytesIO(content), str(path), ImageError) as image:
            turns = image.format in TURNED_BY_BROWSERS or orientation(image, path) == 1
            if image.format in BROWSER and turns and not image.mode.startswith("I;16"):
                return ImageFile(content, BROWSER[image.format])
    pixels, _ = decode(path, None, False)
    if pixels.dtype != np.uint8:
        pixels = np.rint(255 * scale_pixels(pixels[None], "minmax")[0]).astype(np.uint8)
    return _png(pixels)


def _path(pool: Pool, id: str) -> Path | None:
    """Return the file of an image, or None if the pool has no files."""
    return pool.file(id) if isinstance(pool, HasFiles) else None


def _unreadable(path: Path, error: Exception) -> ImageError:
    return ImageError(f"{path} cannot be read", got=error, hint="restore the file")


def _png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> ImageFile:
    """Return pixels, ``(1, h, w)`` or ``(3, h, w)``, as a PNG file."""
    return _encode(Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(np.moveaxis(pixels, 0, -1))))


def _encode(image: Image.Image) -> ImageFile:
    if image.mode not in ("1", "L", "P", "I;16", "RGB"):
        image = image.convert("RGB")
    file = BytesIO()
    image.save(file, "PNG")
    return ImageFile(file.getvalue(), ".png")


def prelabel_png(mask: Mask, spec: LabelSpec) -> bytes:
    """Return a mask, ``(h, w)``, uint8, as a palette PNG: people see colours, programs read class ids.

    >>> from alkit.labels.masks import mask_values
    >>> mask_values(prelabel_png(np.array([[0, 1]], np.uint8), LabelSpec(("skin", "lesion"))), "mask").tolist()
    [[0, 1]]
    """
    image = Image.fromarray(np.ascontiguousarray(mask))
    palette = bytearray(3 * 256)
    for class_id in [*range(1, len(spec.classes)), *([] if spec.ignore is None else [spec.ignore])]:
        palette[3 * class_id : 3 * class_id + 3] = bytes(rgb(colour(class_id, spec)))
    image.putpalette(bytes(palette))
    file, text = BytesIO(), PngInfo()
    text.add_text(KEY, PRELABEL)
    image.save(file, "PNG", bits=8, pnginfo=text)
    return file.getvalue()


def is_prelabel(path: Path, folder: Path) -> bool:
    """Return whether a file in `folder` is a pre-label from :func:`prelabel_png` that no other program has saved."""
    return png_text(path, KEY, folder) == PRELABEL


def png_text(path: Path, key: str, folder: Path) -> str | None:
    """Return a text that a PNG file in `folder` contains, or None if it lacks the key or is damaged."""
    try:
        with open_image(BytesIO(read_inside(path, folder)), str(path), formats=("PNG",)) as image:
            text = image.info.get(key)
    except Exception:  # Pillow raises errors of many kinds
        return None
    return text if isinstance(text, str) else None
