"""How an image lies inside its working size: squashed, padded or cropped, in integers, so that it can be undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from alkit.arguments.checked import checked_except
from alkit.errors import ConfigurationError
from alkit.values.label_spec import Size, size_text

Fit = Literal["squash", "pad", "crop"]
"""How images of any size become images of the working size.

``"squash"`` resizes the whole image, so its proportions change. ``"pad"`` keeps the proportions: a larger image is
shrunk until it fits, a smaller one keeps its pixels, and what is left of the working size is filled. ``"crop"`` keeps
the proportions, too: the largest rectangle in the middle of the image that has the proportions of the working size is
resized to it; the rest of the image is not seen.
"""


class Box(NamedTuple):
    """A rectangle of whole pixels: its first row and column, and its height and width."""

    top: int
    left: int
    height: int
    width: int

    @property
    def size(self) -> Size:
        """Height and width."""
        return self.height, self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index the last two axes of an array.

        >>> Box(1, 2, 3, 4).slices
        (slice(1, 4, None), slice(2, 6, None))
        """
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


@checked_except("fit")
@dataclass(frozen=True, slots=True)
class Frame:
    """The place of an image inside the working size.

    The rectangle :attr:`source` of the original image, resized, is the rectangle :attr:`content` of the working image.
    What lies outside `content` is padding, or context: no label belongs to it, and it does not count.

    Parameters
    ----------
    original:
        Original height and width: the size of the image's mask as people draw it.
    working:
        Working height and width: the size of the image as the learner sees it.
    fit:
        How one becomes the other, see :data:`Fit`.
    box:
        Place of the whole original image in the working image as (top, left, height, width), for images that are shown
        with their surroundings, such as tiles. Default: it follows from `fit`.
    part:
        The part of the original image that is seen, as (top, left, height, width), for images whose pixels are not
        square. Only with ``fit="crop"``. Default: it follows from the sizes.

    Raises
    ------
    ConfigurationError
        A size has a side below 1, `fit` is unknown, `box` is not inside the working image, or `part` is not inside the
        original image or is given with another `fit`.

    Notes
    -----
    Sides are rounded to the nearest integer, halves up, and are at least 1. If an odd number of pixels is left, the
    smaller half is above or to the left.

    Examples
    --------
    >>> frame = Frame((30, 60), (32, 32), "pad")
    >>> frame.source, frame.content
    (Box(top=0, left=0, height=30, width=60), Box(top=8, left=0, height=16, width=32))
    >>> Frame((30, 60), (32, 32), "crop").source
    Box(top=0, left=15, height=30, width=30)
    """

    original: Size
    working: Size
    fit: Fit = "squash"
    box: tuple[int, int, int, int] | None = None
    part: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        check_fit(self.fit)
        for name, size in (("original", self.original), ("working", self.working)):
            if len(size) != 2 or min(size) < 1:
                raise ConfigurationError(f"{name} must be (height, width), each an integer >= 1", got=repr(size))
            object.__setattr__(self, name, (int(size[0]), int(size[1])))
        if self.part is not None and (self.fit != "crop" or self.box is not None):
            raise ConfigurationError("part needs fit='crop' and no box", got=f"fit={self.fit!r}, box={self.box}")
        for name, box, size in (("box", self.box, self.working), ("part", self.part, self.original)):
            if box is not None:
                object.__setattr__(self, name, _inside(name, box, size))

    @property
    def source(self) -> Box:
        """The part of the original image that is seen: all of it, unless it is cropped."""
        (height, width), (high, wide) = self.original, self.working
        if self.part is not None:
            return Box(*self.part)
        if self.fit != "crop" or self.box is not None:
            return Box(0, 0, height, width)
        if height * wide >= width * high:
            part = min(height, max(1, _ratio(width * high, wide)))
            return Box((height - part) // 2, 0, part, width)
        part = min(width, max(1, _ratio(height * wide, high)))
        return Box(0, (width - part) // 2, height, part)

    @property
    def content(self) -> Box:
        """The place of :attr:`source` in the working image: all of it, unless it is padded or has surroundings."""
        (height, width), (high, wide) = self.original, self.working
        if self.box is not None:
            return Box(*self.box)
        if self.fit != "pad":
            return Box(0, 0, high, wide)
        if height > high or width > wide:
            if height * wide >= width * high:
                height, width = high, min(wide, max(1, _ratio(width * high, height)))
            else:
                height, width = min(high, max(1, _ratio(height * wide, width))), wide
        return Box((high - height) // 2, (wide - width) // 2, height, width)

    @property
    def fills(self) -> bool:
        """Whether nothing of the working image lies outside :attr:`content`."""
        return self.content.size == self.working


def _inside(name: str, box: tuple[int, int, int, int], size: Size) -> tuple[int, int, int, int]:
    """Return a rectangle as plain integers, after a check that it lies inside an image of some size."""
    top, left, height, width = map(int, box)
    if min(height, width) < 1 or min(top, left) < 0 or top + height > size[0] or left + width > size[1]:
        raise ConfigurationError(f"{name} must be a rectangle inside an image of {size_text(size)}", got=tuple(box))
    return top, left, height, width


def _ratio(numerator: int, denominator: int) -> int:
    """Return a ratio, rounded to the nearest integer, halves up."""
    return (2 * numerator + denominator) // (2 * denominator)


def check_fit(fit: str) -> None:
    """Check that `fit` is one of :data:`Fit`.

    Raises
    ------
    ConfigurationError
        It is not.
    """
    if not isinstance(fit, str) or fit not in get_args(Fit):
        raise ConfigurationError(f"fit must be {' or '.join(map(repr, get_args(Fit)))}", got=repr(fit))
