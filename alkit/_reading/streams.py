"""What streams of JPEG, JPEG-LS and JPEG 2000 state, before they are decoded."""

from __future__ import annotations

import re
from typing import BinaryIO

from alkit.errors import AlkitError

Size = tuple[int, int]
"""Height and width, in pixels."""

SCAN, END = 0xDA, 0xD9
"""Markers of JPEG before a scan, and at the end."""

MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A marker of JPEG. Between the pixels of a scan, there are others."""

FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7)
"""Markers of JPEG, and the one of JPEG-LS, before the size of an image."""

LONG = 0xC0
"""The first marker of JPEG after which a length follows. Decoders go on right behind those before it."""

NEXT = re.compile(rb"\xff[^\x00\xff]")
"""What Pillow takes for a marker of JPEG before the first scan."""

FOLLOWED = frozenset({*range(0xC0, 0xD0), *range(0xDA, 0xF0), 0xFE} - {0xC8})
"""Markers of JPEG behind which Pillow reads a length, and skips or keeps so many bytes."""

MOST_SEGMENTS = 1000
"""Most segments of a JPEG before its first scan. Each has up to 64 KB; thumbnails and maps of depth need hundreds."""

MOST_SCANS = 100
"""Most scans of a JPEG, as libtiff has it. A scan can be a few bytes, and goes through the whole image."""

CODESTREAM = b"\xff\x4f\xff\x51"
"""First bytes of a stream of JPEG 2000. Two numbers follow, and then the width and the height."""

SEGMENTS = 15
"""Most segments of a stream of DICOM's RLE. Its head has their number, and room for so many offsets."""

HEAD = 64
PADDING = 128
"""Bytes of this head, and bytes to which the end of a segment may unpack besides its pixels."""

START = 2**16
"""Number of bytes in which a stream must state its size."""


def check_scans(content: bytes, name: str, error: type[AlkitError]) -> None:
    """Check that a JPEG does not have so many scans that it would take hours.

    Raises
    ------
    AlkitError
        It has. The error has the class `error`.
    """
    place, scans = 2, 0
    while (marker := MARKER.search(content, place)) is not None and content[marker.start() + 1] != END:
        kind = content[marker.start() + 1]
        scans += kind == SCAN
        if scans > MOST_SCANS:
            raise error(f"{name} is damaged", got=f"more than {MOST_SCANS} scans", hint="save it again")
        length = max(2, int.from_bytes(content[marker.end() : marker.end() + 2], "big"))
        place = marker.end() + (length if kind >= LONG else 0)


def check_segments(file: BinaryIO, name: str, error: type[AlkitError]) -> None:
    """Check that a file, if it is a JPEG, does not have very many segments before its pixels.

    Pillow joins those of EXIF, each of which is copied again with the next one, and keeps the others.

    Raises
    ------
    AlkitError
        It has. The error has the class `error`.
    """
    file.seek(0)
    if file.read(3) != b"\xff\xd8\xff":
        return
    place, segments = 2, 0
    while True:
        file.seek(place)
        window = file.read(START)
        if (found := NEXT.search(window)) is None:
            if len(window) < START:
                return
            place += START - 1
            continue
        kind = window[found.start() + 1]
        if kind == SCAN:
            return
        place += found.end()
        if kind in FOLLOWED:
            segments += 1
            file.seek(place)
            place += max(2, int.from_bytes(file.read(2), "big"))
        if segments > MOST_SEGMENTS:
            raise error(f"{name} is damaged", got=f"more than {MOST_SEGMENTS} segments", hint="save it again")


def stated_size(stream: bytes) -> Size | None:
    """Return the height and width that a stream states; None if it does not.

    >>> stated_size(bytes.fromhex("ffd8ffe00004beefffc0000b080010002001"))
    (16, 32)
    >>> stated_size(CODESTREAM + bytes.fromhex("002f0000 00000020 00000010 00000000 00000000"))
    (16, 32)
    """
    stream = bytes(stream[:START])
    start = stream.find(CODESTREAM)
    if start >= 0 and stream[:2] != b"\xff\xd8":
        numbers = stream[start + len(CODESTREAM) + 4 :][:16]
        right, bottom, left, top = (int.from_bytes(numbers[at : at + 4], "big") for at in range(0, 16, 4))
        return (bottom - top, right - left) if len(numbers) == 16 else None
    place = 2
    while place + 9 <= len(stream) and stream[place] == 0xFF:
        if stream[place + 1] in FRAMES:
            height, width = stream[place + 5 : place + 7], stream[place + 7 : place + 9]
            return int.from_bytes(height, "big"), int.from_bytes(width, "big")
        place += 2 + int.from_bytes(stream[place + 2 : place + 4], "big")
    return None


def check_runs(stream: bytes, pixels: int, name: str, error: type[AlkitError]) -> None:
    """Check that no segment of a stream of DICOM's RLE unpacks to more than a byte for each pixel.

    Decoders unpack the whole segment first: a byte can become 64.

    Raises
    ------
    AlkitError
        One does. The error has the class `error`.

    Examples
    --------
    >>> from alkit.errors import ImageError
    >>> head = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56)
    >>> check_runs(head + bytes([129, 0]), 128, "a.dcm", ImageError)
    >>> check_runs(head + bytes([129, 0] * 3), 128, "a.dcm", ImageError)
    Traceback (most recent call last):
    alkit.errors.ImageError: a.dcm is damaged: got a segment of more bytes than pixels, expected 128
    """
    count, *offsets = (int.from_bytes(stream[at : at + 4], "little") for at in range(0, HEAD, 4))
    starts, most = offsets[: min(count, SEGMENTS)], pixels + PADDING
    for start, end in zip(starts, [*starts[1:], len(stream)], strict=True):
        segment, place, size = stream[start:end], 0, 0
        while place < len(segment) <= 2 * most and size <= most:
            run = segment[place]
            if run < 128:  # so many bytes and one more follow as they are
                size, place = size + run + 1, place + run + 2
            elif run > 128:  # the next byte is repeated
                size, place = size + 257 - run, place + 2
            else:
                place += 1
        if size > most or len(segment) > 2 * most:
            raise error(f"{name} is damaged", got="a segment of more bytes than pixels", expected=pixels)
