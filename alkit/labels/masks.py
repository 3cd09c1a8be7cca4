"""Read and write masks as files, and resize them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.TiffImagePlugin import COLORMAP, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT, SAMPLESPERPIXEL, TiffImageFile

from alkit._reading.damage import DEFLATE, UNPREDICTED, check_deflated, check_overlap, check_pages
from alkit._reading.images import ORIENTATION, SHALLOW, TIFF, has_frames, open_image, refuse_damage, turned, upright
from alkit._reading.limits import check_pixels, read_file
from alkit._reading.tiffs import part_of
from alkit.arguments.checked import checked
from alkit.errors import DataError, LabelError
from alkit.values.label_spec import LabelSpec, Mask, Size, distinct

ROUNDING = 8
"""Greatest difference of the channels of a gray pixel after a compression in colour."""

LOSSLESS = ("PNG", "TIFF", "BMP")
"""Formats, by Pillow's names, that keep every value unchanged."""

COMPRESSIONS = (1, 5, 32773, *DEFLATE)
"""Compressions of TIFF files, by number: none, LZW, PackBits, and deflate under two numbers."""

SIGNED = (2,)
"""Value of the TIFF tag for the type of the values, if they are signed integers."""

FAX = ("group3", "group4", "tiff_ccitt")
"""Compressions, by Pillow's names, in which 0 is usually white; those who write them mean what one sees."""


PICTURES = ("JPEG", "WEBP")
"""Formats, by Pillow's names, that can hold the gray levels of a mask, but not its class ids."""

LOSSY = ("jpeg", "tiff_jpeg", "webp", "jpeg2000")
"""Compressions of TIFF files, by Pillow's names, that can change values: class 2 beside class 0 becomes class 1."""


@checked
def read_mask(path: str | Path, gray: bool = False) -> npt.NDArray[Any]:
    """Return the values in a mask file, ``(h, w)``: see :func:`mask_values`.

    Raises
    ------
    LabelError
        The file cannot be read, has several channels or frames, or has a format that can change values.
    """
    try:
        content = read_file(path)
    except OSError as error:
        raise LabelError(f"{path} cannot be read", got=error) from error
    except DataError as error:
        raise LabelError(str(error)) from error
    return mask_values(content, str(path), gray=gray)


def mask_values(content: bytes, name: str, *, gray: bool = False) -> npt.NDArray[Any]:
    """Return the values of a mask file, ``(h, w)``: booleans for 1 bit, else integers.

    A palette image gives the indices of its palette. An EXIF orientation is applied, as it is to images. TIFF files of
    signed, 32-bit and 64-bit integers, as napari and scikit-image write them, can be read too. Masks that can be meant
    in two ways are refused: a palette of grays that shows lower indices brighter, and a TIFF in which 0 is white.

    Parameters
    ----------
    content:
        Content of the file.
    name:
        Name of the file in messages.
    gray:
        Whether the values are gray levels, which get a threshold: a JPEG, floating-point numbers, a palette of grays
        and a picture of three equal channels can be read, too.

    Raises
    ------
    LabelError
        The file cannot be read, has several channels or frames, or has a format that can change values.
    """
    with refuse_damage(partial(_damaged, name)):
        try:
            with open_image(BytesIO(content), name, LabelError) as image:
                if gray and (image.format in PICTURES or image.mode in ("RGB", "RGBA", "LA", "P", "PA", "F")):
                    return _gray_levels(image, name)
                _check_kind(image, name)
                _check_white(image, name)
                scale = next((SHALLOW[raw] for raw in SHALLOW if raw in str(image.tile)), 1)
                array = np.asarray(upright(image, name))
                if image.mode == "P":
                    _check_palette(image, array, name)
                if isinstance(image, TiffImageFile) and image.mode == "L" and image.tag_v2.get(SAMPLEFORMAT) == SIGNED:
                    array = array.view(np.int8)  # Pillow takes the values for unsigned, so that -1 would be 255
                return array // scale if scale > 1 and not gray else array.copy()
        except UnidentifiedImageError as error:
            if content[:4] in TIFF:
                return _tiff_values(content, name)
            raise LabelError(f"{name} is empty or has an unknown format", hint="save it as PNG") from error


def _gray_levels(image: ImageFile.ImageFile, name: str) -> npt.NDArray[Any]:
    """Return the gray levels of a picture, ``(h, w)``; refuse one in colour, and one with transparent pixels."""
    if has_frames(image):
        raise LabelError(f"{name} holds several frames", expected="one", hint="save each as a file of its own")
    whole = upright(image, name)
    if whole.mode in ("L", "F"):
        return np.asarray(whole).copy()
    colours = np.asarray(whole.convert("RGBA")).astype(np.int16)
    if (colours[..., 3] != 255).any():
        raise LabelError(f"{name} has transparent pixels", hint="save it without its alpha channel")
    channels = colours[..., :3]
    if (channels.max(-1) - channels.min(-1)).max() > ROUNDING:
        raise LabelError(f"{name} is a picture in colour, not one of gray levels", hint="save it as one channel")
    return channels[..., 1].astype(np.uint8)


def _damaged(name: str, error: Exception) -> LabelError:
    return LabelError(f"{name} cannot be read as a mask", got=error, hint="save it as PNG")


def _tiff_values(content: bytes, name: str) -> npt.NDArray[Any]:
    """Return the values of a TIFF file of a type that Pillow does not support."""
    import tifffile

    check_pages(BytesIO(content), name, LabelError)
    with tifffile.TiffFile(BytesIO(content)) as file:
        page = file.pages.first
        if page.ndim != 2 or page.dtype is None or not np.issubdtype(page.dtype, np.integer):
            raise LabelError(
                f"{name} is a picture, not a label map",
                got=f"shape {page.shape}, {page.dtype}",
                expected="one channel of class ids",
                hint="save it as one channel of integers",
            )
        if page.photometric == 0:
            raise _white(name)
        height, width = page.shape
        check_pixels((height, width), name, LabelError)
        check_pixels((int(np.prod(page.chunks[:-1])), page.chunks[-1]), f"a tile of {name}", LabelError)
        _check_compression(page, content, name)
        if len(file.pages) > 1:
            raise LabelError(f"{name} holds several frames", expected="one", hint="save each as a file of its own")
        values: npt.NDArray[Any] = page.asarray()
        return turned(values, page.tags.valueof(ORIENTATION, 1))


def _check_compression(page: Any, content: bytes, name: str) -> None:
    """Refuse compressed parts that are larger than the page says, before they are decompressed."""
    if page.compression not in COMPRESSIONS:
        raise LabelError(f"{name} is compressed in an unknown way", got=page.compression, hint="save it as PNG")
    if page.predictor != 1 and page.compression in UNPREDICTED:
        raise LabelError(
            f"{name} can be read in two ways, because it has a predictor and a compression without one",
            hint="save it as PNG",
        )
    if len(page.dataoffsets) < int(np.prod(page.chunked)) or not all((*page.dataoffsets, *page.databytecounts)):
        raise LabelError(f"{name} lacks parts of its pixels", hint="save it again, without sparse parts")
    whole = page.imagelength, page.imagewidth
    check_overlap(page.databytecounts, part_of(page), whole, len(content), name, LabelError)
    most = int(np.prod(page.chunks)) * page.dtype.itemsize
    for start, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        if page.compression in DEFLATE:
            check_deflated(content[start : start + length], most, name, LabelError)


def class_ids(
    mask: npt.NDArray[Any], spec: LabelSpec, id: str, values: Mapping[int, int] | None = None
) -> npt.NDArray[Any]:
    """Return a mask with class ids in place of its values. :meth:`LabelSpec.check` checks the result.

    Parameters
    ----------
    mask:
        ``(h, w)``. A mask that has neither integers nor booleans is returned unchanged.
    spec:
        The classes.
    id:
        Id of the image, for the message.
    values:
        Class id of each value in the mask. It must contain the ignore value, too. By default values are class ids, with
        one exception: with two classes, a mask of only 0 and 255 means class 1 where it is 255, unless 255 is the
        ignore value.

    Raises
    ------
    LabelError
        The mask contains a value that `values` lacks.

    Examples
    --------
    >>> class_ids(np.array([[0, 255]]), LabelSpec(("skin", "lesion")), "a").tolist()
    [[0, 1]]
    """
    if mask.dtype != bool and not np.issubdtype(mask.dtype, np.integer):
        return mask
    present = distinct(mask).tolist()
    if values is None:
        if len(spec.classes) > 2 or spec.ignore == 255 or 255 not in present or not {0, 255}.issuperset(present):
            return mask
        values = {0: 0, 255: 1}
    if strangers := [int(value) for value in present if value not in values]:
        raise LabelError(
            f"the mask of image {id!r} contains values without a class id",
            got=strangers[:8],
            expected=" or ".join(str(value) for value in values),
            hint="add them to values={...}",
        )
    ids = np.zeros(mask.shape, np.uint8)
    for value, class_id in values.items():
        ids[mask == value] = class_id
    return ids


def decode_mask(content: bytes) -> Mask:
    """Return the mask in `content`, which :func:`mask_png` wrote.

    >>> decode_mask(mask_png(np.array([[0, 1], [255, 1]], np.uint8))).tolist()
    [[0, 1], [255, 1]]
    """
    return mask_values(content, "a recorded mask").astype(np.uint8)


def mask_png(mask: Mask) -> bytes:
    """Return a mask, ``(h, w)``, uint8, as an 8-bit grayscale PNG: without loss, and the same bytes each time.

    Another version of Pillow or of its compression library can write other bytes for the same pixels.
    """
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise LabelError("mask must be a label map", got=f"shape {mask.shape}, {mask.dtype}", expected="(h, w), uint8")
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(mask)).save(file, "PNG")
    return file.getvalue()


def check_lossless(image: ImageFile.ImageFile, name: str) -> None:
    """Raise a :class:`LabelError` if an image has a format or a compression that can change values."""
    if image.format not in LOSSLESS:
        raise LabelError(
            f"{name} has a format that can change the values of a mask",
            got=image.format,
            expected=" or ".join(LOSSLESS),
            hint="export the masks as PNG",
        )
    if image.format == "TIFF" and (compression := image.info.get("compression")) in LOSSY:
        raise LabelError(
            f"{name} has a compression that can change the values of a mask",
            got=compression,
            expected="one without loss, such as LZW or deflate",
            hint="export the masks as PNG",
        )


def _check_kind(image: ImageFile.ImageFile, name: str) -> None:
    check_lossless(image, name)
    if image.mode not in ("1", "L", "P", "I") and not image.mode.startswith("I;16"):
        raise LabelError(
            f"{name} is a picture, not a label map",
            got=f"{len(image.getbands())} channels ({image.mode})",
            expected="one channel of class ids",
            hint="save it as one channel or as a palette image",
        )
    if isinstance(image, TiffImageFile) and (n := image.tag_v2.get(SAMPLESPERPIXEL, 1)) > 1:  # Pillow reads the first
        raise LabelError(
            f"{name} is a picture, not a label map", got=f"{n} channels", expected="one channel of class ids"
        )
    if has_frames(image):
        raise LabelError(f"{name} holds several frames", expected="one", hint="save each as a file of its own")


def _check_white(image: ImageFile.ImageFile, name: str) -> None:
    """Refuse a TIFF in which 0 means white: some programs mean the values that they wrote, others what one sees."""
    if (
        isinstance(image, TiffImageFile)
        and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0
        and image.info.get("compression") not in FAX
    ):
        raise _white(name)


def _white(name: str) -> LabelError:
    return LabelError(
        f"{name} can be read in two ways, because it says that 0 is white",
        hint="save it as PNG, or as a TIFF in which 0 is black, such as of the type uint8",
    )


def _check_palette(image: ImageFile.ImageFile, array: npt.NDArray[Any], name: str) -> None:
    """Refuse a palette whose order contradicts the indices, so that the mask would be another than one sees.

    These are grays in which a lower index is brighter, and two colours of which the second is black, as programs that
    reduce a picture of a coloured region on black may number them; and white as the only colour of a palette, which
    they make of a picture that is white everywhere.
    """
    colours = palette_of(image)
    indices = distinct(array).tolist()
    used = [colours[index] for index in indices if index < len(colours)]
    grays = all(len(set(colour.tolist())) == 1 for colour in used)
    black_second = indices == [0, 1] and len(used) == 2 and used[0].any() and not used[1].any()
    only_white = len(colours) == 1 and bool((colours == 255).all())
    if black_second or only_white or (grays and any(np.diff([colour[0] for colour in used]) < 0)):
        raise LabelError(
            f"{name} can be read in two ways, because its palette shows lower class ids brighter",
            hint="save it in grayscale instead of with a palette",
        )


def palette_of(image: Image.Image) -> npt.NDArray[np.int64]:
    """Return the colours of a palette image, ``(n, 3)``, from 0 to 255."""
    colours = np.array(image.getpalette("RGB") or [], np.int64).reshape(-1, 3)
    if isinstance(image, TiffImageFile) and not colours.any():  # Pillow shows a colour map of 8 bits in black
        return np.array(image.tag_v2[COLORMAP], np.int64).reshape(3, -1).T
    return colours


@checked
def resize_mask(mask: Mask, size: Size, spec: LabelSpec) -> Mask:
    """Return a mask at another size: each pixel gets the class that covers most of its area.

    Of classes with equal areas, the lowest id wins; the ignore value comes last. Areas are exact, fractions of pixels
    included. With two classes this equals the area average of the mask, followed by a threshold at one half.

    Parameters
    ----------
    mask:
        ``(h, w)``, uint8, with class ids and the ignore value as values.
    size:
        New height and width. A mask that already has this size is returned unchanged.
    spec:
        The classes.

    Examples
    --------
    >>> spec = LabelSpec(("skin", "lesion"))
    >>> resize_mask(np.array([[0, 1, 1], [0, 0, 1]], np.uint8), (1, 2), spec).tolist()
    [[0, 1]]
    """
    if mask.shape == size:
        return mask
    if mask.ndim != 2 or not mask.size:
        raise LabelError("mask must be (h, w) with pixels", got=f"shape {mask.shape}")
    size = int(size[0]), int(size[1])  # numbers of numpy may have 8 bits
    check_pixels(size, "a mask of the size", LabelError)
    best, most = np.zeros(size, np.uint8), np.zeros(size)
    for value in [*range(len(spec.classes)), *([] if spec.ignore is None else [spec.ignore])]:
        if (plane := mask == value).any():
            area = _areas(_areas(plane, size[0]).T, size[1]).T
            wins = area > most
            best[wins], most[wins] = value, area[wins]
    return best


def _areas(plane: npt.NDArray[Any], n: int) -> npt.NDArray[np.float64]:
    """Sum ``(h, w)`` over `n` equal parts of its rows, ``(n, w)``, in units of 1/n of a pixel.

    A part and a pixel overlap by an integer number of these units, so sums are integers and comparisons are exact.
    """
    sums = np.empty((n, plane.shape[1]))
    for part, start in enumerate(range(0, n * len(plane), len(plane))):
        stop = start + len(plane)
        pixels = np.arange(start // n, -(-stop // n))
        overlap = np.minimum((pixels + 1) * n, stop) - np.maximum(pixels * n, start)
        sums[part] = overlap.astype(np.float64) @ plane[pixels[0] : pixels[-1] + 1].astype(np.float64)
    return sums
