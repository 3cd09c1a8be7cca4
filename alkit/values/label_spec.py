"""The label specification, and the array types of images and labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import check_argument, checked_except
from alkit.errors import ConfigurationError, ImageError, LabelError

Size = tuple[int, int]
"""Height and width, in pixels."""


def size_text(*sizes: Sequence[int]) -> str:
    """Return sizes as people write them: the width first.

    >>> size_text((480, 640), (128, 128))
    '640 x 480 or 128 x 128 pixels'
    """
    return f"{' or '.join(f'{width} x {height}' for height, width in sizes)} pixels"


Images = npt.NDArray[np.float32]
"""A batch of images, ``(n, c, h, w)``, float32 in [0, 1]."""


def check_images(images: Images) -> None:
    """Raise an :class:`ImageError` unless an array is a batch of one or more images."""
    if images.ndim != 4 or 0 in images.shape:
        raise ImageError("images must be (n, c, h, w), each at least 1", got=f"shape {images.shape}")


Mask = npt.NDArray[np.uint8]
"""A label map, ``(h, w)``, uint8: each pixel holds a class id or the ignore value."""

Label = npt.NDArray[Any]
"""A mask; or, if each image has one class, the class id as an array without axes, int64."""


FEW = 8
"""Greatest number of wrong values that a message shows."""


@checked_except("classes")
@dataclass(frozen=True, slots=True)
class LabelSpec:
    """The form of valid labels: the class names, whose positions are the class ids, and an ignore value.

    Parameters
    ----------
    classes:
        Class names, at least two, all different. For masks there are at most 255, and class 0 is the background,
        which metrics leave out.
    ignore:
        Pixel value that is neither trained on nor measured, from the number of classes to 255. Default: None. For
        masks only.
    per:
        ``"pixel"`` if each pixel has a class (segmentation), ``"image"`` if each image has one (classification).

    Raises
    ------
    ConfigurationError
        A parameter is out of range.

    Examples
    --------
    >>> spec = LabelSpec(("skin", "lesion"), ignore=255)
    >>> spec.check(np.array([[0, 1], [255, 1]]), id="a", sizes=[(2, 2)]).dtype
    dtype('uint8')
    >>> spec.check(np.array([[0, 7]]), id="a", sizes=[(1, 2)])
    Traceback (most recent call last):
    alkit.errors.LabelError: the mask of 'a' holds values outside its classes: got [7], expected 0 skin, 1 ...
    >>> int(LabelSpec(("cat", "dog"), per="image").check(1, id="a", sizes=[]))
    1
    """

    classes: tuple[str, ...]
    ignore: int | None = None
    per: Literal["pixel", "image"] = "pixel"

    def __post_init__(self) -> None:
        if isinstance(self.classes, str):
            raise ConfigurationError("classes must be a sequence of names", got=f"the string {self.classes!r}")
        check_argument("classes", self.classes, Sequence[str])
        if self.per not in ("pixel", "image"):
            raise ConfigurationError("per must be 'pixel' or 'image'", got=repr(self.per))
        object.__setattr__(self, "classes", tuple(self.classes))
        if len(self.classes) < 2:
            raise ConfigurationError(
                "classes must be at least two names",
                got=", ".join(map(repr, self.classes)) or "none",
                hint="classes=('background', 'lesion'), the background first" if self.per == "pixel" else None,
            )
        if not all(name.strip() for name in self.classes):
            raise ConfigurationError("classes must not have empty names", got=", ".join(map(repr, self.classes)))
        if len(set(self.classes)) != len(self.classes):
            twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
            raise ConfigurationError("classes must have different names", got=f"{', '.join(map(repr, twice))} twice")
        if self.per == "pixel" and len(self.classes) > 255:
            raise ConfigurationError("masks can have at most 255 classes", got=len(self.classes))
        if self.ignore is not None and self.per == "image":
            raise ConfigurationError("ignore must be None if each image has one class", got=self.ignore)
        if self.ignore is not None and not len(self.classes) <= self.ignore <= 255:
            raise ConfigurationError(
                f"ignore must be an integer from {len(self.classes)} to 255, which is not a class id", got=self.ignore
            )

    def with_ignore(self) -> LabelSpec:
        """Return a spec of masks that has an ignore value: this one, or else a copy whose ignore value is 255.

        A learner gets such a spec if annotators disagree evenly about a pixel. Annotators' own masks are checked with
        the original, so they can contain no more values than before.

        >>> [LabelSpec(("skin", "lesion"), ignore=value).with_ignore().ignore for value in (None, 7)]
        [255, 7]
        """
        if self.per == "image" or self.ignore is not None:
            return self
        return replace(self, ignore=255)

    @checked_except("label")
    def check(self, label: npt.ArrayLike, *, id: str, sizes: Iterable[Size], file: str | None = None) -> Label:
        """Return `label` as a uint8 mask or an int64 class id, after a check. Only its type may change, no value.

        Parameters
        ----------
        label:
            Mask ``(h, w)`` of integers or booleans; or, if each image has one class, its class id.
        id:
            Id of the image, for the message.
        sizes:
            Sizes (height, width) that the mask may have: the image's original size and the working size.
        file:
            File of the mask, for the message.

        Raises
        ------
        LabelError
            The label has the wrong number of axes, size or type, or a value that is not a class id.
        """
        return (
            self._class_id(label, id)
            if self.per == "image"
            else self._mask(label, file or f"the mask of {id!r}", sizes)
        )

    def _class_id(self, label: npt.ArrayLike, id: str) -> Label:
        array = np.asarray(label)
        if array.ndim or not np.issubdtype(array.dtype, np.integer) or not 0 <= int(array) < len(self.classes):
            raise LabelError(
                f"the label of {id!r} is not a class id",
                got=repr(label) if array.ndim == 0 else f"shape {array.shape}",
                expected=f"one integer: {self}",
            )
        checked = array.astype(np.int64)
        checked.flags.writeable = False
        return checked

    def _mask(self, mask: npt.ArrayLike, name: str, sizes: Iterable[Size]) -> Mask:
        sizes = list(dict.fromkeys(sizes))
        try:
            array = np.asarray(mask)
        except ValueError as reason:
            raise LabelError(f"{name} is not an array", got=reason) from reason
        if array.ndim != 2:
            raise LabelError(
                f"{name} is not a label map",
                got=f"shape {array.shape}" if array.ndim else repr(mask),
                expected="one integer per pixel, (h, w)",
                hint="convert a colour picture of classes to class ids first"
                if array.ndim
                else "an array of class ids, or alkit.SKIP to skip the image",
            )
        if array.dtype != bool and not np.issubdtype(array.dtype, np.integer):
            raise LabelError(
                f"{name} is of the wrong type",
                got=array.dtype,
                expected="integers or booleans",
                hint="convert probabilities to class ids first, by the arg-max or a threshold",
            )
        if array.shape not in sizes:
            raise LabelError(
                f"{name} has another size than its image",
                got=size_text(array.shape),
                expected=size_text(*sizes),
                hint="save the mask at the size of its image",
            )
        allowed = [*range(len(self.classes)), *([] if self.ignore is None else [self.ignore])]
        values = distinct(array)
        unknown = values[~np.isin(values, allowed)]
        if unknown.size:
            raise LabelError(
                f"{name} holds values outside its classes",
                got=unknown[:FEW].tolist(),
                expected=str(self),
                hint=self._fix(values, unknown),
            )
        checked = array.astype(np.uint8, order="C")
        checked.flags.writeable = False
        return checked

    def _fix(self, values: npt.NDArray[Any], unknown: npt.NDArray[Any]) -> str:
        """Return a fix for a mask with these values, some of which are not class ids."""
        if len(self.classes) == 2 and values.tolist() == [0, 255]:
            return f"mask // 255, if 255 means {self.classes[1]}"
        if unknown.tolist() == [255]:
            return "ignore=255, if 255 marks pixels that do not count"
        if unknown.size > FEW:
            return "save the mask without smoothing or lossy compression, with one class id per pixel"
        return "convert these values to class ids"

    def __str__(self) -> str:
        names = [f"{number} {name}" for number, name in enumerate(self.classes)]
        return ", ".join(names + ([] if self.ignore is None else [f"{self.ignore} ignored"]))


def distinct(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the sorted distinct values of an array. For 8 bits this takes a tenth of the time of ``numpy.unique``.

    >>> distinct(np.array([[3, 0], [3, 1]], np.uint8)).tolist()
    [0, 1, 3]
    """
    if values.dtype != np.uint8:
        return np.unique(values)
    seen = np.zeros(256, bool)
    seen[values] = True
    return np.flatnonzero(seen)
