"""Decode pages of TIFF files by tifffile, after checks of what they declare, before memory is taken for it."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from alkit._reading.damage import SHARED, UNPREDICTED, check_overlap, pages_of
from alkit._reading.images import ORIENTATION, turned
from alkit._reading.limits import check_pixels
from alkit.errors import AlkitError, ImageError

DEFLATE = (8, 32946)
COMPRESSIONS = (1, 5, 32773, *DEFLATE)
"""Compressions of TIFF files, by number: none, LZW, PackBits, and deflate under two numbers."""

AXES = ("YX", "YXS", "SYX")
"""Orders of axes of a page, by tifffile's letters."""

MOST_CHANNELS = 1000

PLANES = (("SizeC", "SizeZ", "SizeT"), ("c", "z"))
NUMBERS = ("IFD", "PlaneCount", "NumPlanes", "r", "ifd")
SPANS = ("Start", "End", "Step")
"""Attributes of OME's and of Leica's XML: numbers of planes, other numbers, and the ends and the step of a range."""

MOST_PLANES = 10**6
"""Most planes that a description may state. tifffile takes memory for each, also if the file has none of them."""

BLACK, RGB, WHITE = 1, 2, 0
"""Photometric interpretations: 0 is black, colours, and 0 is white."""


def count_pages(file: BinaryIO, most: int = 100_000) -> int:
    """Return the number of pages in the chain of an open TIFF file; 0 if the chain is damaged, or pages overlap.

    tifffile follows a chain that leads back to an earlier page without end.

    Raises
    ------
    ImageError
        There are more than `most` pages.

    Examples
    --------
    >>> from io import BytesIO
    >>> loop = b"II*\\0" + (8).to_bytes(4, "little") + bytes(2) + (8).to_bytes(4, "little")
    >>> count_pages(BytesIO(loop))
    0
    """
    number, left = 0, float(SHARED * file.seek(0, 2))
    try:
        for size in pages_of(file):
            number, left = number + 1, left - size
            if number > most:
                raise ImageError("a TIFF has too many pages", expected=f"at most {most}")
            if left < 0:
                return 0
    except EOFError:
        return 0
    return number


def series_of(file: Any, path: Path, error: type[AlkitError] = ImageError) -> Any:
    """Return the series of pages of an open file of tifffile, after a check of what their description states.

    Raises
    ------
    AlkitError
        The description states absurdly many planes. The error has the class `error`.
    """
    text = file.ome_metadata if file.is_ome else file.scn_metadata if file.is_scn else None
    try:
        planes = 0 if text is None else _planes_in(ElementTree.fromstring(text))
    except (ElementTree.ParseError, ValueError):  # tifffile cannot read it either
        planes = 0
    if not planes <= MOST_PLANES:
        raise error(f"{path} is damaged", got="a description of more planes than a file can have")
    return file.series


def _planes_in(root: ElementTree.Element) -> float:
    """Return the greatest number of planes that a description states or implies."""
    most: dict[str, float] = {}
    for element in root.iter():
        found = element.attrib
        for name in (*PLANES[0], *PLANES[1], *NUMBERS):
            if name in found:
                most[name] = max(most.get(name, 1), 1 + int(found[name]))
        if "Start" in found and "End" in found:
            start, end, step = (float(found.get(name, 1)) for name in SPANS)
            most["steps"] = max(most.get("steps", 1), abs(end - start) / abs(step) if step else 1)
    return max(*most.values(), *(math.prod(most.get(name, 1) for name in names) for names in PLANES))


def check_parts(page: Any, path: Path, error: type[AlkitError] = ImageError) -> None:
    """Refuse a page whose parts are missing, larger than the page says, or of an unknown or ambiguous compression.

    Raises
    ------
    AlkitError
        The page is such a page. The error has the class `error`.
    """
    if page.compression not in COMPRESSIONS:
        raise error(f"{path} is compressed in an unknown way", got=page.compression, hint="save it with LZW or deflate")
    if page.predictor != 1 and page.compression in UNPREDICTED:
        raise error(
            f"{path} can be read in two ways, because it has a predictor and a compression without one",
            hint="save it with LZW or deflate",
        )
    wanted, end = int(np.prod(page.chunked)), path.stat().st_size
    parts = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    cut = any(not offset or not count or offset + count > end for offset, count in parts)
    if cut or len(page.dataoffsets) != wanted or len(page.databytecounts) != wanted:
        raise error(f"{path} is damaged", got="a part of its pixels is missing", hint="restore it")
    check_overlap(
        [count for _, count in parts], part_of(page), (page.imagelength, page.imagewidth), end, str(path), error
    )
    most = int(np.prod(page.chunks)) * page.dtype.itemsize
    if page.compression in DEFLATE:
        with path.open("rb") as file:
            for offset, count in parts:
                file.seek(offset)
                if len(zlib.decompressobj().decompress(file.read(count), most + 1)) > most:
                    raise error(
                        f"{path} is damaged", got="a part that is larger than its tile", expected=f"{most} bytes"
                    )


def part_of(page: Any) -> tuple[int, int]:
    """Return the height and width of a tile or strip of a page of tifffile."""
    if page.is_tiled:
        return int(page.tilelength), int(page.tilewidth)
    return int(min(page.rowsperstrip, page.imagelength)), int(page.imagewidth)


def page_pixels(page: Any, path: Path) -> npt.NDArray[Any]:
    """Return the pixels of a page as viewers show them, upright, ``(c, h, w)``; without opaque alpha.

    Raises
    ------
    ImageError
        The page is damaged, has too many pixels or channels, transparent pixels, or colours of another kind.
    """
    if page.axes not in AXES or page.dtype is None:
        raise ImageError(f"{path} has an unknown form", got=f"axes {page.axes}, {page.dtype}", hint="save it as a TIFF")
    channels = page.samplesperpixel
    height, width = page.shape[1:] if page.axes == "SYX" else page.shape[:2]
    if channels > MOST_CHANNELS:
        raise ImageError(f"{path} has too many channels", got=channels, expected=f"at most {MOST_CHANNELS}")
    check_pixels((height * max(1, channels // 4), width), str(path), ImageError)
    check_pixels(part_of(page), f"a tile or strip of {path}", ImageError)
    if page.photometric not in (WHITE, BLACK, RGB):
        raise ImageError(f"{path} has colours of an unknown kind", got=page.photometric, hint="save it as RGB")
    check_parts(page, path)
    values: npt.NDArray[Any] = page.asarray()
    planes = values[None] if page.axes == "YX" else values if page.axes == "SYX" else np.moveaxis(values, -1, 0)
    planes = _without_alpha(planes, page, path)
    if page.photometric == WHITE:
        if not np.issubdtype(planes.dtype, np.unsignedinteger):
            raise ImageError(f"{path} says that 0 is white, which {planes.dtype} cannot mean", hint="save it again")
        planes = np.invert(planes)
    sideways = page.tags.valueof(ORIENTATION, 1)
    return np.ascontiguousarray(np.stack([turned(plane, sideways) for plane in planes]))


def _without_alpha(planes: npt.NDArray[Any], page: Any, path: Path) -> npt.NDArray[Any]:
    """Leave out channels that a page declares as alpha, and refuse them unless all pixels are opaque."""
    extra = tuple(page.extrasamples or ())
    alphas = [len(planes) - len(extra) + place for place, kind in enumerate(extra) if kind in (1, 2)]
    for place in alphas:
        most = np.iinfo(planes.dtype).max if np.issubdtype(planes.dtype, np.integer) else 1
        if (planes[place] != most).any():
            raise ImageError(f"{path} has transparent pixels", hint="save it without its alpha channel")
    return np.delete(planes, alphas, axis=0) if alphas else planes
