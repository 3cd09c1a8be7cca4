"""Open image files of others: only raster formats, of a size that this machine can hold, and upright."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError

from alkit._logs import logger
from alkit._reading.damage import BESIDES, MOST_PER_PIXEL, check_content
from alkit._reading.limits import BYTES, PIXELS, check_pixels, limit
from alkit._reading.streams import check_segments
from alkit._turn import Turn
from alkit.errors import AlkitError, DataError, one_line

log = logger(__name__)

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")
"""Formats by Pillow's names; JPEG includes MPO. Others start programs (EPS), or are not images that people label."""

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of TIFF files, BigTIFF included."""

ORIENTATION = 0x0112
"""The EXIF tag for the orientation of an image; 1 means upright."""

XMP = ("xmp", "XML:com.adobe.xmp")
"""Names of XMP metadata in Pillow's ``info``."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image of each orientation upright."""

BITS = {"1": 1, "L": 8}
"""Bits of a pixel in a BMP file of these modes of Pillow."""

SHALLOW = {"L;2": 85, "L;4": 17}
"""Factor by which Pillow multiplies gray values of 2 and 4 bits, to fill 0 to 255."""

PER_PIXEL = 8
"""Most bytes of a pixel in files other than TIFF: four channels of 16 bits."""

LARGE = 20_000_000
"""Images with more pixels are decoded one at a time, because threads that decode several could use up all memory."""

_turn = Turn()


@contextmanager
def open_image(
    file: BinaryIO, name: str, error: type[AlkitError] = DataError, formats: tuple[str, ...] = FORMATS
) -> Iterator[ImageFile.ImageFile]:
    """Open an image and close it at the end. Its header is checked; its pixels are not decoded yet.

    Parameters
    ----------
    file:
        The open file. Given a path, Pillow maps uncompressed TIFFs into memory and rotates some of them wrongly.
    name:
        Name of the file, for the message.
    error:
        Class of the error.
    formats:
        Formats that the file may have, by Pillow's names.

    Raises
    ------
    AlkitError
        The image has too many pixels, is a BMP that Pillow reads wrongly, or has a wrong checksum. The error has the
        class `error`.
    Exception
        Pillow raises errors of many kinds if the file is damaged: see :func:`refuse_damage`.
    """
    _check_length(file, name, error)
    check_segments(file, name, error)
    file.seek(0)
    with _without_limit_of_pillow(), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            image = Image.open(file, formats=list(formats))
        except UnidentifiedImageError as reason:  # Pillow's text shows a file object of Python
            raise UnidentifiedImageError(_unknown(file)) from reason
    for warning in told:  # Pillow's warnings do not name the file
        log.warning("the header of %s is damaged in part (%s)", name, one_line(str(warning.message)))
    with image:
        image.info.pop("xmp", None)  # Pillow turns a TIFF by it while it decodes the pixels
        check_pixels((image.height, image.width), name, error)
        if image.format == "BMP" and image.mode in BITS and _bits_of_bmp(file) != BITS[image.mode]:
            raise error(f"{name} has a palette that Pillow reads wrongly", hint="save it as PNG")
        check_content(image, file, name, error)
        if image.width * image.height <= LARGE:
            yield image
        else:
            with _without_limit_of_pillow():
                yield image


def _check_length(file: BinaryIO, name: str, error: type[AlkitError]) -> None:
    """Check that a file is not far larger than any image. Of a TIFF, Pillow reads no more than it needs."""
    size, most = file.seek(0, 2), max(limit(BYTES), PER_PIXEL * limit(PIXELS))
    file.seek(0)
    if size > most and file.read(4) not in TIFF:
        raise error(
            f"{name} is too large for an image", got=f"{size} bytes", expected=f"at most {most}", hint="save it again"
        )
    file.seek(0)


def read_image(path: Path, error: type[AlkitError]) -> bytes:
    """Return the content of an image file, unless it is far larger than its pixels, as a file with a gap can be.

    Raises
    ------
    AlkitError
        It is. The error has the class `error`.
    Exception
        Pillow raises errors of many kinds if the file is damaged: see :func:`refuse_damage`.
    """
    if (size := path.stat().st_size) > limit(BYTES):
        with path.open("rb") as file, open_image(file, str(path), error) as image:
            if size > (most := MOST_PER_PIXEL * image.width * image.height + BESIDES):
                raise error(
                    f"{path} is too large for its pixels",
                    got=f"{size} bytes",
                    expected=f"at most {most}",
                    hint="save it again",
                )
    return path.read_bytes()


def has_frames(image: ImageFile.ImageFile) -> bool:
    """Return whether an image has several frames. Pillow needs minutes to count those of a TIFF that has very many."""
    return bool(getattr(image, "is_animated", False))


def _unknown(file: BinaryIO) -> str:
    """Describe a file that Pillow cannot open."""
    file.seek(0)
    if file.read(4) in TIFF:
        return "a TIFF whose values have an unknown format"
    return "a file that is not an image, or an image of an unknown format"


def _bits_of_bmp(file: BinaryIO) -> int:
    """Return the bits of a pixel in a BMP file. Pillow forgets them if the palette is of grays."""
    file.seek(14)
    header = file.read(16)
    at = 10 if header[:4] == b"\x0c\0\0\0" else 14
    return int.from_bytes(header[at : at + 2], "little")


@contextmanager
def _without_limit_of_pillow() -> Iterator[None]:
    # alkit's own limit can be changed, and its message says how. Pillow's is a global variable, hence the lock.
    with _turn():
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _exif_without_xmp(image: Image.Image) -> Image.Exif:
    """Return the EXIF block. Pillow takes a missing orientation from XMP, which browsers and other viewers ignore."""
    exif = image.getexif()  # this also reads metadata that follows the pixels of a PNG
    if not any(name in image.info for name in XMP):
        return exif
    bare = Image.new("1", (1, 1))
    bare.info = {name: value for name, value in image.info.items() if name not in XMP}
    return bare.getexif()


def orientation(image: Image.Image, name: str | Path) -> int:
    """Return the EXIF orientation of an image, 1 to 8; 1 if its EXIF block is damaged, with a warning."""
    try:
        with _turn(), warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = _exif_without_xmp(image).get(ORIENTATION, 1)
    except Exception as error:  # Pillow raises errors of many kinds
        log.warning("the EXIF block of %s is damaged and ignored; the image counts as upright (%s)", name, error)
        return 1
    if told and ORIENTATION not in image.getexif():
        what = one_line(str(told[0].message))
        log.warning("the EXIF block of %s is damaged and ignored; the image counts as upright (%s)", name, what)
    return found if isinstance(found, int) and found in TURNS else 1


def turned(pixels: npt.NDArray[Any], orientation: object) -> npt.NDArray[Any]:
    """Return the pixels ``(h, w)`` of an image of some orientation as viewers show them.

    >>> import numpy as np
    >>> turned(np.array([[1, 2, 3]]), 6).tolist(), turned(np.array([[1, 2, 3]]), 1).tolist()
    ([[1], [2], [3]], [[1, 2, 3]])
    """
    if orientation not in TURNS:
        return pixels
    if orientation in (5, 6, 7, 8):
        pixels = pixels.T
    rows, columns = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return pixels[:: -1 if rows else 1, :: -1 if columns else 1]


def upright(image: Image.Image, name: str | Path) -> Image.Image:
    """Return an image as viewers show it, turned by its EXIF orientation."""
    image.load()  # damaged pixels are no matter of the EXIF block
    found = orientation(image, name)
    return image if found == 1 else image.transpose(TURNS[found])


@contextmanager
def refuse_damage(refusal: Callable[[Exception], AlkitError]) -> Iterator[None]:
    """Raise the error that `refusal` returns in place of whatever a library raises at a damaged image file.

    Pillow raises OSError, SyntaxError, struct.error and others. alkit's own errors pass unchanged.
    """
    try:
        yield
    except AlkitError:
        raise
    except MemoryError as error:
        raise refusal(MemoryError("the memory of this machine is not enough")) from error
    except Exception as error:
        raise refusal(error) from error
