"""Damage and odd forms of image files that Pillow reads without a word, as other pixels than the file means."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import BinaryIO, Literal

import numpy as np
from PIL import ImageFile, UnidentifiedImageError
from PIL.TiffImagePlugin import (
    COMPRESSION,
    IMAGELENGTH,
    IMAGEWIDTH,
    PLANAR_CONFIGURATION,
    PREDICTOR,
    ROWSPERSTRIP,
    SAMPLESPERPIXEL,
    STRIPBYTECOUNTS,
    STRIPOFFSETS,
    TILEBYTECOUNTS,
    TILELENGTH,
    TILEOFFSETS,
    TILEWIDTH,
    TiffImageFile,
)

from alkit._reading.limits import BYTES, limit
from alkit._reading.streams import START, Size, check_scans, stated_size
from alkit.errors import AlkitError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
"""First bytes of a PNG. Chunks follow: their length, kind, content and checksum."""

INTERLACED = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
)  # fmt: skip
"""The first column and row, and the steps across and down, of each pass of an interlaced PNG."""

DEFLATE = (8, 32946)
"""Numbers of the TIFF compression deflate, the only one with checksums."""

JPEG = 7
"""Number of the TIFF compression by JPEG. libtiff fills parts that are too small with black."""

UNPREDICTED = (1, 32773)
"""TIFF compressions without a predictor: none, and PackBits. libtiff ignores a predictor there; tifffile does not."""

SIGNED = ("I", "F")
"""Modes of Pillow whose values it does not put in order after libtiff has decoded them from big-endian files."""

CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
"""Kinds of parts of a PNG that readers must know. Others of which the first letter is upper-case need newer readers."""

AT_ONCE = 2**20
"""Bytes that are decompressed at once."""

VALUES = np.zeros(2**16)
VALUES[1:19] = 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8
"""By number of a type of TIFF the bytes of a value; 0 of a type that does not exist."""

SHARED = 4
"""The parts of a TIFF may have this many times the bytes of the file together, because two can be one."""

LEAST_TILE = 256
"""Fewest pixels of a tile of a TIFF: its sides must be multiples of 16."""

MOST_TILE = 2**24
"""Most pixels of a tile of a TIFF that is larger than its image: a tile is decoded as a whole."""

MOST_PER_PIXEL, BESIDES = 64, 2**20
"""Most bytes to which a TIFF can unpack, for each pixel and besides: tiles may be larger than the image."""


def check_content(image: ImageFile.ImageFile, file: BinaryIO, name: str, error: type[AlkitError]) -> None:
    """Check that the pixels of an image are those that were saved, as far as its format can tell.

    PNG has checksums of all content, and TIFF of what deflate compressed. Pillow checks neither for the pixels. Other
    formats have none.

    Raises
    ------
    AlkitError
        The file is damaged, or can be read in two ways. The error has the class `error`.
    UnidentifiedImageError
        Pillow reads values of this type wrongly.
    OSError, zlib.error
        A checksum is wrong, or the end or pixels are missing.
    """
    if image.format == "PNG":
        _check_png(file)
    elif image.format == "GIF" and image.tile and image.tile[0].extents != (0, 0, *image.size):
        raise error(f"{name} has pixels outside of its only frame, which are transparent", hint="save it as PNG")
    elif isinstance(image, TiffImageFile):
        _check_tiff(image, file, name, error)
    elif image.format in ("JPEG", "MPO"):
        file.seek(0)
        check_scans(file.read(limit(BYTES)), name, error)


def _check_png(file: BinaryIO) -> None:
    file.seek(len(SIGNATURE))
    kind, pixels, size, wanted, palettes = b"", zlib.decompressobj(), 0, 0, 0
    while kind != b"IEND":
        head = file.read(8)
        length, before, kind = int.from_bytes(head[:4], "big"), kind, head[4:]
        content, checksum = file.read(length), file.read(4)
        if len(content) < length or len(checksum) < 4:
            raise OSError("a file without its end")
        if zlib.crc32(kind + content) != int.from_bytes(checksum, "big"):
            raise OSError("a wrong checksum")
        if (kind == b"IHDR") != (before == b""):
            raise OSError("not one head at its beginning")
        palettes += kind == b"PLTE"
        if palettes > 1 or (kind[:1].isupper() and kind not in CRITICAL):
            raise OSError("two palettes, or a part without which it cannot be read")
        if kind == b"IHDR":
            wanted = _png_bytes(content)
        while kind == b"IDAT" and size < wanted and not pixels.eof:
            found = len(pixels.decompress(content, AT_ONCE))
            content, size = pixels.unconsumed_tail, size + found
            if not found and not content:
                break
    if size < wanted:  # Pillow makes the rest black, which is class 0
        raise OSError("fewer pixels than its size needs")


def _png_bytes(head: bytes) -> int:
    """Return the number of bytes to which the pixels of a PNG unpack.

    >>> _png_bytes((5).to_bytes(4, "big") + (3).to_bytes(4, "big") + bytes([1, 0, 0, 0, 0]))
    6
    """
    width, height = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:8], "big")
    bits = head[8] * {2: 3, 4: 2, 6: 4}.get(head[9], 1)
    passes = INTERLACED if head[12] else ((0, 0, 1, 1),)
    sizes = ((-(-(width - left) // across), -(-(height - top) // down)) for left, top, across, down in passes)
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0)


def pages_of(file: BinaryIO) -> Iterator[float]:
    """Yield for each page in the chain of an open TIFF file the number of bytes of its tags with their values.

    Raises
    ------
    EOFError
        The chain is damaged, or leads back to an earlier page.
    """
    file.seek(0)
    head = file.read(16)
    order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"
    big = head[2:4] in (b"+\0", b"\0+")
    words, entries = (8, 8) if big else (4, 2)
    sign, number = "<" if order == "little" else ">", f"u{words}"
    entry = np.dtype([(name, f"{sign}{kind}") for name, kind in zip("ctnv", ("u2", "u2", number, number), strict=True)])
    offset = int.from_bytes(head[8:16] if big else head[4:8], order)
    seen: set[int] = set()
    while offset:
        if offset in seen:
            raise EOFError("a page that leads to an earlier one")
        seen.add(offset)
        file.seek(offset)
        length = entry.itemsize * int.from_bytes(start := file.read(entries), order)
        content = file.read(length) if len(start) == entries and length < 2**32 else b""
        following = file.read(words)
        if len(content) < length or len(following) < words:
            raise EOFError("a page without its end")
        tags = np.frombuffer(content, entry)
        sizes = VALUES[tags["t"]] * tags["n"].astype(np.float64)
        yield entries + length + words + float(sizes[sizes > words].sum())
        offset = int.from_bytes(following, order)


def check_pages(file: BinaryIO, name: str, error: type[AlkitError]) -> None:
    """Check that the pages of an open TIFF file do not overlap: a small file could have very many long ones.

    Slides of Hamamatsu (NDPI) are not checked if they have more than 4 GB: their offsets are others than those of TIFF.

    Raises
    ------
    AlkitError
        They do. The error has the class `error`.
    """
    if (size := file.seek(0, 2)) > 2**32:
        return
    left: float = SHARED * size
    with suppress(EOFError):
        for length in pages_of(file):
            left -= length
            if left < 0:
                raise error(f"{name} is damaged", got="pages that overlap")


def check_overlap(counts: Sequence[int], part: Size, whole: Size, end: int, name: str, error: type[AlkitError]) -> None:
    """Check that the tiles or strips of a TIFF do not overlap, which would take very long, and the size of a tile.

    Parameters
    ----------
    counts:
        Number of bytes of each.
    part, whole:
        Height and width of a tile or strip, and of the image.
    end:
        Number of bytes of the file.
    name, error:
        The file, and the class of the error.

    Raises
    ------
    AlkitError
        They do, or are.
    """
    if sum(counts) > SHARED * end:
        raise error(f"{name} is damaged", got="parts that are longer than the file")
    if part[0] * part[1] > max(MOST_TILE, whole[0] * whole[1]):
        raise error(
            f"{name} is damaged", got=f"tiles of {part[1]} x {part[0]} pixels", expected="the size of the image"
        )
    if part[1] < whole[1] and part[0] * part[1] < LEAST_TILE:
        raise error(f"{name} has tiles that are too small", got=f"{part[1]} x {part[0]}", expected="16 x 16 or more")


def _check_tiff(image: TiffImageFile, file: BinaryIO, name: str, error: type[AlkitError]) -> None:
    check_pages(file, name, error)
    tags = image.tag_v2
    kind, predictor = tags.get(COMPRESSION, 1), tags.get(PREDICTOR, 1)
    if predictor != 1 and kind in UNPREDICTED:
        raise error(
            f"{name} can be read in two ways, because it has a predictor and a compression without one",
            hint="save it as PNG",
        )
    if image.mode in SIGNED and tags.prefix == b"MM" and kind != 1:
        raise UnidentifiedImageError("a compressed big-endian TIFF of signed values, which Pillow reads wrongly")
    for offsets, counts in ((STRIPOFFSETS, STRIPBYTECOUNTS), (TILEOFFSETS, TILEBYTECOUNTS)):
        if not (starts := _numbers(tags.get(offsets, ()))):
            continue
        grid, (height, width) = _grid(image, tiled=offsets == TILEOFFSETS)
        # Some programs leave out parts by a zero, and Pillow takes the head of the file, or black, for their pixels.
        if 0 in starts or len(starts) < grid[0] * grid[1]:
            raise error(f"{name} lacks parts of its pixels", hint="save it again, without sparse parts")
        whole = _height(image), int(tags[IMAGEWIDTH])
        check_overlap(_numbers(tags.get(counts, ())), (height, width), whole, file.seek(0, 2), name, error)
        if kind in DEFLATE:
            most = MOST_PER_PIXEL * image.width * image.height + BESIDES
            _check_parts(file, dict(zip(starts, _numbers(tags.get(counts, ())), strict=False)), most, name, error)
        if kind == JPEG and tags.get(PLANAR_CONFIGURATION, 1) == 1:
            for place, start in enumerate(starts[: grid[0] * grid[1]]):
                row = place // grid[1] * height
                least = height if offsets == TILEOFFSETS else min(height, _height(image) - row), width
                file.seek(start)
                found = stated_size(file.read(START))
                if found is not None and (found[0] < least[0] or found[1] < least[1]):
                    raise error(f"{name} is damaged", got=f"a part of {found[1]} x {found[0]} pixels", expected=least)


def _grid(image: TiffImageFile, *, tiled: bool) -> tuple[tuple[int, int], Size]:
    """Return the number of rows and columns of parts, all planes included, and the height and width of a part."""
    tags, width = image.tag_v2, image.tag_v2[IMAGEWIDTH]
    high = _height(image)
    planes = int(tags.get(SAMPLESPERPIXEL, 1)) if tags.get(PLANAR_CONFIGURATION, 1) == 2 else 1
    part = (tags[TILELENGTH], tags[TILEWIDTH]) if tiled else (min(tags.get(ROWSPERSTRIP, high), high), width)
    if min(part) < 1:
        raise ValueError("parts without pixels")
    return (planes * -(-high // part[0]), -(-width // part[1])), part


def _height(image: TiffImageFile) -> int:
    """Return the height of a TIFF as it is stored: Pillow exchanges the sides of some that are not upright."""
    return int(image.tag_v2[IMAGELENGTH])


def _numbers(value: object) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,) if isinstance(value, int) else ()


def _check_parts(file: BinaryIO, parts: dict[int, int], most: int, name: str, error: type[AlkitError]) -> None:
    """Check the checksums of the compressed parts of a file, given by their lengths by start."""
    whole = file.seek(0, 2)
    if sum(parts.values()) > whole:
        raise error(f"{name} is damaged", got="parts that are longer than the file")
    for start, length in parts.items():
        file.seek(start)
        most -= check_deflated(file.read(length), most, name, error)


ANY_HEAD = zlib.MAX_WBITS | 32
"""What tells zlib that the content may begin as one of zlib or of gzip."""


def check_deflated(content: bytes, most: int, name: str, error: type[AlkitError]) -> int:
    """Check the checksum of a part that zlib or gzip compressed, and return the number of bytes to which it unpacks.

    Raises
    ------
    AlkitError
        These are more than `most`, or the end is missing. The error has the class `error`.
    zlib.error
        The content is damaged.
    """
    parts, size = zlib.decompressobj(ANY_HEAD), 0
    while not parts.eof:
        found = len(parts.decompress(content, AT_ONCE))
        content, size = parts.unconsumed_tail, size + found
        if size > most:
            raise error(f"{name} is damaged", got="a part that is larger than its tile", expected=f"{most} bytes")
        if not found and not content and not parts.eof:
            raise error(f"{name} is damaged", got="a part without its end")
    return size
