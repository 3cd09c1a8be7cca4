"""Decode image files: which files a folder has, and their pixels at the working size."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps

from alkit._files import refuse_damage
from alkit.errors import DataError, ImageError
from alkit.values.label_spec import Size

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
Pixels = npt.NDArray[Any]
"""One decoded image, ``(c, h, w)``, uint8 or uint16."""


class File(NamedTuple):
    """An image file: its name relative to the folder, its size in bytes and its time of change."""

    name: str
    bytes: int
    modified: int


def scan(folder: Path, pattern: str) -> dict[str, File]:
    """Return the image files of `folder` that match `pattern`, by id, in the order of their ids.

    The id is the name relative to `folder`, with ``/`` between its parts and without the suffix. Hidden files
    and folders are passed over. Files are only looked up, not opened.

    Raises
    ------
    DataError
        No folder, no image in it, or two files with one id.
    """
    if not folder.is_dir():
        raise DataError("there is no such folder of images", got=folder, hint="check the path")
    root, files = os.fspath(folder), dict[str, File]()
    for name in sorted(set(glob.iglob(pattern, root_dir=folder, recursive=True))):
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in SUFFIXES:
            continue
        try:
            facts = os.stat(os.path.join(root, name))  # a Path for each would take longer than the look-up
        except OSError as error:
            raise ImageError(f"{folder / name} cannot be read", got=error, hint="remove it") from error
        if not stat.S_ISREG(facts.st_mode):
            continue
        id = stem.replace(os.sep, "/")
        if not id.isascii():
            try:
                id.encode()
            except UnicodeEncodeError as error:
                raise ImageError(f"the name of {name!r} is no Unicode text", hint="rename it") from error
        if id in files:
            raise DataError(
                "two images have one id",
                got=f"{files[id].name} and {name}, both {id!r}",
                hint="rename one, or choose one kind by pattern='**/*.png'",
            )
        files[id] = File(name, facts.st_size, facts.st_mtime_ns)
    if not files:
        raise DataError(
            "there are no images in this folder",
            got=f"{folder}, pattern {pattern!r}",
            expected=f"files that end in {' '.join(sorted(SUFFIXES))}",
        )
    return dict(sorted(files.items()))


def decode(path: Path, size: Size | None, grayscale: bool) -> tuple[Pixels, Size]:
    """Return the pixels of an image file and the height and width it had before it was resized.

    What a viewer shows is what is decoded: turned as its EXIF orientation says, palettes looked up. The whole
    frame is squashed to `size`, without a crop, by Pillow's bicubic filter, which averages over the pixels it
    merges. Colour becomes gray by ITU-R 601-2 luma. Colour profiles are not applied.

    Returns
    -------
    pixels:
        ``(c, h, w)``: uint8, or uint16 with one channel for a gray image of 16 bits. One channel where
        `grayscale`, else three; an 8-bit gray image then has three equal ones.
    size:
        Height and width as a viewer shows them.

    Raises
    ------
    ImageError
        The file cannot be read, is transparent somewhere, holds several frames, or has more bits than can be
        kept: 16 in colour (Pillow would silently cut them to 8), or 32.
    """
    # From an open file: given a path, Pillow maps uncompressed TIFFs into memory and rotates some of them wrongly.
    with refuse_damage(partial(_undecodable, path)), path.open("rb") as file, Image.open(file) as image:
        _check_kind(image, path)
        ImageOps.exif_transpose(image, in_place=True)
        return _pixels(image, size, grayscale, path), (image.height, image.width)


def _undecodable(path: Path, error: Exception) -> ImageError:
    return ImageError(f"{path} cannot be decoded", got=error, hint="save it again, or move it out of the folder")


def _check_kind(image: ImageFile.ImageFile, path: Path) -> None:
    """Refuse, before decoding, what Pillow would decode into something else than is in the file."""
    if image.mode in ("I", "F"):
        raise ImageError(f"{path} has 32 bits per pixel", expected="8, or 16 in grayscale", hint="save it as 16-bit")
    if ";16" in str(image.tile) and not image.mode.startswith("I;16"):
        raise ImageError(
            f"{path} has several channels of 16 bits",
            expected="8 bits, or one channel of 16",
            hint="save it as either",
        )
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:  # MPO: a camera's JPEG with previews behind it
        raise ImageError(f"{path} holds several frames", expected="one", hint="save each as a file of its own")


def _pixels(image: Image.Image, size: Size | None, grayscale: bool, path: Path) -> Pixels:
    deep = image.mode.startswith("I;16")
    if image.has_transparency_data:
        if deep or image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            raise ImageError(f"{path} is transparent in places", hint="save it without its alpha channel")
        image = image.convert("RGBA")
    if deep:
        gray = np.asarray(image).astype("<u2")
        if size is not None and size != gray.shape:
            resized = Image.fromarray(gray.astype(np.float32)).resize(size[::-1], Image.Resampling.BICUBIC)
            gray = np.rint(np.asarray(resized)).clip(0, 65535).astype("<u2")
        return gray[None]
    if image.mode not in ("1", "L"):
        image = image.convert("RGB")
    if grayscale or image.mode == "1":
        image = image.convert("L")
    if size is not None and size != (image.height, image.width):
        image = image.resize(size[::-1], Image.Resampling.BICUBIC)
    if grayscale:
        return np.asarray(image)[None]
    return np.ascontiguousarray(np.asarray(image.convert("RGB")).transpose(2, 0, 1))


def pixel_digest(pixels: Pixels) -> str:
    """Return the SHA-256 of an array's type and values, in hexadecimal; floats count as float32."""
    pixels = np.asarray(pixels, np.float32) if np.issubdtype(pixels.dtype, np.floating) else pixels
    pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
    return hashlib.sha256(pixels.dtype.str.encode() + pixels.tobytes()).hexdigest()
