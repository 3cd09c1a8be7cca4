"""CVAT for images 1.1: an XML file with images, and for each region a mask or a polygon.

A mask is a box with runs along its rows, the first run being background: ``<mask label="lesion" left="3" top="2"
width="4" height="2" rle="1, 2, 1, 4" z_order="0">``. A pre-label becomes one mask per class, holes included. In CVAT,
make a task with the images and upload the annotations to it if there are pre-labels. Masks and polygons can be read.
Boxes, ellipses and other shapes make an image invalid. Regions with a higher ``z_order`` lie on top, and of
equal ones the later one. A tag ``unusable`` or ``skip`` skips its image, and so does an attribute of a tag with such a
name that is true, or with such a value; an attribute ``reason`` states why. If images have classes, tags are the
classes, and ``none`` is none of several.

References
----------
https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np
import numpy.typing as npt

from alkit._reading.limits import check_pixels
from alkit.errors import DataError, LabelError
from alkit.oracles import rle
from alkit.oracles.annotations import AnnotatedImage, Content, Region, fault_text
from alkit.oracles.formats.format import Format, Page, people_of
from alkit.oracles.label_names import Plane, label_planes, label_values, says_skip, skip_in
from alkit.pictures.colours import CLASS_COLOURS, colour
from alkit.values.label_spec import NONE, LabelSpec, Size

VERSION = "1.1"


def encode_mask(plane: npt.NDArray[Any]) -> dict[str, str]:
    """Return the attributes of a ``<mask>`` for the pixels in `plane`, ``(h, w)``, which must not be empty.

    >>> encode_mask(np.array([[0, 0, 1], [0, 1, 1]]))
    {'rle': '1, 3', 'left': '1', 'top': '0', 'width': '2', 'height': '2'}
    """
    covered = np.asarray(plane) != 0
    left, top, width, height = rle.box(covered)
    line = covered[top : top + height, left : left + width].ravel()
    edges = np.flatnonzero(np.diff(line, prepend=False, append=~line[-1:]))
    runs = np.diff(edges, prepend=0).tolist()
    numbers = {"left": left, "top": top, "width": width, "height": height}
    return {"rle": ", ".join(map(str, runs)), **{name: str(number) for name, number in numbers.items()}}


def decode_mask(mask: Mapping[str, str], size: Size) -> Plane:
    """Return the pixels of a ``<mask>`` with these attributes in an image of this size, ``(h, w)``.

    Raises
    ------
    LabelError
        The box is not inside the image, or the runs do not fill the box.

    Examples
    --------
    >>> box = {"left": "1", "top": "0", "width": "2", "height": "2", "rle": "1, 3"}
    >>> decode_mask(box, (2, 3)).astype(int).tolist()
    [[0, 0, 1], [0, 1, 1]]
    """
    try:
        left, top, width, height = (_integer(mask, name) for name in ("left", "top", "width", "height"))
        runs = [int(run) for run in mask["rle"].split(",")]
    except (KeyError, ValueError) as reason:
        raise LabelError("a mask has damaged attributes", got=reason) from reason
    if min(left, top) < 0 or min(width, height) < 1 or top + height > size[0] or left + width > size[1]:
        raise LabelError(
            "a mask must lie inside its image",
            got=f"{width} x {height} at {left}, {top}",
            expected=f"inside {size[1]} x {size[0]}",
        )
    check_pixels(size, "the image of a mask", LabelError)
    if min(runs) < 0 or sum(runs) != width * height:
        raise LabelError("the runs of a mask must fill its box", got=sum(runs), expected=width * height)
    plane = np.zeros(size, bool)
    plane[top : top + height, left : left + width] = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(
        height, width
    )
    return plane


def encode(pages: Sequence[Page], spec: LabelSpec) -> bytes:
    """Return the content of a file with these images and their pre-labels."""
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = VERSION
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    if people := people_of(pages):
        ElementTree.SubElement(ElementTree.SubElement(task, "assignee"), "username").text = ", ".join(people)
    labels = ElementTree.SubElement(task, "labels")
    masks = spec.per == "pixel"
    names = [*spec.classes, *([NONE] if spec.multiple else [])]  # an image without a tag has no answer
    for name, value in (label_values(spec) if masks else {name: 1 + n for n, name in enumerate(names)}).items():
        if value:
            label = ElementTree.SubElement(labels, "label")
            shown = colour(value, spec) if masks else CLASS_COLOURS[value % len(CLASS_COLOURS)]
            for tag, text in (("name", name), ("color", shown), ("type", "any" if masks else "tag")):
                ElementTree.SubElement(label, tag).text = text
            ElementTree.SubElement(label, "attributes")
    for number, page in enumerate(pages):
        height, width = page.size
        facts = {"id": str(number), "name": page.name, "width": str(width), "height": str(height)}
        image = ElementTree.SubElement(root, "image", facts)
        for name, plane in [] if page.prelabel is None else label_planes(page.prelabel, spec):
            facts = {"label": name, "source": "auto", "occluded": "0", **encode_mask(plane), "z_order": "0"}
            ElementTree.SubElement(image, "mask", facts)
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    return content


def decode(path: Path, content: bytes) -> Content:
    """Return the images in the content of a file, damaged ones included.

    Raises
    ------
    DataError
        The content is not that of a file of CVAT for images, or no image in it can be read. The message names `path`.
    """
    try:
        root = _parse(content)
        if root.tag != "annotations" or (version := root.findtext("version")) != VERSION:
            raise ValueError(f"<{root.tag}>" if root.tag != "annotations" else f"version {version}")
        if root.find("track") is not None:
            raise ValueError("tracks, as in CVAT for video")
        if root.find("*//image") is not None:
            raise ValueError("images that are not directly in <annotations>")
        images: list[AnnotatedImage] = []
        strays: list[str] = []
        for number, image in enumerate(root.iterfind("image"), start=1):
            if (name := image.get("name")) is None:
                strays.append(f"no 'name' of image {number}")
            else:
                images.append(_image(image, name))
        strays += [
            f"<{shape.tag}> outside of an image" for shape in root if shape.tag != "image" and "label" in shape.attrib
        ]
        return Content(tuple(images), tuple(strays), _time_of_export(root)).check(path)
    except DataError:
        raise
    except (ValueError, LookupError, expat.ExpatError) as reason:  # LookupError: an encoding that Python does not know
        found, expected = fault_text(reason), f"version {VERSION}"
        raise DataError(f"{path} is not a file of CVAT for images", got=found, expected=expected) from reason


def _time_of_export(root: ElementTree.Element) -> int | None:
    """Return the time in ``<dumped>``, in nanoseconds since 1970; None if there is none with a time zone."""
    try:
        dumped = datetime.fromisoformat((root.findtext("meta/dumped") or "").strip())
        return int(dumped.timestamp() * 1000) * 1_000_000 if dumped.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _image(image: ElementTree.Element, name: str) -> AnnotatedImage:
    try:
        size = _integer(image.attrib, "height"), _integer(image.attrib, "width")
        for shape in image:
            if shape.tag != "tag" and (marked := skip_in(_attributes(shape))) is not None:
                raise ValueError(
                    f"a <{shape.tag}> has the attribute {marked.word!r}: tag the image, or delete the shape"
                )
        regions = tuple(_region(shape, size) for shape in image if shape.tag != "tag")
        tags = tuple(_tag(tag) for tag in image.iterfind("tag"))
    except (KeyError, ValueError) as reason:
        return AnnotatedImage(name, (0, 0), fault=fault_text(reason))
    return AnnotatedImage(name, size, regions, tags)


def _attributes(item: ElementTree.Element) -> dict[str, str]:
    return {one.get("name", ""): one.text or "" for one in item.iterfind("attribute")}


def _tag(tag: ElementTree.Element) -> str:
    """Return what a tag says: its label, or what skips the image, with the reason."""
    label, attributes = tag.attrib["label"], _attributes(tag)
    marked = skip_in({label: "true", **attributes}) if says_skip(label) else skip_in(attributes)
    return label if marked is None else marked.tag


def _integer(attributes: Mapping[str, str], name: str) -> int:
    try:
        return int(attributes[name])
    except ValueError as reason:
        raise ValueError(f"{name} {attributes[name]!r}, not an integer") from reason


def _region(shape: ElementTree.Element, size: Size) -> Region:
    plane = partial(decode_mask, shape.attrib, size) if shape.tag == "mask" else partial(_polygon, shape, size)
    return Region(shape.attrib["label"], plane, _integer({"z_order": "0", **shape.attrib}, "z_order"))


def _polygon(shape: ElementTree.Element, size: Size) -> Plane:
    if shape.tag != "polygon":
        raise LabelError("a shape must be a mask or a polygon", got=f"<{shape.tag}>")
    try:
        pairs = [[float(number) for number in point.split(",")] for point in shape.get("points", "").split(";")]
    except ValueError as reason:
        raise LabelError("a polygon has damaged points", got=reason) from reason
    if odd := [pair for pair in pairs if len(pair) != 2]:
        raise LabelError("a polygon has damaged points", got=odd[0], expected="two numbers for each")
    return rle.drawn([number for pair in pairs for number in pair], size)


def _parse(content: bytes) -> ElementTree.Element:
    """Parse XML and refuse a document type, which can declare entities that grow without end or read other files."""
    builder, parser = ElementTree.TreeBuilder(), expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise ValueError("a document type declaration, which CVAT never writes")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(content, True)
    return builder.close()


CVAT = Format("cvat", ".xml", encode, decode, per=("pixel", "image"))
