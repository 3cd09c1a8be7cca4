"""Large images, of which regions are read: TIFF and OME-TIFF pyramids, whole slides, and images of other formats.

Tiled files are never read as a whole. The declared sizes are checked before memory is taken for them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from alkit._reading.damage import UNPREDICTED, check_overlap, check_pages
from alkit._reading.images import TIFF, refuse_damage
from alkit._reading.limits import check_pixels
from alkit._reading.streams import check_scans, stated_size
from alkit._reading.tiffs import part_of, series_of
from alkit.errors import AlkitError, ImageError, MissingDependencyError
from alkit.pools.decoding import Pixels, decode
from alkit.values.frames import Box
from alkit.values.label_spec import Size

SLIDES = (".svs", ".ndpi", ".scn", ".bif")
"""Suffixes of whole slides, which tiffslide reads."""

AXES = ("YX", "YXS", "SYX", "CYX")
"""Orders of axes, by tifffile's letters, of images with one plane, or with colours last or first."""

PLAIN, CONVERTED = (1, 2), 6
"""Photometric interpretations of a TIFF that need no conversion: 0 is black, and RGB. And YCbCr, which becomes RGB when
JPEG is decoded."""

EXACT = (1, 5, 8, 32773, 32946)
"""Compressions of a TIFF whose decoders stop at the declared size: none, LZW, deflate and PackBits."""

JPEG = 7
"""Compression of a TIFF by JPEG, whose streams state a size of their own, which is checked before they are decoded."""

WAVELETS = (33003, 33004, 33005)
YCBCR = 33003
"""Compressions of slides of Aperio by JPEG 2000, and the one whose colours are YCbCr, which no decoder converts."""

EMPTY = 1000
"""A slide may be this many times larger than the images on it."""

MOST = 2**40
"""Greatest number of pixels of an image of which regions are read."""

LONGEST = 2**17
"""Number of characters of a description that are searched for the size of a pixel. A hostile one takes seconds."""

PHYSICAL = re.compile(r'PhysicalSizeX="([0-9.eE+-]+)"(?![^<>]*PhysicalSizeXUnit="(?!(?:µm|um|&#181;m|&#xB5;m)")[^"]*")')
APERIO = re.compile(r"\|\s*MPP\s*=\s*([0-9.eE+-]+)")
UNITS = {2: 25400.0, 3: 10000.0}
"""Micrometres of the units of a TIFF's resolution: inch and centimetre."""


@dataclass(frozen=True)
class LargeImage:
    """An open image.

    Parameters
    ----------
    levels:
        Height and width of each level of the pyramid, the largest first.
    mpp:
        Micrometres of a pixel of the first level; None if the file does not say it.
    read:
        Returns a rectangle of a level, ``(c, h, w)``.
    """

    levels: tuple[Size, ...]
    mpp: float | None
    read: Callable[[int, Box], Pixels]

    def region(self, level: int, box: Box) -> Pixels:
        """Return a rectangle that may reach beyond the level, ``(c, *box.size)``; there the image is mirrored."""
        height, width = self.levels[level]
        top, left = max(0, box.top), max(0, box.left)
        bottom, right = min(height, box.top + box.height), min(width, box.left + box.width)
        inside = self.read(level, Box(top, left, bottom - top, right - left))
        above, before = top - box.top, left - box.left
        below, after = box.height - above - inside.shape[1], box.width - before - inside.shape[2]
        if not any((above, below, before, after)):
            return inside
        return np.pad(inside, ((0, 0), (above, below), (before, after)), "symmetric")


@contextmanager
def open_large(path: Path, grayscale: bool) -> Iterator[LargeImage]:
    """Open an image. Its regions have one channel with `grayscale`, otherwise three, and 8 bits, or 16 in grayscale.

    Raises
    ------
    ImageError
        The file cannot be read, or has another kind of pixels, or is not tiled and too large to be read as a whole.
    MissingDependencyError
        A package that reads the format is not installed.
    """
    with refuse_damage(partial(_damaged, path)):
        if path.suffix.lower() in SLIDES:
            with _slide(path) as large:
                yield _coloured(large, grayscale)
            return
        with path.open("rb") as file:
            if is_tiff := file.read(4) in TIFF:
                check_pages(file, str(path), ImageError)
        if is_tiff:
            with _tiff(path) as found:
                if found is not None:
                    yield _coloured(found, grayscale)
                    return
        pixels, size = decode(path, None, grayscale)
        yield LargeImage((size,), None, lambda level, box: pixels[(slice(None), *box.slices)])


def _damaged(path: Path, error: Exception) -> ImageError:
    if isinstance(error, MissingDependencyError):
        raise error
    return ImageError(f"{path} cannot be decoded", got=error, hint="save it again, or move it out of the folder")


@contextmanager
def _tiff(path: Path) -> Iterator[LargeImage | None]:
    """Open a TIFF file of which regions can be read; None for one that must be decoded as a whole."""
    import tifffile

    with tifffile.TiffFile(path, _multifile=False) as file:  # a file must not lead to others
        if leads_elsewhere(file):
            yield None
            return
        every, page = series_of(file, path), file.pages.first
        series = every[0]
        _check_first(every, path)
        orientation = page.tags.valueof(274, 1)
        is_stored = all(_is_as_stored(level.keyframe) for level in series.levels)
        if series.axes not in AXES or not is_stored or orientation != 1 or len(every) > 1000:
            yield None
            return
        single = len(series.pages) == 1 and page.planarconfig == 1
        if page.compression not in EXACT and not (page.compression == JPEG and page.is_tiled and single):
            yield None
            return
        if series.dtype not in (np.uint8, np.uint16):
            yield None
            return
        first = series.axes[0] in "SC"
        shapes = [level.shape for level in series.levels]
        sizes = tuple((int(shape[1]), int(shape[2])) if first else (int(shape[0]), int(shape[1])) for shape in shapes)
        channels = 1 if series.axes == "YX" else int(shapes[0][0] if first else shapes[0][2])
        if channels not in (1, 3):
            yield None
            return
        for (height, width), level in zip(sizes, series.levels, strict=True):
            if not 0 < height * width <= MOST:
                raise ImageError(f"{path} has too many pixels", got=f"{width} x {height}")
            _check_part(level, path)
            check_complete(level, path)
            _guard(level.keyframe, path)
        arrays = [region_array(series, number, path) for number in range(len(sizes))]

        def read(level: int, box: Box) -> Pixels:
            rows, columns = box.slices
            array = arrays[level]
            if series.axes == "YX":
                return np.asarray(array[rows, columns])[None]
            if first:
                return np.asarray(array[:, rows, columns])
            return np.ascontiguousarray(np.moveaxis(np.asarray(array[rows, columns]), -1, 0))

        yield LargeImage(sizes, _mpp(page, file), read)


def _is_as_stored(page: Any) -> bool:
    """Return whether the values that tifffile decodes are those that viewers show."""
    if page.bitspersample not in (8, 16) or (page.predictor != 1 and page.compression in UNPREDICTED):
        return False
    return page.photometric in PLAIN or (page.photometric == CONVERTED and page.compression in (JPEG, *WAVELETS))


def leads_elsewhere(file: Any) -> bool:
    """Return whether tifffile would read further files: those that a data set of Micro-Manager names."""
    return bool(file.is_ndtiff or file.is_mmstack)


def _check_first(series: Any, path: Path) -> None:
    """Refuse a file with a further image that is as large as the first: it is not a thumbnail, and would be lost."""
    first = _pixels_of(series[0])
    larger = [one for one in series[1:] if _pixels_of(one) >= first]
    if larger:
        raise ImageError(
            f"{path} has several images", got=f"{len(series)}, of which the first is not the largest", expected="one"
        )


def _pixels_of(series: Any) -> int:
    """Return the number of pixels of a plane of an image."""
    sides = [int(side) for axis, side in zip(series.axes, series.shape, strict=True) if axis in "YX"]
    return int(np.prod(sides, dtype=object))


def check_complete(level: Any, path: Path, error: type[AlkitError] = ImageError) -> None:
    """Refuse a level that lacks tiles or strips, or leaves them out: tifffile would fill them with zeros."""
    end, wanted = path.stat().st_size, int(np.prod(level.keyframe.chunked))
    for page in level.pages:
        parts = list(zip(page.dataoffsets, page.databytecounts, strict=False))
        cut = any(not offset or not count or offset + count > end for offset, count in parts)
        if cut or len(page.dataoffsets) != wanted or len(page.databytecounts) != wanted:
            raise error(f"{path} is damaged", got="a part of its pixels is missing", hint="restore it")
        whole = level.keyframe.imagelength, level.keyframe.imagewidth
        check_overlap([count for _, count in parts], part_of(level.keyframe), whole, end, str(path), error)


def _check_part(level: Any, path: Path) -> None:
    """Check the size of the tiles or strips of a level before one is decoded."""
    check_pixels(part_of(level.keyframe), f"a tile or strip of {path}", ImageError)


def _guard(page: Any, path: Path) -> None:
    """Let a page of tifffile check each of its tiles before it is decoded: its stream may state another size.

    A decoder takes memory for the size that the stream states, and time for each scan of a JPEG.
    """
    decode, (height, width) = page.decode, part_of(page)

    def checked(data: bytes | None, *args: Any, **kwargs: Any) -> Any:
        if data and page.compression == JPEG:
            check_scans(bytes(data), str(path), ImageError)
        if data and page.compression not in EXACT and kwargs.get("jpegheader") is None:
            size = stated_size(data)  # slides of Hamamatsu have a head for all tiles, which tifffile makes
            fits = size == (height, width) if page.is_tiled else size and size[0] <= height and size[1] == width
            if not fits:
                raise ImageError(f"{path} is damaged", got=f"a tile of {size}", expected=f"{width} x {height}")
        return decode(data, *args, **kwargs)

    vars(page)["decode"] = checked  # tifffile keeps it there, too


def region_array(series: Any, level: int, path: Path) -> Any:
    """Return a level as an array that reads the tiles it is asked for."""
    try:
        import zarr
    except ImportError as reason:
        raise MissingDependencyError(
            f"{path} is a TIFF file, whose regions are read by the package zarr",
            got="it is not installed",
            hint='pip install "alkit[slides]"',
        ) from reason
    return zarr.open(series.aszarr(level=level), mode="r")


def _mpp(page: Any, file: Any) -> float | None:
    """Return the size of a pixel that a TIFF file states, in micrometres."""
    text = str(page.description or "")[:LONGEST]
    found = APERIO.search(text) or (PHYSICAL.search(text) if file.is_ome else None)
    if found is not None:
        return _positive(found.group(1))
    unit, resolution = page.tags.valueof(296, 2), page.tags.valueof(282)
    if unit not in UNITS or not isinstance(resolution, tuple) or not all(resolution):
        return None
    mpp = UNITS[unit] * resolution[1] / resolution[0]
    return mpp if mpp < 100 else None  # 72 dots per inch say nothing about a microscope


def _positive(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < 1e6 else None


@contextmanager
def _slide(path: Path) -> Iterator[LargeImage]:
    """Open a whole slide."""
    try:
        import tifffile
        import tiffslide
    except ImportError as reason:
        raise MissingDependencyError(
            f"{path} is a whole slide, which the package tiffslide reads",
            got="it is not installed",
            hint='pip install "alkit[slides]"',
        ) from reason
    alone: dict[str, Any] = {"_multifile": False}  # a file must not lead to others
    with path.open("rb") as opened:
        check_pages(opened, str(path), ImageError)
    with tifffile.TiffFile(path, **alone) as file:
        if leads_elsewhere(file):
            raise ImageError(f"{path} is not a whole slide", got="a file of Micro-Manager")
        for series in series_of(file, path):
            for level in series.levels:
                _check_part(level, path)
                if level.keyframe.is_tiled:
                    check_complete(level, path)
    with path.open("rb") as opened, tiffslide.TiffSlide(opened, tifffile_options=alone) as slide:
        levels = tuple((int(height), int(width)) for width, height in slide.level_dimensions)
        factors = slide.level_downsamples
        shown = slide.ts_tifffile.series[slide.properties["tiffslide.series-index"]]
        _check_shown(shown, levels, path)
        for series in slide.ts_tifffile.series:
            for level in series.levels:
                _guard(level.keyframe, path)

        def read(level: int, box: Box) -> Pixels:
            corner = _first_pixel(box.left, factors[level]), _first_pixel(box.top, factors[level])
            region = np.asarray(slide.read_region(corner, level, (box.width, box.height), as_array=True))
            if shown.levels[level].keyframe.compression == YCBCR:
                region = np.asarray(Image.fromarray(np.ascontiguousarray(region), "YCbCr").convert("RGB"))
            return np.ascontiguousarray(np.moveaxis(region, -1, 0))

        mpp = slide.properties.get("tiffslide.mpp-x")
        yield LargeImage(levels, None if mpp is None else _positive(str(mpp)), read)


def _check_shown(series: Any, levels: tuple[Size, ...], path: Path) -> None:
    """Refuse a slide whose values tiffslide would return as they are stored, although they mean others.

    Raises
    ------
    ImageError
        It has other than one or three channels, or colours of another kind, is compressed in another way, or states
        absurd sizes.
    """
    for level in series.levels:
        page = level.keyframe
        channels = [side for axis, side in zip(level.axes, level.shape, strict=True) if axis not in "YX"] or [1]
        if channels not in ([1], [3]):
            raise ImageError(f"{path} has other channels", got=channels, expected="1 or 3", hint="save it as a TIFF")
        if not _is_as_stored(page):
            got = f"photometric interpretation {page.photometric}, {page.bitspersample} bits"
            raise ImageError(
                f"{path} has values of another kind", got=got, expected="gray or RGB", hint="save it as TIFF"
            )
        if page.compression not in (*EXACT, JPEG, *WAVELETS):
            raise ImageError(
                f"{path} is compressed in an unknown way", got=page.compression, hint="save it as a TIFF with JPEG"
            )
    for (height, width), level in zip(levels, series.levels, strict=False):
        own = level.keyframe.imagelength * level.keyframe.imagewidth
        if not 0 < height * width <= min(MOST, EMPTY * max(2**20, own)):
            raise ImageError(f"{path} has too many pixels", got=f"{width} x {height}")


def _first_pixel(place: int, factor: float) -> int:
    """Return a pixel of the first level from which tiffslide comes to a place of another level.

    >>> [int(_first_pixel(place, 4.003) / 4.003) for place in (0, 1, 511, 512)]
    [0, 1, 511, 512]
    """
    near = math.ceil(place * factor)
    return next(pixel for pixel in (near, near + 1, near - 1) if int(pixel / factor) == place)


def _coloured(large: LargeImage, grayscale: bool) -> LargeImage:
    """Return the same image with one channel or three, see :func:`open_large`."""

    def read(level: int, box: Box) -> Pixels:
        pixels = large.read(level, box)
        if pixels.dtype != np.uint8 and (len(pixels) > 1 or not grayscale):
            raise ImageError(
                "the image has 16 bits per pixel",
                expected="8 bits, unless images are grayscale with one channel",
                hint="grayscale=True",
            )
        if len(pixels) == 1:
            return pixels if grayscale else np.repeat(pixels, 3, axis=0)
        if not grayscale:
            return pixels
        return np.asarray(Image.fromarray(np.ascontiguousarray(np.moveaxis(pixels, 0, -1))).convert("L"))[None]

    return LargeImage(large.levels, large.mpp, read)
