"""Limits on the size of images, masks and annotations, which are checked before memory is used.

The limits with a default can be changed by environment variables, because they belong to the machine and not to the
experiment.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from alkit.errors import AlkitError, ConfigurationError, DataError

PIXELS, BYTES = "ALKIT_MAX_PIXELS", "ALKIT_MAX_BYTES"
"""Environment variables: the most pixels of an image, and the most bytes of a file that is read as a whole."""

DEFAULTS = {PIXELS: 180_000_000, BYTES: 200_000_000}
"""Decoding 180 million pixels in colour takes about 1.5 GB of memory; reading 200 MB of JSON takes up to 4 GB."""

MOST_DIGITS = 18
"""Digits of a number that 64 bits can hold. Python converts texts of more than some thousand digits to no number."""


def limit(variable: str) -> int:
    """Return a limit: the value of its environment variable, or the default.

    Raises
    ------
    ConfigurationError
        The value is not a positive integer.

    Examples
    --------
    >>> limit("ALKIT_MAX_PIXELS")
    180000000
    """
    text = os.environ.get(variable, "").strip()
    if not text:
        return DEFAULTS[variable]
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text)):
        raise ConfigurationError(f"the environment variable {variable} must be an integer >= 1", got=repr(text))
    return int(text)


def outline_limit() -> int:
    """Return the greatest length of a polygon's outline, in pixels.

    Drawing takes 40 bytes for each pixel of an outline, so this limit needs about as much memory as that of an image.
    """
    return max(10_000, limit(PIXELS) // 32)


def check_pixels(size: tuple[int, int], what: str, error: type[AlkitError] = DataError) -> None:
    """Check that an image is not too large for this machine.

    Parameters
    ----------
    size:
        Its height and width.
    what:
        Its name, for the message.
    error:
        Class of the error.

    Raises
    ------
    AlkitError
        `size` is not positive, or has more pixels than :data:`PIXELS` allows. The error has the class `error`.

    Examples
    --------
    >>> check_pixels((30_000, 30_000), "a.png")
    Traceback (most recent call last):
    alkit.errors.DataError: a.png has too many pixels: got 30000 x 30000, expected at most 180000000. Try: the
    environment variable ALKIT_MAX_PIXELS=900000000, if this machine has the memory.
    """
    height, width = map(int, size)  # the product of two numbers of numpy could overflow
    if min(height, width) < 1:
        raise error(f"{what} must have at least one pixel", got=_shown(size))
    if height * width > limit(PIXELS):
        raise error(
            f"{what} has too many pixels",
            got=_shown(size),
            expected=f"at most {limit(PIXELS)}",
            hint=_raised(PIXELS, height * width),
        )


def read_file(path: str | Path) -> bytes:
    """Return the content of a file.

    Raises
    ------
    DataError
        The file has more bytes than :data:`BYTES` allows.
    OSError
        The file cannot be read, or is a pipe or a device, which would block or have no end.
    """
    most = limit(BYTES)
    if not (stat.S_ISREG(mode := os.stat(path).st_mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(size + 1) if size <= most else b""
    if max(size, len(content)) > most:
        raise too_large(path, size)
    return content


def too_large(path: str | Path, size: int) -> DataError:
    """Return the error for a file of `size` bytes, which are more than :data:`BYTES` allows."""
    most = f"at most {limit(BYTES)}"
    return DataError(f"{path} is too large", got=f"{size} bytes", expected=most, hint=_raised(BYTES, size))


def _raised(variable: str, needed: int) -> str:
    shown = str(needed) if needed < 10**18 else "NUMBER"
    return f"the environment variable {variable}={shown}, if this machine has the memory"


def _shown(size: tuple[int, int]) -> str:
    height, width = (str(side) if abs(side) < 10**18 else "a number of more than 18 digits" for side in size)
    return f"{width} x {height}"
