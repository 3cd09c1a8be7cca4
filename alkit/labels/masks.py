"""Masks as files, and at another size."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from alkit.errors import LabelError
from alkit.values.label_spec import LabelSpec, Mask, Size

FORMATS = ("PNG", "TIFF", "BMP")
"""Formats that keep every value as it was painted, under the names Pillow gives them."""

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How TIFF files begin, those beyond 4 GB too."""

SHALLOW = {"L;2": 85, "L;4": 17}
"""By what Pillow multiplies gray values of 2 and of 4 bits to fill 0 to 255."""


def read_mask(path: str | Path) -> npt.NDArray[Any]:
    """Return the values in a mask file, ``(h, w)``: see :func:`mask_values`.

    Raises
    ------
    LabelError
        The file cannot be read, has several channels or frames, or is of a format that may change values.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise LabelError(f"{path} cannot be read", got=error) from error
    return mask_values(content, str(path))


def mask_values(content: bytes, name: str) -> npt.NDArray[Any]:
    """Return the values in the content of a mask file, ``(h, w)``: boolean for 1 bit, else integers.

    A palette image gives its palette's indices. An EXIF orientation is applied, as it is to images. TIFF files of
    signed, 32-bit and 64-bit integers, which napari and scikit-image write, are read as well.

    Parameters
    ----------
    name:
        What the file is called in messages.

    Raises
    ------
    LabelError
        It cannot be read, has several channels or frames, or is of a format that may change values.
    """
    try:
        with Image.open(BytesIO(content)) as image:
            _check_kind(image, name)
            scale = next((SHALLOW[raw] for raw in SHALLOW if raw in str(image.tile)), 1)
            ImageOps.exif_transpose(image, in_place=True)
            array = np.asarray(image)
            return array // scale if scale > 1 else array.copy()
    except (LabelError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        if content[:4] in TIFF:
            return _tiff_values(content, name)
        raise LabelError(f"{name} is empty or of no known format", hint="save it as PNG") from error
    except Exception as error:  # damaged files raise OSError, SyntaxError, struct.error and what not
        raise LabelError(f"{name} cannot be read as a mask", got=error, hint="save it as PNG") from error


def _tiff_values(content: bytes, name: str) -> npt.NDArray[Any]:
    """Read a TIFF of a kind that Pillow does not know."""
    import tifffile

    try:
        with tifffile.TiffFile(BytesIO(content)) as file:
            pages, array = len(file.pages), file.pages.first.asarray()
    except MemoryError:
        raise
    except Exception as error:  # as above
        raise LabelError(f"{name} cannot be read as a mask", got=error, hint="save it as PNG") from error
    if pages > 1:
        raise LabelError(f"{name} holds several frames", expected="one", hint="save each as a file of its own")
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
        raise LabelError(
            f"{name} is a picture, not a label map",
            got=f"shape {array.shape}, {array.dtype}",
            expected="one channel of class ids",
            hint="save it as one channel of integers",
        )
    values: npt.NDArray[Any] = array
    return values


def class_ids(
    mask: npt.NDArray[Any], spec: LabelSpec, id: str, values: Mapping[int, int] | None = None
) -> npt.NDArray[Any]:
    """Return the class ids that the values of a mask stand for; what they are not is left to :meth:`LabelSpec.check`.

    Parameters
    ----------
    mask:
        ``(h, w)``; one that is not of integers or booleans is returned as it is.
    id:
        The image's id, for the message.
    values:
        From values in the mask to class ids; the ignore value, too, must be named. By default values are class ids,
        except that with two classes a mask of only 0 and 255 means class 1 where it is 255, unless 255 is the ignore
        value.

    Raises
    ------
    LabelError
        The mask holds a value that `values` does not name.

    Examples
    --------
    >>> class_ids(np.array([[0, 255]]), LabelSpec(("skin", "lesion")), "a").tolist()
    [[0, 1]]
    """
    if mask.dtype != bool and not np.issubdtype(mask.dtype, np.integer):
        return mask
    present = np.unique(mask).tolist()
    if values is None:
        if len(spec.classes) > 2 or spec.ignore == 255 or 255 not in present or not {0, 255}.issuperset(present):
            return mask
        values = {0: 0, 255: 1}
    if strangers := [int(value) for value in present if value not in values]:
        raise LabelError(
            f"the mask of {id!r} holds values nobody named",
            got=strangers[:8],
            expected=" or ".join(str(value) for value in values),
            hint="name them in values={...}",
        )
    ids = np.zeros(mask.shape, np.uint8)
    for value, class_id in values.items():
        ids[mask == value] = class_id
    return ids


def decode_mask(content: bytes) -> Mask:
    """Return the mask that :func:`mask_png` made into `content`.

    >>> decode_mask(mask_png(np.array([[0, 1], [255, 1]], np.uint8))).tolist()
    [[0, 1], [255, 1]]
    """
    return mask_values(content, "a recorded mask").astype(np.uint8)


def mask_png(mask: Mask) -> bytes:
    """Return `mask`, ``(h, w)``, uint8, as a grayscale PNG of 8 bits: without loss, and always the same
    bytes.

    Another version of Pillow or of its compression library may give other bytes for the same pixels.
    """
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise LabelError("this is no mask", got=f"shape {mask.shape}, {mask.dtype}", expected="(h, w), uint8")
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(mask)).save(file, "PNG")
    return file.getvalue()


def _check_kind(image: ImageFile.ImageFile, name: str) -> None:
    if image.format not in FORMATS:
        raise LabelError(
            f"{name} is of a format that may change the values of a mask",
            got=image.format,
            expected=" or ".join(FORMATS),
            hint="export the masks as PNG",
        )
    if image.mode not in ("1", "L", "P", "I") and not image.mode.startswith("I;16"):
        raise LabelError(
            f"{name} is a picture, not a label map",
            got=f"{len(image.getbands())} channels ({image.mode})",
            expected="one channel of class ids",
            hint="save it as one channel; a palette image will do",
        )
    if getattr(image, "n_frames", 1) > 1:
        raise LabelError(f"{name} holds several frames", expected="one", hint="save each as a file of its own")


def resize_mask(mask: Mask, size: Size, spec: LabelSpec) -> Mask:
    """Return `mask` at another size: each pixel goes to the class that covers most of its area.

    Equal areas go to the lower class id, and to the ignore value last. Areas are exact, also between pixels. With
    two classes this is the area average of the mask followed by a threshold: class 1 where it exceeds one half.

    Parameters
    ----------
    mask:
        ``(h, w)``, uint8, of class ids and the ignore value of `spec`.
    size:
        (height, width) wanted. At the mask's own size it is returned as it is.

    Examples
    --------
    >>> spec = LabelSpec(("skin", "lesion"))
    >>> resize_mask(np.array([[0, 1, 1], [0, 0, 1]], np.uint8), (1, 2), spec).tolist()
    [[0, 1]]
    """
    if mask.shape == size:
        return mask
    best, most = np.zeros(size, np.uint8), np.zeros(size)
    for value in [*range(len(spec.classes)), *([] if spec.ignore is None else [spec.ignore])]:
        if (plane := mask == value).any():
            area = _areas(_areas(plane, size[0]).T, size[1]).T
            wins = area > most
            best[wins], most[wins] = value, area[wins]
    return best


def _areas(plane: npt.NDArray[Any], n: int) -> npt.NDArray[np.float64]:
    """Sum ``(h, w)`` over `n` equal parts of its rows, ``(n, w)``, in units of 1/n of a pixel.

    Part and pixel meet in a whole number of such units, so sums are whole numbers and comparisons exact.
    """
    sums = np.empty((n, plane.shape[1]))
    for part, start in enumerate(range(0, n * len(plane), len(plane))):
        stop = start + len(plane)
        pixels = np.arange(start // n, -(-stop // n))
        overlap = np.minimum((pixels + 1) * n, stop) - np.maximum(pixels * n, start)
        sums[part] = overlap.astype(np.float64) @ plane[pixels[0] : pixels[-1] + 1].astype(np.float64)
    return sums
