"""The label specification, and the array types that images and labels have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from alkit.errors import ConfigurationError, LabelError

Size = tuple[int, int]
"""Height and width, in pixels."""

Images = npt.NDArray[np.float32]
"""A batch of images, ``(n, c, h, w)``, float32 in [0, 1]."""

Mask = npt.NDArray[np.uint8]
"""A label map, ``(h, w)``, uint8: at each pixel a class id, or the ignore value."""

Label = npt.NDArray[Any]
"""A mask, or, where each image has one class, its id: an array without axes, int64."""


@dataclass(frozen=True, slots=True)
class LabelSpec:
    """What a valid label looks like: the names of its classes, whose ids are their positions, and an ignore value.

    Parameters
    ----------
    classes:
        Two or more different names; for masks at most 255, of which class 0 is the background: metrics leave it out.
    ignore:
        A pixel value outside the class ids that is neither trained on nor measured; None for none. For masks only.
    per:
        Whether each ``pixel`` has a class (masks, segmentation) or each ``image`` has one (classification).

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
            raise ConfigurationError("classes is one string", got=repr(self.classes), expected="a sequence of names")
        if self.per not in ("pixel", "image"):
            raise ConfigurationError("what has a class?", got=f"per={self.per!r}", expected="'pixel' or 'image'")
        object.__setattr__(self, "classes", tuple(self.classes))
        most = 255 if self.per == "pixel" else len(self.classes)
        if not 2 <= len(self.classes) <= most or len(set(self.classes)) != len(self.classes):
            raise ConfigurationError(
                "these classes cannot be told apart",
                got=self.classes,
                expected="2 to 255 different names" if self.per == "pixel" else "2 or more different names",
                hint="the background is a class, too, and the first" if self.per == "pixel" else None,
            )
        if self.ignore is not None and self.per == "image":
            raise ConfigurationError("one class per image leaves nothing to ignore", got=f"ignore={self.ignore}")
        if self.ignore is not None and not len(self.classes) <= self.ignore <= 255:
            raise ConfigurationError(
                "the ignore value must differ from every class id",
                got=self.ignore,
                expected=f"{len(self.classes)} to 255",
            )

    def check(self, label: npt.ArrayLike, *, id: str, sizes: Iterable[Size]) -> Label:
        """Return `label` as uint8 mask, or int64 class id, after checking it; nothing is changed to make it pass.

        Parameters
        ----------
        label:
            A mask ``(h, w)`` of integer or boolean type; or, with one class per image, its id.
        id:
            The image's id, for the message.
        sizes:
            The heights and widths a mask may have: the image's original size and the working size.

        Raises
        ------
        LabelError
            Another number of axes, another size, another type, or values that are no class id.
        """
        return self._class_id(label, id) if self.per == "image" else self._mask(label, id, sizes)

    def _class_id(self, label: npt.ArrayLike, id: str) -> Label:
        array = np.asarray(label)
        if array.ndim or not np.issubdtype(array.dtype, np.integer) or not 0 <= int(array) < len(self.classes):
            raise LabelError(
                f"the label of {id!r} is no class id",
                got=repr(label) if array.ndim == 0 else f"shape {array.shape}",
                expected=f"one integer: {self}",
            )
        checked = array.astype(np.int64)
        checked.flags.writeable = False
        return checked

    def _mask(self, mask: npt.ArrayLike, id: str, sizes: Iterable[Size]) -> Mask:
        sizes = list(dict.fromkeys(sizes))
        try:
            array = np.asarray(mask)
        except ValueError as reason:
            raise LabelError(f"the mask of {id!r} is no array", got=reason) from reason
        if array.ndim != 2:
            raise LabelError(
                f"the mask of {id!r} is not a label map",
                got=f"shape {array.shape}",
                expected="one integer per pixel, (h, w)",
                hint="a colour picture of classes must be turned into class ids first",
            )
        if array.dtype != bool and not np.issubdtype(array.dtype, np.integer):
            raise LabelError(
                f"the mask of {id!r} is of the wrong type",
                got=array.dtype,
                expected="integers or booleans",
                hint="take the arg-max or a threshold of probabilities first",
            )
        if array.shape not in sizes:
            raise LabelError(
                f"the mask of {id!r} has another size than its image",
                got=array.shape,
                expected=" or ".join(map(str, sizes)),
            )
        allowed = [*range(len(self.classes)), *([] if self.ignore is None else [self.ignore])]
        values = np.unique(array)
        strangers = values[~np.isin(values, allowed)]
        if strangers.size:
            raise LabelError(
                f"the mask of {id!r} holds values outside its classes",
                got=strangers[:8].tolist(),
                expected=str(self),
                hint="check that this is the folder of masks, and that they hold class ids",
            )
        checked = array.astype(np.uint8, order="C")
        checked.flags.writeable = False
        return checked

    def __str__(self) -> str:
        names = [f"{number} {name}" for number, name in enumerate(self.classes)]
        return ", ".join(names + ([] if self.ignore is None else [f"{self.ignore} ignored"]))
