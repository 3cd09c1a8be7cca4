"""Arrays of NumPy in archives (``.npz``), which a stranger may have written. Nothing is unpickled."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Collection
from typing import IO, Any, BinaryIO

import numpy as np
import numpy.typing as npt

MOST_PACKED, SMALL = 100, 2**24
"""A part of an archive may have this many times its packed size, and this many bytes in any case."""


def read_arrays(file: BinaryIO, names: Collection[str]) -> dict[str, npt.NDArray[Any]]:
    """Return those of some arrays that an archive contains, by name.

    Raises
    ------
    ValueError
        It is not an archive of arrays, is damaged or encrypted, holds objects, or unpacks to a multiple of its size; or
        an array has more elements than bytes, as one of empty texts can have.

    Examples
    --------
    >>> import io
    >>> np.savez(file := io.BytesIO(), a=np.arange(3)); read_arrays(file, ["a", "b"])
    {'a': array([0, 1, 2])}
    """
    try:
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            size = file.seek(0, os.SEEK_END)
            for part in archive.infolist():
                if part.file_size > SMALL + MOST_PACKED * min(part.compress_size, size):
                    raise ValueError(f"{part.filename[:100]!r} in it unpacks to {part.file_size} bytes")
                if part.filename in {f"{name}{end}" for name in names for end in ("", ".npy")}:
                    with archive.open(part) as content:
                        check_elements(content, part.file_size)
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in names if name in arrays}
    except Exception as reason:  # zipfile, its compressions and numpy raise errors of many types
        raise ValueError(first_line(reason)) from reason
    if strange := [name for name, array in found.items() if not isinstance(array, np.ndarray)]:
        raise ValueError(f"{strange[0]!r} is not an array")
    return found


def check_elements(file: IO[bytes], size: int) -> None:
    """Check that an array in a file of `size` bytes has at most one element for each: empty texts take none."""
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in read:
        raise ValueError(f"version {version} of the format of arrays")
    shape, _, _ = read[version](file)
    if math.prod(shape) > size:
        raise ValueError(f"an array of shape {shape} in {size} bytes")


def first_line(reason: Exception) -> str:
    """Return the first line of an error's message, or its type if it has none.

    >>> first_line(ValueError()), first_line(KeyError("a"))
    ('ValueError', "'a'")
    """
    return (str(reason).strip().splitlines() or [type(reason).__name__])[0][:200]
