"""Files for people to look at: the image itself, and a mask in colours that still holds class ids."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from alkit.errors import ImageError
from alkit.pictures.colours import colour, rgb
from alkit.protocols import Pool
from alkit.values.label_spec import LabelSpec, Mask

ORIENTATION = 0x0112
"""The EXIF tag that says how an image lies; 1 is upright."""

MARK = ("alkit", "pre-label")
"""A text in the PNG files of coloured masks."""


class Picture(NamedTuple):
    """An image as a file: its content, and the ending of its name."""

    content: bytes
    suffix: str


def picture(pool: Pool, id: str) -> Picture:
    """Return an image as a person shall see it: at its original size where the pool has its file, byte for byte.

    Only a file that lies on its side is turned upright, as its EXIF orientation says, and becomes a PNG: some tools
    heed that tag and some do not, and masks of both must fit. Where the pool has no file, it is the image at the
    working size as a PNG of 8 bits: its first channel, or three as red, green and blue.

    Raises
    ------
    ImageError
        The file can no longer be read.

    Examples
    --------
    >>> import alkit
    >>> pool = alkit.ArrayPool(np.zeros((1, 8, 8), np.uint8))
    >>> picture(pool, "0000").suffix
    '.png'
    """
    own = getattr(pool, "file", None)
    path: Path | None = own(id) if callable(own) else None
    if path is not None:
        return _upright(path)
    image = np.rint(pool.read([id])[0] * 255).astype(np.uint8)
    return _png(Image.fromarray(image[0] if len(image) < 3 else np.ascontiguousarray(np.moveaxis(image[:3], 0, -1))))


def _upright(path: Path) -> Picture:
    try:
        content = path.read_bytes()
        with Image.open(BytesIO(content)) as image:
            if image.getexif().get(ORIENTATION, 1) == 1:
                return Picture(content, path.suffix.lower())
            return _png(ImageOps.exif_transpose(image))
    except MemoryError:
        raise
    except Exception as error:  # damaged files raise OSError, SyntaxError, struct.error and what not
        raise ImageError(f"{path} can no longer be read", got=error, hint="put it back as it was") from error


def _png(image: Image.Image) -> Picture:
    if image.mode not in ("1", "L", "P", "I;16", "RGB"):
        image = image.convert("RGB")
    file = BytesIO()
    image.save(file, "PNG")
    return Picture(file.getvalue(), ".png")


def coloured(mask: Mask, spec: LabelSpec) -> bytes:
    """Return a mask, ``(h, w)``, uint8, as a palette PNG: people see colours, and the values are class ids.

    >>> from alkit.labels.masks import mask_values
    >>> mask_values(coloured(np.array([[0, 1]], np.uint8), LabelSpec(("skin", "lesion"))), "it").tolist()
    [[0, 1]]
    """
    image = Image.fromarray(np.ascontiguousarray(mask))
    palette = bytearray(3 * 256)
    for class_id in [*range(1, len(spec.classes)), *([] if spec.ignore is None else [spec.ignore])]:
        palette[3 * class_id : 3 * class_id + 3] = bytes(rgb(colour(class_id, spec)))
    image.putpalette(bytes(palette))
    file, mark = BytesIO(), PngInfo()
    mark.add_text(*MARK)
    image.save(file, "PNG", bits=8, pnginfo=mark)
    return file.getvalue()


def is_as_coloured(path: Path) -> bool:
    """Whether a file is still what :func:`coloured` made: what is saved by another program loses alkit's mark."""
    try:
        with Image.open(path) as image:
            return image.info.get(MARK[0]) == MARK[1]
    except (OSError, ValueError, SyntaxError):
        return False
