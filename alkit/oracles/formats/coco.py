"""COCO: one JSON file with images, categories, and for each region a run-length encoding or polygons.

:func:`write` gives every class of a pre-label one annotation, a compressed run-length encoding of all its pixels (hence
``iscrowd`` 1): exact to the pixel, holes included. :func:`read` takes run-length encodings, compressed or not, and
polygons. A polygon has no holes: several of one annotation are united. Categories count by their names, since tools
number them anew. The format has no order of its own; see :mod:`alkit.oracles.formats.regions` for what covers what.

References
----------
https://cocodataset.org/#format-data and the sources of pycocotools, which encodes masks and draws polygons.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.errors import DataError, LabelError
from alkit.oracles.formats import rle
from alkit.oracles.formats.handover import Page, hand_over
from alkit.oracles.formats.regions import Empty, Marked, Region, answers, label_values, parts
from alkit.oracles.formats.rle import Plane
from alkit.protocols import Pool
from alkit.values.answers import Answer
from alkit.values.label_spec import LabelSpec, Size
from alkit.values.queries import Query


def write(
    folder: str | Path,
    queries: Sequence[Query],
    images: Pool,
    spec: LabelSpec,
    prelabels: Mapping[str, npt.NDArray[Any]] | None = None,
) -> tuple[Path, ...]:
    """Write a folder for each round, ``rNN-coco``, of ``images`` and ``annotations.json``; return the latter's paths.

    An image is called by its query's key. Nothing is written over: queries that an earlier file does not list go into
    a further folder, ``rNN-coco-2``.

    Parameters
    ----------
    folder:
        Where to.
    prelabels:
        By image id a mask, at the image's original size.

    Raises
    ------
    LabelError
        A pre-label does not fit its image.
    ImageError
        An image's file can no longer be read.
    StoreError
        The folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import alkit
    >>> images, masks = alkit.synthetic.lesions(1, size=16)
    >>> spec, query = alkit.LabelSpec(("skin", "lesion")), Query("0000", round=0, rank=0, sizes=((16, 16),))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (path,) = write(folder, [query], alkit.ArrayPool(images), spec, {"0000": masks[0]})
    ...     [answer] = read(path, [query], spec, annotator="ann")
    >>> answer.annotator, bool((answer.label == masks[0]).all())
    ('ann', True)
    """
    return hand_over(Path(folder), queries, images, spec, prelabels or {}, "coco", ".json", _encoded, names)


def read(
    path: str | Path,
    queries: Sequence[Query],
    spec: LabelSpec,
    *,
    annotator: str = "",
    empty: Empty = "unanswered",
) -> Iterator[Answer]:
    """Yield an answer for each image of a file that has annotations.

    One that cannot be read, or has another size than it may, comes as invalid, with the reason.

    Parameters
    ----------
    queries:
        All that were ever asked.
    annotator:
        Whose answers these are: the file does not say.
    empty:
        Whether images that are listed without annotations are ``unanswered`` or all ``background``.

    Raises
    ------
    DataError
        This is no COCO file; or an image in it was never asked for, may be several, or is there twice.
    LabelError
        A category that is no class.
    """
    path = Path(path).expanduser()
    yield from answers(path, _decoded(path), queries, spec, annotator=annotator, empty=empty)


def names(path: Path) -> list[str]:
    """Return the names of the images in a file."""
    return [image.name for image in _decoded(path)]


def _encoded(pages: Sequence[Page], spec: LabelSpec) -> bytes:
    values = {name: value for name, value in label_values(spec).items() if value}
    annotations: list[dict[str, Any]] = []
    for number, page in enumerate(pages, start=1):
        for name, plane in [] if page.prelabel is None else parts(page.prelabel, spec):
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


def segmented(segmentation: object, size: Size) -> Plane:
    """Return what a segmentation covers, ``(h, w)``: a run-length encoding, compressed or not, or polygons.

    Raises
    ------
    LabelError
        It is none of these, or it is damaged.

    Examples
    --------
    >>> segmented({"size": [2, 2], "counts": [2, 2]}, (2, 2)).astype(int).tolist()
    [[0, 1], [0, 1]]
    """
    if not isinstance(segmentation, list):
        return rle.decode(segmentation, size)
    if not segmentation:
        raise LabelError("an annotation has no segmentation", hint="masks or polygons, not boxes")
    plane = np.zeros(size, bool)
    for points in segmentation:
        plane |= rle.polygon(points, size)
    return plane


def _decoded(path: Path) -> list[Marked]:
    """Return the images of a file; what their regions cover is decoded later, one image at a time."""
    try:
        found = json.loads(path.read_bytes())
        images = {image["id"]: (str(image["file_name"]), _size(image)) for image in found["images"]}
        categories = {category["id"]: str(category["name"]) for category in found["categories"]}
        regions: dict[Any, list[Region]] = {id: [] for id in images}
        if len(images) != len(found["images"]):
            raise ValueError("two images have one id")
        for number, annotation in enumerate(found["annotations"]):
            id, category = annotation["image_id"], annotation["category_id"]
            if id not in images:
                raise ValueError(f"annotation {annotation.get('id', number)} is of image {id!r}, which is not there")
            if category not in categories:
                raise ValueError(f"annotation {annotation.get('id', number)} is of category {category!r}, not there")
            filled = partial(segmented, annotation.get("segmentation"), images[id][1])
            regions[id].append(Region(categories[category], filled))
    except OSError as reason:
        raise DataError(f"{path} cannot be read ({reason.strerror})") from reason
    except RecursionError as reason:
        raise DataError(f"{path} is no COCO file", got="too many brackets") from reason
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as reason:
        told = f"no {reason}" if isinstance(reason, KeyError) else reason
        raise DataError(f"{path} is no COCO file", got=told, expected="images, categories and annotations") from reason
    return [Marked(name, size, tuple(regions[id])) for id, (name, size) in images.items()]


def _size(image: Mapping[str, Any]) -> Size:
    return int(image["height"]), int(image["width"])
