"""The axis of the channels in images given as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from alkit.errors import ConfigurationError, DataError

Channels = Literal["first", "last"]
"""Place of the channel axis: ``"first"`` for images ``(c, h, w)``, ``"last"`` for images ``(h, w, c)``."""

MOST = 4
"""Largest number of channels of usual images: gray, gray with alpha, RGB, RGB with alpha."""


def check_channels(channels: Channels | None) -> None:
    """Check that `channels` is ``"first"``, ``"last"`` or None.

    Raises
    ------
    ConfigurationError
        It is something else.
    """
    if channels is not None and (not isinstance(channels, str) or channels not in get_args(Channels)):
        raise ConfigurationError("channels must be 'first', 'last' or None", got=repr(channels))


def find_channels(shape: Sequence[int], channels: Channels | None = None) -> Channels:
    """Return the place of the channel axis of images of one shape.

    Parameters
    ----------
    shape:
        ``(h, w)`` or three integers.
    channels:
        The place, if it is known.

    Raises
    ------
    DataError
        `channels` is None, and the shape fits both places or neither.

    Examples
    --------
    >>> find_channels((28, 28, 1)), find_channels((3, 64, 48)), find_channels((28, 28))
    ('last', 'first', 'first')
    """
    if channels is not None or len(shape) != 3:
        return channels or "first"
    first, middle, last = shape
    if first > MOST and last <= min(first, middle, MOST):
        return "last"
    fewest = first < min(middle, last) or first <= min(middle, last, MOST)
    if fewest and not last <= min(first, middle, MOST):
        return "first"
    if first == middle == last == 1:
        return "first"
    raise DataError(
        "the channel axis of the images is not clear from their shape",
        got=f"{tuple(shape)}, which is {middle} x {first} pixels with {last} channels, "
        f"or {last} x {middle} pixels with {first} channels",
        hint="channels='last' for the former, channels='first' for the latter",
    )
