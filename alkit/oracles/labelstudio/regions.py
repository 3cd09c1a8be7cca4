"""Conversion of a Label Studio annotation's regions to a mask, and of a mask to regions.

Each region has one label. Regions of the same label are united. If classes overlap, the later region covers the
earlier one, as Label Studio draws them. Pixels without a region are class 0, so an annotation without regions is a
valid mask.

Three kinds of region can be read: ``bitmask``, a PNG as data URL whose alpha marks the painted pixels; ``brush``, see
:mod:`alkit.oracles.labelstudio.brush`; and ``polygon``, corners in percent of width and height. Strokes from a browser
have soft edges: a pixel counts as painted if its alpha is at least 128.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from alkit._reading.images import open_image, refuse_damage
from alkit._reading.limits import check_pixels
from alkit.errors import LabelError, nearest
from alkit.oracles.annotations import Region, paint
from alkit.oracles.label_names import label_planes, label_values, says_skip
from alkit.oracles.labelstudio.brush import decode_brush, encode_brush
from alkit.oracles.labelstudio.polygon import fill, outlines
from alkit.oracles.rle import check_outline
from alkit.values.label_spec import Label, LabelSpec, Mask, Size

Kind = Literal["bitmask", "brush", "polygon"]
"""How annotators draw a region: with Label Studio's tags BitmaskLabels, BrushLabels or PolygonLabels."""

KINDS: tuple[Kind, ...] = get_args(Kind)

PAINTED = 128
"""Lowest alpha of a painted pixel."""

FARTHEST = 300
"""Greatest distance of a polygon's corner from the upper left corner of the image, in percent of its width or height.

COCO's polygons have the same limit."""

REMARKS = frozenset({"choices", "taxonomy", "rating", "textarea", "number", "datetime", "pairwise", "ranker"})
"""Types of results that describe an image or a region and draw nothing."""

TAGS = frozenset({"choices", "taxonomy"})
"""Types of results that tag an image or a region."""

PREFIX = "data:image/png;base64,"


def mask_of(result: object, spec: LabelSpec, size: Size, image: str | None = None) -> Mask:
    """Return the mask of an annotation, ``(h, w)``, uint8, with class ids as values.

    Parameters
    ----------
    result:
        The list of regions, as the server sends it.
    spec:
        The classes.
    size:
        Height and width of the mask of an annotation without regions. Regions state their own.
    image:
        Name of the tag that shows the image. None: any, if all regions are on one.

    Raises
    ------
    LabelError
        A region is of an unknown kind, does not have exactly one label that is a class, was drawn on a rotated image,
        differs in size from the others, is on another image, is an open polygon, or cannot be decoded.

    Examples
    --------
    >>> spec = LabelSpec(("skin", "lesion"))
    >>> mask_of([], spec, (1, 2)).tolist()
    [[0, 0]]
    >>> mask_of(regions_of(np.array([[0, 1]], np.uint8), spec, "brush"), spec, (1, 2)).tolist()
    [[0, 1]]
    """
    values = label_values(spec)
    if not isinstance(result, list | tuple) or not all(isinstance(entry, Mapping) for entry in result):
        raise LabelError("the result must be a list of regions", got=type(result).__name__)
    drawn: list[Region] = []
    sizes: set[Size] = set()
    images: set[str] = set()
    for entry in filter(_is_drawn, result):
        drawn.append(Region(_label(entry, values), partial(pixels_of, entry)))
        sizes.add(size_of(entry))
        images.add(_image(entry, image))
    if len(images) > 1:
        raise LabelError("all regions must be drawn on one image", got=", ".join(sorted(images)))
    if image is not None and (others := images - {image}):
        raise LabelError("all regions must be drawn on the image of the query", got=others.pop(), expected=image)
    if len(sizes) > 1:
        for region in drawn:
            region.plane()  # a region that contradicts its own size has an error of its own
        raise LabelError("all regions must have the size of one image", got=sorted(sizes))
    return paint(drawn, next(iter(sizes), size), spec)


def tags_and_labels(result: object, question: str | None = None) -> tuple[list[str], list[str]]:
    """Return the tags of an annotation, and the labels of its drawn regions of whatever kind.

    Parameters
    ----------
    result:
        The list of regions.
    question:
        Name of the tag that offers the classes of images. Choices for other questions count only if they skip the
        image. None: all count.

    >>> tags_and_labels([{"type": "choices", "value": {"choices": ["unusable"]}}])
    (['unusable'], [])
    """
    tags: list[str] = []
    labels: list[str] = []
    for entry in result if isinstance(result, Sequence) else ():
        if not isinstance(entry, Mapping):
            continue
        kind, value = str(entry.get("type")).lower(), entry.get("value")
        value = value if isinstance(value, Mapping) else {}
        if kind in TAGS:  # a choice in a taxonomy is a path of names
            chosen = value.get(kind)
            chosen = chosen if isinstance(chosen, list) else [] if chosen is None else [chosen]
            names = [str(name[-1] if isinstance(name, list) and name else name) for name in chosen]
            tags += [name for name in names if question in (None, entry.get("from_name", question)) or says_skip(name)]
        elif _is_drawn(entry):
            drawn = value.get(kind) or value.get(f"{kind}labels")
            labels += map(str, drawn) if isinstance(drawn, list) else [""]
    return tags, labels


def regions_of(
    mask: Mask, spec: LabelSpec, kind: Kind, *, control: str = "label", image: str = "image"
) -> list[dict[str, Any]]:
    """Return a mask as regions: one for each class except 0, or one polygon for each connected part.

    Parameters
    ----------
    mask:
        ``(h, w)``, uint8, with class ids and the ignore value.
    spec:
        The classes.
    kind:
        How to draw the regions.
    control, image:
        Names of the two tags in the project's labelling interface.

    Examples
    --------
    >>> (region,) = regions_of(np.array([[0, 1]], np.uint8), LabelSpec(("skin", "lesion")), "polygon")
    >>> region["value"]["points"]
    [[50.0, 0.0], [100.0, 0.0], [100.0, 100.0], [50.0, 100.0]]
    """
    height, width = mask.shape
    regions: list[dict[str, Any]] = []
    values = label_values(spec)
    for name, painted in label_planes(mask, spec):
        shapes: list[dict[str, Any]]
        match kind:
            case "bitmask":
                shapes = [{"format": "png", "imageDataURL": data_url(painted)}]
            case "brush":
                shapes = [{"format": "rle", "rle": encode_brush(painted)}]
            case "polygon":
                corners = ([[100 * x / width, 100 * y / height] for x, y in outline] for outline in outlines(painted))
                shapes = [{"points": points, "closed": True} for points in corners]
        for shape in shapes:
            regions.append(
                {
                    "id": f"{kind}-{values[name]}-{len(regions)}",
                    "type": f"{kind}labels",
                    "from_name": control,
                    "to_name": image,
                    "original_width": width,
                    "original_height": height,
                    "image_rotation": 0,
                    "value": {**shape, f"{kind}labels": [name]},
                }
            )
    return regions


def choices_of(label: Label, spec: LabelSpec, *, control: str = "label", image: str = "image") -> list[dict[str, Any]]:
    """Return the class or the classes of an image as a choice; nothing if it has none.

    >>> spec = LabelSpec(("cat", "dog"), per="image", multiple=True)
    >>> [entry["value"] for entry in choices_of(np.array([0, 1]), spec)]
    [{'choices': ['dog']}]
    """
    names = list(spec.names(label))
    value = {"id": "choices", "type": "choices", "from_name": control, "to_name": image, "value": {"choices": names}}
    return [value] if names else []


def data_url(painted: npt.NDArray[np.bool_]) -> str:
    """Return painted pixels, ``(h, w)``, as Label Studio stores them: a PNG in which they are black and opaque."""
    from PIL import Image

    pixels = np.zeros((*painted.shape, 2), np.uint8)
    pixels[..., 1] = 255 * painted
    file = BytesIO()
    Image.fromarray(pixels, "LA").save(file, "PNG")
    return PREFIX + base64.b64encode(file.getvalue()).decode()


def alpha_of(url: str, size: Size | None = None) -> Mask:
    """Return the alpha, ``(h, w)``, uint8, of a PNG as data URL, whose size is checked if one is given.

    Raises
    ------
    LabelError
        The text is not a PNG as data URL, or the PNG has another size or no alpha. Without alpha, every pixel would be
        painted.
    """
    if not url.startswith(PREFIX):
        raise LabelError("a bitmask must be a PNG as data URL", got=repr(url[:40]), expected=f"{PREFIX}...")
    try:
        content = base64.b64decode(url[len(PREFIX) :], validate=True)
    except ValueError as reason:  # binascii.Error is one
        raise LabelError("a bitmask must be a PNG as data URL", got=reason) from reason
    with (
        refuse_damage(lambda error: LabelError("a bitmask cannot be decoded", got=error)),
        open_image(BytesIO(content), "a bitmask", LabelError, ("PNG",)) as file,
    ):
        if size is not None and (file.height, file.width) != size:
            raise LabelError("a bitmask must have the size of its image", got=(file.height, file.width), expected=size)
        if not file.has_transparency_data:
            raise LabelError("a bitmask must have alpha", got=f"the mode {file.mode}")
        return np.asarray(file.convert("RGBA").getchannel("A"))


def drawn_in(result: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the drawn regions of an annotation on its only image.

    Raises
    ------
    LabelError
        They are on several images.
    """
    drawn = list(filter(_is_drawn, result))
    if len(images := {_image(entry) for entry in drawn}) > 1:
        raise LabelError("all regions must be drawn on one image", got=", ".join(sorted(images)))
    yield from drawn


def label_of(region: Mapping[str, Any]) -> str:
    """Return the only label of a region; raise a :class:`LabelError` if it is of an unknown kind or has several."""
    kind, value = _kind(region), region.get("value")
    labels = value.get(f"{kind}labels") if isinstance(value, Mapping) else None
    if not isinstance(labels, list) or len(labels) != 1:
        raise LabelError(f"a {kind} region must have one label", got=labels or "none")
    return str(labels[0])


def written(result: object) -> str:
    """Return the first text that the annotator wrote, such as why an image cannot be used.

    >>> written([{"type": "textarea", "value": {"text": ["blurred"]}}])
    'blurred'
    """
    for entry in result if isinstance(result, Sequence) else ():
        value = entry.get("value") if isinstance(entry, Mapping) and entry.get("type") == "textarea" else None
        text = value.get("text") if isinstance(value, Mapping) else None
        for one in text if isinstance(text, list) else [text]:
            if isinstance(one, str) and one.strip():
                return one.strip()
    return ""


def _is_drawn(entry: Mapping[str, Any]) -> bool:
    kind = str(entry.get("type")).lower()
    return kind != "relation" and kind not in REMARKS


def _label(region: Mapping[str, Any], values: Mapping[str, int]) -> str:
    kind = _kind(region)
    value = region.get("value")
    labels = value.get(f"{kind}labels") if isinstance(value, Mapping) else None
    if not isinstance(labels, list) or len(labels) != 1:
        raise LabelError(f"a {kind} region must have one label", got=labels or "none", expected=", ".join(values))
    name = str(labels[0])
    if name not in values:
        raise LabelError(
            "the label of a region must be a class",
            got=repr(name),
            expected=", ".join(values),
            hint=nearest(name, values),
        )
    return name


def _kind(region: Mapping[str, Any]) -> Kind:
    said = str(region.get("type"))
    for kind in KINDS:
        if said.lower() in (kind, f"{kind}labels"):
            return kind
    raise LabelError("a region must be a bitmask, brush or polygon", got=said)


def size_of(region: Mapping[str, Any]) -> Size:
    """Return height and width of the image of a region; raise a :class:`LabelError` if it was rotated."""
    if region.get("image_rotation"):
        raise LabelError(
            "the image was rotated while it was labelled",
            got=f"{region['image_rotation']} degrees",
            expected="0",
            hint="rotate it back and draw the region again",
        )
    height, width = region.get("original_height"), region.get("original_width")
    if type(height) is not int or type(width) is not int or min(height, width) < 1:
        raise LabelError("a region must state the size of its image", got=f"height {height}, width {width}")
    check_pixels((height, width), "the image of a region", LabelError)
    return height, width


def _image(region: Mapping[str, Any], usual: str | None = None) -> str:
    """Return the name of the image that a region is drawn on; a task of other origin than alkit's may have several."""
    name, page = str(region.get("to_name", usual or "image")), region.get("item_index") or 0
    return f"{name}, page {page}" if page else name


def pixels_of(region: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """Return the painted pixels of a region, ``(h, w)``; raise a :class:`LabelError` if they cannot be decoded."""
    size, shape = size_of(region), region["value"]
    match _kind(region):
        case "bitmask":
            return np.asarray(alpha_of(str(shape.get("imageDataURL")), size) >= PAINTED)
        case "brush":
            return np.asarray(decode_brush(shape.get("rle"), size) >= PAINTED)
        case "polygon":
            return _polygon_pixels(shape, size)


def _polygon_pixels(shape: Mapping[str, Any], size: Size) -> npt.NDArray[np.bool_]:
    if shape.get("closed") is False:
        raise LabelError("a polygon is open", hint="close it with a click on its first point")
    try:
        points = np.asarray(shape.get("points"), np.float64)
    except (TypeError, ValueError, OverflowError) as reason:
        raise LabelError("a polygon must have points", got=reason) from reason
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise LabelError("a polygon must have at least 3 points (x, y)", got=f"an array {points.shape}")
    height, width = size
    if np.abs(points).max() > FARTHEST:
        raise LabelError("a polygon must lie in its image or close to it", got=points[0].tolist(), expected="percent")
    check_outline(points * (width / 100, height / 100))
    return fill([(x * width / 100, y * height / 100) for x, y in points.tolist()], size)
