"""Decode images that Pillow does not: several channels of 16 bits, numbers, more than four channels, several pages.

TIFF files are decoded by tifffile, and PNG files with colours of 16 bits by imagecodecs. The type of the pixels is
uint8, uint16, or float32 for signed, 32-bit and 64-bit values, which must be exact in float32 or floating-point
numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from alkit._reading.images import ORIENTATION, TIFF, orientation, read_image, turned
from alkit._reading.tiffs import MOST_CHANNELS, count_pages, page_pixels
from alkit.errors import ImageError
from alkit.values.label_spec import Size

if TYPE_CHECKING:
    from PIL import ImageFile

Pages = Literal["channels", "frames"]
"""What the pages of a TIFF file are: channels of one image, or images."""

EXACT = 2**24
"""Integers up to this number are exact in float32."""

LUMA = (299, 587, 114)
"""Weights of red, green and blue in gray, in thousandths (ITU-R 601-2)."""

MOST_PAGES = 100_000


@contextmanager
def open_tiff(path: Path) -> Iterator[Any]:
    """Open a TIFF file by tifffile; yield None if it is another file, or one that tifffile cannot open."""
    import tifffile

    with path.open("rb") as file:
        is_sound = file.read(4) in TIFF and count_pages(file, MOST_PAGES) > 0
    opened = None
    if is_sound:
        try:
            opened = tifffile.TiffFile(path, _multifile=False)  # a file must not lead to others
        except Exception:  # it is damaged, and Pillow says how
            opened = None
    try:
        yield opened
    finally:
        if opened is not None:
            opened.close()


def read_frames(path: Path) -> Iterator[npt.NDArray[Any]]:
    """Yield the pixels of each page of a TIFF file with several pages, ``(c, h, w)``; none of any other file.

    Raises
    ------
    ImageError
        A page is damaged or too large, or has values that cannot be used.
    """
    with open_tiff(path) as tiff:
        found = [] if tiff is None else _full_pages(tiff)
        for page in found if len(found) > 1 else ():
            yield _typed(page_pixels(page, path), path)


def count_frames(path: Path) -> int:
    """Return the number of pages that :func:`read_frames` yields."""
    with open_tiff(path) as tiff:
        found = 0 if tiff is None else len(_full_pages(tiff))
    return found if found > 1 else 0


def read_deep(path: Path, pages: Pages | None, page: int | None = None) -> npt.NDArray[Any] | None:
    """Return the pixels of a TIFF that Pillow does not decode faithfully, ``(c, h, w)``; None for any other file.

    Parameters
    ----------
    path:
        The file.
    pages:
        What several pages are. None: they are refused elsewhere.
    page:
        Number of the page to read; None for all of them.

    Raises
    ------
    ImageError
        The file is damaged or too large, or has values or pages that cannot be used.
    """
    with open_tiff(path) as tiff:
        if tiff is None:
            return None
        found = _full_pages(tiff)
        if page is not None:
            if page >= len(found):
                raise ImageError(f"{path} has no page {page}", got=f"{len(found)} pages")
            return _typed(page_pixels(found[page], path), path)
        if len(found) > 1:
            if pages is None and _is_deep(found[0]):
                raise ImageError(
                    f"{path} has several frames", expected="one", hint="pages='frames', or pages='channels'"
                )
            if pages != "channels":
                return None
            if len(found) * found[0].samplesperpixel > MOST_CHANNELS:
                raise ImageError(f"{path} has too many pages to be channels", got=len(found), hint="pages='frames'")
            if len({(one.shape, one.dtype) for one in found}) > 1:
                raise ImageError(f"{path} has pages of different sizes or types", hint="pages='frames'")
            return _typed(np.concatenate([page_pixels(one, path) for one in found]), path)
        return _typed(page_pixels(found[0], path), path) if found and _is_deep(found[0]) else None


def read_size(path: Path) -> Size | None:
    """Return the greatest height and width of the pages of a TIFF that Pillow does not decode, else None."""
    with open_tiff(path) as tiff:
        found = [] if tiff is None else _full_pages(tiff)
        if not found or not (_is_deep(found[0]) or len(found) > 1):
            return None
        height = max(page.imagelength for page in found)
        width = max(page.imagewidth for page in found)
        return (width, height) if found[0].tags.valueof(ORIENTATION, 1) in (5, 6, 7, 8) else (height, width)


def _full_pages(tiff: Any) -> list[Any]:
    """Return the pages of a TIFF without previews and masks, which it marks as such."""
    return [page for page in tiff.pages if not page.is_reduced and not page.is_mask]


def _is_deep(page: Any) -> bool:
    """Return whether Pillow does not decode a page faithfully."""
    if page.dtype is None or page.photometric not in (0, 1, 2):
        return False
    if np.issubdtype(page.dtype, np.floating) or (page.dtype.itemsize > 2 and page.dtype.kind in "iu"):
        return True
    plain = page.samplesperpixel - sum(kind in (1, 2) for kind in page.extrasamples or ())
    return plain not in (1, 3) or (page.samplesperpixel > 1 and page.dtype.itemsize > 1)


def _typed(planes: npt.NDArray[Any], path: Path) -> npt.NDArray[Any]:
    """Return pixels as uint8, uint16 or float32."""
    if planes.dtype in (np.dtype(np.uint8), np.dtype(np.uint16)):
        return planes.astype(planes.dtype.newbyteorder("<"), copy=False)
    if planes.dtype == bool:
        return planes.astype(np.uint8) * np.uint8(255)
    if np.issubdtype(planes.dtype, np.integer) and max(-int(planes.min()), int(planes.max())) > EXACT:
        raise ImageError(
            f"{path} has values that 32-bit floating-point numbers cannot hold exactly",
            got=f"{planes.min()} to {planes.max()}",
            expected=f"at most {EXACT}",
        )
    if not (np.issubdtype(planes.dtype, np.integer) or np.issubdtype(planes.dtype, np.floating)):
        raise ImageError(f"{path} has values of an unknown type", got=planes.dtype)
    with np.errstate(over="ignore"):
        numbers = planes.astype("<f4")
    if not np.isfinite(numbers).all():
        raise ImageError(f"{path} has values that are not finite numbers", hint="replace NaN and infinity by a number")
    return numbers


def read_deep_png(image: ImageFile.ImageFile, path: Path) -> npt.NDArray[Any]:
    """Return the pixels of an open PNG with several channels of 16 bits, upright, ``(c, h, w)``, uint16.

    Raises
    ------
    ImageError
        It has transparent pixels, or imagecodecs is not installed.
    """
    try:
        import imagecodecs
    except ImportError as reason:
        raise ImageError(
            f"{path} has several channels of 16 bits, which need a package that is not installed",
            got=reason,
            hint='pip install "alkit[formats]", or save it as TIFF',
        ) from reason
    pixels = imagecodecs.png_decode(read_image(path, ImageError))
    planes = np.moveaxis(pixels, -1, 0)
    if pixels.ndim != 3 or planes.dtype != np.uint16 or planes.shape[1:] != (image.height, image.width):
        raise ImageError(f"{path} has several channels of 16 bits, which cannot be read", hint="save it as TIFF")
    if len(planes) in (2, 4):
        if (planes[-1] != 65535).any():
            raise ImageError(f"{path} has transparent pixels", hint="save it without its alpha channel")
        planes = planes[:-1]
    if "transparency" in image.info:
        raise ImageError(f"{path} has transparent pixels", hint="save it without a transparent colour")
    sideways = orientation(image, path)
    return np.ascontiguousarray(np.stack([turned(plane, sideways) for plane in planes]))


def finish(planes: npt.NDArray[Any], size: Size | None, grayscale: bool, path: Path) -> npt.NDArray[Any]:
    """Return pixels with the channels of the pool, at the working size."""
    if grayscale and len(planes) == 3:
        weighted = sum(weight * plane.astype(np.float64) for weight, plane in zip(LUMA, planes, strict=True)) / 1000
        whole = np.issubdtype(planes.dtype, np.integer)
        planes = np.asarray(np.rint(weighted) if whole else weighted)[None].astype(planes.dtype)
    elif grayscale and len(planes) != 1:
        raise ImageError(f"{path} has {len(planes)} channels", expected="1 or 3 for grayscale", hint="grayscale=False")
    if size is not None and size != planes.shape[1:]:
        planes = np.stack([resized_plane(plane, size) for plane in planes])
    return np.repeat(planes, 3, axis=0) if len(planes) == 1 and not grayscale else planes


def resized_plane(plane: npt.NDArray[Any], size: Size) -> npt.NDArray[Any]:
    """Return one channel at another size, by Pillow's antialiasing bicubic filter."""
    if plane.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size[::-1], Image.Resampling.BICUBIC))
    resized = np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size[::-1], Image.Resampling.BICUBIC))
    if np.issubdtype(plane.dtype, np.floating):
        return resized.astype(plane.dtype)
    whole: npt.NDArray[Any] = np.rint(resized).clip(0, np.iinfo(plane.dtype).max).astype(plane.dtype)
    return whole
