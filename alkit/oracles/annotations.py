"""The content of annotation files: images, and regions with labels, which become one mask per image.

Labels are known by name: the classes, and :data:`~alkit.oracles.label_names.IGNORED` if the spec has an ignore value.

If regions overlap, the one on top counts, as the tool draws them: the one with the higher order, and of regions with
equal order the one that comes later in the file. Pixels without a region are class 0. An image without regions
is not an answer, because a file also lists images that nobody has looked at yet. The caller can declare that such an
image is all background. Both rules have an exception, because a tag shows that somebody looked at the image: see
:mod:`alkit.oracles.formats.answers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from alkit._reading.limits import check_pixels
from alkit.errors import DataError, LabelError
from alkit.oracles.label_names import Plane, label_values
from alkit.values.label_spec import LabelSpec, Mask, Size

Empty = Literal["unanswered", "background"]
"""Meaning of an image without regions."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of an image with a label.

    Parameters
    ----------
    label:
        Name of the label.
    plane:
        Function that returns the pixels, ``(h, w)``. It raises :class:`LabelError` if the region cannot be decoded.
    order:
        Regions with a higher order lie on top.
    """

    label: str
    plane: Callable[[], Plane]
    order: int = 0


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """An image in an annotation file.

    Parameters
    ----------
    name:
        Name of its file.
    size:
        Height and width.
    regions:
        Its regions.
    tags:
        Its tags, which describe the image as a whole.
    fault:
        Reason why its annotations cannot be read; empty if they can.
    also:
        Another name that it can have, which counts if `name` is not that of a known image.
    reason:
        Why it is skipped, if it is.
    seconds:
        Time that the annotator needed; None if the file does not state it.
    is_answered:
        Whether the file says that somebody has answered, so that an image without regions is all background.
    """

    name: str
    size: Size
    regions: tuple[Region, ...] = ()
    tags: tuple[str, ...] = ()
    fault: str = ""
    also: str = ""
    reason: str = ""
    seconds: float | None = None
    is_answered: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """The content of an annotation file.

    Parameters
    ----------
    images:
        The images, in the order of the file.
    strays:
        Items that cannot be read and belong to no image, each described in words.
    exported:
        Time of the export in nanoseconds since 1970, as the file states it; None if it does not.
    """

    images: tuple[AnnotatedImage, ...]
    strays: tuple[str, ...] = ()
    exported: int | None = None

    def check(self, path: Path) -> Content:
        """Return this content, that of the file `path`.

        Raises
        ------
        ValueError
            It has no items.
        DataError
            No image in it can be read. The message names the first bad item.

        Examples
        --------
        >>> Content((), ("annotation 7 of an unknown image 1",)).check(Path("a.json"))
        Traceback (most recent call last):
        alkit.errors.DataError: a.json has no image that can be read: got annotation 7 of an unknown image 1
        """
        if not self.images and not self.strays:
            raise ValueError("no image")
        faults = [*(image.fault for image in self.images if image.fault), *self.strays]
        if faults and all(image.fault for image in self.images):
            raise DataError(f"{path} has no image that can be read", got=faults[0])
        return self


def fault_text(reason: Exception) -> str:
    """Return an error about damaged content in words.

    >>> fault_text(KeyError("height"))
    "no 'height'"
    """
    return f"no {reason}" if isinstance(reason, KeyError) else str(reason)


def paint(regions: Iterable[Region], size: Size, spec: LabelSpec) -> Mask:
    """Return regions as a mask, ``(h, w)``.

    Raises
    ------
    LabelError
        The image has too many pixels, or a region covers no pixel, cannot be decoded or has another size.
    """
    check_pixels(size, "an image", LabelError)
    values, mask = label_values(spec), np.zeros(size, np.uint8)
    for region in sorted(regions, key=lambda region: region.order):  # equal ones stay in the order of the file
        plane = region.plane()
        # Somebody drew it, so an image without it is not what they meant: it lies outside, or its unit is not a pixel.
        if values[region.label] and not plane.any():
            raise LabelError(f"a region {region.label!r} covers no pixel", hint="delete it, or draw it again")
        mask[plane] = values[region.label]
    return mask
