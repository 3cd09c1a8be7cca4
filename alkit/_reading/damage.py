"""Damage and odd forms of image files that Pillow reads without a word, as other pixels than the file means."""

from __future__ import annotations

import zlib
from typing import BinaryIO

from PIL import ImageFile, UnidentifiedImageError
from PIL.TiffImagePlugin import (
    COMPRESSION,
    PREDICTOR,
    STRIPBYTECOUNTS,
    STRIPOFFSETS,
    TILEBYTECOUNTS,
    TILEOFFSETS,
    TiffImageFile,
)

from alkit.errors import AlkitError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
"""First bytes of a PNG. Chunks follow: their length, kind, content and checksum."""

DEFLATE = (8, 32946)
"""Numbers of the TIFF compression deflate, the only one with checksums."""

UNPREDICTED = (1, 32773)
"""TIFF compressions without a predictor: none, and PackBits. libtiff ignores a predictor there; tifffile does not."""

SIGNED = ("I", "F")
"""Modes of Pillow whose values it does not put in order after libtiff has decoded them from big-endian files."""

AT_ONCE = 2**20
"""Bytes that are decompressed at once."""

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
        A checksum is wrong, or the end is missing.
    """
    if image.format == "PNG":
        _check_png(file)
    elif image.format == "GIF" and image.tile and image.tile[0].extents != (0, 0, *image.size):
        raise error(f"{name} has pixels outside of its only frame, which are transparent", hint="save it as PNG")
    elif isinstance(image, TiffImageFile):
        _check_tiff(image, file, name, error)


def _check_png(file: BinaryIO) -> None:
    file.seek(len(SIGNATURE))
    kind = b""
    while kind != b"IEND":
        head = file.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        content, checksum = file.read(length), file.read(4)
        if len(content) < length or len(checksum) < 4:
            raise OSError("a file without its end")
        if zlib.crc32(kind + content) != int.from_bytes(checksum, "big"):
            raise OSError("a wrong checksum")


def _check_tiff(image: TiffImageFile, file: BinaryIO, name: str, error: type[AlkitError]) -> None:
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
        starts = _numbers(tags.get(offsets, ()))
        if 0 in starts:  # some programs leave out parts that way, and Pillow takes the head of the file for pixels
            raise error(f"{name} lacks parts of its pixels", hint="save it again, without sparse parts")
        if kind in DEFLATE:
            most = MOST_PER_PIXEL * image.width * image.height + BESIDES
            _check_parts(file, dict(zip(starts, _numbers(tags.get(counts, ())), strict=False)), most, name, error)


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
