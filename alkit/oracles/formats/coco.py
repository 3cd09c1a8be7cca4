"""COCO: a JSON file with images, categories, and for each region a run-length encoding or polygons.

A pre-label becomes one annotation per class: a compressed run-length encoding of all its pixels, holes included (hence
``iscrowd`` 1). Run-length encodings, compressed or not, and polygons can be read. A polygon has no holes; several
polygons of one annotation are united. Categories count by their names, because tools change their numbers. COCO has no
order of regions.

References
----------
https://cocodataset.org/#format-data and the source code of pycocotools, which encodes masks and draws polygons.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from alkit.errors import DataError, LabelError
from alkit.oracles.formats import rle
from alkit.oracles.formats.annotations import AnnotatedImage, Region
from alkit.oracles.formats.format import Format, Page
from alkit.oracles.label_names import Plane, label_planes, label_values
from alkit.values.label_spec import LabelSpec, Size


def encode(pages: Sequence[Page], spec: LabelSpec) -> bytes:
    """Return the content of a file with these images and their pre-labels."""
    values = {name: value for name, value in label_values(spec).items() if value}
    annotations: list[dict[str, Any]] = []
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
        "info": {"description": "Images to label, the most wanted first", "version": "1"},
        "licenses": [],
        "images": [
            {"id": number, "file_name": page.name, "height": page.size[0], "width": page.size[1]}
            for number, page in enumerate(pages, start=1)
        ],
        "categories": [{"id": value, "name": name, "supercategory": ""} for name, value in values.items()],
        "annotations": annotations,
    }
    return json.dumps(everything, ensure_ascii=False, indent=1).encode()


def decode(path: Path, content: bytes) -> list[AnnotatedImage]:
    """Return the images in the content of a file.

    Raises
    ------
    DataError
        The content is not that of a COCO file. The message names `path`.
    """
    try:
        found = json.loads(content)
        images = {image["id"]: (str(image["file_name"]), _size(image)) for image in found["images"]}
        categories = {category["id"]: str(category["name"]) for category in found["categories"]}
        regions: dict[Any, list[Region]] = {id: [] for id in images}
        if len(images) != len(found["images"]):
            raise ValueError("two images with the same id")
        for number, annotation in enumerate(found["annotations"]):
            id, category = annotation["image_id"], annotation["category_id"]
            if id not in images:
                raise ValueError(f"annotation {annotation.get('id', number)} of an unknown image {id!r}")
            if category not in categories:
                raise ValueError(f"annotation {annotation.get('id', number)} of an unknown category {category!r}")
            plane = partial(segmentation_plane, annotation.get("segmentation"), images[id][1])
            regions[id].append(Region(categories[category], plane))
    except RecursionError as reason:
        raise DataError(f"{path} is not a COCO file", got="too many brackets") from reason
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as reason:
        told = f"no {reason}" if isinstance(reason, KeyError) else reason
        expected = "images, categories and annotations"
        raise DataError(f"{path} is not a COCO file", got=told, expected=expected) from reason
    return [AnnotatedImage(name, size, tuple(regions[id])) for id, (name, size) in images.items()]


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
    plane = np.zeros(size, bool)
    for points in segmentation:
        plane |= rle.polygon(points, size)
    return plane


def _size(image: Mapping[str, Any]) -> Size:
    return int(image["height"]), int(image["width"])


COCO = Format("coco", ".json", encode, decode)
