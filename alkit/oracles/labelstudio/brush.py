"""The run-length code in which Label Studio stores brush strokes.

The code is a stream of bits; the highest bit of each byte comes first. It starts with a header:

- 32 bits: the number of values;
- 5 bits: the width of a value in bits, minus 1;
- four times 4 bits: four widths of a run's length in bits, minus 1.

Then follow the runs:

- 1 bit: 1 if a single value is repeated, 0 if each value is written;
- 2 bits: the number of the width, out of the four in the header;
- the run's length, minus 1, in that width;
- the repeated value, or all values of the run.

The values are those of an image ``(h, w, 4)``: red, green, blue and alpha. Alpha alone says which pixels are painted.

References
----------
The rle-pack package of thi.ng/umbrella, https://github.com/thi-ng/umbrella, which Label Studio uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.errors import LabelError
from alkit.values.label_spec import Mask, Size

HEAD = 32 + 5 + 4 * 4
"""Number of bits before the first run."""

LENGTHS = (3, 4, 8, 16)
"""Widths of a run's length in bits; Label Studio writes the same four."""


def encode_brush(painted: npt.NDArray[np.bool_]) -> list[int]:
    """Return the code of the painted pixels, as a list of bytes.

    Parameters
    ----------
    painted:
        True for painted pixels, ``(h, w)``.

    Examples
    --------
    >>> encode_brush(np.array([[False, True, True]]))
    [0, 0, 0, 12, 57, 27, 252, 96, 19, 255, 128]
    """
    flat = np.asarray(painted, bool).ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=~flat[:1]))
    lengths = 4 * np.diff(starts, append=flat.size)
    bits = [f"{4 * flat.size:032b}{8 - 1:05b}", *(f"{length - 1:04b}" for length in LENGTHS)]
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        value = "11111111" if flat[start] else "00000000"
        for run in _pieces(length):
            which, width = next((at, width) for at, width in enumerate(LENGTHS) if run <= 1 << width)
            bits.append(f"1{which:02b}{run - 1:0{width}b}{value}")
    stream = "".join(bits)
    stream += "0" * (-len(stream) % 8)
    return list(int(stream, 2).to_bytes(len(stream) // 8, "big"))


def _pieces(length: int) -> Iterator[int]:
    longest = 1 << LENGTHS[-1]
    for done in range(0, length, longest):
        yield min(longest, length - done)


def decode_brush(code: Sequence[int], size: Size) -> Mask:
    """Return the alpha of a region, ``(h, w)``, uint8: 0 for unpainted pixels, 255 for painted ones.

    A stroke that was drawn in a browser has soft edges, with values in between.

    Parameters
    ----------
    code:
        The code, as a list of bytes.
    size:
        Height and width of the image.

    Raises
    ------
    LabelError
        The code is not a list of bytes, is cut off, or belongs to an image of another size.

    Examples
    --------
    >>> decode_brush(encode_brush(np.array([[False, True, True]])), (1, 3)).tolist()
    [[0, 255, 255]]
    """
    try:
        stream = bytes(code if isinstance(code, list | tuple) else None)  # type: ignore[arg-type]
    except (TypeError, ValueError) as reason:
        raise LabelError("a brush region must hold a list of bytes", got=reason) from reason
    values: npt.NDArray[Any] = np.zeros(4 * size[0] * size[1], np.uint8)
    count, width = _bits(stream, 0, 32), _bits(stream, 32, 5) + 1
    widths = [_bits(stream, 37 + 4 * which, 4) + 1 for which in range(4)]
    if count != values.size or width != 8:
        raise LabelError(
            "a brush region does not match the size of its image",
            got=f"{count} values of {width} bits",
            expected=f"{values.size} of 8 bits: height {size[0]} by width {size[1]} by 4",
        )
    at, done = HEAD, 0
    while done < count:
        repeated, which = _bits(stream, at, 1), _bits(stream, at + 1, 2)
        run = _bits(stream, at + 3, widths[which]) + 1
        at += 3 + widths[which]
        if done + run > count:
            raise LabelError("a brush region holds more values than its header says", got=done + run, expected=count)
        bits = 8 if repeated else 8 * run
        values[done : done + run] = np.frombuffer(_bits(stream, at, bits).to_bytes(bits // 8, "big"), np.uint8)
        at, done = at + bits, done + run
    alpha: Mask = values.reshape(*size, 4)[:, :, 3]
    return alpha


def _bits(stream: bytes, start: int, count: int) -> int:
    """Return `count` bits of `stream`, starting at bit `start`, as a number."""
    stop = start + count
    if stop > 8 * len(stream):
        raise LabelError("a brush region is cut off", got=f"{len(stream)} bytes", expected="more")
    return int.from_bytes(stream[start // 8 : -(-stop // 8)], "big") >> (-stop % 8) & ((1 << count) - 1)
