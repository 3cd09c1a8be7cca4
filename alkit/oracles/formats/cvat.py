"""CVAT for images 1.1: one XML file with images, and for each region a mask or a polygon.

A mask is a box and in it runs along the rows, the first of them background: ``<mask label="lesion" left="3" top="2"
width="4" height="2" rle="1, 2, 1, 4" z_order="0">``. :func:`write` makes one mask of every class of a pre-label, exact
to the pixel, holes included. :func:`read` takes masks and polygons; boxes, ellipses and other shapes make an image
invalid, tags are passed over. What has the greater ``z_order`` lies on top; see :mod:`alkit.oracles.formats.regions`
for the rest.

References
----------
https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np
import numpy.typing as npt

from alkit.errors import DataError, LabelError
from alkit.oracles.formats import rle
from alkit.oracles.formats.handover import Page, hand_over
from alkit.oracles.formats.regions import Empty, Marked, Region, answers, label_values, parts
from alkit.oracles.formats.rle import Plane
from alkit.pictures.colours import colour
from alkit.protocols import Pool
from alkit.values.answers import Answer
from alkit.values.label_spec import LabelSpec, Size
from alkit.values.queries import Query

VERSION = "1.1"


def write(
    folder: str | Path,
    queries: Sequence[Query],
    images: Pool,
    spec: LabelSpec,
    prelabels: Mapping[str, npt.NDArray[Any]] | None = None,
) -> tuple[Path, ...]:
    """Write a folder for each round, ``rNN-cvat``, of ``images`` and ``annotations.xml``; return the latter's paths.

    Make a task of the images in CVAT, and upload the annotations to it where there are pre-labels. An image is called
    by its query's key. Nothing is written over: queries that an earlier file does not list go into a further folder,
    ``rNN-cvat-2``.

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
    return hand_over(Path(folder), queries, images, spec, prelabels or {}, "cvat", ".xml", _encoded, names)


def read(
    path: str | Path,
    queries: Sequence[Query],
    spec: LabelSpec,
    *,
    annotator: str = "",
    empty: Empty = "unanswered",
) -> Iterator[Answer]:
    """Yield an answer for each image of a file that has masks or polygons.

    One that cannot be read, or has another size than it may, comes as invalid, with the reason.

    Parameters
    ----------
    queries:
        All that were ever asked.
    annotator:
        Whose answers these are: the file does not say.
    empty:
        Whether images that are listed without masks are ``unanswered`` or all ``background``.

    Raises
    ------
    DataError
        This is no such file; or an image in it was never asked for, may be several, or is there twice.
    LabelError
        A label that is no class.
    """
    path = Path(path).expanduser()
    yield from answers(path, _decoded(path), queries, spec, annotator=annotator, empty=empty)


def names(path: Path) -> list[str]:
    """Return the names of the images in a file."""
    return [image.name for image in _decoded(path)]


def encode(plane: npt.NDArray[Any]) -> dict[str, str]:
    """Return the attributes by which a ``<mask>`` says where it is; `plane`, ``(h, w)``, must not be empty.

    >>> encode(np.array([[0, 0, 1], [0, 1, 1]]))
    {'rle': '1, 3', 'left': '1', 'top': '0', 'width': '2', 'height': '2'}
    """
    covered = np.asarray(plane) != 0
    left, top, width, height = rle.box(covered)
    line = covered[top : top + height, left : left + width].ravel()
    edges = np.flatnonzero(np.diff(line, prepend=False, append=~line[-1:]))
    runs = np.diff(edges, prepend=0).tolist()
    numbers = {"left": left, "top": top, "width": width, "height": height}
    return {"rle": ", ".join(map(str, runs)), **{name: str(number) for name, number in numbers.items()}}


def decode(mask: Mapping[str, str], size: Size) -> Plane:
    """Return what a ``<mask>`` with these attributes covers in an image of this size, ``(h, w)``.

    Raises
    ------
    LabelError
        Its box is not inside the image, or its runs do not fill the box.

    Examples
    --------
    >>> box = {"left": "1", "top": "0", "width": "2", "height": "2", "rle": "1, 3"}
    >>> decode(box, (2, 3)).astype(int).tolist()
    [[0, 0, 1], [0, 1, 1]]
    """
    try:
        left, top, width, height = (int(mask[name]) for name in ("left", "top", "width", "height"))
        runs = [int(run) for run in mask["rle"].split(",")]
    except (KeyError, ValueError) as reason:
        raise LabelError("a mask is damaged", got=reason) from reason
    if min(left, top) < 0 or min(width, height) < 1 or top + height > size[0] or left + width > size[1]:
        raise LabelError(
            "a mask is not inside its image",
            got=f"{width} x {height} at {left}, {top}",
            expected=f"inside {size[1]} x {size[0]}",
        )
    if min(runs) < 0 or sum(runs) != width * height:
        raise LabelError("the runs of a mask do not fill its box", got=sum(runs), expected=width * height)
    plane = np.zeros(size, bool)
    plane[top : top + height, left : left + width] = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(
        height, width
    )
    return plane


def _encoded(pages: Sequence[Page], spec: LabelSpec) -> bytes:
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = VERSION
    labels = ElementTree.SubElement(ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task"), "labels")
    for name, value in label_values(spec).items():
        if value:
            label = ElementTree.SubElement(labels, "label")
            for tag, text in (("name", name), ("color", colour(value, spec)), ("type", "any")):
                ElementTree.SubElement(label, tag).text = text
            ElementTree.SubElement(label, "attributes")
    for number, page in enumerate(pages):
        height, width = page.size
        facts = {"id": str(number), "name": page.name, "width": str(width), "height": str(height)}
        image = ElementTree.SubElement(root, "image", facts)
        for name, plane in [] if page.prelabel is None else parts(page.prelabel, spec):
            facts = {"label": name, "source": "auto", "occluded": "0", **encode(plane), "z_order": "0"}
            ElementTree.SubElement(image, "mask", facts)
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    return content


def _decoded(path: Path) -> list[Marked]:
    """Return the images of a file; what their regions cover is decoded later, one image at a time."""
    try:
        root = _parsed(path.read_bytes())
        if root.tag != "annotations" or (version := root.findtext("version")) != VERSION:
            raise ValueError(f"<{root.tag}>" if root.tag != "annotations" else f"version {version}")
        if root.find("track") is not None:
            raise ValueError("tracks, as in CVAT for video")
        return [_marked(image) for image in root.iterfind("image")]
    except OSError as reason:
        raise DataError(f"{path} cannot be read ({reason.strerror})") from reason
    except (KeyError, ValueError, expat.ExpatError) as reason:
        told = f"no {reason}" if isinstance(reason, KeyError) else reason
        raise DataError(f"{path} is no file of CVAT for images", got=told, expected=f"version {VERSION}") from reason


def _marked(image: ElementTree.Element) -> Marked:
    size = int(image.attrib["height"]), int(image.attrib["width"])
    regions = tuple(_region(shape, size) for shape in image if shape.tag != "tag")
    return Marked(image.attrib["name"], size, regions)


def _region(shape: ElementTree.Element, size: Size) -> Region:
    filled = partial(decode, shape.attrib, size) if shape.tag == "mask" else partial(_outlined, shape, size)
    return Region(shape.attrib["label"], filled, int(shape.get("z_order", "0")))


def _outlined(shape: ElementTree.Element, size: Size) -> Plane:
    if shape.tag != "polygon":
        raise LabelError("a shape is neither mask nor polygon", got=f"<{shape.tag}>", hint="draw masks or polygons")
    try:
        points = [float(number) for point in shape.get("points", "").split(";") for number in point.split(",")]
    except ValueError as reason:
        raise LabelError("a polygon is damaged", got=reason) from reason
    return rle.polygon(points, size)


def _parsed(content: bytes) -> ElementTree.Element:
    """Parse XML without a document type: that could declare entities which grow without end, or read other files."""
    builder, parser = ElementTree.TreeBuilder(), expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise ValueError("a document type declaration, which CVAT writes none of")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(content, True)
    return builder.close()
