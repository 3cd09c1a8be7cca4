"""The label specification, and the array types of images and labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from alkit.arguments.arrays import array_of
from alkit.arguments.checked import check_argument, checked_except
from alkit.errors import ConfigurationError, ImageError, LabelError, nearest

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
"""A mask; or, if each image has one class, the class id as an array without axes, int64.

If an image can have several classes: for each class 1 if the image has it, 0 if not, or the ignore value; uint8.
"""


Told = npt.ArrayLike | AbstractSet[str] | Sequence[str]
"""A label as it may be given: an array or a number; or the names of the classes, if an image can have several."""

SEPARATOR, NONE, UNKNOWN = "|", "none", "?"
"""In tables: between the classes of an image, in place of a class if it has none, and before one that is unknown."""

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
        Value that is neither trained on nor measured: of pixels, from the number of classes to 255; or, if an image can
        have several classes, of classes about which nothing is known, from 2 to 255. Default: None.
    per:
        ``"pixel"`` if each pixel has a class (segmentation), ``"image"`` if each image has one (classification).
    multiple:
        Whether an image can have several classes, or none of them (multi-label classification), with
        ``per="image"``. There may be one class only then. A label is a set of class names, or an array ``(classes,)``
        with 1 for each class that the image has, 0 for others, and the ignore value for unknown ones.

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
    >>> several = LabelSpec(("cat", "dog", "fox"), per="image", multiple=True)
    >>> several.check({"fox", "cat"}, id="a", sizes=[]).tolist(), several.check([0, 0, 0], id="b", sizes=[]).tolist()
    ([1, 0, 1], [0, 0, 0])
    """

    classes: tuple[str, ...]
    ignore: int | None = None
    per: Literal["pixel", "image"] = "pixel"
    multiple: bool = field(default=False, metadata={"written": "unless default"})

    def __post_init__(self) -> None:
        if isinstance(self.classes, str):
            raise ConfigurationError("classes must be a sequence of names", got=f"the string {self.classes!r}")
        check_argument("classes", self.classes, Sequence[str])
        if self.per not in ("pixel", "image"):
            raise ConfigurationError("per must be 'pixel' or 'image'", got=repr(self.per))
        object.__setattr__(self, "classes", tuple(self.classes))
        if self.multiple and self.per == "pixel":
            raise ConfigurationError(
                "multiple must be False for masks, in which each pixel has one class",
                got="multiple=True",
                hint="per='image'",
            )
        least = 1 if self.multiple else 2
        if len(self.classes) < least:
            raise ConfigurationError(
                f"classes must be at least {'one name' if self.multiple else 'two names'}",
                got=", ".join(map(repr, self.classes)) or "none",
                hint="classes=('background', 'lesion'), the background first" if self.per == "pixel" else None,
            )
        if not all(name.strip() for name in self.classes):
            raise ConfigurationError("classes must not have empty names", got=", ".join(map(repr, self.classes)))
        if len(set(self.classes)) != len(self.classes):
            twice = sorted(name for name, number in Counter(self.classes).items() if number > 1)
            raise ConfigurationError("classes must have different names", got=f"{', '.join(map(repr, twice))} twice")
        if self.per == "pixel" and len(self.classes) > 255:
            raise ConfigurationError("masks can have at most 255 classes", got=len(self.classes))
        if self.multiple and (odd := [name for name in self.classes if _reserved(name)]):
            raise ConfigurationError(
                f"classes of which an image can have several must not have the name {NONE!r}, begin with {UNKNOWN!r}, "
                f"begin or end with a space, or contain {SEPARATOR!r}, because of tables",
                got=repr(odd[0]),
                hint="another name",
            )
        if self.ignore is not None and self.per == "image" and not self.multiple:
            raise ConfigurationError("ignore must be None if each image has one class", got=self.ignore)
        if self.ignore is not None and not self.values <= self.ignore <= 255:
            raise ConfigurationError(
                f"ignore must be an integer from {self.values} to 255, which is not "
                f"{'0 or 1' if self.multiple else 'a class id'}",
                got=self.ignore,
            )

    @property
    def values(self) -> int:
        """Number of values besides the ignore value: the classes; 2, absent and present, if there can be several."""
        return 2 if self.multiple else len(self.classes)

    def with_ignore(self) -> LabelSpec:
        """Return a spec that has an ignore value: this one, or else a copy whose ignore value is 255.

        A learner gets such a spec if annotators disagree evenly about a pixel, or about one of several classes.
        Annotators' own labels are checked with the original, so they can contain no more values than before. A spec of
        one class per image is returned as it is.

        >>> [LabelSpec(("skin", "lesion"), ignore=value).with_ignore().ignore for value in (None, 7)]
        [255, 7]
        """
        if (self.per == "image" and not self.multiple) or self.ignore is not None:
            return self
        return replace(self, ignore=255)

    @checked_except("label")
    def check(self, label: Told, *, id: str, sizes: Iterable[Size], file: str | None = None) -> Label:
        """Return `label` as a uint8 mask or an int64 class id, after a check. Only its type may change, no value.

        A label of several classes is returned as a uint8 array ``(classes,)`` of 0, 1 and the ignore value.

        Parameters
        ----------
        label:
            Mask ``(h, w)`` of integers or booleans; or, if each image has one class, its class id; or, if it can have
            several, a set or list of their names, or an array ``(classes,)`` of 0, 1 and the ignore value.
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
        if self.multiple:
            return self._presence(label, id)
        return (
            self._class_id(cast(npt.ArrayLike, label), id)
            if self.per == "image"
            else self._mask(cast(npt.ArrayLike, label), file or f"the mask of {id!r}", sizes)
        )

    def names(self, label: Label) -> tuple[str, ...]:
        """Return the names of the classes that an image has, by a label that was checked.

        >>> LabelSpec(("cat", "dog"), per="image").names(np.array(1))
        ('dog',)
        >>> LabelSpec(("cat", "dog"), per="image", multiple=True).names(np.array([1, 1]))
        ('cat', 'dog')

        Raises
        ------
        LabelError
            The label is not one of this specification.
        """
        shape = (len(self.classes),) if self.multiple else ()
        if not isinstance(label, np.ndarray | np.integer) or label.shape != shape or label.dtype.kind not in "iub":
            raise LabelError("label must be an array of integers", got=repr(label), expected=f"shape {shape}")
        if not self.multiple:
            if not 0 <= label < len(self.classes):
                raise LabelError("label must be a class id", got=int(label), expected=str(self))
            return (self.classes[int(label)],)
        return tuple(name for name, value in zip(self.classes, label.tolist(), strict=True) if value == 1)

    def _presence(self, label: Any, id: str) -> Label:
        """Return which of the classes an image has."""
        if isinstance(label, AbstractSet) or (
            isinstance(label, list | tuple) and any(isinstance(n, str) for n in label)
        ):
            if strangers := [name for name in label if name not in self.classes]:
                name = strangers[0]
                raise LabelError(
                    f"the label of {id!r} must be a set of classes",
                    got=repr(name),
                    expected=str(self),
                    hint=nearest(name, self.classes) if isinstance(name, str) else None,
                )
            label = [name in label for name in self.classes]
        try:
            array = array_of(label, f"the label of {id!r}", LabelError)
        except LabelError:
            if isinstance(label, np.ma.MaskedArray):
                raise
            array = np.asarray(None)
        if array.size == 0 and array.ndim == 1 and isinstance(label, list | tuple):
            array = np.zeros(len(self.classes), bool)  # an empty list: none of the classes
        allowed = [0, 1, *([] if self.ignore is None else [self.ignore])]
        whole = array.dtype == bool or np.issubdtype(array.dtype, np.integer)
        if array.shape != (len(self.classes),) or not whole or not np.isin(array, allowed).all():
            odd = np.unique(array[~np.isin(array, allowed)])[:FEW].tolist() if whole and array.ndim == 1 else []
            same = array.shape == (len(self.classes),)
            raise LabelError(
                f"the label of {id!r} is not a set of classes",
                got=f"the values {odd}" if odd and same else repr(label) if array.ndim == 0 else f"shape {array.shape}",
                expected=f"the names of its classes, or an array ({len(self.classes)},) of "
                f"{', '.join(map(str, allowed[:-1]))} and {allowed[-1]}: {self}",
                hint=f"{{{label!r}}}" if isinstance(label, str) and label in self.classes else None,
            )
        checked = array.astype(np.uint8)
        checked.flags.writeable = False
        return checked

    def _class_id(self, label: npt.ArrayLike, id: str) -> Label:
        array = array_of(label, f"the label of {id!r}", LabelError)
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
        array = array_of(mask, name, LabelError)
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
        if self.multiple:
            unknown = "" if self.ignore is None else f"; {self.ignore} means that it is not known"
            return f"any of {', '.join(self.classes)}{unknown}"
        names = [f"{number} {name}" for number, name in enumerate(self.classes)]
        return ", ".join(names + ([] if self.ignore is None else [f"{self.ignore} ignored"]))


def _reserved(name: str) -> bool:
    """Whether a table of several classes could not hold a name."""
    return name != name.strip() or name.casefold() == NONE or name.startswith(UNKNOWN) or SEPARATOR in name


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
