"""LabelMe: a JSON file for each image, with its shapes.

Polygons and masks can be read; other shapes make the image invalid. A later shape lies on top. A flag of the image that
is set, such as ``unusable``, is a tag. If ``imagePath`` is not the name of an asked image, the name of the file counts.

References
----------
https://github.com/wkentaro/labelme, ``labelme/_label_file.py`` and ``labelme/utils/shape.py``
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from alkit._reading.images import open_image, refuse_damage
from alkit._reading.inside import read_inside
from alkit._reading.limits import check_pixels
from alkit.errors import DataError, LabelError
from alkit.oracles import rle
from alkit.oracles.annotations import AnnotatedImage, Content, Region, fault_text
from alkit.oracles.label_names import Plane, says_skip, skip_in
from alkit.values.label_spec import Size

DAMAGE = (KeyError, TypeError, ValueError, OverflowError, AttributeError, IndexError)
"""Errors that content of another form raises."""


def is_labelme(found: object) -> bool:
    """Return whether the content of a JSON file is that of LabelMe."""
    return isinstance(found, dict) and isinstance(found.get("shapes"), list) and "imagePath" in found


def is_image_of(path: Path, folder: Path) -> bool:
    """Return whether a picture is the image of the LabelMe file with the same name beside it, and not a mask.

    Parameters
    ----------
    path:
        The picture.
    folder:
        Folder that the file must not lead out of.
    """
    for beside in (path.with_suffix(".json"), path.with_suffix(".JSON")):
        try:
            found = json.loads(read_inside(beside, folder))
        except (OSError, ValueError, RecursionError):
            continue
        name = found["imagePath"] if is_labelme(found) else None
        return isinstance(name, str) and _plain(name).rpartition("/")[2] == path.name
    return False


def decode(path: Path, found: Mapping[str, Any]) -> Content:
    """Return the image in the content of a file.

    Raises
    ------
    DataError
        The image cannot be read. The message names `path`.
    """
    name, also = _plain(found["imagePath"]), path.stem
    try:
        image = _image(found, name, also)
    except DAMAGE as reason:
        image = AnnotatedImage(name, (0, 0), fault=fault_text(reason), also=also)
    return Content((image,)).check(path)


def _image(found: Mapping[str, Any], name: str, also: str) -> AnnotatedImage:
    size = _side(found, "imageHeight"), _side(found, "imageWidth")
    regions: list[Region] = []
    for number, shape in enumerate(found["shapes"]):
        marked = skip_in(shape.get("flags") or {})
        if marked is not None:
            raise ValueError(f"shape {number + 1} has the flag {marked.word!r}: flag the image, or delete the shape")
        regions.append(Region(str(shape["label"]), partial(shape_plane, shape, size), order=number))
    flags = found.get("flags") or {}
    tags = tuple(str(flag) for flag, is_set in flags.items() if is_set is True)
    if (marked := skip_in(flags)) is not None:
        tags = (marked.tag, *(tag for tag in tags if not says_skip(tag)))
    return AnnotatedImage(name, size, tuple(regions), tags, also=also)


def shape_plane(shape: Mapping[str, Any], size: Size) -> Plane:
    """Return the pixels of a shape, ``(h, w)``.

    Raises
    ------
    LabelError
        It is neither a polygon nor a mask, or is damaged.

    Examples
    --------
    >>> shape_plane({"shape_type": "polygon", "points": [[1, 0], [3, 0], [3, 2], [1, 2]]}, (2, 4)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    kind = shape.get("shape_type") or "polygon"
    try:
        points = [[float(x), float(y)] for x, y in shape["points"]]
        if kind == "polygon":
            return rle.drawn([value for point in points for value in point], size)
        if kind == "mask":
            return _mask(points, shape["mask"], size)
    except LabelError:
        raise
    except DAMAGE as reason:
        raise LabelError("a shape is damaged", got=fault_text(reason)) from reason
    raise LabelError("a shape must be a polygon or a mask", got=str(kind)[:40])


def _mask(points: list[list[float]], text: str, size: Size) -> Plane:
    """Return a shape that was painted: a PNG in the box between two corners, both of which belong to it."""
    (left, top), (right, bottom) = ([round(value) for value in point] for point in points)
    height, width = bottom - top + 1, right - left + 1
    if min(left, top) < 0 or min(height, width) < 1 or bottom >= size[0] or right >= size[1]:
        raise LabelError(
            "a mask must lie inside its image", got=f"{left}, {top} to {right}, {bottom}", expected=f"in {size}"
        )
    check_pixels(size, "the image of a mask", LabelError)
    content = base64.b64decode(text, validate=True)
    with (
        refuse_damage(lambda error: LabelError("a mask cannot be decoded", got=error)),
        open_image(BytesIO(content), "a mask", LabelError, ("PNG",)) as file,
    ):
        if (file.height, file.width) != (height, width) or file.mode not in ("1", "L"):
            raise LabelError("a mask must fill its box", got=f"{file.width} x {file.height}, mode {file.mode}")
        plane = np.zeros(size, bool)
        plane[top : bottom + 1, left : right + 1] = np.asarray(file) != 0
        return plane


def _plain(name: object) -> str:
    if not isinstance(name, str):
        raise DataError("imagePath must be a text", got=type(name).__name__)
    return name.replace("\\", "/")


def _side(found: Mapping[str, Any], name: str) -> int:
    if type(found[name]) is not int:
        raise ValueError(f"{name} {found[name]!r}")
    return int(found[name])
