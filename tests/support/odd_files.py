"""Image files whose headers claim what their content does not hold."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
import tifffile
from PIL import Image

WIDTH, ROWS = 256, 278


def jpeg(side, scans=0, mode="L"):
    """Return a JPEG whose last scan stands so many times more in it."""
    file = BytesIO()
    Image.new(mode, (side, side)).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    start, end = content.rindex(b"\xff\xda"), content.rindex(b"\xff\xd9")
    return content[:end] + content[start:end] * scans + content[end:]


def png_chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width, height, depth=8, kind=0, lines=b"", extra=b""):
    """Return a PNG with this header, whatever its content is."""
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    chunks = png_chunk(b"IHDR", head) + extra + png_chunk(b"IDAT", zlib.compress(lines)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def tiff(array, **options):
    """Return an array as a TIFF file."""
    file = BytesIO()
    tifffile.imwrite(file, array, metadata=None, **options)
    return file.getvalue()


def with_tags(content, **tags):
    """Return a little-endian TIFF file with other values of tags, such as ``t256=4000``."""
    changed = bytearray(content)
    (first,) = struct.unpack_from("<I", changed, 4)
    (count,) = struct.unpack_from("<H", changed, first)
    for place in range(first + 2, first + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", changed, place)
        if (value := tags.get(f"t{tag}")) is not None:
            struct.pack_into("<HHII", changed, place, tag, 4, 1, value)
    return bytes(changed)


def saved(array, form, **options):
    """Return an array as a file of a format, by Pillow."""
    file = BytesIO()
    Image.fromarray(array).save(file, form, **options)
    return file.getvalue()


def mutated(content, rng, changes=4, region=256):
    """Return a file with some bytes of its beginning or end replaced, most of them by extreme values."""
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, changes + 1))):
        at = int(rng.integers(min(region, len(changed))))
        at = at if rng.random() < 0.8 else len(changed) - 1 - at
        changed[at] = int(rng.choice([0, 1, 127, 128, 254, 255, int(rng.integers(256))]))
    if rng.random() < 0.1:
        del changed[int(rng.integers(len(changed))) :]
    return bytes(changed)


def samples(rng):
    """Return small files of every format by name."""
    gray = rng.integers(256, size=(13, 17)).astype(np.uint8)
    colour = rng.integers(256, size=(13, 17, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = Image.fromarray(gray % 4).convert("P")
    file = BytesIO()
    palette.save(file, "PNG")
    return {
        "gray.png": saved(gray, "PNG", exif=exif),
        "colour.png": saved(colour, "PNG"),
        "palette.png": file.getvalue(),
        "deep.png": saved(gray.astype(np.uint16) * 257, "PNG"),
        "gray.jpg": saved(gray, "JPEG", exif=exif),
        "colour.jpg": saved(colour, "JPEG"),
        "gray.bmp": saved(gray, "BMP"),
        "colour.webp": saved(colour, "WEBP", lossless=True),
        "plain.tif": tiff(gray),
        "lzw.tif": saved(gray, "TIFF", compression="tiff_lzw"),
        "deflate.tif": saved(colour, "TIFF", compression="tiff_adobe_deflate", exif=exif),
        "deep.tif": tiff(gray.astype(np.int32)),
        "deep-deflate.tif": tiff(gray.astype(np.int64), compression="zlib"),
        "frames.tif": tiff(np.stack([gray, gray]), photometric="minisblack"),
    }
