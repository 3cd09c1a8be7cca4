"""The content of annotation files: images, and regions with labels, which become one mask per image.

Labels are known by name: the classes, and :data:`~alkit.oracles.label_names.IGNORED` if the spec has an ignore value.

If regions overlap, the one with the higher order wins, in formats that have an order. Of regions with equal order, the
higher class id wins; ignored pixels win over all classes. Pixels without a region are class 0. An image without regions
is not an answer, because a file also lists images that nobody has looked at yet. The caller can declare that such an
image is all background.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from alkit.errors import ConfigurationError, DataError, LabelError, nearest
from alkit.oracles.formats.image_names import ImageNames, image_names
from alkit.oracles.label_names import Plane, label_values
from alkit.values.answers import Answer, Invalid
from alkit.values.label_spec import LabelSpec, Mask, Size
from alkit.values.queries import Query

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
    """An image in an annotation file."""

    name: str
    size: Size
    regions: tuple[Region, ...]


def paint(regions: Iterable[Region], size: Size, spec: LabelSpec) -> Mask:
    """Return regions as a mask, ``(h, w)``.

    Raises
    ------
    LabelError
        A region cannot be decoded or has another size.
    """
    values, mask = label_values(spec), np.zeros(size, np.uint8)
    # The ignore value is greater than all class ids, so ignored pixels are painted last.
    for region in sorted(regions, key=lambda region: (region.order, values[region.label])):
        mask[region.plane()] = values[region.label]
    return mask


def answers(
    path: Path,
    images: Sequence[AnnotatedImage],
    queries: Sequence[Query],
    spec: LabelSpec,
    *,
    annotator: str,
    empty: Empty,
) -> Iterator[Answer]:
    """Yield an answer for each image of an annotation file, after a check of the whole file.

    Parameters
    ----------
    path:
        Path of the file. Its time of change is the revision of all answers.
    images:
        Content of the file.
    queries:
        All queries of the campaign, answered ones included.
    spec:
        The classes.
    annotator:
        Name of the annotator.
    empty:
        Meaning of an image without regions.

    Raises
    ------
    DataError
        An image with regions was never asked for, can be one of several, or occurs twice.
    LabelError
        A label is not a class.
    """
    if empty not in ("unanswered", "background"):
        raise ConfigurationError("empty must be 'unanswered' or 'background'", got=repr(empty))
    names = image_names(queries)
    known = {image.name: query for image in images if (query := _query(image, names, path)) is not None}
    _check_different(known, path)
    values = label_values(spec)
    used = {region.label for image in images if image.name in known for region in image.regions}
    if strangers := sorted(used - values.keys()):
        raise LabelError(
            f"the labels in {path.name} must be classes",
            got=", ".join(map(repr, strangers[:8])),
            expected=", ".join(map(repr, values)),
            hint=nearest(strangers[0], values),
        )
    revision = path.stat().st_mtime_ns
    for image in images:
        query = known.get(image.name)
        if query is None or not (image.regions or empty == "background"):
            continue
        label: npt.NDArray[Any] | Invalid
        if image.size not in query.sizes:
            label = Invalid(
                f"in {path.name} {image.name!r} is {_size_text(image.size)}, not {_size_text(*query.sizes)}"
            )
        else:
            try:
                label = paint(image.regions, image.size, spec)
            except LabelError as reason:
                label = Invalid(f"in {path.name} {image.name!r} cannot be read: {reason}")
        yield Answer(query.id, label, annotator, revision)


def _size_text(*sizes: Size) -> str:
    return " or ".join(f"{width} x {height}" for height, width in sizes)


def _check_different(known: Mapping[str, Query], path: Path) -> None:
    first: dict[str, str] = {}
    for name, query in known.items():
        if query.id in first:
            raise DataError(
                f"{path.name} contains an image twice", got=f"{first[query.id]!r} and {name!r}, both {query.id!r}"
            )
        first[query.id] = name


def _query(image: AnnotatedImage, names: ImageNames, path: Path) -> Query | None:
    """Return the query that an image answers, or None if the image was never asked for and has no regions."""
    found = names.find(image.name)
    if len(found) > 1:
        raise DataError(
            f"{path.name} names an image that can be one of several",
            got=repr(image.name),
            expected=" or ".join(repr(query.id) for query in found[:5]),
            hint="rename it to the key of its query, such as " + found[0].key,
        )
    if not found and image.regions:
        raise DataError(
            f"{path.name} contains an image that was never asked for",
            got=repr(image.name),
            expected="a file name from alkit, or the image's own",
            hint="remove the image from the file, or ask for it first",
        )
    return found[0] if found else None
