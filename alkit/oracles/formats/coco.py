"""COCO: a JSON file with images, categories, and for each region a run-length encoding or polygons.

A pre-label becomes one annotation per class: a compressed run-length encoding of all its pixels, holes included (hence
``iscrowd`` 1). Run-length encodings, compressed or not, and polygons can be read. A polygon has no holes; several
polygons of one annotation are united. Categories count by their names, because tools change their numbers. Regions
lie in the order of the file: a later one covers an earlier one.

An image skips by a category such as ``unusable``; by such a name among its own values that is true; or by its
``attributes`` or those of an annotation without a segmentation.

References
----------
https://cocodataset.org/#format-data and the source code of pycocotools, which encodes masks and draws polygons.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from alkit._reading.limits import check_pixels
from alkit.errors import DataError, LabelError
from alkit.oracles import rle
from alkit.oracles.annotations import AnnotatedImage, Content, Region, fault_text
from alkit.oracles.formats import labelme, labelstudio_json
from alkit.oracles.formats.format import Format, Page, people_of
from alkit.oracles.label_names import Plane, label_planes, label_values, skip_in
from alkit.values.label_spec import LabelSpec, Size

MOST_STRAYS = 10_000
"""Most items without an image that are described."""

DAMAGE = (KeyError, TypeError, ValueError, OverflowError, AttributeError)
"""Errors that content of another form raises."""


def encode(pages: Sequence[Page], spec: LabelSpec) -> bytes:
    """Return the content of a file with these images and their pre-labels."""
    values = {name: value for name, value in label_values(spec).items() if value}
    annotations, people = list[dict[str, Any]](), people_of(pages)
    for number, page in enumerate(pages, start=1):
        for name, plane in [] if page.prelabel is None else label_planes(page.prelabel, spec):
            code, box = rle.encode(plane), rle.box(plane)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": values[name],
                    "segmentation": code,
                    "area": int(plane.sum()),
                    "bbox": list(box),
                    "iscrowd": 1,
                }
            )
    everything = {
        "info": {
            "description": "Images to label, the most wanted first",
            "version": "1",
            **({"assigned_to": people} if people else {}),
        },
        "licenses": [],
        "images": [
            {"id": number, "file_name": page.name, "height": page.size[0], "width": page.size[1]}
            for number, page in enumerate(pages, start=1)
        ],
        "categories": [{"id": value, "name": name, "supercategory": ""} for name, value in values.items()],
        "annotations": annotations,
    }
    return json.dumps(everything, ensure_ascii=False, indent=1).encode()


def decode(path: Path, content: bytes) -> Content:
    """Return the images in the content of a file, damaged ones included.

    Raises
    ------
    DataError
        The content is not that of a COCO file, or no image in it can be read. The message names `path`.
    """
    try:
        found = json.loads(content, object_pairs_hook=_mapping)
        if labelme.is_labelme(found):
            return labelme.decode(path, found)
        if labelstudio_json.is_export(found):
            return labelstudio_json.decode(found).check(path)
        found = _object(found)
        images, strays = _images(_list(found, "images"))
        names = _category_names(_list(found, "categories"))
        for number, annotation in enumerate(_list(found, "annotations")):
            _add(annotation, number, images, names, strays)
        return Content(
            tuple(
                AnnotatedImage(name, size, tuple(collected.regions), tuple(collected.tags), fault=collected.fault)
                for collected in images.values()
                for name, size in collected.entries
            ),
            tuple(strays),
        ).check(path)
    except DataError:
        raise
    except json.JSONDecodeError as reason:
        what = f"{reason.msg} in line {reason.lineno}, column {reason.colno}" if content.strip() else "nothing"
        raise DataError(f"{path} is not a COCO file", got=what, expected="JSON") from reason
    except UnicodeDecodeError as reason:
        raise DataError(
            f"{path} is not a COCO file", got=f"byte {reason.start} is not UTF-8", expected="JSON"
        ) from reason
    except RecursionError as reason:
        raise DataError(f"{path} is not a COCO file", got="too many brackets") from reason
    except DAMAGE as reason:
        expected = "images, categories and annotations"
        raise DataError(f"{path} is not a COCO file", got=fault_text(reason), expected=expected) from reason


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the names and values of a JSON object; refuse a name that occurs twice, of which only one would count."""
    found = dict(pairs)
    if len(found) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"two values of {name!r}")
    return found


def _list(found: Mapping[str, Any], name: str) -> list[Any]:
    value = found[name]
    if not isinstance(value, list):
        raise TypeError(f"{name} of the type {type(value).__name__}")
    return value


@dataclass(slots=True)
class _Collected:
    """What the file says about an image id.

    Parameters
    ----------
    entries:
        Names and sizes of the images with this id: one, unless the file is damaged.
    regions:
        Its regions so far.
    tags:
        What skips it.
    fault:
        Reason why its annotations cannot be read; empty if they can.
    """

    entries: list[tuple[str, Size]]
    regions: list[Region] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    fault: str = ""


def _images(found: Sequence[Mapping[str, Any]]) -> tuple[dict[Any, _Collected], list[str]]:
    """Return the images by id, and descriptions of those that cannot be read. Equal entries are one image."""
    images: dict[Any, _Collected] = {}
    strays: list[str] = []
    for number, image in enumerate(found, start=1):
        try:
            id, entry = (
                _id(_object(image), "id"),
                (str(image["file_name"]), (_side(image, "height"), _side(image, "width"))),
            )
            known = images.setdefault(id, _Collected([entry]))
            own = {name: value for name, value in image.items() if name != "file_name"}
            marked = skip_in(own) or skip_in(image.get("attributes"))
            known.tags.extend([] if marked is None else [marked.tag])
        except DAMAGE as reason:
            _note(strays, f"{fault_text(reason)} (image {number} of the list)")
            continue
        if entry not in known.entries:
            known.entries.append(entry)
            known.fault = f"two images with the same id {id!r}"
    return images, strays


def _note(strays: list[str], text: str) -> None:
    """Keep a description of an item, unless there are very many: they would take more memory than the items."""
    if len(strays) < MOST_STRAYS:
        strays.append(text)


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{str(value)[:20]!r} in place of an object")
    return value


def _id(found: Mapping[str, Any], name: str) -> Any:
    """Return an id; refuse truth values, of which Python takes ``true`` for 1."""
    if found[name] is None or isinstance(found[name], bool):
        raise ValueError(f"{name} {json.dumps(found[name])}")
    return found[name]


def _side(image: Mapping[str, Any], name: str) -> int:
    value = image[name]
    if not (type(value) is int or (type(value) is float and value.is_integer()) or str(value).strip().isdecimal()):
        raise ValueError(f"{name} {value!r}")
    return int(value)


def _category_names(found: Sequence[Mapping[str, Any]]) -> dict[Any, set[str]]:
    """Return the names of each category id: one, unless the file is damaged. Damaged categories are left out."""
    names: dict[Any, set[str]] = {}
    for category in found:
        with suppress(*DAMAGE):  # an image with annotations of this category becomes invalid
            names.setdefault(_id(category, "id"), set()).add(str(category["name"]))
    return names


def _add(
    annotation: Mapping[str, Any],
    number: int,
    images: Mapping[Any, _Collected],
    names: Mapping[Any, set[str]],
    strays: list[str],
) -> None:
    """Add an annotation to its image, or a description of it to `strays` if it has none."""
    try:
        id, own = _id(_object(annotation), "image_id"), f"annotation {annotation.get('id', number)}"
        image = images.get(id)
    except DAMAGE as reason:
        _note(strays, f"{fault_text(reason)} (annotation {number + 1} of the list)")
        return
    if image is None:
        _note(strays, f"{own} of an unknown image {id!r}")
        return
    try:
        category = _id(annotation, "category_id")
        known = names.get(category, set())
    except DAMAGE as reason:
        image.fault = image.fault or f"{own}: {fault_text(reason)}"
        return
    if len(known) != 1:
        what = f"category {category!r} with the names {', '.join(sorted(map(repr, known)))}"
        image.fault = image.fault or f"{own} of {what if known else f'an unknown category {category!r}'}"
        return
    (name,), (_, size) = known, image.entries[0]
    if (marked := skip_in(annotation.get("attributes"))) is not None:
        if annotation.get("segmentation"):
            image.fault = image.fault or f"{own} has the attribute {marked.word!r}, and a segmentation"
        else:
            image.tags.append(marked.tag)
        return
    image.regions.append(Region(name, partial(segmentation_plane, annotation.get("segmentation"), size)))


def segmentation_plane(segmentation: object, size: Size) -> Plane:
    """Return the pixels of a segmentation, ``(h, w)``: a run-length encoding, compressed or not, or polygons.

    Raises
    ------
    LabelError
        The segmentation is something else, or damaged.

    Examples
    --------
    >>> segmentation_plane({"size": [2, 2], "counts": [2, 2]}, (2, 2)).astype(int).tolist()
    [[0, 1], [0, 1]]
    """
    if not isinstance(segmentation, list):
        return rle.decode(segmentation, size)
    if not segmentation:
        raise LabelError("an annotation has no segmentation", hint="draw masks or polygons, not boxes")
    check_pixels(size, "the image of a polygon", LabelError)
    plane = np.zeros(size, bool)
    for points in segmentation:
        plane |= rle.drawn(points, size)
    return plane


def decode_sets(path: Path, content: bytes, spec: LabelSpec) -> Content:
    """Return the images in the content of a file, with the categories of their annotations as tags.

    Boxes and segmentations are not read. Raises the errors of :func:`decode`.
    """
    found = decode(path, content)
    tagged = (
        replace(one, regions=(), tags=(*one.tags, *(region.label for region in one.regions))) for one in found.images
    )
    return replace(found, images=tuple(tagged))


COCO = Format("coco", ".json", encode, decode, decode_sets=decode_sets)
