"""Find the image files of a folder, and decode them at the working size."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from alkit._reading.images import SHALLOW, has_frames, open_image, refuse_damage, upright
from alkit.errors import DataError, ImageError
from alkit.pools.deep import Pages, finish, read_deep, read_deep_png
from alkit.pools.names import check_folder, find_names, is_excluded
from alkit.values.label_spec import Size

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
BITS, PHOTOMETRIC, CHANNELS, COLOUR_MAP, SAMPLE_FORMAT = 258, 262, 277, 320, 339
"""Tags of TIFF files. Photometric 0 means that 0 is white; sample format 2 means signed integers."""

SHOWN = {"1": 1, "L": 1, "I;16": 1, "I;16B": 1, "RGB": 3, "RGBX": 3}
"""Channels of Pillow's modes without transparency. Pillow drops further channels of a TIFF without a word."""

Pixels = npt.NDArray[Any]
"""One decoded image, ``(c, h, w)``, uint8, uint16 or float32."""


class File(NamedTuple):
    """An image file: its path relative to the folder, its size in bytes, and two times in nanoseconds.

    `modified` is the time of the content, which copies keep. `changed` is the time of the last change of the file,
    which no program can set; on Windows it is the time of its creation.
    """

    name: str
    bytes: int
    modified: int
    changed: int


def scan(
    folder: Path,
    pattern: str,
    name: str = "path",
    unusable: dict[str, ImageError] | None = None,
    suffixes: Collection[str] = SUFFIXES,
    exclude: Sequence[str] = (),
) -> dict[str, File]:
    """Return the image files of `folder` that match `pattern`, by id, sorted by id.

    The id is the path relative to `folder`, with ``/`` between its parts and without the suffix. Hidden files and
    folders are ignored. A folder that links lead to by several paths is read once, and a link to a folder that
    contains `folder` is not followed. Files are not opened. Folders that cannot be read, and files that cannot be
    accessed or whose name is not valid Unicode, are added to `unusable`, with the error. `name` is the parameter's name
    in messages. Files that match one of the patterns `exclude` are left out, see :class:`alkit.ImagePool`.

    Raises
    ------
    DataError
        The folder does not exist or holds no images, or two files have the same id.
    """
    unusable = {} if unusable is None else unusable
    check_folder(folder, name, "images")
    root, files = os.fspath(folder), dict[str, File]()
    unreadable: dict[str, OSError] = {}
    for name in sorted(find_names(folder, pattern, unreadable)):
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in suffixes or (exclude and is_excluded(name, exclude)):
            continue
        try:
            facts = os.stat(os.path.join(root, name))  # making a Path would take longer than the call
        except OSError as error:
            unusable[_shown(stem)] = ImageError(f"{folder / name} cannot be read", got=error, hint="remove it")
            continue
        if not stat.S_ISREG(facts.st_mode):
            continue
        id = stem.replace(os.sep, "/")
        if not id.isascii():
            try:
                id.encode()
            except UnicodeEncodeError:
                reason = ImageError(f"the file name {name!r} is not valid Unicode", hint="rename the file")
                unusable[_shown(stem)] = reason
                continue
        if id in files:
            raise DataError(
                "two images have the same id",
                got=f"{files[id].name} and {name}, both {id!r}",
                hint="rename one, or select one kind of file with pattern='**/*.png'",
            )
        files[id] = File(name, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    for place, failure in sorted(unreadable.items()):
        reason = ImageError(
            f"the folder {folder / place} cannot be read", got=failure.strerror, hint="check its permissions"
        )
        unusable[f"{_shown(place)}/"] = reason
    if not files and unusable:
        raise next(iter(unusable.values()))
    if not files:
        raise DataError(
            f"the folder {folder} contains no images that match the pattern {pattern!r}"
            + (f" and are not excluded by {', '.join(map(repr, exclude))}" if exclude else ""),
            expected=f"names that end in {' '.join(sorted(suffixes))}",
        )
    return dict(sorted(files.items()))


def _shown(stem: str) -> str:
    """Return a name as valid Unicode."""
    return stem.replace(os.sep, "/").encode("utf-8", "backslashreplace").decode()


def decode(
    path: Path, size: Size | None, grayscale: bool, pages: Pages | None = None, page: int | None = None
) -> tuple[Pixels, Size]:
    """Return the pixels of an image file at the working size, and its original height and width.

    The image is decoded as viewers show it: rotated by its EXIF orientation, with its palette applied. It is resized
    to `size` whole, without a crop, by Pillow's antialiasing bicubic filter. Colour becomes gray by ITU-R 601-2 luma.
    Colour profiles are not applied, nor is an orientation that only XMP states. With several pages, `pages` says what
    they are, and `page` which one is decoded.

    Returns
    -------
    pixels:
        ``(c, h, w)``, uint8; uint16 for 16 bits; or float32 for numbers, see :mod:`alkit.pools.deep`. There is one
        channel with `grayscale`; otherwise as many as the file has, but three equal ones for a gray image.
    size:
        Height and width before the image was resized.

    Raises
    ------
    ImageError
        The file cannot be read, has more pixels than the environment variable ALKIT_MAX_PIXELS allows, has transparent
        pixels, has several frames, has negative values of 8 or 16 bits, has values that float32 cannot hold, or has
        other channels than one or three although they are to be gray.
    """
    with refuse_damage(partial(_undecodable, path)):
        planes = read_deep(path, pages, page)
    if planes is not None:
        return finish(planes, size, grayscale, path), (planes.shape[1], planes.shape[2])
    with (
        refuse_damage(partial(_undecodable, path)),
        path.open("rb") as file,
        open_image(file, str(path), ImageError) as image,
    ):
        if image.format == "PNG" and _is_deep(image) and not image.mode.startswith("I;16"):
            planes = read_deep_png(image, path)
            return finish(planes, size, grayscale, path), (planes.shape[1], planes.shape[2])
        _check_kind(image, path)
        _stretch_transparent_gray(image)
        whole = upright(image, path)
        _check_palette(whole, path)
        if isinstance(image, TiffImageFile):
            whole = _as_seen(whole, image, path)
        return _pixels(whole, size, grayscale, path), (whole.height, whole.width)


def _undecodable(path: Path, error: Exception) -> ImageError:
    return ImageError(f"{path} cannot be decoded", got=error, hint="save it again, or move it out of the folder")


def _check_kind(image: ImageFile.ImageFile, path: Path) -> None:
    """Refuse an image that Pillow would not decode faithfully."""
    if image.format != "MPO" and has_frames(image):  # MPO: a camera's JPEG followed by previews
        fix = "pages='frames', or pages='channels'" if isinstance(image, TiffImageFile) else "save each frame as a file"
        raise ImageError(f"{path} has several frames", expected="one", hint=fix)
    if image.mode in ("I", "F") and not _is_signed(image):
        raise ImageError(f"{path} has 32 bits per pixel", expected="8, or 16 in grayscale", hint="save it as 16-bit")
    if _is_deep(image) and not image.mode.startswith("I;16") and not _is_signed(image):
        raise ImageError(
            f"{path} has several channels of 16 bits",
            expected="8 bits per channel, or a single channel of 16 bits",
            hint="save it in one of these forms",
        )
    shown = SHOWN.get(image.mode, 4)
    if isinstance(image, TiffImageFile) and (n := image.tag_v2.get(CHANNELS, 1)) > shown:
        raise ImageError(f"{path} has {n} channels", expected=shown, hint="save those that people look at")


def _is_deep(image: ImageFile.ImageFile) -> bool:
    """Return whether a channel has 16 bits. In a TIFF with one plane for each, Pillow's decoder does not say so."""
    raw = str(image.tile).replace("BGR;16", "")  # a BMP with 16 bits for all three channels together
    return ";16" in raw or (isinstance(image, TiffImageFile) and 16 in _tags(image, BITS))


def _is_signed(image: Image.Image) -> bool:
    """Return whether an image has signed values of 16 bits, which Pillow decodes to 32 bits."""
    return image.mode == "I" and isinstance(image, TiffImageFile) and _tags(image, BITS) == (16,)


def _tags(image: TiffImageFile, number: int) -> tuple[Any, ...]:
    """Return the values of a tag of a TIFF file; none if it has no such tag."""
    value = image.tag_v2.get(number, ())
    return value if isinstance(value, tuple) else (value,)


def _as_seen(whole: Image.Image, image: TiffImageFile, path: Path) -> Image.Image:
    """Return the decoded pixels of a TIFF as viewers show them, where Pillow does not: signed or inverted values."""
    if _is_signed(image):
        return _unsigned(whole, path)
    if image.mode == "L" and _tags(image, SAMPLE_FORMAT) == (2,):
        return _unsigned(whole, path, np.int8)
    if image.mode == "P" and 0 < max(_tags(image, COLOUR_MAP), default=0) < 256:
        raise ImageError(f"{path} has a colour map of 8 bits", expected="16, as TIFF demands", hint="save it as PNG")
    if image.mode.startswith("I;16") and _tags(image, PHOTOMETRIC) == (0,):
        return Image.fromarray(np.invert(np.asarray(whole).astype(np.uint16)))
    return whole


def _unsigned(image: Image.Image, path: Path, stored: type[np.signedinteger[Any]] | None = None) -> Image.Image:
    """Return an image of signed values as one of unsigned values; refuse negative values.

    Pillow decodes those of 16 bits as they are, and takes those of 8 bits for unsigned: `stored` is their type.
    """
    values = np.asarray(image) if stored is None else np.asarray(image).view(stored)
    if (low := values.min()) < 0:
        raise ImageError(
            f"{path} has negative values",
            got=f"{low} to {values.max()}",
            expected="0 or more",
            hint="add an offset, and save it as unsigned 16-bit",
        )
    return Image.fromarray(values.astype(np.uint16)) if stored is None else image


def _check_palette(image: Image.Image, path: Path) -> None:
    """Refuse an image with pixels that its palette lacks. Pillow shows them in black."""
    if image.mode in ("P", "PA"):
        colours, most = len(image.getpalette("RGB") or []) // 3, int(np.asarray(image.getchannel(0)).max())
        if most >= colours:
            raise ImageError(f"{path} is damaged", got=f"colour {most} of a palette of {colours} colours")


def _stretch_transparent_gray(image: ImageFile.ImageFile) -> None:
    """Stretch the gray that a PNG of 2 or 4 bits declares as transparent, as Pillow stretches its pixels."""
    factor = next((SHALLOW[raw] for raw in SHALLOW if raw in str(image.tile)), 1)
    if isinstance(gray := image.info.get("transparency"), int):
        image.info["transparency"] = gray * factor


def _pixels(image: Image.Image, size: Size | None, grayscale: bool, path: Path) -> Pixels:
    deep = image.mode.startswith("I;16")
    if image.has_transparency_data:
        if deep or image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            raise ImageError(f"{path} has transparent pixels", hint="save it without its alpha channel")
        image = image.convert("RGBA")
    if deep:
        gray = np.asarray(image).astype("<u2")
        return finish(gray[None], size, grayscale, path)
    if image.mode not in ("1", "L"):
        image = image.convert("RGB")
    if grayscale or image.mode == "1":
        image = image.convert("L")
    if size is not None and size != (image.height, image.width):
        image = image.resize(size[::-1], Image.Resampling.BICUBIC)
    if grayscale:
        return np.asarray(image)[None]
    return np.ascontiguousarray(np.asarray(image.convert("RGB")).transpose(2, 0, 1))
